"""What is seen of containers, their tasks and processes, and of a node."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from bridge.model.nanos import Nanos

__all__ = [
    "ContainerInfo",
    "ContainerList",
    "InspectResult",
    "PidList",
    "ProcessInfo",
    "TaskInfo",
    "TaskStatus",
    "VersionInfo",
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


class ContainerInfo(Struct, frozen=True, kw_only=True):
    """A container's record, and its task where it has one. `spec` is left out of lists."""

    node: str = ""
    namespace: str
    id: str
    image: str = ""
    name: str | None = None
    labels: dict[str, str] = {}
    runtime: str = ""
    snapshotter: str = ""
    snapshot_key: str = ""
    created_at: Nanos | None = None
    updated_at: Nanos | None = None
    task: TaskInfo | None = None
    spec: dict[str, Any] | None = None


class ProcessInfo(Struct, frozen=True, kw_only=True):
    """One process of a container; `pid` as containerd's host sees it, `exec_id` where it is an exec of containerd's."""

    pid: int
    exec_id: str | None = None


class ContainerList(Struct, frozen=True, kw_only=True):
    """Result of `list`."""

    containers: list[ContainerInfo]


class InspectResult(Struct, frozen=True, kw_only=True):
    """Result of `inspect`: the record with its spec, the task, and the processes while it runs."""

    container: ContainerInfo
    processes: list[ProcessInfo] = []


class PidList(Struct, frozen=True, kw_only=True):
    """Result of `pids`."""

    processes: list[ProcessInfo]


class VersionInfo(Struct, frozen=True, kw_only=True):
    """Result of `version`."""

    node: str
    bridge: str
    containerd: str
    containerd_revision: str
