"""Package google.rpc.

Generated from google/rpc/status.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb.google.protobuf import any_pb2 as _any_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file google/rpc/status.proto
    b'\n\x17google/rpc/status.proto\x12\ngoogle.rpc\x1a\x19g'
    b'oogle/protobuf/any.protob\x06proto3'
    # message Status
    b'"N\n\x06Status\x12\x0c\n\x04code\x18\x01 \x01(\x05\x12\x0f\n\x07message\x18\x02 \x01('
    b'\t\x12%\n\x07details\x18\x03 \x03(\x0b2\x14.google.protobuf.Any',
)
