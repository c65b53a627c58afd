"""What is seen of containers, their tasks and processes, and of a node."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from bridge.model.nanos import Nanos
from bridge.model.state import ContainerState

__all__ = [
    "ContainerInfo",
    "ContainerList",
    "ExecInfo",
    "InspectResult",
    "PidList",
    "ProcessInfo",
    "TaskInfo",
    "TaskStatus",
    "VersionInfo",
    "WaitResult",
]

TaskStatus: TypeAlias = Literal["unknown", "created", "running", "stopped", "paused", "pausing"]
"""A task's status in containerd's words (containerd.v1.types.Status)."""


class TaskInfo(Struct, frozen=True, kw_only=True):
    """A task as containerd reports it. `exit_status` and `exited_at` are null until it has ended."""

    status: TaskStatus
    pid: int = 0
    exit_status: int | None = None
    exited_at: Nanos | None = None
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False


class ExecInfo(TaskInfo, frozen=True, kw_only=True):
    """An exec as containerd reports it. One that has ended is there until its owner deletes it."""

    exec_id: str


class ContainerInfo(Struct, frozen=True, kw_only=True):
    """A container's record, and its task where it has one. `spec` and `runtime_options` are left out of lists.

    `runtime_options` are those that are not at their defaults; of a kind that is not known here only the `type_url`.
    """

    node: str = ""
    namespace: str
    id: str
    image: str = ""
    name: str | None = None
    labels: dict[str, str] = {}
    runtime: str = ""
    runtime_options: dict[str, Any] | None = None
    snapshotter: str = ""
    snapshot_key: str = ""
    created_at: Nanos | None = None
    updated_at: Nanos | None = None
    task: TaskInfo | None = None
    spec: dict[str, Any] | None = None


class ProcessInfo(Struct, frozen=True, kw_only=True):
    """One process of a container; `pid` as containerd's host sees it, `exec_id` where it is an exec of containerd's.

    The rest is what that host's kernel says; null where the bridge cannot see its processes, or where it has just ended.

    Attributes:
        parent: the parent's pid.
        uid: whose it is, by number, on the host.
        name: what the kernel calls it, `command` its whole command line; that of a zombie is empty.
        cpu_ns: processor time so far.
        started_at: when it began.
        memory: what it holds in memory, in bytes, what it shares with others included.
    """

    pid: int
    exec_id: str | None = None
    parent: int | None = None
    uid: int | None = None
    name: str | None = None
    command: list[str] | None = None
    cpu_ns: int | None = None
    started_at: Nanos | None = None
    memory: int | None = None


class ContainerList(Struct, frozen=True, kw_only=True):
    """Result of `list`."""

    containers: list[ContainerInfo]


class InspectResult(Struct, frozen=True, kw_only=True):
    """Result of `inspect`: the record with its spec, the task, the processes while it runs, and its execs.

    `state` is what the container's events tell, with everything that containerd had told by then; null where this node follows
    none at the moment.
    """

    container: ContainerInfo
    processes: list[ProcessInfo] = []
    execs: list[ExecInfo] = []
    state: ContainerState | None = None


class PidList(Struct, frozen=True, kw_only=True):
    """Result of `pids`."""

    processes: list[ProcessInfo]


class WaitResult(Struct, frozen=True, kw_only=True):
    """Result of `wait`. Where it `ended` and `exit_status` is null, nobody knows how.

    `incarnation` is the task's that was waited for, as its events carry it; null where none was told yet.
    """

    ended: bool
    exit_status: int | None = None
    exited_at: Nanos | None = None
    incarnation: str | None = None


class VersionInfo(Struct, frozen=True, kw_only=True):
    """Result of `version`."""

    node: str
    bridge: str
    containerd: str
    containerd_revision: str
