"""Package google.protobuf.

Generated from google/protobuf/empty.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool

DESCRIPTOR = _pool.define(
    globals(),
    # file google/protobuf/empty.proto
    b'\n\x1bgoogle/protobuf/empty.proto\x12\x0fgoogle.pr'
    b'otobufb\x06proto3'
    # message Empty
    b'"\x07\n\x05Empty',
)
