"""A containerd of one screenful: enough to see what a verb asks of it and in what order, and to fail where a test says.

`bridge.testing` has the one that behaves; this one is told how to misbehave.
"""

from __future__ import annotations

import asyncio
import copy
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import structs

from bridge.errors import Code, CommandFailed
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo, ExitInfo, ProcessInfo, TaskInfo, TaskStats, TaskStatus
from bridge.ports import Defaults, NewContainer, Privileges, RuntimeVersion, Stdio
from bridge.testing import MemoryContainerd
from tests.unit.policy.specs import DEFAULT

KILL = 9


class SmallTask:
    """A task; `ignores` are the signals that do not end it."""

    def __init__(self, status: TaskStatus, *, pid: int = 7, ignores: Iterable[int] = (), exit_status: int = 0) -> None:
        self.info = TaskInfo(status=status, pid=pid)
        self.ignores = set(ignores)
        self.ended = asyncio.Event()
        if status == "stopped":
            self.end(exit_status)

    def end(self, exit_status: int) -> None:
        self.info = structs.replace(self.info, status="stopped", exit_status=exit_status, exited_at=Nanos(5))
        self.ended.set()

    @property
    def exit(self) -> ExitInfo:
        return ExitInfo(exit_status=self.info.exit_status, exited_at=self.info.exited_at)


class SmallContainers:
    """Its records."""

    def __init__(self, runtime: SmallRuntime) -> None:
        self._all = runtime

    async def list(self, namespace: str | None, filters: Sequence[str] = ()) -> Sequence[ContainerInfo]:
        await self._all.called("list", namespace)
        return [one for key, one in self._all.records.items() if namespace in {None, key[0]}]

    async def namespaces(self) -> Sequence[str]:
        await self._all.called("namespaces")
        return sorted({namespace for namespace, _ in self._all.records})

    async def get(self, namespace: str, container: str) -> ContainerInfo:
        await self._all.called("get")
        if (namespace, container) not in self._all.records:
            raise CommandFailed("not_found", "no container", containerd="not found")
        return self._all.records[namespace, container]

    async def create(self, namespace: str, wanted: NewContainer, *, lease: str | None = None) -> None:
        await self._all.called("create_record")
        self._all.add(wanted.id, namespace=namespace, labels=wanted.labels)

    async def defaults(self, namespace: str) -> Defaults:
        await self._all.called("defaults", namespace)
        return Defaults("io.containerd.runc.v2", "overlayfs")

    async def respec(
        self,
        namespace: str,
        container: str,
        spec: Mapping[str, Any],
        *,
        labels: Mapping[str, str] | None = None,
        snapshot_key: str | None = None,
    ) -> None:
        await self._all.called("respec")
        record = self._all.records[namespace, container]
        given = {**record.labels, **(labels or {})}
        self._all.records[namespace, container] = structs.replace(record, spec=dict(spec), labels=given)

    async def delete(self, namespace: str, container: str, *, keep_snapshot: bool = False) -> Sequence[str]:
        await self._all.called("delete", keep_snapshot)
        del self._all.records[namespace, container]
        return self._all.left


class SmallTasks:
    """Its tasks."""

    def __init__(self, runtime: SmallRuntime) -> None:
        self._all = runtime
        others = MemoryContainerd().runtime.tasks
        self.exec, self.resize, self.close_stdin, self.user = (
            others.exec, others.resize, others.close_stdin, others.user
        )  # fmt: skip

    async def create(self, namespace: str, container: str, *, stdio: Stdio | None = None) -> int:
        await self._all.called("create", stdio.stdout if stdio else "")
        self._all.made[namespace, container] = SmallTask("created")
        return 7

    async def start(self, namespace: str, container: str, exec_id: str | None = None) -> int:
        await self._all.called("start")
        self._set(self._all.task(namespace, container, "created"), "running")
        return 7

    async def pause(self, namespace: str, container: str) -> None:
        await self._all.called("pause")
        self._set(self._all.task(namespace, container, "running"), "paused")

    async def resume(self, namespace: str, container: str) -> None:
        await self._all.called("resume")
        self._set(self._all.task(namespace, container, "paused"), "running")

    async def kill(
        self, namespace: str, container: str, signal: int, *, all_processes: bool = False, exec_id: str | None = None
    ) -> None:
        await self._all.called("kill", f"{signal}{' all' if all_processes else ''}{f' {exec_id}' if exec_id else ''}")
        task = self._all.task(namespace, container)
        if task.info.status != "stopped" and signal not in task.ignores and exec_id is None:
            task.end(128 + signal)

    async def kill_frozen(self, namespace: str, container: str) -> bool:
        return True

    async def update(
        self, namespace: str, container: str, resources: Mapping[str, Any], annotations: Mapping[str, str]
    ) -> None:
        await self._all.called("update")
        self._all.task(namespace, container)
        self._all.updates.append((dict(resources), dict(annotations)))

    async def delete(self, namespace: str, container: str, exec_id: str | None = None) -> ExitInfo:
        await self._all.called("delete_task")
        task = self._all.task(namespace, container, "stopped", "unknown")
        del self._all.made[namespace, container]
        return task.exit

    async def get(self, namespace: str, container: str, exec_id: str | None = None) -> TaskInfo | None:
        await self._all.called("task", exec_id or "")
        if exec_id is not None:
            return self._all.execs.get(exec_id)
        task = self._all.made.get((namespace, container))
        return task.info if task else None

    async def pids(self, namespace: str, container: str) -> Sequence[ProcessInfo]:
        await self._all.called("pids")
        return [ProcessInfo(pid=self._all.task(namespace, container).info.pid)]

    async def metrics(self, namespace: str, containers: Sequence[str] = ()) -> Sequence[TaskStats]:
        await self._all.called("metrics", namespace)
        return [
            one
            for one in self._all.stats
            if one.namespace == namespace and one.container in (containers or [one.container])
        ]

    async def wait(self, namespace: str, container: str, exec_id: str | None = None) -> ExitInfo:
        await self._all.called("wait", exec_id or "")
        if exec_id is not None and exec_id not in self._all.execs:
            raise CommandFailed("not_found", "no exec", containerd="not found")
        task = self._all.task(namespace, container)
        await task.ended.wait()
        return task.exit

    def _set(self, task: SmallTask, status: TaskStatus) -> None:
        task.info = structs.replace(task.info, status=status)


class SmallRuntime:
    """One container per key, a list of the calls, and failures that are used up one a call."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], ContainerInfo] = {}
        self.made: dict[tuple[str, str], SmallTask] = {}
        self.execs: dict[str, TaskInfo] = {}
        self.stats: list[TaskStats] = []
        self.updates: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.left: list[str] = []
        self.calls: list[str] = []
        self.fail: dict[str, list[BaseException]] = defaultdict(list)
        self.gates: dict[str, asyncio.Event] = {}
        self.containers = SmallContainers(self)
        self.tasks = SmallTasks(self)
        self.images: Any = None
        self.snapshots: Any = None
        self.leases: Any = None
        self.checkpoints: Any = None

    def add(
        self,
        container: str = "web.1",
        task: SmallTask | None = None,
        *,
        namespace: str = "default",
        labels: dict[str, str] | None = None,
        spec: dict[str, Any] | None = None,
    ) -> None:
        key = (namespace, container)
        own = harmless(namespace, container) if spec is None else spec
        self.records[key] = ContainerInfo(namespace=namespace, id=container, labels=labels or {}, spec=own)
        if task is not None:
            self.made[key] = task

    def status(self, container: str = "web.1") -> TaskStatus | None:
        task = self.made.get(("default", container))
        return task.info.status if task else None

    async def called(self, call: str, detail: object = "") -> None:
        self.calls.append(f"{call} {detail}".strip())
        if call in self.gates:
            await self.gates[call].wait()
        if self.fail[call]:
            raise self.fail[call].pop(0)

    def task(self, namespace: str, container: str, *statuses: TaskStatus) -> SmallTask:
        task = self.made.get((namespace, container))
        if task is None:
            raise CommandFailed("not_found", "no task", containerd="not found")
        if statuses and task.info.status not in statuses:
            raise CommandFailed("failed_precondition", "wrong state", containerd="wrong state")
        return task

    async def privileges(self) -> Privileges:
        return Privileges((), ())

    async def version(self) -> RuntimeVersion:
        await self.called("version")
        return RuntimeVersion("2.1.9", "abc")


def harmless(namespace: str, container: str) -> dict[str, Any]:
    """A spec that asks the host for nothing."""
    spec = copy.deepcopy(DEFAULT)
    spec["linux"]["cgroupsPath"] = f"/{namespace}/{container}"
    return spec


def failure(code: Code, words: str = "said so") -> CommandFailed:
    return CommandFailed(code, f"containerd {words}", containerd=words)
