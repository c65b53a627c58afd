"""Package google.protobuf.

Generated from google/protobuf/any.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool

DESCRIPTOR = _pool.define(
    globals(),
    # file google/protobuf/any.proto
    b'\n\x19google/protobuf/any.proto\x12\x0fgoogle.prot'
    b'obufb\x06proto3'
    # message Any
    b'"&\n\x03Any\x12\x10\n\x08type_url\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01(\x0c',
)
