"""Package containerd.services.content.v1.

Generated from containerd/services/content.proto by protos/generate.py: do not edit.
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
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import field_mask_pb2 as _field_mask_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class _WriteAction(_enums.EnumTypeWrapper):
    STAT: _t.Final = 0
    WRITE: _t.Final = 1
    COMMIT: _t.Final = 2

WriteAction: _WriteAction
STAT: _t.Final = 0
WRITE: _t.Final = 1
COMMIT: _t.Final = 2

class Info(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    digest: str
    size: int
    @property
    def created_at(self) -> _timestamp_pb2.Timestamp: ...
    @property
    def updated_at(self) -> _timestamp_pb2.Timestamp: ...
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        digest: str | None = None,
        size: int | None = None,
        created_at: _timestamp_pb2.Timestamp | None = None,
        updated_at: _timestamp_pb2.Timestamp | None = None,
        labels: _Mapping[str, str] | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["created_at", "updated_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["digest", "size", "created_at", "updated_at", "labels"]) -> None: ...

class InfoRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    digest: str
    def __init__(
        self,
        *,
        digest: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["digest"]) -> None: ...

class InfoResponse(_message.Message):
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

class UpdateRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def info(self) -> Info: ...
    @property
    def update_mask(self) -> _field_mask_pb2.FieldMask: ...
    def __init__(
        self,
        *,
        info: Info | None = None,
        update_mask: _field_mask_pb2.FieldMask | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["info", "update_mask"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["info", "update_mask"]) -> None: ...

class UpdateResponse(_message.Message):
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

class ListContentRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def filters(self) -> _containers.RepeatedScalarFieldContainer[str]: ...
    def __init__(
        self,
        *,
        filters: _Iterable[str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["filters"]) -> None: ...

class ListContentResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def info(self) -> _containers.RepeatedCompositeFieldContainer[Info]: ...
    def __init__(
        self,
        *,
        info: _Iterable[Info] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["info"]) -> None: ...

class DeleteContentRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    digest: str
    def __init__(
        self,
        *,
        digest: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["digest"]) -> None: ...

class ReadContentRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    digest: str
    offset: int
    size: int  # 0: to the end
    def __init__(
        self,
        *,
        digest: str | None = None,
        offset: int | None = None,
        size: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["digest", "offset", "size"]) -> None: ...

class ReadContentResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    offset: int  # counted from the start of the range that was asked for
    data: bytes
    def __init__(
        self,
        *,
        offset: int | None = None,
        data: bytes | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["offset", "data"]) -> None: ...

class Status(_message.Message):
    """How far an ingest is."""
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def started_at(self) -> _timestamp_pb2.Timestamp: ...
    @property
    def updated_at(self) -> _timestamp_pb2.Timestamp: ...
    ref: str
    offset: int
    total: int  # 0 when unknown
    expected: str
    def __init__(
        self,
        *,
        started_at: _timestamp_pb2.Timestamp | None = None,
        updated_at: _timestamp_pb2.Timestamp | None = None,
        ref: str | None = None,
        offset: int | None = None,
        total: int | None = None,
        expected: str | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["started_at", "updated_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["started_at", "updated_at", "ref", "offset", "total", "expected"]) -> None: ...

class StatusRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    ref: str
    def __init__(
        self,
        *,
        ref: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["ref"]) -> None: ...

class StatusResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def status(self) -> Status: ...
    def __init__(
        self,
        *,
        status: Status | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["status"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["status"]) -> None: ...

class ListStatusesRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def filters(self) -> _containers.RepeatedScalarFieldContainer[str]: ...
    def __init__(
        self,
        *,
        filters: _Iterable[str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["filters"]) -> None: ...

class ListStatusesResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def statuses(self) -> _containers.RepeatedCompositeFieldContainer[Status]: ...
    def __init__(
        self,
        *,
        statuses: _Iterable[Status] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["statuses"]) -> None: ...

class WriteContentRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    action: int  # WriteAction
    ref: str  # required with STAT, not repeated
    total: int  # 0: not known, not checked
    expected: str  # digest; empty: not known, not checked
    offset: int  # must be where the ingest ends; 0 starts over
    data: bytes
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        action: int | None = None,
        ref: str | None = None,
        total: int | None = None,
        expected: str | None = None,
        offset: int | None = None,
        data: bytes | None = None,
        labels: _Mapping[str, str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["action", "ref", "total", "expected", "offset", "data", "labels"]) -> None: ...

class WriteContentResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    action: int  # WriteAction
    @property
    def started_at(self) -> _timestamp_pb2.Timestamp: ...
    @property
    def updated_at(self) -> _timestamp_pb2.Timestamp: ...
    offset: int  # where the ingest ends now
    total: int
    digest: str  # of everything so far
    def __init__(
        self,
        *,
        action: int | None = None,
        started_at: _timestamp_pb2.Timestamp | None = None,
        updated_at: _timestamp_pb2.Timestamp | None = None,
        offset: int | None = None,
        total: int | None = None,
        digest: str | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["started_at", "updated_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["action", "started_at", "updated_at", "offset", "total", "digest"]) -> None: ...

class AbortRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    ref: str
    def __init__(
        self,
        *,
        ref: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["ref"]) -> None: ...

class _Content(_rpc.Service):
    """Blobs by digest, and uploads (ingests) by a name of the writer's choice, the ref."""
    Info: _rpc.Method[InfoRequest, InfoResponse]
    Update: _rpc.Method[UpdateRequest, UpdateResponse]
    List: _rpc.Method[ListContentRequest, ListContentResponse]
    Delete: _rpc.Method[DeleteContentRequest, _empty_pb2.Empty]
    Read: _rpc.Method[ReadContentRequest, ReadContentResponse]
    Status: _rpc.Method[StatusRequest, StatusResponse]
    ListStatuses: _rpc.Method[ListStatusesRequest, ListStatusesResponse]
    Write: _rpc.Method[WriteContentRequest, WriteContentResponse]
    Abort: _rpc.Method[AbortRequest, _empty_pb2.Empty]

Content: _Content

class ContentStub(_rpc.Stub):
    """Calls containerd.services.content.v1.Content on a `grpc.aio` channel."""

    Info: _calls.UnaryUnary[InfoRequest, InfoResponse]
    Update: _calls.UnaryUnary[UpdateRequest, UpdateResponse]
    List: _calls.UnaryStream[ListContentRequest, ListContentResponse]
    """In blocks of up to a hundred."""
    Delete: _calls.UnaryUnary[DeleteContentRequest, _empty_pb2.Empty]
    """Take a blob away from this namespace."""
    Read: _calls.UnaryStream[ReadContentRequest, ReadContentResponse]
    """In chunks of up to 1 MiB; nothing at all for an empty range."""
    Status: _calls.UnaryUnary[StatusRequest, StatusResponse]
    ListStatuses: _calls.UnaryUnary[ListStatusesRequest, ListStatusesResponse]
    Write: _calls.StreamStream[WriteContentRequest, WriteContentResponse]
    """One answer per request; the last one comes again when the stream ends. STAT first, which locks the ref, then
    WRITE, then COMMIT. Ending without COMMIT keeps the ingest for another try.
    """
    Abort: _calls.UnaryUnary[AbortRequest, _empty_pb2.Empty]
    """Drop an ingest."""

class ContentBlockingStub(_rpc.Stub):
    """Calls containerd.services.content.v1.Content on a `grpc` channel."""

    Info: _calls.BlockingUnaryUnary[InfoRequest, InfoResponse]
    Update: _calls.BlockingUnaryUnary[UpdateRequest, UpdateResponse]
    List: _calls.BlockingUnaryStream[ListContentRequest, ListContentResponse]
    """In blocks of up to a hundred."""
    Delete: _calls.BlockingUnaryUnary[DeleteContentRequest, _empty_pb2.Empty]
    """Take a blob away from this namespace."""
    Read: _calls.BlockingUnaryStream[ReadContentRequest, ReadContentResponse]
    """In chunks of up to 1 MiB; nothing at all for an empty range."""
    Status: _calls.BlockingUnaryUnary[StatusRequest, StatusResponse]
    ListStatuses: _calls.BlockingUnaryUnary[ListStatusesRequest, ListStatusesResponse]
    Write: _calls.BlockingStreamStream[WriteContentRequest, WriteContentResponse]
    """One answer per request; the last one comes again when the stream ends. STAT first, which locks the ref, then
    WRITE, then COMMIT. Ending without COMMIT keeps the ingest for another try.
    """
    Abort: _calls.BlockingUnaryUnary[AbortRequest, _empty_pb2.Empty]
    """Drop an ingest."""
