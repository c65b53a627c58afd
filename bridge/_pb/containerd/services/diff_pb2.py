"""Package containerd.services.diff.v1.

Generated from containerd/services/diff.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/diff.proto
    b'\n\x1econtainerd/services/diff.proto\x12\x1bcontai'
    b'nerd.services.diff.v1\x1a\x16containerd/types.'
    b'proto\x1a\x19google/protobuf/any.proto\x1a\x1fgoogle'
    b'/protobuf/timestamp.protob\x06proto3'
    # message ApplyRequest
    b'"\x86\x02\n\x0cApplyRequest\x12*\n\x04diff\x18\x01 \x01(\x0b2\x1c.contai'
    b"nerd.types.Descriptor\x12'\n\x06mounts\x18\x02 \x03(\x0b2\x17."
    b'containerd.types.Mount\x12I\n\x08payloads\x18\x03 \x03(\x0b'
    b'27.containerd.services.diff.v1.ApplyRequ'
    b'est.PayloadsEntry\x12\x0f\n\x07sync_fs\x18\x04 \x01(\x08\x1aE\n\rPa'
    b'yloadsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12#\n\x05value\x18\x02 \x01(\x0b2'
    b'\x14.google.protobuf.Any:\x028\x01'
    # message ApplyResponse
    b'">\n\rApplyResponse\x12-\n\x07applied\x18\x01 \x01(\x0b2\x1c.con'
    b'tainerd.types.Descriptor'
    # message DiffRequest
    b'"\xa9\x02\n\x0bDiffRequest\x12%\n\x04left\x18\x01 \x03(\x0b2\x17.contain'
    b'erd.types.Mount\x12&\n\x05right\x18\x02 \x03(\x0b2\x17.contain'
    b'erd.types.Mount\x12\x12\n\nmedia_type\x18\x03 \x01(\t\x12\x0b\n\x03r'
    b'ef\x18\x04 \x01(\t\x12D\n\x06labels\x18\x05 \x03(\x0b24.containerd.se'
    b'rvices.diff.v1.DiffRequest.LabelsEntry\x125'
    b'\n\x11source_date_epoch\x18\x06 \x01(\x0b2\x1a.google.proto'
    b'buf.Timestamp\x1a-\n\x0bLabelsEntry\x12\x0b\n\x03key\x18\x01 \x01('
    b'\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message DiffResponse
    b'":\n\x0cDiffResponse\x12*\n\x04diff\x18\x03 \x01(\x0b2\x1c.contain'
    b'erd.types.Descriptor'
    # service Diff
    b'2\xc3\x01\n\x04Diff\x12^\n\x05Apply\x12).containerd.services'
    b'.diff.v1.ApplyRequest\x1a*.containerd.servi'
    b'ces.diff.v1.ApplyResponse\x12[\n\x04Diff\x12(.cont'
    b'ainerd.services.diff.v1.DiffRequest\x1a).co'
    b'ntainerd.services.diff.v1.DiffResponse',
)

Diff = _rpc.Service(DESCRIPTOR.services_by_name["Diff"])


class DiffStub(_rpc.Stub):
    service = Diff


class DiffBlockingStub(_rpc.Stub):
    service = Diff
