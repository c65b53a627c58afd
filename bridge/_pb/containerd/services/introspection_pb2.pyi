"""Package containerd.services.introspection.v1.

Generated from containerd/services/introspection.proto by protos/generate.py: do not edit.
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
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2
from bridge._pb.google.rpc import status_pb2 as _status_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class Plugin(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    type: str
    id: str
    @property
    def requires(self) -> _containers.RepeatedScalarFieldContainer[str]: ...
    @property
    def platforms(self) -> _containers.RepeatedCompositeFieldContainer[_types_pb2.Platform]: ...
    @property
    def exports(self) -> _containers.ScalarMap[str, str]: ...
    @property
    def capabilities(self) -> _containers.RepeatedScalarFieldContainer[str]: ...
    @property
    def init_err(self) -> _status_pb2.Status:
        """why it did not start; unset if it did"""
    def __init__(
        self,
        *,
        type: str | None = None,
        id: str | None = None,
        requires: _Iterable[str] | None = None,
        platforms: _Iterable[_types_pb2.Platform] | None = None,
        exports: _Mapping[str, str] | None = None,
        capabilities: _Iterable[str] | None = None,
        init_err: _status_pb2.Status | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["init_err"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["type", "id", "requires", "platforms", "exports", "capabilities", "init_err"]) -> None: ...

class PluginsRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def filters(self) -> _containers.RepeatedScalarFieldContainer[str]: ...
    def __init__(
        self,
        *,
        filters: _Iterable[str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["filters"]) -> None: ...

class PluginsResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def plugins(self) -> _containers.RepeatedCompositeFieldContainer[Plugin]: ...
    def __init__(
        self,
        *,
        plugins: _Iterable[Plugin] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["plugins"]) -> None: ...

class ServerResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    uuid: str  # of the installation; stays the same over restarts
    pid: int  # since late 1.6; new at every start of the daemon
    pidns: int  # since late 1.6; inode of its pid namespace
    @property
    def deprecations(self) -> _containers.RepeatedCompositeFieldContainer[DeprecationWarning]:
        """since late 1.6"""
    def __init__(
        self,
        *,
        uuid: str | None = None,
        pid: int | None = None,
        pidns: int | None = None,
        deprecations: _Iterable[DeprecationWarning] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["uuid", "pid", "pidns", "deprecations"]) -> None: ...

class DeprecationWarning(_message.Message):
    """Since late 1.6. Something in use that a later containerd will not have."""
    DESCRIPTOR: _descriptor.Descriptor

    id: str
    message: str
    @property
    def last_occurrence(self) -> _timestamp_pb2.Timestamp: ...
    def __init__(
        self,
        *,
        id: str | None = None,
        message: str | None = None,
        last_occurrence: _timestamp_pb2.Timestamp | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["last_occurrence"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["id", "message", "last_occurrence"]) -> None: ...

class PluginInfoRequest(_message.Message):
    """Since 2.0."""
    DESCRIPTOR: _descriptor.Descriptor

    type: str
    id: str
    @property
    def options(self) -> _any_pb2.Any:
        """a RuntimeRequest for a runtime"""
    def __init__(
        self,
        *,
        type: str | None = None,
        id: str | None = None,
        options: _any_pb2.Any | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["options"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["type", "id", "options"]) -> None: ...

class PluginInfoResponse(_message.Message):
    """Since 2.0."""
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def plugin(self) -> Plugin: ...
    @property
    def extra(self) -> _any_pb2.Any: ...
    def __init__(
        self,
        *,
        plugin: Plugin | None = None,
        extra: _any_pb2.Any | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["plugin", "extra"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["plugin", "extra"]) -> None: ...

class _Introspection(_rpc.Service):
    """What this containerd consists of. Needs no namespace."""
    Plugins: _rpc.Method[PluginsRequest, PluginsResponse]
    Server: _rpc.Method[_empty_pb2.Empty, ServerResponse]
    PluginInfo: _rpc.Method[PluginInfoRequest, PluginInfoResponse]

Introspection: _Introspection

class IntrospectionStub(_rpc.Stub):
    """Calls containerd.services.introspection.v1.Introspection on a `grpc.aio` channel."""

    Plugins: _calls.UnaryUnary[PluginsRequest, PluginsResponse]
    Server: _calls.UnaryUnary[_empty_pb2.Empty, ServerResponse]
    PluginInfo: _calls.UnaryUnary[PluginInfoRequest, PluginInfoResponse]
    """Since 2.0. One plugin, and what it has to say about itself."""

class IntrospectionBlockingStub(_rpc.Stub):
    """Calls containerd.services.introspection.v1.Introspection on a `grpc` channel."""

    Plugins: _calls.BlockingUnaryUnary[PluginsRequest, PluginsResponse]
    Server: _calls.BlockingUnaryUnary[_empty_pb2.Empty, ServerResponse]
    PluginInfo: _calls.BlockingUnaryUnary[PluginInfoRequest, PluginInfoResponse]
    """Since 2.0. One plugin, and what it has to say about itself."""
