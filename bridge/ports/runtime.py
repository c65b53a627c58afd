"""What control needs of containerd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from bridge.model.outcomes import ContainerInfo, ExitInfo, ProcessInfo, TaskInfo, TaskStats
from bridge.ports.checkpoints import Checkpointer
from bridge.ports.images import Defaults, ImageStore, LeaseStore, NewContainer, SnapshotStore
from bridge.ports.processes import Processes, Stdio

__all__ = [
    "ContainerRuntime",
    "ContainerStore",
    "HostDevice",
    "Privileges",
    "RuntimeVersion",
    "TaskLifecycle",
    "TaskView",
    "Tasks",
]


class RuntimeVersion(NamedTuple):
    """What containerd says of itself."""

    version: str
    revision: str


class HostDevice(NamedTuple):
    """A device node of containerd's host."""

    path: str
    type: str
    """`b` for a block device, `c` for a character device."""
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


class Privileges(NamedTuple):
    """What root may on containerd's host, and so a privileged container."""

    capabilities: Sequence[str]
    devices: Sequence[HostDevice]


class ContainerStore(Protocol):
    """containerd's records of containers. Errors are `CommandFailed` with containerd's own words."""

    async def list(self, namespace: str | None, filters: Sequence[str] = ()) -> Sequence[ContainerInfo]:
        """Return the containers of a namespace, or of every one, with their tasks; `filters` are containerd's own."""
        ...

    async def namespaces(self) -> Sequence[str]:
        """Return the names of the namespaces there are, sorted."""
        ...

    async def get(self, namespace: str, container: str) -> ContainerInfo:
        """Return one container's record with its spec, without its task. `not_found` where there is none."""
        ...

    async def create(self, namespace: str, wanted: NewContainer, *, lease: str | None = None) -> None:
        """Make a record; what it refers to has to be there. `already_exists` where there is one of that id."""
        ...

    async def defaults(self, namespace: str) -> Defaults:
        """Return the runtime and the snapshotter that a namespace uses where nobody says otherwise."""
        ...

    async def respec(
        self,
        namespace: str,
        container: str,
        spec: Mapping[str, Any],
        *,
        labels: Mapping[str, str] = MappingProxyType({}),
        snapshot_key: str | None = None,
    ) -> None:
        """Replace the spec of a container's record, and nothing else of it; a task that there is stays as it is.

        Args:
            namespace: where it is.
            container: its id.
            spec: the new one.
            labels: are added; an empty value takes one away.
            snapshot_key: the snapshot that is its root file system from now on; as it is unless given.
        """
        ...

    async def delete(self, namespace: str, container: str, *, keep_snapshot: bool = False) -> Sequence[str]:
        """Remove the snapshot, unless kept, the record, and the bundle directory where its maker's label names one.

        Whatever somebody else uses too stays, and whatever cannot be removed; a sentence for each of these comes back.
        `failed_precondition` while there is a task.
        """
        ...


class TaskLifecycle(Protocol):
    """What changes a task. Errors are `CommandFailed` with containerd's own words."""

    async def create(self, namespace: str, container: str, *, stdio: Stdio | None = None) -> int:
        """Make a task from the container's record and snapshot; return its pid. Without `stdio` it has none.

        `already_exists` if there is one, ended or not.
        """
        ...

    async def start(self, namespace: str, container: str, exec_id: str | None = None) -> int:
        """Run a created task or a registered exec, once; return its pid. The shim opens an exec's FIFOs now, a task's before."""
        ...

    async def pause(self, namespace: str, container: str) -> None:
        """Freeze it. `failed_precondition` unless it runs."""
        ...

    async def resume(self, namespace: str, container: str) -> None:
        """Let it run on. `failed_precondition` unless it is paused."""
        ...

    async def kill(
        self, namespace: str, container: str, signal: int, *, all_processes: bool = False, exec_id: str | None = None
    ) -> None:
        """Send a signal. `not_found` where there is no task, no such exec, or the process has ended."""
        ...

    async def kill_frozen(self, namespace: str, container: str) -> bool:
        """Give every process of a paused task its SIGKILL, so that none does anything more when it is thawed.

        A runtime signals the first process alone where that is enough to end all, and thaws them all: then the others run on
        until the kernel has come to them. False where the processes cannot be seen from here, and nothing was done.
        """
        ...

    async def update(
        self, namespace: str, container: str, resources: Mapping[str, Any], annotations: Mapping[str, str]
    ) -> None:
        """Give it other limits: an OCI LinuxResources with only what is to change.

        `not_found` where there is no task; `failed_precondition` where it has ended, and where it is seen that its runtime has
        passed over limits for block devices.
        """
        ...

    async def delete(self, namespace: str, container: str, exec_id: str | None = None) -> ExitInfo:
        """Remove an ended task, or an exec that has ended or was never started; return how it ended.

        `failed_precondition` while it runs, `not_found` where there is none.
        """
        ...


class TaskView(Protocol):
    """What looks at a task. Errors are `CommandFailed` with containerd's own words."""

    async def get(self, namespace: str, container: str, exec_id: str | None = None) -> TaskInfo | None:
        """Return the container's task, or one exec of it; None where there is none. An absent container has none either.

        An exec that is registered and not started is `created`.
        """
        ...

    async def pids(self, namespace: str, container: str) -> Sequence[ProcessInfo]:
        """Return the processes of a running task, and what the kernel says of them where it can be seen from here.

        `not_found` where there is no task.
        """
        ...

    async def wait(self, namespace: str, container: str, exec_id: str | None = None) -> ExitInfo:
        """Wait until the task, or one exec, has ended; return how. At once for an ended one, `not_found` where there is none.

        May be asked before `start`.
        """
        ...

    async def metrics(self, namespace: str, containers: Sequence[str] = ()) -> Sequence[TaskStats]:
        """Return what these tasks use, those of the whole namespace unless some are named. Who has ended is left out."""
        ...


class Tasks(TaskLifecycle, TaskView, Processes, Protocol):
    """containerd's tasks and their processes."""


class ContainerRuntime(Protocol):
    """containerd as the commands need it."""

    @property
    def containers(self) -> ContainerStore:
        """Its records of containers."""
        ...

    @property
    def tasks(self) -> Tasks:
        """Its tasks and their processes."""
        ...

    @property
    def images(self) -> ImageStore:
        """Its images."""
        ...

    @property
    def snapshots(self) -> SnapshotStore:
        """Its snapshots."""
        ...

    @property
    def leases(self) -> LeaseStore:
        """Its leases."""
        ...

    @property
    def checkpoints(self) -> Checkpointer:
        """CRIU behind it."""
        ...

    async def privileges(self) -> Privileges:
        """Return what root may on its host, as far as that is seen from here; `failed_precondition` where devices are not."""
        ...

    async def version(self) -> RuntimeVersion:
        """Return containerd's version."""
        ...
