"""Package containerd.services.snapshots.v1.

Generated from containerd/services/snapshots.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from collections.abc import Mapping as _Mapping
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enums
from bridge._pb import calls as _calls
from bridge._pb import rpc as _rpc
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import field_mask_pb2 as _field_mask_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class _Kind(_enums.EnumTypeWrapper):
    """What may be done with a snapshot."""
    UNKNOWN: _t.Final = 0
    VIEW: _t.Final = 1
    ACTIVE: _t.Final = 2
    COMMITTED: _t.Final = 3

Kind: _Kind
UNKNOWN: _t.Final = 0
VIEW: _t.Final = 1
ACTIVE: _t.Final = 2
COMMITTED: _t.Final = 3

class PrepareSnapshotRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    snapshotter: str
    key: str
    parent: str  # name of a committed snapshot; empty for an empty filesystem
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        snapshotter: str | None = None,
        key: str | None = None,
        parent: str | None = None,
        labels: _Mapping[str, str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["snapshotter", "key", "parent", "labels"]) -> None: ...

class PrepareSnapshotResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def mounts(self) -> _containers.RepeatedCompositeFieldContainer[_types_pb2.Mount]: ...
    def __init__(
        self,
        *,
        mounts: _Iterable[_types_pb2.Mount] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["mounts"]) -> None: ...

class ViewSnapshotRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    snapshotter: str
    key: str
    parent: str
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        snapshotter: str | None = None,
        key: str | None = None,
        parent: str | None = None,
        labels: _Mapping[str, str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["snapshotter", "key", "parent", "labels"]) -> None: ...

class ViewSnapshotResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def mounts(self) -> _containers.RepeatedCompositeFieldContainer[_types_pb2.Mount]: ...
    def __init__(
        self,
        *,
        mounts: _Iterable[_types_pb2.Mount] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["mounts"]) -> None: ...

class MountsRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    snapshotter: str
    key: str
    def __init__(
        self,
        *,
        snapshotter: str | None = None,
        key: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["snapshotter", "key"]) -> None: ...

class MountsResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def mounts(self) -> _containers.RepeatedCompositeFieldContainer[_types_pb2.Mount]: ...
    def __init__(
        self,
        *,
        mounts: _Iterable[_types_pb2.Mount] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["mounts"]) -> None: ...

class RemoveSnapshotRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    snapshotter: str
    key: str
    def __init__(
        self,
        *,
        snapshotter: str | None = None,
        key: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["snapshotter", "key"]) -> None: ...

class CommitSnapshotRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    snapshotter: str
    name: str
    key: str
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    parent: str  # since 2.2
    def __init__(
        self,
        *,
        snapshotter: str | None = None,
        name: str | None = None,
        key: str | None = None,
        labels: _Mapping[str, str] | None = None,
        parent: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["snapshotter", "name", "key", "labels", "parent"]) -> None: ...

class StatSnapshotRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    snapshotter: str
    key: str
    def __init__(
        self,
        *,
        snapshotter: str | None = None,
        key: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["snapshotter", "key"]) -> None: ...

class Info(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    parent: str
    kind: int  # Kind
    @property
    def created_at(self) -> _timestamp_pb2.Timestamp: ...
    @property
    def updated_at(self) -> _timestamp_pb2.Timestamp: ...
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        name: str | None = None,
        parent: str | None = None,
        kind: int | None = None,
        created_at: _timestamp_pb2.Timestamp | None = None,
        updated_at: _timestamp_pb2.Timestamp | None = None,
        labels: _Mapping[str, str] | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["created_at", "updated_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["name", "parent", "kind", "created_at", "updated_at", "labels"]) -> None: ...

class StatSnapshotResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def info(self) -> Info: ...
    def __init__(
        self,
        *,
        info: Info | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["info"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["info"]) -> None: ...

class UpdateSnapshotRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    snapshotter: str
    @property
    def info(self) -> Info: ...
    @property
    def update_mask(self) -> _field_mask_pb2.FieldMask: ...
    def __init__(
        self,
        *,
        snapshotter: str | None = None,
        info: Info | None = None,
        update_mask: _field_mask_pb2.FieldMask | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["info", "update_mask"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["snapshotter", "info", "update_mask"]) -> None: ...

class UpdateSnapshotResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def info(self) -> Info: ...
    def __init__(
        self,
        *,
        info: Info | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["info"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["info"]) -> None: ...

class ListSnapshotsRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    snapshotter: str
    @property
    def filters(self) -> _containers.RepeatedScalarFieldContainer[str]: ...
    def __init__(
        self,
        *,
        snapshotter: str | None = None,
        filters: _Iterable[str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["snapshotter", "filters"]) -> None: ...

class ListSnapshotsResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def info(self) -> _containers.RepeatedCompositeFieldContainer[Info]: ...
    def __init__(
        self,
        *,
        info: _Iterable[Info] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["info"]) -> None: ...

class UsageRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    snapshotter: str
    key: str
    def __init__(
        self,
        *,
        snapshotter: str | None = None,
        key: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["snapshotter", "key"]) -> None: ...

class UsageResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    size: int  # bytes, without the parents
    inodes: int
    def __init__(
        self,
        *,
        size: int | None = None,
        inodes: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["size", "inodes"]) -> None: ...

class CleanupRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    snapshotter: str
    def __init__(
        self,
        *,
        snapshotter: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["snapshotter"]) -> None: ...

class _Snapshots(_rpc.Service):
    """Layered filesystems, by snapshotter and key."""
    Prepare: _rpc.Method[PrepareSnapshotRequest, PrepareSnapshotResponse]
    View: _rpc.Method[ViewSnapshotRequest, ViewSnapshotResponse]
    Mounts: _rpc.Method[MountsRequest, MountsResponse]
    Commit: _rpc.Method[CommitSnapshotRequest, _empty_pb2.Empty]
    Remove: _rpc.Method[RemoveSnapshotRequest, _empty_pb2.Empty]
    Stat: _rpc.Method[StatSnapshotRequest, StatSnapshotResponse]
    Update: _rpc.Method[UpdateSnapshotRequest, UpdateSnapshotResponse]
    List: _rpc.Method[ListSnapshotsRequest, ListSnapshotsResponse]
    Usage: _rpc.Method[UsageRequest, UsageResponse]
    Cleanup: _rpc.Method[CleanupRequest, _empty_pb2.Empty]

Snapshots: _Snapshots

class SnapshotsStub(_rpc.Stub):
    """Calls containerd.services.snapshots.v1.Snapshots on a `grpc.aio` channel."""

    Prepare: _calls.UnaryUnary[PrepareSnapshotRequest, PrepareSnapshotResponse]
    """A writable snapshot on top of a committed one."""
    View: _calls.UnaryUnary[ViewSnapshotRequest, ViewSnapshotResponse]
    """The same, read-only."""
    Mounts: _calls.UnaryUnary[MountsRequest, MountsResponse]
    """The mounts that show an active snapshot again."""
    Commit: _calls.UnaryUnary[CommitSnapshotRequest, _empty_pb2.Empty]
    """Make an active snapshot a parent for others, under a new name."""
    Remove: _calls.UnaryUnary[RemoveSnapshotRequest, _empty_pb2.Empty]
    Stat: _calls.UnaryUnary[StatSnapshotRequest, StatSnapshotResponse]
    Update: _calls.UnaryUnary[UpdateSnapshotRequest, UpdateSnapshotResponse]
    List: _calls.UnaryStream[ListSnapshotsRequest, ListSnapshotsResponse]
    """In blocks."""
    Usage: _calls.UnaryUnary[UsageRequest, UsageResponse]
    Cleanup: _calls.UnaryUnary[CleanupRequest, _empty_pb2.Empty]
    """Free what removed snapshots still hold."""

class SnapshotsBlockingStub(_rpc.Stub):
    """Calls containerd.services.snapshots.v1.Snapshots on a `grpc` channel."""

    Prepare: _calls.BlockingUnaryUnary[PrepareSnapshotRequest, PrepareSnapshotResponse]
    """A writable snapshot on top of a committed one."""
    View: _calls.BlockingUnaryUnary[ViewSnapshotRequest, ViewSnapshotResponse]
    """The same, read-only."""
    Mounts: _calls.BlockingUnaryUnary[MountsRequest, MountsResponse]
    """The mounts that show an active snapshot again."""
    Commit: _calls.BlockingUnaryUnary[CommitSnapshotRequest, _empty_pb2.Empty]
    """Make an active snapshot a parent for others, under a new name."""
    Remove: _calls.BlockingUnaryUnary[RemoveSnapshotRequest, _empty_pb2.Empty]
    Stat: _calls.BlockingUnaryUnary[StatSnapshotRequest, StatSnapshotResponse]
    Update: _calls.BlockingUnaryUnary[UpdateSnapshotRequest, UpdateSnapshotResponse]
    List: _calls.BlockingUnaryStream[ListSnapshotsRequest, ListSnapshotsResponse]
    """In blocks."""
    Usage: _calls.BlockingUnaryUnary[UsageRequest, UsageResponse]
    Cleanup: _calls.BlockingUnaryUnary[CleanupRequest, _empty_pb2.Empty]
    """Free what removed snapshots still hold."""
