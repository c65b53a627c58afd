"""Package containerd.services.snapshots.v1.

Generated from containerd/services/snapshots.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import field_mask_pb2 as _field_mask_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/snapshots.proto
    b'\n#containerd/services/snapshots.proto\x12 c'
    b'ontainerd.services.snapshots.v1\x1a\x16contain'
    b'erd/types.proto\x1a\x1bgoogle/protobuf/empty.p'
    b'roto\x1a google/protobuf/field_mask.proto\x1a\x1f'
    b'google/protobuf/timestamp.protob\x06proto3'
    # enum Kind
    b'*8\n\x04Kind\x12\x0b\n\x07UNKNOWN\x10\x00\x12\x08\n\x04VIEW\x10\x01\x12\n\n\x06ACTIV'
    b'E\x10\x02\x12\r\n\tCOMMITTED\x10\x03'
    # message PrepareSnapshotRequest
    b'"\xcf\x01\n\x16PrepareSnapshotRequest\x12\x13\n\x0bsnapshott'
    b'er\x18\x01 \x01(\t\x12\x0b\n\x03key\x18\x02 \x01(\t\x12\x0e\n\x06parent\x18\x03 \x01(\t\x12T\n'
    b'\x06labels\x18\x04 \x03(\x0b2D.containerd.services.snap'
    b'shots.v1.PrepareSnapshotRequest.LabelsEn'
    b'try\x1a-\n\x0bLabelsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\r\n\x05value'
    b'\x18\x02 \x01(\t:\x028\x01'
    # message PrepareSnapshotResponse
    b'"B\n\x17PrepareSnapshotResponse\x12\'\n\x06mounts\x18\x01 '
    b'\x03(\x0b2\x17.containerd.types.Mount'
    # message ViewSnapshotRequest
    b'"\xc9\x01\n\x13ViewSnapshotRequest\x12\x13\n\x0bsnapshotter\x18'
    b'\x01 \x01(\t\x12\x0b\n\x03key\x18\x02 \x01(\t\x12\x0e\n\x06parent\x18\x03 \x01(\t\x12Q\n\x06la'
    b'bels\x18\x04 \x03(\x0b2A.containerd.services.snapsho'
    b'ts.v1.ViewSnapshotRequest.LabelsEntry\x1a-\n'
    b'\x0bLabelsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01(\t'
    b':\x028\x01'
    # message ViewSnapshotResponse
    b'"?\n\x14ViewSnapshotResponse\x12\'\n\x06mounts\x18\x01 \x03(\x0b'
    b'2\x17.containerd.types.Mount'
    # message MountsRequest
    b'"1\n\rMountsRequest\x12\x13\n\x0bsnapshotter\x18\x01 \x01(\t\x12\x0b'
    b'\n\x03key\x18\x02 \x01(\t'
    # message MountsResponse
    b'"9\n\x0eMountsResponse\x12\'\n\x06mounts\x18\x01 \x03(\x0b2\x17.con'
    b'tainerd.types.Mount'
    # message RemoveSnapshotRequest
    b'"9\n\x15RemoveSnapshotRequest\x12\x13\n\x0bsnapshotter'
    b'\x18\x01 \x01(\t\x12\x0b\n\x03key\x18\x02 \x01(\t'
    # message CommitSnapshotRequest
    b'"\xdb\x01\n\x15CommitSnapshotRequest\x12\x13\n\x0bsnapshotte'
    b'r\x18\x01 \x01(\t\x12\x0c\n\x04name\x18\x02 \x01(\t\x12\x0b\n\x03key\x18\x03 \x01(\t\x12S\n\x06la'
    b'bels\x18\x04 \x03(\x0b2C.containerd.services.snapsho'
    b'ts.v1.CommitSnapshotRequest.LabelsEntry\x12'
    b'\x0e\n\x06parent\x18\x05 \x01(\t\x1a-\n\x0bLabelsEntry\x12\x0b\n\x03key\x18\x01 '
    b'\x01(\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message StatSnapshotRequest
    b'"7\n\x13StatSnapshotRequest\x12\x13\n\x0bsnapshotter\x18\x01'
    b' \x01(\t\x12\x0b\n\x03key\x18\x02 \x01(\t'
    # message Info
    b'"\xad\x02\n\x04Info\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0e\n\x06parent\x18\x02 \x01(\t\x12'
    b'4\n\x04kind\x18\x03 \x01(\x0e2&.containerd.services.snap'
    b'shots.v1.Kind\x12.\n\ncreated_at\x18\x04 \x01(\x0b2\x1a.goog'
    b'le.protobuf.Timestamp\x12.\n\nupdated_at\x18\x05 \x01('
    b'\x0b2\x1a.google.protobuf.Timestamp\x12B\n\x06labels\x18'
    b'\x06 \x03(\x0b22.containerd.services.snapshots.v1'
    b'.Info.LabelsEntry\x1a-\n\x0bLabelsEntry\x12\x0b\n\x03key\x18'
    b'\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message StatSnapshotResponse
    b'"L\n\x14StatSnapshotResponse\x124\n\x04info\x18\x01 \x01(\x0b2&'
    b'.containerd.services.snapshots.v1.Info'
    # message UpdateSnapshotRequest
    b'"\x93\x01\n\x15UpdateSnapshotRequest\x12\x13\n\x0bsnapshotte'
    b'r\x18\x01 \x01(\t\x124\n\x04info\x18\x02 \x01(\x0b2&.containerd.servi'
    b'ces.snapshots.v1.Info\x12/\n\x0bupdate_mask\x18\x03 \x01'
    b'(\x0b2\x1a.google.protobuf.FieldMask'
    # message UpdateSnapshotResponse
    b'"N\n\x16UpdateSnapshotResponse\x124\n\x04info\x18\x01 \x01(\x0b'
    b'2&.containerd.services.snapshots.v1.Info'
    # message ListSnapshotsRequest
    b'"<\n\x14ListSnapshotsRequest\x12\x13\n\x0bsnapshotter\x18'
    b'\x01 \x01(\t\x12\x0f\n\x07filters\x18\x02 \x03(\t'
    # message ListSnapshotsResponse
    b'"M\n\x15ListSnapshotsResponse\x124\n\x04info\x18\x01 \x03(\x0b2'
    b'&.containerd.services.snapshots.v1.Info'
    # message UsageRequest
    b'"0\n\x0cUsageRequest\x12\x13\n\x0bsnapshotter\x18\x01 \x01(\t\x12\x0b\n'
    b'\x03key\x18\x02 \x01(\t'
    # message UsageResponse
    b'"-\n\rUsageResponse\x12\x0c\n\x04size\x18\x01 \x01(\x03\x12\x0e\n\x06inode'
    b's\x18\x02 \x01(\x03'
    # message CleanupRequest
    b'"%\n\x0eCleanupRequest\x12\x13\n\x0bsnapshotter\x18\x01 \x01(\t'
    # service Snapshots
    b'2\xd3\x08\n\tSnapshots\x12~\n\x07Prepare\x128.containerd.s'
    b'ervices.snapshots.v1.PrepareSnapshotRequ'
    b'est\x1a9.containerd.services.snapshots.v1.P'
    b'repareSnapshotResponse\x12u\n\x04View\x125.contain'
    b'erd.services.snapshots.v1.ViewSnapshotRe'
    b'quest\x1a6.containerd.services.snapshots.v1'
    b'.ViewSnapshotResponse\x12k\n\x06Mounts\x12/.contai'
    b'nerd.services.snapshots.v1.MountsRequest'
    b'\x1a0.containerd.services.snapshots.v1.Moun'
    b'tsResponse\x12Y\n\x06Commit\x127.containerd.servic'
    b'es.snapshots.v1.CommitSnapshotRequest\x1a\x16.'
    b'google.protobuf.Empty\x12Y\n\x06Remove\x127.contai'
    b'nerd.services.snapshots.v1.RemoveSnapsho'
    b'tRequest\x1a\x16.google.protobuf.Empty\x12u\n\x04Stat'
    b'\x125.containerd.services.snapshots.v1.Stat'
    b'SnapshotRequest\x1a6.containerd.services.sn'
    b'apshots.v1.StatSnapshotResponse\x12{\n\x06Updat'
    b'e\x127.containerd.services.snapshots.v1.Upd'
    b'ateSnapshotRequest\x1a8.containerd.services'
    b'.snapshots.v1.UpdateSnapshotResponse\x12y\n\x04'
    b'List\x126.containerd.services.snapshots.v1.'
    b'ListSnapshotsRequest\x1a7.containerd.servic'
    b'es.snapshots.v1.ListSnapshotsResponse0\x01\x12'
    b'h\n\x05Usage\x12..containerd.services.snapshots'
    b'.v1.UsageRequest\x1a/.containerd.services.s'
    b'napshots.v1.UsageResponse\x12S\n\x07Cleanup\x120.c'
    b'ontainerd.services.snapshots.v1.CleanupR'
    b'equest\x1a\x16.google.protobuf.Empty',
)

Snapshots = _rpc.Service(DESCRIPTOR.services_by_name["Snapshots"])


class SnapshotsStub(_rpc.Stub):
    service = Snapshots


class SnapshotsBlockingStub(_rpc.Stub):
    service = Snapshots
