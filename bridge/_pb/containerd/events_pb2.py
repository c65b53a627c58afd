"""Payloads of the events that containerd publishes; their topics stand beside them. Those of images are in the
package of the Images service.

Generated from containerd/events.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/events.proto
    b'\n\x17containerd/events.proto\x12\x11containerd.ev'
    b'ents\x1a\x16containerd/types.proto\x1a\x19google/pro'
    b'tobuf/any.proto\x1a\x1fgoogle/protobuf/timesta'
    b'mp.protob\x06proto3'
    # message TaskCreate
    b'"\xa3\x01\n\nTaskCreate\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t\x12\x0e\n'
    b"\x06bundle\x18\x02 \x01(\t\x12'\n\x06rootfs\x18\x03 \x03(\x0b2\x17.containe"
    b'rd.types.Mount\x12%\n\x02io\x18\x04 \x01(\x0b2\x19.containerd.'
    b'events.TaskIO\x12\x12\n\ncheckpoint\x18\x05 \x01(\t\x12\x0b\n\x03pid'
    b'\x18\x06 \x01(\r'
    # message TaskStart
    b'".\n\tTaskStart\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t\x12\x0b\n\x03p'
    b'id\x18\x02 \x01(\r'
    # message TaskDelete
    b'"\x7f\n\nTaskDelete\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t\x12\x0b\n\x03'
    b'pid\x18\x02 \x01(\r\x12\x13\n\x0bexit_status\x18\x03 \x01(\r\x12-\n\texited'
    b'_at\x18\x04 \x01(\x0b2\x1a.google.protobuf.Timestamp\x12\n\n'
    b'\x02id\x18\x05 \x01(\t'
    # message TaskIO
    b'"I\n\x06TaskIO\x12\r\n\x05stdin\x18\x01 \x01(\t\x12\x0e\n\x06stdout\x18\x02 \x01('
    b'\t\x12\x0e\n\x06stderr\x18\x03 \x01(\t\x12\x10\n\x08terminal\x18\x04 \x01(\x08'
    # message TaskExit
    b'"}\n\x08TaskExit\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t\x12\n\n\x02id'
    b'\x18\x02 \x01(\t\x12\x0b\n\x03pid\x18\x03 \x01(\r\x12\x13\n\x0bexit_status\x18\x04 \x01(\r'
    b'\x12-\n\texited_at\x18\x05 \x01(\x0b2\x1a.google.protobuf.Ti'
    b'mestamp'
    # message TaskOOM
    b'"\x1f\n\x07TaskOOM\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t'
    # message TaskExecAdded
    b'"6\n\rTaskExecAdded\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t\x12'
    b'\x0f\n\x07exec_id\x18\x02 \x01(\t'
    # message TaskExecStarted
    b'"E\n\x0fTaskExecStarted\x12\x14\n\x0ccontainer_id\x18\x01 \x01('
    b'\t\x12\x0f\n\x07exec_id\x18\x02 \x01(\t\x12\x0b\n\x03pid\x18\x03 \x01(\r'
    # message TaskPaused
    b'""\n\nTaskPaused\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t'
    # message TaskResumed
    b'"#\n\x0bTaskResumed\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t'
    # message TaskCheckpointed
    b'"<\n\x10TaskCheckpointed\x12\x14\n\x0ccontainer_id\x18\x01 \x01'
    b'(\t\x12\x12\n\ncheckpoint\x18\x02 \x01(\t'
    # message ContainerCreate
    b'"\xa9\x01\n\x0fContainerCreate\x12\n\n\x02id\x18\x01 \x01(\t\x12\r\n\x05imag'
    b'e\x18\x02 \x01(\t\x12;\n\x07runtime\x18\x03 \x01(\x0b2*.containerd.ev'
    b'ents.ContainerCreate.Runtime\x1a>\n\x07Runtime\x12'
    b'\x0c\n\x04name\x18\x01 \x01(\t\x12%\n\x07options\x18\x02 \x01(\x0b2\x14.google.'
    b'protobuf.Any'
    # message ContainerUpdate
    b'"\xb1\x01\n\x0fContainerUpdate\x12\n\n\x02id\x18\x01 \x01(\t\x12\r\n\x05imag'
    b'e\x18\x02 \x01(\t\x12>\n\x06labels\x18\x03 \x03(\x0b2..containerd.eve'
    b'nts.ContainerUpdate.LabelsEntry\x12\x14\n\x0csnaps'
    b'hot_key\x18\x04 \x01(\t\x1a-\n\x0bLabelsEntry\x12\x0b\n\x03key\x18\x01 \x01('
    b'\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message ContainerDelete
    b'"\x1d\n\x0fContainerDelete\x12\n\n\x02id\x18\x01 \x01(\t'
    # message NamespaceCreate
    b'"\x8e\x01\n\x0fNamespaceCreate\x12\x0c\n\x04name\x18\x01 \x01(\t\x12>\n\x06la'
    b'bels\x18\x02 \x03(\x0b2..containerd.events.Namespace'
    b'Create.LabelsEntry\x1a-\n\x0bLabelsEntry\x12\x0b\n\x03key'
    b'\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message NamespaceUpdate
    b'"\x8e\x01\n\x0fNamespaceUpdate\x12\x0c\n\x04name\x18\x01 \x01(\t\x12>\n\x06la'
    b'bels\x18\x02 \x03(\x0b2..containerd.events.Namespace'
    b'Update.LabelsEntry\x1a-\n\x0bLabelsEntry\x12\x0b\n\x03key'
    b'\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message NamespaceDelete
    b'"\x1f\n\x0fNamespaceDelete\x12\x0c\n\x04name\x18\x01 \x01(\t'
    # message SnapshotPrepare
    b'"C\n\x0fSnapshotPrepare\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\x0e\n\x06pare'
    b'nt\x18\x02 \x01(\t\x12\x13\n\x0bsnapshotter\x18\x05 \x01(\t'
    # message SnapshotCommit
    b'"@\n\x0eSnapshotCommit\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\x0c\n\x04name\x18'
    b'\x02 \x01(\t\x12\x13\n\x0bsnapshotter\x18\x05 \x01(\t'
    # message SnapshotRemove
    b'"2\n\x0eSnapshotRemove\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\x13\n\x0bsnaps'
    b'hotter\x18\x05 \x01(\t'
    # message ContentCreate
    b'"@\n\rContentCreate\x12\x0e\n\x06digest\x18\x01 \x01(\t\x12\x0c\n\x04siz'
    b'e\x18\x02 \x01(\x03\x12\x11\n\tmediaType\x18\x03 \x01(\t'
    # message ContentDelete
    b'"\x1f\n\rContentDelete\x12\x0e\n\x06digest\x18\x01 \x01(\t'
    # message SandboxCreate
    b'"#\n\rSandboxCreate\x12\x12\n\nsandbox_id\x18\x01 \x01(\t'
    # message SandboxStart
    b'""\n\x0cSandboxStart\x12\x12\n\nsandbox_id\x18\x01 \x01(\t'
    # message SandboxExit
    b'"e\n\x0bSandboxExit\x12\x12\n\nsandbox_id\x18\x01 \x01(\t\x12\x13\n\x0be'
    b'xit_status\x18\x02 \x01(\r\x12-\n\texited_at\x18\x03 \x01(\x0b2\x1a.go'
    b'ogle.protobuf.Timestamp',
)
