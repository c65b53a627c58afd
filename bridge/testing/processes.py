"""The processes of tasks in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bridge.errors import CommandFailed
from bridge.model.identity import check_identifier
from bridge.model.outcomes import ExitInfo, TaskInfo
from bridge.ports import Stdio, UserIds
from bridge.testing.calls import Calls
from bridge.testing.program import Program
from bridge.testing.task import MemoryProcess, MemoryTask, Refusal

if TYPE_CHECKING:
    from bridge.testing.containerd import MemoryContainerd

__all__ = ["MemoryProcesses"]


class MemoryProcesses:
    """Implements `bridge.ports.Processes`. Made by `MemoryRuntime`."""

    def __init__(self, containerd: MemoryContainerd, calls: Calls) -> None:
        self._containerd = containerd
        self._calls = calls
        self._waiting: set[asyncio.Task[ExitInfo]] = set()
        self._broken_off = ""

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

    async def start(self, namespace: str, container: str, exec_id: str | None) -> int:
        """Run what is registered or created; see the port."""

        def run() -> int:
            task = self._calls.task(namespace, container)
            if exec_id is None:
                task.start()
                return task.pid
            return task.run(exec_id)

        return await self._calls.call(f"start {container} in {namespace}", run)

    async def get(self, namespace: str, container: str, exec_id: str | None) -> TaskInfo | None:
        """Return a process's state; see the port."""

        def found() -> TaskInfo | None:
            one = self._containerd.containers.get((namespace, container))
            if one is None or one.task is None:
                return None
            if exec_id is None:
                return one.task.info
            process = one.task.find(exec_id)
            return None if process is None else process.info

        return await self._calls.call(f"look at {container} in {namespace}", found)

    async def wait(self, namespace: str, container: str, exec_id: str | None) -> ExitInfo:
        """Wait for the end; see the port."""
        doing = f"wait for the end of {container} in {namespace}"

        def found() -> MemoryTask | MemoryProcess:
            task = self._calls.task(namespace, container)
            return task if exec_id is None else self._process(namespace, container, exec_id)

        process = await self._calls.call(doing, found)
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

    async def kill(self, namespace: str, container: str, exec_id: str | None, signal: int) -> None:
        """Send a signal; see the port."""
        await self._calls.call(
            f"send signal {signal} to {container} in {namespace}",
            lambda: self._calls.task(namespace, container).signal(signal, exec_id=exec_id),
        )

    async def delete(self, namespace: str, container: str, exec_id: str) -> ExitInfo:
        """Remove an exec; see the port."""
        return await self._calls.call(
            f"delete exec {exec_id} of {container} in {namespace}",
            lambda: self._calls.task(namespace, container).forget(exec_id),
        )

    async def resize(self, namespace: str, container: str, exec_id: str | None, *, width: int, height: int) -> None:
        """Give its terminal a size; see the port."""

        def resize() -> None:
            process = self._process(namespace, container, exec_id)
            if process.status != "running":
                raise Refusal("failed_precondition", f"cannot resize a {process.status} container")
            process.size = (width, height)

        await self._calls.call(f"resize the terminal of {container} in {namespace}", resize)

    async def close_stdin(self, namespace: str, container: str, exec_id: str | None) -> None:
        """Let the shim close its end; see the port."""

        def close() -> None:
            shim = self._process(namespace, container, exec_id).shim
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

    def _process(self, namespace: str, container: str, exec_id: str | None) -> MemoryProcess:
        process = self._calls.task(namespace, container).find(exec_id)
        if process is None:
            raise Refusal("not_found", f"process {exec_id} of {container}: not found")
        return process
