"""State of tasks. The package is v1.types, other than that of the types which services share.

Generated from containerd/task.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/task.proto
    b'\n\x15containerd/task.proto\x12\x13containerd.v1.t'
    b'ypes\x1a\x19google/protobuf/any.proto\x1a\x1fgoogle/'
    b'protobuf/timestamp.protob\x06proto3'
    # enum Status
    b'*U\n\x06Status\x12\x0b\n\x07UNKNOWN\x10\x00\x12\x0b\n\x07CREATED\x10\x01\x12\x0b\n\x07'
    b'RUNNING\x10\x02\x12\x0b\n\x07STOPPED\x10\x03\x12\n\n\x06PAUSED\x10\x04\x12\x0b\n\x07PA'
    b'USING\x10\x05'
    # message Process
    b'"\xea\x01\n\x07Process\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t\x12\n\n\x02id'
    b'\x18\x02 \x01(\t\x12\x0b\n\x03pid\x18\x03 \x01(\r\x12+\n\x06status\x18\x04 \x01(\x0e2\x1b.co'
    b'ntainerd.v1.types.Status\x12\r\n\x05stdin\x18\x05 \x01(\t\x12'
    b'\x0e\n\x06stdout\x18\x06 \x01(\t\x12\x0e\n\x06stderr\x18\x07 \x01(\t\x12\x10\n\x08termi'
    b'nal\x18\x08 \x01(\x08\x12\x13\n\x0bexit_status\x18\t \x01(\r\x12-\n\texited'
    b'_at\x18\n \x01(\x0b2\x1a.google.protobuf.Timestamp'
    # message ProcessInfo
    b'">\n\x0bProcessInfo\x12\x0b\n\x03pid\x18\x01 \x01(\r\x12"\n\x04info\x18\x02 \x01'
    b'(\x0b2\x14.google.protobuf.Any',
)
