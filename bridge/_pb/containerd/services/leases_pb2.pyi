"""Package containerd.services.leases.v1.

Generated from containerd/services/leases.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from collections.abc import Mapping as _Mapping
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from bridge._pb import calls as _calls
from bridge._pb import rpc as _rpc
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class Lease(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    id: str
    @property
    def created_at(self) -> _timestamp_pb2.Timestamp: ...
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        id: str | None = None,
        created_at: _timestamp_pb2.Timestamp | None = None,
        labels: _Mapping[str, str] | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["created_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["id", "created_at", "labels"]) -> None: ...

class CreateRequest(_message.Message):
    """Number 2 was never used."""
    DESCRIPTOR: _descriptor.Descriptor

    id: str
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        id: str | None = None,
        labels: _Mapping[str, str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["id", "labels"]) -> None: ...

class CreateResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def lease(self) -> Lease: ...
    def __init__(
        self,
        *,
        lease: Lease | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["lease"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["lease"]) -> None: ...

class DeleteRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    id: str
    sync: bool  # wait until the garbage is collected
    def __init__(
        self,
        *,
        id: str | None = None,
        sync: bool | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["id", "sync"]) -> None: ...

class ListRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def filters(self) -> _containers.RepeatedScalarFieldContainer[str]: ...
    def __init__(
        self,
        *,
        filters: _Iterable[str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["filters"]) -> None: ...

class ListResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def leases(self) -> _containers.RepeatedCompositeFieldContainer[Lease]: ...
    def __init__(
        self,
        *,
        leases: _Iterable[Lease] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["leases"]) -> None: ...

class Resource(_message.Message):
    """Something that a lease holds."""
    DESCRIPTOR: _descriptor.Descriptor

    id: str  # digest, ref, name or key, after the type
    type: str  # content, ingests, images or snapshots/<snapshotter>
    def __init__(
        self,
        *,
        id: str | None = None,
        type: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["id", "type"]) -> None: ...

class AddResourceRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    id: str
    @property
    def resource(self) -> Resource: ...
    def __init__(
        self,
        *,
        id: str | None = None,
        resource: Resource | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["resource"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["id", "resource"]) -> None: ...

class DeleteResourceRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    id: str
    @property
    def resource(self) -> Resource: ...
    def __init__(
        self,
        *,
        id: str | None = None,
        resource: Resource | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["resource"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["id", "resource"]) -> None: ...

class ListResourcesRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    id: str
    def __init__(
        self,
        *,
        id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["id"]) -> None: ...

class ListResourcesResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def resources(self) -> _containers.RepeatedCompositeFieldContainer[Resource]: ...
    def __init__(
        self,
        *,
        resources: _Iterable[Resource] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["resources"]) -> None: ...

class _Leases(_rpc.Service):
    """A lease keeps what was created under it from garbage collection."""
    Create: _rpc.Method[CreateRequest, CreateResponse]
    Delete: _rpc.Method[DeleteRequest, _empty_pb2.Empty]
    List: _rpc.Method[ListRequest, ListResponse]
    AddResource: _rpc.Method[AddResourceRequest, _empty_pb2.Empty]
    DeleteResource: _rpc.Method[DeleteResourceRequest, _empty_pb2.Empty]
    ListResources: _rpc.Method[ListResourcesRequest, ListResourcesResponse]

Leases: _Leases

class LeasesStub(_rpc.Stub):
    """Calls containerd.services.leases.v1.Leases on a `grpc.aio` channel."""

    Create: _calls.UnaryUnary[CreateRequest, CreateResponse]
    """An empty id lets containerd choose one. The label containerd.io/gc.expire ends the lease by itself."""
    Delete: _calls.UnaryUnary[DeleteRequest, _empty_pb2.Empty]
    List: _calls.UnaryUnary[ListRequest, ListResponse]
    AddResource: _calls.UnaryUnary[AddResourceRequest, _empty_pb2.Empty]
    DeleteResource: _calls.UnaryUnary[DeleteResourceRequest, _empty_pb2.Empty]
    ListResources: _calls.UnaryUnary[ListResourcesRequest, ListResourcesResponse]

class LeasesBlockingStub(_rpc.Stub):
    """Calls containerd.services.leases.v1.Leases on a `grpc` channel."""

    Create: _calls.BlockingUnaryUnary[CreateRequest, CreateResponse]
    """An empty id lets containerd choose one. The label containerd.io/gc.expire ends the lease by itself."""
    Delete: _calls.BlockingUnaryUnary[DeleteRequest, _empty_pb2.Empty]
    List: _calls.BlockingUnaryUnary[ListRequest, ListResponse]
    AddResource: _calls.BlockingUnaryUnary[AddResourceRequest, _empty_pb2.Empty]
    DeleteResource: _calls.BlockingUnaryUnary[DeleteResourceRequest, _empty_pb2.Empty]
    ListResources: _calls.BlockingUnaryUnary[ListResourcesRequest, ListResourcesResponse]
