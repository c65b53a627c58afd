"""State of tasks. The package is v1.types, other than that of the types which services share.

Generated from containerd/task.proto by protos/generate.py: do not edit.
"""

import typing as _t
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import enum_type_wrapper as _enums
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class _Status(_enums.EnumTypeWrapper):
    UNKNOWN: _t.Final = 0
    CREATED: _t.Final = 1
    RUNNING: _t.Final = 2
    STOPPED: _t.Final = 3
    PAUSED: _t.Final = 4
    PAUSING: _t.Final = 5

Status: _Status
UNKNOWN: _t.Final = 0
CREATED: _t.Final = 1
RUNNING: _t.Final = 2
STOPPED: _t.Final = 3
PAUSED: _t.Final = 4
PAUSING: _t.Final = 5

class Process(_message.Message):
    """The init process of a task, or an exec."""
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str  # left empty by Tasks.Get and Tasks.List
    id: str  # container id for the init process, exec id otherwise
    pid: int  # on the host; 0 when restored and not started yet, or unknown
    status: int  # Status
    stdin: str  # path or URI of the stream; empty for none, also below
    stdout: str
    stderr: str
    terminal: bool
    exit_status: int
    @property
    def exited_at(self) -> _timestamp_pb2.Timestamp: ...
    def __init__(
        self,
        *,
        container_id: str | None = None,
        id: str | None = None,
        pid: int | None = None,
        status: int | None = None,
        stdin: str | None = None,
        stdout: str | None = None,
        stderr: str | None = None,
        terminal: bool | None = None,
        exit_status: int | None = None,
        exited_at: _timestamp_pb2.Timestamp | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["exited_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["container_id", "id", "pid", "status", "stdin", "stdout", "stderr", "terminal", "exit_status", "exited_at"]) -> None: ...

class ProcessInfo(_message.Message):
    """One process of a container, as Tasks.ListPids sees it."""
    DESCRIPTOR: _descriptor.Descriptor

    pid: int  # on the host
    @property
    def info(self) -> _any_pb2.Any:
        """containerd.runc.v1.ProcessDetails; only on the first process of an exec"""
    def __init__(
        self,
        *,
        pid: int | None = None,
        info: _any_pb2.Any | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["info"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["pid", "info"]) -> None: ...
