"""Package containerd.services.diff.v1.

Generated from containerd/services/diff.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from collections.abc import Mapping as _Mapping
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from bridge._pb import calls as _calls
from bridge._pb import rpc as _rpc
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class ApplyRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def diff(self) -> _types_pb2.Descriptor: ...
    @property
    def mounts(self) -> _containers.RepeatedCompositeFieldContainer[_types_pb2.Mount]: ...
    @property
    def payloads(self) -> _containers.MessageMap[str, _any_pb2.Any]: ...
    sync_fs: bool  # since 1.7.19
    def __init__(
        self,
        *,
        diff: _types_pb2.Descriptor | None = None,
        mounts: _Iterable[_types_pb2.Mount] | None = None,
        payloads: _Mapping[str, _any_pb2.Any] | None = None,
        sync_fs: bool | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["diff"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["diff", "mounts", "payloads", "sync_fs"]) -> None: ...

class ApplyResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def applied(self) -> _types_pb2.Descriptor:
        """of the uncompressed layer; its digest is the diff id"""
    def __init__(
        self,
        *,
        applied: _types_pb2.Descriptor | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["applied"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["applied"]) -> None: ...

class DiffRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def left(self) -> _containers.RepeatedCompositeFieldContainer[_types_pb2.Mount]: ...
    @property
    def right(self) -> _containers.RepeatedCompositeFieldContainer[_types_pb2.Mount]: ...
    media_type: str
    ref: str  # of the ingest that is used
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    @property
    def source_date_epoch(self) -> _timestamp_pb2.Timestamp:
        """since 1.7.0"""
    def __init__(
        self,
        *,
        left: _Iterable[_types_pb2.Mount] | None = None,
        right: _Iterable[_types_pb2.Mount] | None = None,
        media_type: str | None = None,
        ref: str | None = None,
        labels: _Mapping[str, str] | None = None,
        source_date_epoch: _timestamp_pb2.Timestamp | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["source_date_epoch"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["left", "right", "media_type", "ref", "labels", "source_date_epoch"]) -> None: ...

class DiffResponse(_message.Message):
    """Number 3 is not a slip."""
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def diff(self) -> _types_pb2.Descriptor: ...
    def __init__(
        self,
        *,
        diff: _types_pb2.Descriptor | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["diff"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["diff"]) -> None: ...

class _Diff(_rpc.Service):
    """Between mounted filesystems and layer archives."""
    Apply: _rpc.Method[ApplyRequest, ApplyResponse]
    Diff: _rpc.Method[DiffRequest, DiffResponse]

Diff: _Diff

class DiffStub(_rpc.Stub):
    """Calls containerd.services.diff.v1.Diff on a `grpc.aio` channel."""

    Apply: _calls.UnaryUnary[ApplyRequest, ApplyResponse]
    """Unpack a layer onto mounts."""
    Diff: _calls.UnaryUnary[DiffRequest, DiffResponse]
    """Pack what right has over left as a layer."""

class DiffBlockingStub(_rpc.Stub):
    """Calls containerd.services.diff.v1.Diff on a `grpc` channel."""

    Apply: _calls.BlockingUnaryUnary[ApplyRequest, ApplyResponse]
    """Unpack a layer onto mounts."""
    Diff: _calls.BlockingUnaryUnary[DiffRequest, DiffResponse]
    """Pack what right has over left as a layer."""
