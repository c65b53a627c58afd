"""Package google.protobuf.

Generated from google/protobuf/timestamp.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool

DESCRIPTOR = _pool.define(
    globals(),
    # file google/protobuf/timestamp.proto
    b'\n\x1fgoogle/protobuf/timestamp.proto\x12\x0fgoogl'
    b'e.protobufb\x06proto3'
    # message Timestamp
    b'"+\n\tTimestamp\x12\x0f\n\x07seconds\x18\x01 \x01(\x03\x12\r\n\x05nanos\x18'
    b'\x02 \x01(\x05',
)
