"""One node's command plane: a method per verb, returning what the verb returns or raising why it failed."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Sequence
from typing import Final, Literal, TypedDict, TypeVar, Unpack

import msgspec
from msgspec import Struct

from bridge.client.checkpointing import MakesCheckpoints
from bridge.client.commanding import AWAY, TakesCommands, failed
from bridge.client.making import MakesContainers
from bridge.client.running import RunsProcesses
from bridge.errors import CommandFailed
from bridge.model import commands, outcomes
from bridge.model.commands import signal_number, size_of
from bridge.model.outcomes import ContainerInfo, ProcessInfo

__all__ = ["Limits", "Node"]

R = TypeVar("R", bound=Struct)

WAIT_S: Final = 20.0
"""How long one request waits for an end; then the node is asked again. So long goes unnoticed that it has gone."""

FIRST_WAIT_S: Final = 1.0

PATIENCE_S: Final = 60.0
"""How long a node that was there may be away while an end is waited for: its bridge starts again in seconds."""

_AGAIN_S = 0.5


class Limits(TypedDict, total=False):
    """What `Node.update` may change; what is left out or None stays."""

    memory: str | int | None
    memory_swap: str | int | None
    memory_reservation: str | int | None
    cpus: float | None
    cpu_shares: int | None
    cpu_quota: int | None
    cpu_period: int | None
    cpuset_cpus: str | None
    cpuset_mems: str | None
    pids_limit: int | None
    blkio_weight: int | None
    device_read_bps: dict[str, int] | None
    device_write_bps: dict[str, int] | None
    device_read_iops: dict[str, int] | None
    device_write_iops: dict[str, int] | None
    annotations: dict[str, str]


class Node(TakesCommands, MakesContainers, MakesCheckpoints, RunsProcesses):
    """A node by its name; nothing is sent until a method is called.

    Every method raises `CommandFailed`: with the node's own code and sentence where it failed there, `unavailable` where nobody
    took the command, `deadline_exceeded` where no outcome came in time and it is open whether there was an effect. What
    cannot be right whatever the node says, such as a signal that does not exist, is a ValueError and is not sent.
    """

    async def list(self, namespace: str | None = None, *, filters: Sequence[str] = ()) -> list[ContainerInfo]:
        """Return the containers of a namespace, or of all, with the state of their tasks."""
        command = commands.List(filters=builtins.list(filters))
        found = await self._ask(command, outcomes.ContainerList, namespace, None)
        return [self._own(container) for container in found.containers]

    async def inspect(self, container: str, *, namespace: str = "default") -> outcomes.InspectResult:
        """Return everything about one container."""
        found = await self._ask(commands.Inspect(), outcomes.InspectResult, namespace, container)
        return msgspec.structs.replace(found, container=self._own(found.container))

    async def pids(self, container: str, *, namespace: str = "default") -> builtins.list[ProcessInfo]:
        """Return the processes of a running container."""
        return (await self._ask(commands.Pids(), outcomes.PidList, namespace, container)).processes

    async def stats(
        self, container: str | None = None, *, namespace: str | None = None, containers: Sequence[str] = ()
    ) -> builtins.list[outcomes.TaskStats]:
        """Return what running containers use: one, those of a namespace, or all; `containers` are the only ones, by id.

        `bridge.model.usage` makes percentages of two of these.
        """
        if container is not None and namespace is None:
            namespace = "default"
        command = commands.Stats(containers=builtins.list(containers))
        found = await self._ask(command, outcomes.StatsList, namespace, container)
        return found.stats

    async def wait(
        self,
        container: str,
        *,
        namespace: str = "default",
        exec_id: str | None = None,
        timeout: float | None = None,
    ) -> outcomes.WaitResult:
        """Wait until the container's task, or one exec, has ended; return how. At once where it has.

        It goes on through restarts of the bridge, of containerd and of NATS, and means the task that was there when it began.
        After `timeout` seconds, where given, it returns with `ended` false.

        Raises:
            CommandFailed: as everywhere; `unavailable` too where the node was away for `PATIENCE_S`.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        asked_for = FIRST_WAIT_S  # short, so that a node which goes at once is known to have been there
        heard: float | None = None
        incarnation: str | None = None
        while True:
            left = asked_for if deadline is None else max(0.0, min(asked_for, deadline - loop.time()))
            command = commands.Wait(timeout=left, exec_id=exec_id, incarnation=incarnation)
            try:
                outcome = await self.send(command, namespace=namespace, container=container)
            except CommandFailed as error:
                if error.code not in AWAY or heard is None or loop.time() - heard > PATIENCE_S:
                    raise
            else:
                was_there, heard, asked_for = heard is not None, loop.time(), WAIT_S
                if outcome.outcome == "ok":
                    result = self._read(outcome, outcomes.WaitResult)
                    if result.ended or (deadline is not None and loop.time() >= deadline):
                        return result
                    incarnation = result.incarnation or incarnation
                    continue
                failure = failed(outcome)
                if failure.code == "not_found" and was_there:
                    return outcomes.WaitResult(
                        ended=True, incarnation=incarnation
                    )  # its owner has deleted it meanwhile
                if failure.code != "unavailable":
                    raise failure
            if deadline is not None and loop.time() >= deadline:
                return outcomes.WaitResult(ended=False, incarnation=incarnation)
            await asyncio.sleep(_AGAIN_S)

    async def version(self) -> outcomes.VersionInfo:
        """Return the versions of the bridge and of its containerd."""
        return await self._ask(commands.Version(), outcomes.VersionInfo, None, None)

    async def start(
        self,
        container: str,
        *,
        namespace: str = "default",
        stdio: Literal["none", "bus"] = "none",
        stdin: bool = False,
        window: int | None = None,
        width: int = 0,
        height: int = 0,
    ) -> outcomes.TaskStarted:
        """Run the container; with `bus` its output goes there and, with `stdin`, its input comes from there: see `process`."""
        command = commands.Start(stdio=stdio, stdin=stdin, window=window, width=width, height=height)
        return await self._ask(command, outcomes.TaskStarted, namespace, container)

    async def restart(
        self, container: str, *, namespace: str = "default", grace: float = 10.0, signal: str | int | None = None
    ) -> outcomes.Restarted:
        """End the container's task as `stop` does, and run a new one; what does not run is only started."""
        if signal is not None:
            signal_number(signal)
        return await self._ask(commands.Restart(grace=grace, signal=signal), outcomes.Restarted, namespace, container)

    async def update(
        self, container: str, *, namespace: str = "default", task_only: bool = False, **limits: Unpack[Limits]
    ) -> outcomes.Updated:
        """Change the container's limits, of its task and in its record; see `bridge.model.commands.Update` for each."""
        for size in (limits.get("memory"), limits.get("memory_swap"), limits.get("memory_reservation")):
            if size is not None:
                size_of(size)
        command = commands.Update(task_only=task_only, **limits)
        return await self._ask(command, outcomes.Updated, namespace, container)

    async def pause(self, container: str, *, namespace: str = "default") -> outcomes.Done:
        """Freeze the container's processes."""
        return await self._ask(commands.Pause(), outcomes.Done, namespace, container)

    async def resume(self, container: str, *, namespace: str = "default") -> outcomes.Done:
        """Let the container's processes run on."""
        return await self._ask(commands.Resume(), outcomes.Done, namespace, container)

    async def kill(
        self,
        container: str,
        *,
        namespace: str = "default",
        signal: str | int = "SIGTERM",
        all: bool = False,  # noqa: A002 - the word of the contract
        exec_id: str | None = None,
    ) -> outcomes.Done:
        """Send a signal to the init process, to all processes, or to one exec."""
        signal_number(signal)
        command = commands.Kill(signal=signal, all=all, exec_id=exec_id)
        return await self._ask(command, outcomes.Done, namespace, container)

    async def stop(
        self, container: str, *, namespace: str = "default", grace: float = 10.0, signal: str | int | None = None
    ) -> outcomes.ExitInfo:
        """Ask the container to end, kill it after `grace` seconds, return how it ended."""
        if signal is not None:
            signal_number(signal)
        return await self._ask(commands.Stop(grace=grace, signal=signal), outcomes.ExitInfo, namespace, container)

    async def delete(
        self, container: str, *, namespace: str = "default", force: bool = False, keep_snapshot: bool = False
    ) -> outcomes.Deleted:
        """Remove the container, its ended task, its snapshot and its bundle; return how the task ended, and what had to stay."""
        command = commands.Delete(force=force, keep_snapshot=keep_snapshot)
        return await self._ask(command, outcomes.Deleted, namespace, container)

    def _own(self, container: ContainerInfo) -> ContainerInfo:
        return container if container.node else msgspec.structs.replace(container, node=self.name)
