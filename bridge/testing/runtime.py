"""A containerd in memory as the commands need it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from msgspec import structs

from bridge.errors import CommandFailed
from bridge.model.identity import check_identifier
from bridge.model.outcomes import ContainerInfo, ExitInfo, ProcessInfo, TaskInfo
from bridge.ports import RuntimeVersion
from bridge.testing.filters import BadFilter, container_filter
from bridge.testing.task import MemoryTask, Refusal

if TYPE_CHECKING:
    from bridge.testing.containerd import MemoryContainer, MemoryContainerd

__all__ = ["MemoryRuntime"]

T = TypeVar("T")


class MemoryRuntime:
    """Implements `bridge.ports.ContainerRuntime`. Made by `MemoryContainerd`.

    Every call gives way to other tasks once before it does anything, as a call over a socket would.
    """

    def __init__(self, containerd: MemoryContainerd) -> None:
        self._containerd = containerd
        self._waiting: set[asyncio.Task[ExitInfo]] = set()
        self._broken_off = ""

    async def version(self) -> RuntimeVersion:
        """Return the version that it says it has."""
        return await self._call("ask containerd for its version", lambda: self._containerd.about)

    # -- records

    async def list(self, namespace: str | None, filters: Sequence[str] = ()) -> Sequence[ContainerInfo]:
        """Return containers with their tasks; see the port."""

        def found() -> Sequence[ContainerInfo]:
            try:
                matches = container_filter(filters)
                if namespace is not None:
                    check_identifier(namespace, "namespace")
            except BadFilter as error:
                raise Refusal("invalid_argument", f"filters: {error}") from error
            except ValueError as error:
                raise Refusal("invalid_argument", str(error)) from error
            return [
                structs.replace(one.record, spec=None, task=one.task and one.task.info)
                for (where, _), one in sorted(self._containerd.containers.items())
                if namespace in {None, where} and matches(one.record)
            ]

        return await self._call(f"list the containers in {namespace or 'every namespace'}", found)

    async def get(self, namespace: str, container: str) -> ContainerInfo:
        """Return one container's record; see the port."""
        return await self._call(
            f"look at {container} in {namespace}", lambda: self._container(namespace, container).record
        )

    async def delete(self, namespace: str, container: str, *, keep_snapshot: bool = False) -> None:
        """Remove the snapshot, unless kept, and the record; see the port."""

        def remove() -> None:
            found = self._container(namespace, container)
            if found.task is not None:
                # containerd itself would leave the task behind, out of reach; so these are not its words.
                status = found.task.info.status
                sentence = (
                    f"cannot delete {container} in {namespace}: it has a task, which is {status}: delete that first"
                )
                raise CommandFailed("failed_precondition", sentence)
            if not keep_snapshot:
                self._containerd.snapshots.discard((namespace, found.record.snapshot_key))
            self._containerd.remove(namespace, container)

        await self._call(f"delete {container} in {namespace}", remove)

    # -- what changes a task

    async def create(self, namespace: str, container: str) -> int:
        """Make a task; see the port."""

        def make() -> int:
            self._container(namespace, container)
            return self._containerd.make_task(namespace, container).pid

        return await self._call(f"create a task of {container} in {namespace}", make)

    async def start(self, namespace: str, container: str) -> int:
        """Run a created task; see the port."""

        def run() -> int:
            task = self._task(namespace, container)
            task.start()
            return task.pid

        return await self._call(f"start {container} in {namespace}", run)

    async def pause(self, namespace: str, container: str) -> None:
        """Freeze it; see the port."""
        await self._call(f"pause {container} in {namespace}", lambda: self._task(namespace, container).pause())

    async def resume(self, namespace: str, container: str) -> None:
        """Let it run on; see the port."""
        await self._call(f"resume {container} in {namespace}", lambda: self._task(namespace, container).resume())

    async def kill(
        self, namespace: str, container: str, signal: int, *, all_processes: bool = False, exec_id: str | None = None
    ) -> None:
        """Send a signal; see the port."""
        await self._call(
            f"send signal {signal} to {container} in {namespace}",
            lambda: self._task(namespace, container).signal(signal, all_processes=all_processes, exec_id=exec_id),
        )

    async def delete_task(self, namespace: str, container: str) -> ExitInfo:
        """Remove an ended task; see the port."""

        def remove() -> ExitInfo:
            ended = self._task(namespace, container).delete()
            self._container(namespace, container).task = None
            return ended

        return await self._call(f"delete the task of {container} in {namespace}", remove)

    # -- what looks at a task

    async def task(self, namespace: str, container: str) -> TaskInfo | None:
        """Return the task, None where there is none; see the port."""

        def found() -> TaskInfo | None:
            one = self._containerd.containers.get((namespace, container))
            return None if one is None or one.task is None else one.task.info

        return await self._call(f"look at the task of {container} in {namespace}", found)

    async def pids(self, namespace: str, container: str) -> Sequence[ProcessInfo]:
        """Return the processes; see the port."""
        return await self._call(
            f"list the processes of {container} in {namespace}", lambda: self._task(namespace, container).processes
        )

    async def wait(self, namespace: str, container: str) -> ExitInfo:
        """Wait for the end; see the port."""
        doing = f"wait for the end of {container} in {namespace}"
        task = await self._call(doing, lambda: self._task(namespace, container))
        waiting = asyncio.ensure_future(task.wait())
        self._waiting.add(waiting)
        try:
            await asyncio.wait({waiting})
            if waiting.cancelled():
                raise CommandFailed("unavailable", f"cannot {doing}: {self._broken_off}")
            return waiting.result()
        finally:
            self._waiting.discard(waiting)
            waiting.cancel()

    def break_off(self, reason: str) -> None:
        """Break off the calls that are under way, because containerd goes down."""
        self._broken_off = reason
        for waiting in self._waiting:
            waiting.cancel()

    # -- inside

    async def _call(self, doing: str, work: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        with _refusals(doing):
            if not self._containerd.up:
                raise CommandFailed("unavailable", f"cannot {doing}: containerd cannot be reached")
            return work()

    def _container(self, namespace: str, container: str) -> MemoryContainer:
        found = self._containerd.containers.get((namespace, container))
        if found is None:
            raise Refusal("not_found", f"container {container} in namespace {namespace}: not found")
        return found

    def _task(self, namespace: str, container: str) -> MemoryTask:
        task = self._container(namespace, container).task
        if task is None:
            raise Refusal("not_found", f"task {container}: not found")
        return task


@contextmanager
def _refusals(doing: str) -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        raise CommandFailed(refusal.code, f"cannot {doing}: {refusal}", containerd=str(refusal)) from refusal
