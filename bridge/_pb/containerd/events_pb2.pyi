"""Payloads of the events that containerd publishes; their topics stand beside them. Those of images are in the
package of the Images service.

Generated from containerd/events.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from collections.abc import Mapping as _Mapping
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class TaskCreate(_message.Message):
    """/tasks/create, by the shim once the runtime has made the container."""
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    bundle: str
    @property
    def rootfs(self) -> _containers.RepeatedCompositeFieldContainer[_types_pb2.Mount]: ...
    @property
    def io(self) -> TaskIO: ...
    checkpoint: str  # set when the task is being restored from one
    pid: int  # 0 on a restore
    def __init__(
        self,
        *,
        container_id: str | None = None,
        bundle: str | None = None,
        rootfs: _Iterable[_types_pb2.Mount] | None = None,
        io: TaskIO | None = None,
        checkpoint: str | None = None,
        pid: int | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["io"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container_id", "bundle", "rootfs", "io", "checkpoint", "pid"]) -> None: ...

class TaskStart(_message.Message):
    """/tasks/start"""
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    pid: int
    def __init__(
        self,
        *,
        container_id: str | None = None,
        pid: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id", "pid"]) -> None: ...

class TaskDelete(_message.Message):
    """/tasks/delete, for the init process only; by containerd itself if the shim has died."""
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    pid: int
    exit_status: int
    @property
    def exited_at(self) -> _timestamp_pb2.Timestamp: ...
    id: str  # left empty by the runc shim
    def __init__(
        self,
        *,
        container_id: str | None = None,
        pid: int | None = None,
        exit_status: int | None = None,
        exited_at: _timestamp_pb2.Timestamp | None = None,
        id: str | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["exited_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container_id", "pid", "exit_status", "exited_at", "id"]) -> None: ...

class TaskIO(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    stdin: str
    stdout: str
    stderr: str
    terminal: bool
    def __init__(
        self,
        *,
        stdin: str | None = None,
        stdout: str | None = None,
        stderr: str | None = None,
        terminal: bool | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["stdin", "stdout", "stderr", "terminal"]) -> None: ...

class TaskExit(_message.Message):
    """/tasks/exit, for the init process and for execs. May come twice. Status 255 with pid 0 means that the shim died
    and nobody saw the exit.
    """
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    id: str  # equals container_id for the init process, else the exec id
    pid: int
    exit_status: int  # 128 + n after signal n
    @property
    def exited_at(self) -> _timestamp_pb2.Timestamp: ...
    def __init__(
        self,
        *,
        container_id: str | None = None,
        id: str | None = None,
        pid: int | None = None,
        exit_status: int | None = None,
        exited_at: _timestamp_pb2.Timestamp | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["exited_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container_id", "id", "pid", "exit_status", "exited_at"]) -> None: ...

class TaskOOM(_message.Message):
    """/tasks/oom"""
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    def __init__(
        self,
        *,
        container_id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id"]) -> None: ...

class TaskExecAdded(_message.Message):
    """/tasks/exec-added, at Tasks.Exec."""
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    exec_id: str
    def __init__(
        self,
        *,
        container_id: str | None = None,
        exec_id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id", "exec_id"]) -> None: ...

class TaskExecStarted(_message.Message):
    """/tasks/exec-started, at Tasks.Start of an exec."""
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    exec_id: str
    pid: int
    def __init__(
        self,
        *,
        container_id: str | None = None,
        exec_id: str | None = None,
        pid: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id", "exec_id", "pid"]) -> None: ...

class TaskPaused(_message.Message):
    """/tasks/paused"""
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    def __init__(
        self,
        *,
        container_id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id"]) -> None: ...

class TaskResumed(_message.Message):
    """/tasks/resumed"""
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    def __init__(
        self,
        *,
        container_id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id"]) -> None: ...

class TaskCheckpointed(_message.Message):
    """/tasks/checkpointed. Only the runtime before shim v2 sent it; runc's shim never does."""
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    checkpoint: str
    def __init__(
        self,
        *,
        container_id: str | None = None,
        checkpoint: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id", "checkpoint"]) -> None: ...

class ContainerCreate(_message.Message):
    """/containers/create"""
    DESCRIPTOR: _descriptor.Descriptor

    class Runtime(_message.Message):
        DESCRIPTOR: _descriptor.Descriptor

        name: str
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
    image: str
    @property
    def runtime(self) -> ContainerCreate.Runtime: ...
    def __init__(
        self,
        *,
        id: str | None = None,
        image: str | None = None,
        runtime: ContainerCreate.Runtime | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["runtime"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["id", "image", "runtime"]) -> None: ...

class ContainerUpdate(_message.Message):
    """/containers/update"""
    DESCRIPTOR: _descriptor.Descriptor

    id: str
    image: str
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    snapshot_key: str
    def __init__(
        self,
        *,
        id: str | None = None,
        image: str | None = None,
        labels: _Mapping[str, str] | None = None,
        snapshot_key: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["id", "image", "labels", "snapshot_key"]) -> None: ...

class ContainerDelete(_message.Message):
    """/containers/delete"""
    DESCRIPTOR: _descriptor.Descriptor

    id: str
    def __init__(
        self,
        *,
        id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["id"]) -> None: ...

class NamespaceCreate(_message.Message):
    """/namespaces/create; the envelope carries the namespace it is about, also below."""
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        name: str | None = None,
        labels: _Mapping[str, str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["name", "labels"]) -> None: ...

class NamespaceUpdate(_message.Message):
    """/namespaces/update"""
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        name: str | None = None,
        labels: _Mapping[str, str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["name", "labels"]) -> None: ...

class NamespaceDelete(_message.Message):
    """/namespaces/delete"""
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    def __init__(
        self,
        *,
        name: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["name"]) -> None: ...

class SnapshotPrepare(_message.Message):
    """/snapshot/prepare; the topic is in the singular, also below."""
    DESCRIPTOR: _descriptor.Descriptor

    key: str
    parent: str
    snapshotter: str  # since 1.7.0
    def __init__(
        self,
        *,
        key: str | None = None,
        parent: str | None = None,
        snapshotter: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["key", "parent", "snapshotter"]) -> None: ...

class SnapshotCommit(_message.Message):
    """/snapshot/commit"""
    DESCRIPTOR: _descriptor.Descriptor

    key: str
    name: str
    snapshotter: str  # since 1.7.0
    def __init__(
        self,
        *,
        key: str | None = None,
        name: str | None = None,
        snapshotter: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["key", "name", "snapshotter"]) -> None: ...

class SnapshotRemove(_message.Message):
    """/snapshot/remove; from 1.7 on also when garbage is collected."""
    DESCRIPTOR: _descriptor.Descriptor

    key: str
    snapshotter: str  # since 1.7.0
    def __init__(
        self,
        *,
        key: str | None = None,
        snapshotter: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["key", "snapshotter"]) -> None: ...

class ContentCreate(_message.Message):
    """Since 2.1. /content/create"""
    DESCRIPTOR: _descriptor.Descriptor

    digest: str
    size: int
    mediaType: str  # since 2.4
    def __init__(
        self,
        *,
        digest: str | None = None,
        size: int | None = None,
        mediaType: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["digest", "size", "mediaType"]) -> None: ...

class ContentDelete(_message.Message):
    """/content/delete"""
    DESCRIPTOR: _descriptor.Descriptor

    digest: str
    def __init__(
        self,
        *,
        digest: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["digest"]) -> None: ...

class SandboxCreate(_message.Message):
    """/sandboxes/create, from late 2.0 on; earlier ones published to a topic that containerd itself refuses."""
    DESCRIPTOR: _descriptor.Descriptor

    sandbox_id: str
    def __init__(
        self,
        *,
        sandbox_id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["sandbox_id"]) -> None: ...

class SandboxStart(_message.Message):
    """/sandboxes/start"""
    DESCRIPTOR: _descriptor.Descriptor

    sandbox_id: str
    def __init__(
        self,
        *,
        sandbox_id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["sandbox_id"]) -> None: ...

class SandboxExit(_message.Message):
    """/sandboxes/exit"""
    DESCRIPTOR: _descriptor.Descriptor

    sandbox_id: str
    exit_status: int
    @property
    def exited_at(self) -> _timestamp_pb2.Timestamp: ...
    def __init__(
        self,
        *,
        sandbox_id: str | None = None,
        exit_status: int | None = None,
        exited_at: _timestamp_pb2.Timestamp | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["exited_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["sandbox_id", "exit_status", "exited_at"]) -> None: ...
