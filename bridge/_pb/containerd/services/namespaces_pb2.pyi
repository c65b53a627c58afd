"""Package containerd.services.namespaces.v1.

Generated from containerd/services/namespaces.proto by protos/generate.py: do not edit.
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
from bridge._pb.google.protobuf import field_mask_pb2 as _field_mask_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class Namespace(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    @property
    def labels(self) -> _containers.ScalarMap[str, str]:
        """containerd.io/defaults/runtime and /snapshotter are read for new containers"""
    def __init__(
        self,
        *,
        name: str | None = None,
        labels: _Mapping[str, str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["name", "labels"]) -> None: ...

class GetNamespaceRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    def __init__(
        self,
        *,
        name: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["name"]) -> None: ...

class GetNamespaceResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def namespace(self) -> Namespace: ...
    def __init__(
        self,
        *,
        namespace: Namespace | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["namespace"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["namespace"]) -> None: ...

class ListNamespacesRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    filter: str  # ignored by containerd
    def __init__(
        self,
        *,
        filter: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["filter"]) -> None: ...

class ListNamespacesResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def namespaces(self) -> _containers.RepeatedCompositeFieldContainer[Namespace]: ...
    def __init__(
        self,
        *,
        namespaces: _Iterable[Namespace] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["namespaces"]) -> None: ...

class CreateNamespaceRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def namespace(self) -> Namespace: ...
    def __init__(
        self,
        *,
        namespace: Namespace | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["namespace"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["namespace"]) -> None: ...

class CreateNamespaceResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def namespace(self) -> Namespace: ...
    def __init__(
        self,
        *,
        namespace: Namespace | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["namespace"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["namespace"]) -> None: ...

class UpdateNamespaceRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def namespace(self) -> Namespace: ...
    @property
    def update_mask(self) -> _field_mask_pb2.FieldMask: ...
    def __init__(
        self,
        *,
        namespace: Namespace | None = None,
        update_mask: _field_mask_pb2.FieldMask | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["namespace", "update_mask"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["namespace", "update_mask"]) -> None: ...

class UpdateNamespaceResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def namespace(self) -> Namespace: ...
    def __init__(
        self,
        *,
        namespace: Namespace | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["namespace"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["namespace"]) -> None: ...

class DeleteNamespaceRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    def __init__(
        self,
        *,
        name: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["name"]) -> None: ...

class _Namespaces(_rpc.Service):
    """Tenants of one containerd: Docker is in moby, Kubernetes in k8s.io. None of these calls needs a namespace itself."""
    Get: _rpc.Method[GetNamespaceRequest, GetNamespaceResponse]
    List: _rpc.Method[ListNamespacesRequest, ListNamespacesResponse]
    Create: _rpc.Method[CreateNamespaceRequest, CreateNamespaceResponse]
    Update: _rpc.Method[UpdateNamespaceRequest, UpdateNamespaceResponse]
    Delete: _rpc.Method[DeleteNamespaceRequest, _empty_pb2.Empty]

Namespaces: _Namespaces

class NamespacesStub(_rpc.Stub):
    """Calls containerd.services.namespaces.v1.Namespaces on a `grpc.aio` channel."""

    Get: _calls.UnaryUnary[GetNamespaceRequest, GetNamespaceResponse]
    List: _calls.UnaryUnary[ListNamespacesRequest, ListNamespacesResponse]
    Create: _calls.UnaryUnary[CreateNamespaceRequest, CreateNamespaceResponse]
    Update: _calls.UnaryUnary[UpdateNamespaceRequest, UpdateNamespaceResponse]
    Delete: _calls.UnaryUnary[DeleteNamespaceRequest, _empty_pb2.Empty]

class NamespacesBlockingStub(_rpc.Stub):
    """Calls containerd.services.namespaces.v1.Namespaces on a `grpc` channel."""

    Get: _calls.BlockingUnaryUnary[GetNamespaceRequest, GetNamespaceResponse]
    List: _calls.BlockingUnaryUnary[ListNamespacesRequest, ListNamespacesResponse]
    Create: _calls.BlockingUnaryUnary[CreateNamespaceRequest, CreateNamespaceResponse]
    Update: _calls.BlockingUnaryUnary[UpdateNamespaceRequest, UpdateNamespaceResponse]
    Delete: _calls.BlockingUnaryUnary[DeleteNamespaceRequest, _empty_pb2.Empty]
