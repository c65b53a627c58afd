"""Package containerd.services.tasks.v1.

Generated from containerd/services/tasks.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from collections.abc import Mapping as _Mapping
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from bridge._pb import calls as _calls
from bridge._pb import rpc as _rpc
from bridge._pb.containerd import task_pb2 as _task_pb2
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class CreateTaskRequest(_message.Message):
    """Number 2 was never used."""
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    @property
    def rootfs(self) -> _containers.RepeatedCompositeFieldContainer[_types_pb2.Mount]: ...
    stdin: str
    stdout: str
    stderr: str
    terminal: bool
    @property
    def checkpoint(self) -> _types_pb2.Descriptor:
        """restore from this blob; its digest must be complete"""
    @property
    def options(self) -> _any_pb2.Any:
        """containerd.runc.v1.Options; replaces the container's as a whole"""
    runtime_path: str
    task_api_address: str  # since 2.3
    task_api_version: int  # since 2.3
    def __init__(
        self,
        *,
        container_id: str | None = None,
        rootfs: _Iterable[_types_pb2.Mount] | None = None,
        stdin: str | None = None,
        stdout: str | None = None,
        stderr: str | None = None,
        terminal: bool | None = None,
        checkpoint: _types_pb2.Descriptor | None = None,
        options: _any_pb2.Any | None = None,
        runtime_path: str | None = None,
        task_api_address: str | None = None,
        task_api_version: int | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["checkpoint", "options"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container_id", "rootfs", "stdin", "stdout", "stderr", "terminal", "checkpoint", "options", "runtime_path", "task_api_address", "task_api_version"]) -> None: ...

class CreateTaskResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    pid: int  # on the host; 0 on a restore
    def __init__(
        self,
        *,
        container_id: str | None = None,
        pid: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id", "pid"]) -> None: ...

class StartRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    exec_id: str  # empty for the init process, also below
    def __init__(
        self,
        *,
        container_id: str | None = None,
        exec_id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id", "exec_id"]) -> None: ...

class StartResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    pid: int
    def __init__(
        self,
        *,
        pid: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["pid"]) -> None: ...

class DeleteTaskRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    def __init__(
        self,
        *,
        container_id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id"]) -> None: ...

class DeleteResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    id: str  # container id or exec id
    pid: int
    exit_status: int
    @property
    def exited_at(self) -> _timestamp_pb2.Timestamp: ...
    def __init__(
        self,
        *,
        id: str | None = None,
        pid: int | None = None,
        exit_status: int | None = None,
        exited_at: _timestamp_pb2.Timestamp | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["exited_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["id", "pid", "exit_status", "exited_at"]) -> None: ...

class DeleteProcessRequest(_message.Message):
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

class GetRequest(_message.Message):
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

class GetResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def process(self) -> _task_pb2.Process: ...
    def __init__(
        self,
        *,
        process: _task_pb2.Process | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["process"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["process"]) -> None: ...

class ListTasksRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    filter: str  # ignored by containerd
    def __init__(
        self,
        *,
        filter: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["filter"]) -> None: ...

class ListTasksResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def tasks(self) -> _containers.RepeatedCompositeFieldContainer[_task_pb2.Process]: ...
    def __init__(
        self,
        *,
        tasks: _Iterable[_task_pb2.Process] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["tasks"]) -> None: ...

class KillRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    exec_id: str
    signal: int
    all: bool  # every process of the container; ignored for an exec
    def __init__(
        self,
        *,
        container_id: str | None = None,
        exec_id: str | None = None,
        signal: int | None = None,
        all: bool | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id", "exec_id", "signal", "all"]) -> None: ...

class ExecProcessRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    stdin: str
    stdout: str
    stderr: str
    terminal: bool
    @property
    def spec(self) -> _any_pb2.Any:
        """JSON of an OCI runtime process"""
    exec_id: str
    def __init__(
        self,
        *,
        container_id: str | None = None,
        stdin: str | None = None,
        stdout: str | None = None,
        stderr: str | None = None,
        terminal: bool | None = None,
        spec: _any_pb2.Any | None = None,
        exec_id: str | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["spec"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container_id", "stdin", "stdout", "stderr", "terminal", "spec", "exec_id"]) -> None: ...

class ExecProcessResponse(_message.Message):
    """In the API, though Exec answers with Empty."""
    DESCRIPTOR: _descriptor.Descriptor

    def __init__(self) -> None: ...

class ResizePtyRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    exec_id: str
    width: int
    height: int
    def __init__(
        self,
        *,
        container_id: str | None = None,
        exec_id: str | None = None,
        width: int | None = None,
        height: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id", "exec_id", "width", "height"]) -> None: ...

class CloseIORequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    exec_id: str
    stdin: bool  # false closes nothing
    def __init__(
        self,
        *,
        container_id: str | None = None,
        exec_id: str | None = None,
        stdin: bool | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id", "exec_id", "stdin"]) -> None: ...

class PauseTaskRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    def __init__(
        self,
        *,
        container_id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id"]) -> None: ...

class ResumeTaskRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    def __init__(
        self,
        *,
        container_id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id"]) -> None: ...

class ListPidsRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    def __init__(
        self,
        *,
        container_id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id"]) -> None: ...

class ListPidsResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def processes(self) -> _containers.RepeatedCompositeFieldContainer[_task_pb2.ProcessInfo]: ...
    def __init__(
        self,
        *,
        processes: _Iterable[_task_pb2.ProcessInfo] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["processes"]) -> None: ...

class CheckpointTaskRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    parent_checkpoint: str
    @property
    def options(self) -> _any_pb2.Any:
        """containerd.runc.v1.CheckpointOptions"""
    def __init__(
        self,
        *,
        container_id: str | None = None,
        parent_checkpoint: str | None = None,
        options: _any_pb2.Any | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["options"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container_id", "parent_checkpoint", "options"]) -> None: ...

class CheckpointTaskResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def descriptors(self) -> _containers.RepeatedCompositeFieldContainer[_types_pb2.Descriptor]:
        """the dump (tar) and the spec; none if image_path was given"""
    def __init__(
        self,
        *,
        descriptors: _Iterable[_types_pb2.Descriptor] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["descriptors"]) -> None: ...

class UpdateTaskRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    @property
    def resources(self) -> _any_pb2.Any:
        """JSON of OCI LinuxResources"""
    @property
    def annotations(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        container_id: str | None = None,
        resources: _any_pb2.Any | None = None,
        annotations: _Mapping[str, str] | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["resources"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container_id", "resources", "annotations"]) -> None: ...

class MetricsRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def filters(self) -> _containers.RepeatedScalarFieldContainer[str]:
        """such as id==web"""
    def __init__(
        self,
        *,
        filters: _Iterable[str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["filters"]) -> None: ...

class MetricsResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def metrics(self) -> _containers.RepeatedCompositeFieldContainer[_types_pb2.Metric]: ...
    def __init__(
        self,
        *,
        metrics: _Iterable[_types_pb2.Metric] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["metrics"]) -> None: ...

class WaitRequest(_message.Message):
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

class WaitResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    exit_status: int
    @property
    def exited_at(self) -> _timestamp_pb2.Timestamp: ...
    def __init__(
        self,
        *,
        exit_status: int | None = None,
        exited_at: _timestamp_pb2.Timestamp | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["exited_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["exit_status", "exited_at"]) -> None: ...

class _Tasks(_rpc.Service):
    """The running side of containers: one task with its init process per container, and execs beside it."""
    Create: _rpc.Method[CreateTaskRequest, CreateTaskResponse]
    Start: _rpc.Method[StartRequest, StartResponse]
    Delete: _rpc.Method[DeleteTaskRequest, DeleteResponse]
    DeleteProcess: _rpc.Method[DeleteProcessRequest, DeleteResponse]
    Get: _rpc.Method[GetRequest, GetResponse]
    List: _rpc.Method[ListTasksRequest, ListTasksResponse]
    Kill: _rpc.Method[KillRequest, _empty_pb2.Empty]
    Exec: _rpc.Method[ExecProcessRequest, _empty_pb2.Empty]
    ResizePty: _rpc.Method[ResizePtyRequest, _empty_pb2.Empty]
    CloseIO: _rpc.Method[CloseIORequest, _empty_pb2.Empty]
    Pause: _rpc.Method[PauseTaskRequest, _empty_pb2.Empty]
    Resume: _rpc.Method[ResumeTaskRequest, _empty_pb2.Empty]
    ListPids: _rpc.Method[ListPidsRequest, ListPidsResponse]
    Checkpoint: _rpc.Method[CheckpointTaskRequest, CheckpointTaskResponse]
    Update: _rpc.Method[UpdateTaskRequest, _empty_pb2.Empty]
    Metrics: _rpc.Method[MetricsRequest, MetricsResponse]
    Wait: _rpc.Method[WaitRequest, WaitResponse]

Tasks: _Tasks

class TasksStub(_rpc.Stub):
    """Calls containerd.services.tasks.v1.Tasks on a `grpc.aio` channel."""

    Create: _calls.UnaryUnary[CreateTaskRequest, CreateTaskResponse]
    """Make the container, not started yet. The read ends of its stdio pipes must be open by now."""
    Start: _calls.UnaryUnary[StartRequest, StartResponse]
    """Start the init process or, with an exec id, an exec."""
    Delete: _calls.UnaryUnary[DeleteTaskRequest, DeleteResponse]
    """Remove a task that has stopped."""
    DeleteProcess: _calls.UnaryUnary[DeleteProcessRequest, DeleteResponse]
    """Remove an exec that has exited, or never started."""
    Get: _calls.UnaryUnary[GetRequest, GetResponse]
    List: _calls.UnaryUnary[ListTasksRequest, ListTasksResponse]
    Kill: _calls.UnaryUnary[KillRequest, _empty_pb2.Empty]
    """Send a signal."""
    Exec: _calls.UnaryUnary[ExecProcessRequest, _empty_pb2.Empty]
    """Register an exec; Start runs it."""
    ResizePty: _calls.UnaryUnary[ResizePtyRequest, _empty_pb2.Empty]
    CloseIO: _calls.UnaryUnary[CloseIORequest, _empty_pb2.Empty]
    """Let the process see the end of its stdin. For an exec only after Start."""
    Pause: _calls.UnaryUnary[PauseTaskRequest, _empty_pb2.Empty]
    Resume: _calls.UnaryUnary[ResumeTaskRequest, _empty_pb2.Empty]
    ListPids: _calls.UnaryUnary[ListPidsRequest, ListPidsResponse]
    """Every process in the container."""
    Checkpoint: _calls.UnaryUnary[CheckpointTaskRequest, CheckpointTaskResponse]
    """Dump with CRIU. The task should be paused, and the call needs a lease to keep the result."""
    Update: _calls.UnaryUnary[UpdateTaskRequest, _empty_pb2.Empty]
    """Change resource limits of a running container."""
    Metrics: _calls.UnaryUnary[MetricsRequest, MetricsResponse]
    """Resource usage; tasks whose usage cannot be read are left out in silence."""
    Wait: _calls.UnaryUnary[WaitRequest, WaitResponse]
    """Answers when the process has exited, at once if it has already."""

class TasksBlockingStub(_rpc.Stub):
    """Calls containerd.services.tasks.v1.Tasks on a `grpc` channel."""

    Create: _calls.BlockingUnaryUnary[CreateTaskRequest, CreateTaskResponse]
    """Make the container, not started yet. The read ends of its stdio pipes must be open by now."""
    Start: _calls.BlockingUnaryUnary[StartRequest, StartResponse]
    """Start the init process or, with an exec id, an exec."""
    Delete: _calls.BlockingUnaryUnary[DeleteTaskRequest, DeleteResponse]
    """Remove a task that has stopped."""
    DeleteProcess: _calls.BlockingUnaryUnary[DeleteProcessRequest, DeleteResponse]
    """Remove an exec that has exited, or never started."""
    Get: _calls.BlockingUnaryUnary[GetRequest, GetResponse]
    List: _calls.BlockingUnaryUnary[ListTasksRequest, ListTasksResponse]
    Kill: _calls.BlockingUnaryUnary[KillRequest, _empty_pb2.Empty]
    """Send a signal."""
    Exec: _calls.BlockingUnaryUnary[ExecProcessRequest, _empty_pb2.Empty]
    """Register an exec; Start runs it."""
    ResizePty: _calls.BlockingUnaryUnary[ResizePtyRequest, _empty_pb2.Empty]
    CloseIO: _calls.BlockingUnaryUnary[CloseIORequest, _empty_pb2.Empty]
    """Let the process see the end of its stdin. For an exec only after Start."""
    Pause: _calls.BlockingUnaryUnary[PauseTaskRequest, _empty_pb2.Empty]
    Resume: _calls.BlockingUnaryUnary[ResumeTaskRequest, _empty_pb2.Empty]
    ListPids: _calls.BlockingUnaryUnary[ListPidsRequest, ListPidsResponse]
    """Every process in the container."""
    Checkpoint: _calls.BlockingUnaryUnary[CheckpointTaskRequest, CheckpointTaskResponse]
    """Dump with CRIU. The task should be paused, and the call needs a lease to keep the result."""
    Update: _calls.BlockingUnaryUnary[UpdateTaskRequest, _empty_pb2.Empty]
    """Change resource limits of a running container."""
    Metrics: _calls.BlockingUnaryUnary[MetricsRequest, MetricsResponse]
    """Resource usage; tasks whose usage cannot be read are left out in silence."""
    Wait: _calls.BlockingUnaryUnary[WaitRequest, WaitResponse]
    """Answers when the process has exited, at once if it has already."""
