"""The tasks of a containerd in memory, and their processes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.errors import CommandFailed
from bridge.model.identity import check_identifier
from bridge.model.outcomes import ExitInfo, ProcessInfo, TaskInfo, TaskStats
from bridge.ports import Stdio, UserIds
from bridge.testing.calls import Calls
from bridge.testing.program import Program
from bridge.testing.task import Refusal

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

    async def create(self, namespace: str, container: str, *, stdio: Stdio | None = None) -> int:
        """Make a task; see the port."""

        def make() -> int:
            self._calls.container(namespace, container)
            return self._containerd.make_task(namespace, container, stdio).pid

        return await self._calls.call(f"create a task of {container} in {namespace}", make)

    async def exec(self, namespace: str, container: str, exec_id: str, spec: Mapping[str, Any], stdio: Stdio) -> None:
        """Register a process; see the port. What it runs stands in `MemoryContainerd.programs`."""

        def register() -> None:
            try:
                check_identifier(exec_id, "exec id")
            except ValueError as error:
                raise Refusal("invalid_argument", str(error)) from error
            name = spec["args"][0]
            missing = Program(broken=f'exec: "{name}": executable file not found in $PATH')
            program = self._containerd.programs.get(name, missing)
            self._calls.task(namespace, container).register(exec_id, program, stdio)

        await self._calls.call(f"exec {exec_id} in {container} in {namespace}", register)

    async def start(self, namespace: str, container: str, exec_id: str | None = None) -> int:
        """Run a created task, or a registered exec; see the port."""

        def run() -> int:
            task = self._calls.task(namespace, container)
            if exec_id is not None:
                return task.run(exec_id)
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

    async def kill_frozen(self, namespace: str, container: str) -> bool:
        """Give every process of a paused task its SIGKILL; see the port. Here the kill that follows does all of it."""
        await self._calls.call(
            f"list the processes of {container} in {namespace}", lambda: self._calls.task(namespace, container)
        )
        return True

    async def update(
        self, namespace: str, container: str, resources: Mapping[str, Any], annotations: Mapping[str, str]
    ) -> None:
        """Give it other limits; see the port."""
        await self._calls.call(
            f"update {container} in {namespace}",
            lambda: self._calls.task(namespace, container).update(resources, annotations),
        )

    async def delete(self, namespace: str, container: str, exec_id: str | None = None) -> ExitInfo:
        """Remove an ended task, or an exec; see the port."""

        def remove() -> ExitInfo:
            if exec_id is not None:
                return self._calls.task(namespace, container).forget(exec_id)
            ended = self._calls.task(namespace, container).delete()
            self._calls.container(namespace, container).task = None
            return ended

        return await self._calls.call(f"delete the task of {container} in {namespace}", remove)

    # -- what looks at a task

    async def get(self, namespace: str, container: str, exec_id: str | None = None) -> TaskInfo | None:
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

    async def wait(self, namespace: str, container: str, exec_id: str | None = None) -> ExitInfo:
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

    # -- their stdio, and their users

    async def resize(self, namespace: str, container: str, exec_id: str | None, *, width: int, height: int) -> None:
        """Give its terminal a size; see the port."""

        def resize() -> None:
            process = self._calls.task(namespace, container).process(exec_id)
            if process.status not in {"created", "running"} or (exec_id is not None and process.status == "created"):
                raise Refusal("failed_precondition", f"cannot resize a {process.status} container")
            process.size = (width, height)

        await self._calls.call(f"resize the terminal of {container} in {namespace}", resize)

    async def close_stdin(self, namespace: str, container: str, exec_id: str | None) -> None:
        """Let the shim close its end; see the port."""

        def close() -> None:
            shim = self._calls.task(namespace, container).process(exec_id).shim
            if shim is not None:
                shim.close_stdin()

        await self._calls.call(f"close the stdin of {container} in {namespace}", close)

    async def user(self, namespace: str, container: str, user: str) -> UserIds:
        """Return who it is; see the port. Names are those of `MemoryContainerd.users`."""

        def found() -> UserIds:
            self._calls.task(namespace, container)
            name, _, group = user.partition(":")
            if name.isdigit() and (not group or group.isdigit()):
                return UserIds(int(name), int(group or 0), (int(group or 0),))
            if user not in self._containerd.users:
                raise Refusal("invalid_argument", f"container {container} has no user {user!r}")
            return self._containerd.users[user]

        return await self._calls.call(f"look up {user!r} in {container}", found)

    def break_off(self, reason: str) -> None:
        """Break off the calls that are under way, because containerd goes down."""
        self._broken_off = reason
        for waiting in self._waiting:
            waiting.cancel()
