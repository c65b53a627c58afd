"""Package containerd.services.containers.v1.

Generated from containerd/services/containers.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from collections.abc import Mapping as _Mapping
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from bridge._pb import calls as _calls
from bridge._pb import rpc as _rpc
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import field_mask_pb2 as _field_mask_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class Container(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    class Runtime(_message.Message):
        """The shim and its options."""
        DESCRIPTOR: _descriptor.Descriptor

        name: str  # such as io.containerd.runc.v2
        @property
        def options(self) -> _any_pb2.Any: ...
        def __init__(
            self,
            *,
            name: str | None = None,
            options: _any_pb2.Any | None = None,
        ) -> None: ...
        def HasField(self, field_name: _t.Literal["options"]) -> bool: ...
        def ClearField(self, field_name: _t.Literal["name", "options"]) -> None: ...

    id: str
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    image: str  # name in the image store; may be empty
    @property
    def runtime(self) -> Container.Runtime: ...
    @property
    def spec(self) -> _any_pb2.Any:
        """JSON of the OCI runtime spec"""
    snapshotter: str
    snapshot_key: str  # the root filesystem; empty where the spec names a directory
    @property
    def created_at(self) -> _timestamp_pb2.Timestamp: ...
    @property
    def updated_at(self) -> _timestamp_pb2.Timestamp: ...
    @property
    def extensions(self) -> _containers.MessageMap[str, _any_pb2.Any]: ...
    sandbox: str  # since 1.7.0; id of the sandbox it belongs to
    def __init__(
        self,
        *,
        id: str | None = None,
        labels: _Mapping[str, str] | None = None,
        image: str | None = None,
        runtime: Container.Runtime | None = None,
        spec: _any_pb2.Any | None = None,
        snapshotter: str | None = None,
        snapshot_key: str | None = None,
        created_at: _timestamp_pb2.Timestamp | None = None,
        updated_at: _timestamp_pb2.Timestamp | None = None,
        extensions: _Mapping[str, _any_pb2.Any] | None = None,
        sandbox: str | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["runtime", "spec", "created_at", "updated_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["id", "labels", "image", "runtime", "spec", "snapshotter", "snapshot_key", "created_at", "updated_at", "extensions", "sandbox"]) -> None: ...

class GetContainerRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    id: str
    def __init__(
        self,
        *,
        id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["id"]) -> None: ...

class GetContainerResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def container(self) -> Container: ...
    def __init__(
        self,
        *,
        container: Container | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["container"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container"]) -> None: ...

class ListContainersRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def filters(self) -> _containers.RepeatedScalarFieldContainer[str]: ...
    def __init__(
        self,
        *,
        filters: _Iterable[str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["filters"]) -> None: ...

class ListContainersResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def containers(self) -> _containers.RepeatedCompositeFieldContainer[Container]: ...
    def __init__(
        self,
        *,
        containers: _Iterable[Container] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["containers"]) -> None: ...

class CreateContainerRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def container(self) -> Container: ...
    def __init__(
        self,
        *,
        container: Container | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["container"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container"]) -> None: ...

class CreateContainerResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def container(self) -> Container: ...
    def __init__(
        self,
        *,
        container: Container | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["container"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container"]) -> None: ...

class UpdateContainerRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def container(self) -> Container: ...
    @property
    def update_mask(self) -> _field_mask_pb2.FieldMask:
        """none replaces everything that may change"""
    def __init__(
        self,
        *,
        container: Container | None = None,
        update_mask: _field_mask_pb2.FieldMask | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["container", "update_mask"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container", "update_mask"]) -> None: ...

class UpdateContainerResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def container(self) -> Container: ...
    def __init__(
        self,
        *,
        container: Container | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["container"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container"]) -> None: ...

class DeleteContainerRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    id: str
    def __init__(
        self,
        *,
        id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["id"]) -> None: ...

class ListContainerMessage(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def container(self) -> Container: ...
    def __init__(
        self,
        *,
        container: Container | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["container"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container"]) -> None: ...

class _Containers(_rpc.Service):
    """Records of containers. They hold what a task is made from; nothing runs by them alone."""
    Get: _rpc.Method[GetContainerRequest, GetContainerResponse]
    List: _rpc.Method[ListContainersRequest, ListContainersResponse]
    ListStream: _rpc.Method[ListContainersRequest, ListContainerMessage]
    Create: _rpc.Method[CreateContainerRequest, CreateContainerResponse]
    Update: _rpc.Method[UpdateContainerRequest, UpdateContainerResponse]
    Delete: _rpc.Method[DeleteContainerRequest, _empty_pb2.Empty]

Containers: _Containers

class ContainersStub(_rpc.Stub):
    """Calls containerd.services.containers.v1.Containers on a `grpc.aio` channel."""

    Get: _calls.UnaryUnary[GetContainerRequest, GetContainerResponse]
    List: _calls.UnaryUnary[ListContainersRequest, ListContainersResponse]
    ListStream: _calls.UnaryStream[ListContainersRequest, ListContainerMessage]
    """As List, one at a time: for fleets beyond the message size limit."""
    Create: _calls.UnaryUnary[CreateContainerRequest, CreateContainerResponse]
    Update: _calls.UnaryUnary[UpdateContainerRequest, UpdateContainerResponse]
    Delete: _calls.UnaryUnary[DeleteContainerRequest, _empty_pb2.Empty]

class ContainersBlockingStub(_rpc.Stub):
    """Calls containerd.services.containers.v1.Containers on a `grpc` channel."""

    Get: _calls.BlockingUnaryUnary[GetContainerRequest, GetContainerResponse]
    List: _calls.BlockingUnaryUnary[ListContainersRequest, ListContainersResponse]
    ListStream: _calls.BlockingUnaryStream[ListContainersRequest, ListContainerMessage]
    """As List, one at a time: for fleets beyond the message size limit."""
    Create: _calls.BlockingUnaryUnary[CreateContainerRequest, CreateContainerResponse]
    Update: _calls.BlockingUnaryUnary[UpdateContainerRequest, UpdateContainerResponse]
    Delete: _calls.BlockingUnaryUnary[DeleteContainerRequest, _empty_pb2.Empty]
