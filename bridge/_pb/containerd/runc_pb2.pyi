"""Options of the runc shim, io.containerd.runc.v2; crun and other runtimes driven by it take the same.

Generated from containerd/runc.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers

DESCRIPTOR: _descriptor.FileDescriptor

class Options(_message.Message):
    """In Container.runtime.options and, replacing these as a whole, in CreateTaskRequest.options."""
    DESCRIPTOR: _descriptor.Descriptor

    no_pivot_root: bool
    no_new_keyring: bool
    shim_cgroup: str
    io_uid: int  # owner of the stdio pipes on the host
    io_gid: int
    binary_name: str  # the runtime's executable; empty for runc
    root: str  # the runtime's state directory
    systemd_cgroup: bool
    criu_image_path: str  # restore from this directory on the host, before CreateTaskRequest.checkpoint
    criu_work_path: str  # where CRIU leaves its logs
    task_api_address: str  # since 2.0
    task_api_version: int  # since 2.0
    def __init__(
        self,
        *,
        no_pivot_root: bool | None = None,
        no_new_keyring: bool | None = None,
        shim_cgroup: str | None = None,
        io_uid: int | None = None,
        io_gid: int | None = None,
        binary_name: str | None = None,
        root: str | None = None,
        systemd_cgroup: bool | None = None,
        criu_image_path: str | None = None,
        criu_work_path: str | None = None,
        task_api_address: str | None = None,
        task_api_version: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["no_pivot_root", "no_new_keyring", "shim_cgroup", "io_uid", "io_gid", "binary_name", "root", "systemd_cgroup", "criu_image_path", "criu_work_path", "task_api_address", "task_api_version"]) -> None: ...

class CheckpointOptions(_message.Message):
    """In CheckpointTaskRequest.options."""
    DESCRIPTOR: _descriptor.Descriptor

    exit: bool  # stop the task once it is dumped
    open_tcp: bool
    external_unix_sockets: bool
    terminal: bool
    file_locks: bool
    @property
    def empty_namespaces(self) -> _containers.RepeatedScalarFieldContainer[str]: ...
    cgroups_mode: str  # CRIU's word: soft, full, strict or ignore
    image_path: str  # dump into this directory on the host, and return no descriptors
    work_path: str  # keep CRIU's logs here; they are removed otherwise
    parent_path: str  # since 2.4; an earlier dump that this one builds on
    def __init__(
        self,
        *,
        exit: bool | None = None,
        open_tcp: bool | None = None,
        external_unix_sockets: bool | None = None,
        terminal: bool | None = None,
        file_locks: bool | None = None,
        empty_namespaces: _Iterable[str] | None = None,
        cgroups_mode: str | None = None,
        image_path: str | None = None,
        work_path: str | None = None,
        parent_path: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["exit", "open_tcp", "external_unix_sockets", "terminal", "file_locks", "empty_namespaces", "cgroups_mode", "image_path", "work_path", "parent_path"]) -> None: ...

class ProcessDetails(_message.Message):
    """In ProcessInfo.info."""
    DESCRIPTOR: _descriptor.Descriptor

    exec_id: str
    def __init__(
        self,
        *,
        exec_id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["exec_id"]) -> None: ...
