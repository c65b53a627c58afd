"""Package google.protobuf.

Generated from google/protobuf/field_mask.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool

DESCRIPTOR = _pool.define(
    globals(),
    # file google/protobuf/field_mask.proto
    b'\n google/protobuf/field_mask.proto\x12\x0fgoog'
    b'le.protobufb\x06proto3'
    # message FieldMask
    b'"\x1a\n\tFieldMask\x12\r\n\x05paths\x18\x01 \x03(\t',
)
