"""The tasks of a containerd in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.errors import CommandFailed
from bridge.model.outcomes import ExitInfo, ProcessInfo, TaskInfo, TaskStats
from bridge.testing.calls import Calls

if TYPE_CHECKING:
    from bridge.testing.containerd import MemoryContainerd

__all__ = ["MemoryTasks"]


class MemoryTasks:
    """Implements `bridge.ports.Tasks`. Made by `MemoryRuntime`."""

    def __init__(self, containerd: MemoryContainerd, calls: Calls) -> None:
        self._containerd = containerd
        self._calls = calls
        self._waiting: set[asyncio.Task[ExitInfo]] = set()
        self._broken_off = ""

    # -- what changes a task

    async def create(self, namespace: str, container: str) -> int:
        """Make a task; see the port."""

        def make() -> int:
            self._calls.container(namespace, container)
            return self._containerd.make_task(namespace, container).pid

        return await self._calls.call(f"create a task of {container} in {namespace}", make)

    async def start(self, namespace: str, container: str) -> int:
        """Run a created task; see the port."""

        def run() -> int:
            task = self._calls.task(namespace, container)
            task.start()
            return task.pid

        return await self._calls.call(f"start {container} in {namespace}", run)

    async def pause(self, namespace: str, container: str) -> None:
        """Freeze it; see the port."""
        await self._calls.call(
            f"pause {container} in {namespace}", lambda: self._calls.task(namespace, container).pause()
        )

    async def resume(self, namespace: str, container: str) -> None:
        """Let it run on; see the port."""
        await self._calls.call(
            f"resume {container} in {namespace}", lambda: self._calls.task(namespace, container).resume()
        )

    async def kill(
        self, namespace: str, container: str, signal: int, *, all_processes: bool = False, exec_id: str | None = None
    ) -> None:
        """Send a signal; see the port."""
        await self._calls.call(
            f"send signal {signal} to {container} in {namespace}",
            lambda: self._calls.task(namespace, container).signal(signal, all_processes=all_processes, exec_id=exec_id),
        )

    async def update(
        self, namespace: str, container: str, resources: Mapping[str, Any], annotations: Mapping[str, str]
    ) -> None:
        """Give it other limits; see the port."""
        await self._calls.call(
            f"update {container} in {namespace}",
            lambda: self._calls.task(namespace, container).update(resources, annotations),
        )

    async def delete(self, namespace: str, container: str) -> ExitInfo:
        """Remove an ended task; see the port."""

        def remove() -> ExitInfo:
            ended = self._calls.task(namespace, container).delete()
            self._calls.container(namespace, container).task = None
            return ended

        return await self._calls.call(f"delete the task of {container} in {namespace}", remove)

    # -- what looks at a task

    async def get(self, namespace: str, container: str, *, exec_id: str | None = None) -> TaskInfo | None:
        """Return the task or an exec, None where there is none; see the port."""

        def found() -> TaskInfo | None:
            one = self._containerd.containers.get((namespace, container))
            if one is None or one.task is None:
                return None
            return one.task.info if exec_id is None else one.task.exec_info(exec_id)

        return await self._calls.call(f"look at the task of {container} in {namespace}", found)

    async def pids(self, namespace: str, container: str) -> Sequence[ProcessInfo]:
        """Return the processes; see the port."""
        return await self._calls.call(
            f"list the processes of {container} in {namespace}",
            lambda: self._calls.task(namespace, container).processes,
        )

    async def wait(self, namespace: str, container: str, *, exec_id: str | None = None) -> ExitInfo:
        """Wait for the end; see the port."""
        doing = f"wait for the end of {container} in {namespace}"
        process = await self._calls.call(doing, lambda: self._calls.task(namespace, container).process(exec_id))
        waiting = asyncio.ensure_future(process.wait())
        self._waiting.add(waiting)
        try:
            await asyncio.wait({waiting})
            if waiting.cancelled():
                raise CommandFailed("unavailable", f"cannot {doing}: {self._broken_off}")
            return waiting.result()
        finally:
            self._waiting.discard(waiting)
            waiting.cancel()

    async def metrics(self, namespace: str, containers: Sequence[str] = ()) -> Sequence[TaskStats]:
        """Return what tasks use; see the port."""

        def found() -> Sequence[TaskStats]:
            return [
                one.task.stats(namespace)
                for (where, name), one in sorted(self._containerd.containers.items())
                if where == namespace
                and (not containers or name in containers)
                and one.task is not None
                and one.task.info.status != "stopped"
            ]

        return await self._calls.call(f"measure the tasks in {namespace}", found)

    def break_off(self, reason: str) -> None:
        """Break off the calls that are under way, because containerd goes down."""
        self._broken_off = reason
        for waiting in self._waiting:
            waiting.cancel()
