"""What several services of containerd share.

Generated from containerd/types.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/types.proto
    b'\n\x16containerd/types.proto\x12\x10containerd.typ'
    b'es\x1a\x19google/protobuf/any.proto\x1a\x1fgoogle/pr'
    b'otobuf/timestamp.protob\x06proto3'
    # message Descriptor
    b'"\xb6\x01\n\nDescriptor\x12\x12\n\nmedia_type\x18\x01 \x01(\t\x12\x0e\n\x06d'
    b'igest\x18\x02 \x01(\t\x12\x0c\n\x04size\x18\x03 \x01(\x03\x12B\n\x0bannotations'
    b'\x18\x05 \x03(\x0b2-.containerd.types.Descriptor.Ann'
    b'otationsEntry\x1a2\n\x10AnnotationsEntry\x12\x0b\n\x03key'
    b'\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message Metric
    b'"g\n\x06Metric\x12-\n\ttimestamp\x18\x01 \x01(\x0b2\x1a.google.p'
    b'rotobuf.Timestamp\x12\n\n\x02id\x18\x02 \x01(\t\x12"\n\x04data\x18\x03 '
    b'\x01(\x0b2\x14.google.protobuf.Any'
    # message Mount
    b'"F\n\x05Mount\x12\x0c\n\x04type\x18\x01 \x01(\t\x12\x0e\n\x06source\x18\x02 \x01(\t\x12'
    b'\x0e\n\x06target\x18\x03 \x01(\t\x12\x0f\n\x07options\x18\x04 \x03(\t'
    # message Platform
    b'"f\n\x08Platform\x12\n\n\x02os\x18\x01 \x01(\t\x12\x14\n\x0carchitecture'
    b'\x18\x02 \x01(\t\x12\x0f\n\x07variant\x18\x03 \x01(\t\x12\x12\n\nos_version\x18\x04 '
    b'\x01(\t\x12\x13\n\x0bos_features\x18\x05 \x03(\t'
    # message Envelope
    b'"\x80\x01\n\x08Envelope\x12-\n\ttimestamp\x18\x01 \x01(\x0b2\x1a.googl'
    b'e.protobuf.Timestamp\x12\x11\n\tnamespace\x18\x02 \x01(\t\x12'
    b'\r\n\x05topic\x18\x03 \x01(\t\x12#\n\x05event\x18\x04 \x01(\x0b2\x14.google.p'
    b'rotobuf.Any'
    # message RuntimeRequest
    b'"M\n\x0eRuntimeRequest\x12\x14\n\x0cruntime_path\x18\x01 \x01(\t'
    b'\x12%\n\x07options\x18\x02 \x01(\x0b2\x14.google.protobuf.Any'
    # message RuntimeVersion
    b'"3\n\x0eRuntimeVersion\x12\x0f\n\x07version\x18\x01 \x01(\t\x12\x10\n\x08r'
    b'evision\x18\x02 \x01(\t'
    # message RuntimeInfo
    b'"\x96\x02\n\x0bRuntimeInfo\x12\x0c\n\x04name\x18\x01 \x01(\t\x121\n\x07versio'
    b'n\x18\x02 \x01(\x0b2 .containerd.types.RuntimeVersio'
    b'n\x12%\n\x07options\x18\x03 \x01(\x0b2\x14.google.protobuf.Any'
    b'\x12&\n\x08features\x18\x04 \x01(\x0b2\x14.google.protobuf.Any'
    b'\x12C\n\x0bannotations\x18\x05 \x03(\x0b2..containerd.types'
    b'.RuntimeInfo.AnnotationsEntry\x1a2\n\x10Annotat'
    b'ionsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028'
    b'\x01',
)
