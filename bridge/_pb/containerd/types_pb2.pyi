"""What several services of containerd share.

Generated from containerd/types.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from collections.abc import Mapping as _Mapping
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class Descriptor(_message.Message):
    """Points at a blob in the content store, as an OCI descriptor does. Number 4 was never used."""
    DESCRIPTOR: _descriptor.Descriptor

    media_type: str
    digest: str  # algorithm and hex: sha256:...
    size: int  # bytes
    @property
    def annotations(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        media_type: str | None = None,
        digest: str | None = None,
        size: int | None = None,
        annotations: _Mapping[str, str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["media_type", "digest", "size", "annotations"]) -> None: ...

class Metric(_message.Message):
    """One task's resource usage at one moment."""
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def timestamp(self) -> _timestamp_pb2.Timestamp: ...
    id: str  # container id
    @property
    def data(self) -> _any_pb2.Any:
        """Metrics of cgroups_v1.proto or cgroups_v2.proto, after the host's cgroup mode"""
    def __init__(
        self,
        *,
        timestamp: _timestamp_pb2.Timestamp | None = None,
        id: str | None = None,
        data: _any_pb2.Any | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["timestamp", "data"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["timestamp", "id", "data"]) -> None: ...

class Mount(_message.Message):
    """A mount to make, in the words of mount(8); snapshots and root filesystems are lists of these."""
    DESCRIPTOR: _descriptor.Descriptor

    type: str
    source: str
    target: str
    @property
    def options(self) -> _containers.RepeatedScalarFieldContainer[str]: ...
    def __init__(
        self,
        *,
        type: str | None = None,
        source: str | None = None,
        target: str | None = None,
        options: _Iterable[str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["type", "source", "target", "options"]) -> None: ...

class Platform(_message.Message):
    """What an image or a plugin runs on, in Go's names (linux, amd64, v8)."""
    DESCRIPTOR: _descriptor.Descriptor

    os: str
    architecture: str
    variant: str
    os_version: str  # since 2.0
    @property
    def os_features(self) -> _containers.RepeatedScalarFieldContainer[str]:
        """since 2.3"""
    def __init__(
        self,
        *,
        os: str | None = None,
        architecture: str | None = None,
        variant: str | None = None,
        os_version: str | None = None,
        os_features: _Iterable[str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["os", "architecture", "variant", "os_version", "os_features"]) -> None: ...

class Envelope(_message.Message):
    """What Events.Subscribe delivers. Before 2.0 the same four fields stood in the package of the Events service;
    the wire never names the type, so one definition reads both.
    """
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def timestamp(self) -> _timestamp_pb2.Timestamp: ...
    namespace: str  # containerd namespace
    topic: str  # such as /tasks/exit
    @property
    def event(self) -> _any_pb2.Any:
        """type URL is the bare full name, such as containerd.events.TaskExit"""
    def __init__(
        self,
        *,
        timestamp: _timestamp_pb2.Timestamp | None = None,
        namespace: str | None = None,
        topic: str | None = None,
        event: _any_pb2.Any | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["timestamp", "event"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["timestamp", "namespace", "topic", "event"]) -> None: ...

class RuntimeRequest(_message.Message):
    """Since 2.0. PluginInfoRequest.options that ask for a runtime: type io.containerd.runtime.v2, id task."""
    DESCRIPTOR: _descriptor.Descriptor

    runtime_path: str
    @property
    def options(self) -> _any_pb2.Any: ...
    def __init__(
        self,
        *,
        runtime_path: str | None = None,
        options: _any_pb2.Any | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["options"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["runtime_path", "options"]) -> None: ...

class RuntimeVersion(_message.Message):
    """Since 2.0."""
    DESCRIPTOR: _descriptor.Descriptor

    version: str
    revision: str
    def __init__(
        self,
        *,
        version: str | None = None,
        revision: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["version", "revision"]) -> None: ...

class RuntimeInfo(_message.Message):
    """Since 2.0. The answer to a RuntimeRequest, in PluginInfoResponse.extra."""
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    @property
    def version(self) -> RuntimeVersion: ...
    @property
    def options(self) -> _any_pb2.Any: ...
    @property
    def features(self) -> _any_pb2.Any:
        """JSON of the OCI runtime's features document"""
    @property
    def annotations(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        name: str | None = None,
        version: RuntimeVersion | None = None,
        options: _any_pb2.Any | None = None,
        features: _any_pb2.Any | None = None,
        annotations: _Mapping[str, str] | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["version", "options", "features"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["name", "version", "options", "features", "annotations"]) -> None: ...
