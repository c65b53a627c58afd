"""The verbs that change how a container runs: start, restart, pause, resume, kill, stop, delete.

Each asks for a state, not for a step: what is so already is success. What ends meanwhile, by itself or by somebody else's
hand, has reached the state that was asked for. Processes are never left half-way: a task that was made here and cannot be
started is removed again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from signal import SIGKILL, SIGTERM
from types import MappingProxyType

from msgspec import structs

from bridge.control.ending import KILLED_WITHIN_S, exit_of
from bridge.control.execution import as_before, on_the_bus, session_for_task, sessions_at, unread, with_unseen_fifos
from bridge.control.verb import Place, Verb, record_at, task_at
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model import labels
from bridge.model.commands import Delete, Kill, Pause, Restart, Resume, Start, Stop, signal_number
from bridge.model.identity import check_identifier
from bridge.model.outcomes import (
    ContainerInfo,
    Deleted,
    Done,
    ExitInfo,
    Restarted,
    TaskInfo,
    TaskStarted,
    TaskStatus,
)
from bridge.policy import RUNTIME

__all__ = ["STOP_SIGNAL_LABEL", "VERBS", "end_task", "remove_task", "run_task"]

log = logging.getLogger(__name__)

STOP_SIGNAL_LABEL = "io.containerd.image.config.stop-signal"
"""Where containerd's clients keep the image's StopSignal (containerd, client/container_opts.go)."""

FROZEN: frozenset[TaskStatus] = frozenset({"paused", "pausing"})

REMEDIES: Mapping[TaskStatus, str] = MappingProxyType(
    {
        "created": "start it first",
        "stopped": "start it first",
        "running": "stop it first",
        "paused": "resume it first",
        "pausing": "wait until it is paused",
        "unknown": "its shim does not answer, delete it with force",
    }
)
"""Status that a verb has no use for -> what to do about it."""


def _unfit(place: Place, status: TaskStatus, remedy: str | None = None) -> CommandFailed:
    return CommandFailed("failed_precondition", f"{place} is {status}: {remedy or REMEDIES[status]}")


def _number(signal: str | int) -> int:
    try:
        return signal_number(signal)
    except ValueError as error:
        raise CommandFailed("invalid_argument", str(error)) from error


# -- start


async def start(place: Place, command: Start) -> TaskStarted:
    """Run the container: its created task, or a new one in place of none, of an ended one, or of one that nobody would read."""
    record = await record_at(place)
    bus = command.stdio == "bus" or on_the_bus(record)
    if command.stdin and not bus:
        raise CommandFailed("invalid_argument", 'stdin without stdio has nowhere to come from: give stdio "bus" too')
    task = await place.runtime.tasks.get(*place.target)
    lost = task is not None and unread(place, task)
    if task is not None and lost:
        command = structs.replace(command, stdio="bus", stdin=command.stdin or bool(task.stdin))
    elif task is not None:
        match task.status:
            case "created" if command.stdio == "bus":
                raise _unfit(
                    place, "created", "its stdio is what it was created with: delete its task, or leave stdio out"
                )
            case "created" | "stopped":
                pass
            case "running":
                raise _unfit(place, "running", "there is nothing to start")
            case status:
                raise _unfit(place, status)
    await _permitted(place, record, on_bus=command.stdio == "bus")
    if task is not None and task.status == "created" and not lost:
        return TaskStarted(pid=await place.runtime.tasks.start(*place.target))
    if task is not None:
        await remove_task(place, task)
    return await run_task(place, record, command)


async def _permitted(place: Place, record: ContainerInfo, *, on_bus: bool = False) -> None:
    """Ask whether what this container asks of the host may be had now: whoever made it may do more than who starts it.

    Raises:
        CommandFailed: `refused`.
    """
    runtime = record.runtime
    if runtime not in ("", RUNTIME) and runtime == (await place.runtime.containers.defaults(place.target[0])).runtime:
        runtime = ""  # nobody chose it
    await place.permit(
        spec=record.spec or {},  # one that nobody can read asks for everything
        labels=record.labels,
        image=record.image,
        runtime=runtime,
        runtime_options=record.runtime_options,
        output="" if on_bus else record.labels.get(labels.STDIO, ""),
        existing=True,
        ours=labels.COMMAND in record.labels,
    )


async def run_task(place: Place, record: ContainerInfo, how: Start) -> TaskStarted:
    """Make the container's task and run it, its stdio on the bus where `how` or the record says so.

    Raises:
        CommandFailed: it came to nothing, and nothing of it is left.
    """
    session = await session_for_task(place, record, how) if how.stdio == "bus" or on_the_bus(record) else None
    try:
        await place.runtime.tasks.create(*place.target, stdio=session.stdio if session else None)
        failpoint("task-made")
    except BaseException as error:
        if session is not None:
            await session.abandon()
            if isinstance(error, CommandFailed):
                raise with_unseen_fifos(session, error) from error
        raise
    try:
        if session is not None:
            pid = await session.start(width=how.width, height=how.height)
            return TaskStarted(pid=pid, session=session.id, process=session.result())
        return TaskStarted(pid=await place.runtime.tasks.start(*place.target))
    except BaseException as error:
        pid = await _discard(place)
        if pid and session is None and isinstance(error, CommandFailed):
            return TaskStarted(pid=pid)
        raise


async def _discard(place: Place) -> int:
    """Remove a task of ours that could not be started; return its pid where it runs all the same, and the answer failed."""
    try:
        task = await place.runtime.tasks.get(*place.target)
        if task is None or task.status not in {"created", "stopped"}:
            return 0 if task is None else task.pid
        await remove_task(place, task)
    except CommandFailed as error:
        log.warning("%s: the task that could not be started is still there: %s", place, error)
    return 0


# -- pause, resume, kill


async def pause(place: Place, _: Pause) -> Done:
    """Freeze the container's processes."""
    status = (await task_at(place)).status
    if status == "paused":
        return Done(already=True)
    if status != "running":
        raise _unfit(place, status)
    await place.runtime.tasks.pause(*place.target)
    return Done()


async def resume(place: Place, _: Resume) -> Done:
    """Let the container's processes run on."""
    status = (await task_at(place)).status
    if status == "running":
        return Done(already=True)
    if status != "paused":
        raise _unfit(place, status)
    await place.runtime.tasks.resume(*place.target)
    return Done()


async def kill(place: Place, command: Kill) -> Done:
    """Send a signal; whether it ends anything is the process's own affair."""
    number = _number(command.signal)
    if command.exec_id is not None:
        if command.all:
            raise CommandFailed("invalid_argument", "all and exec_id exclude each other: give one of them")
        try:
            check_identifier(command.exec_id, "exec id")
        except ValueError as error:
            raise CommandFailed("invalid_argument", str(error)) from error
    task = await task_at(place)
    if task.status == "stopped" and not command.all:  # with `all`, processes of a shared PID namespace may be left
        raise CommandFailed("not_found", f"{place} is stopped: there is no process to signal")
    await place.runtime.tasks.kill(*place.target, number, all_processes=command.all, exec_id=command.exec_id)
    return Done()


# -- stop


async def stop(place: Place, command: Stop) -> ExitInfo:
    """Ask the container to end, give it its grace, then kill it; return how it ended, be it by another command's signal."""
    wanted = None if command.signal is None else _number(command.signal)
    record = await record_at(place)
    task = await place.runtime.tasks.get(*place.target)
    if task is None:
        return ExitInfo()
    if task.status == "stopped":
        return ExitInfo(exit_status=task.exit_status, exited_at=task.exited_at)
    async with _exit_awaited(place) as exited:
        await _send(place, wanted or _stop_signal(record))
        if task.status in FROZEN:  # frozen processes take no signal but SIGKILL
            await _thaw(place)
        try:
            async with place.rest():
                await place.interruption.waits(exited, timeout=command.grace)
            if exited.done():
                return exited.result()
        except CommandFailed as error:
            if error.code != "cancelled" or exited.done():
                raise
            sentence = f"stop was cancelled: {place} has its signal, and is not killed"
            raise CommandFailed("cancelled", sentence) from error
        return await _kill(place, exited)


def _stop_signal(record: ContainerInfo) -> int:
    label = record.labels.get(STOP_SIGNAL_LABEL, "")
    try:
        return signal_number(label) if label else int(SIGTERM)
    except ValueError:
        log.warning("container %s: its stop signal %r does not exist, SIGTERM is sent", record.id, label)
        return int(SIGTERM)


# -- restart


async def restart(place: Place, command: Restart) -> Restarted:
    """End the container's task as `stop` does, and run a new one; what does not run is only started.

    The new one has its stdio where the one before had it.
    """
    if command.signal is not None:
        _number(command.signal)
    record = await record_at(place)
    if on_the_bus(record):
        sessions_at(place)  # what cannot be started again is not ended
    task = await place.runtime.tasks.get(*place.target)
    await _permitted(place, record)
    how = await as_before(place, task)
    ended = None
    if task is not None and task.status in {"running", "paused", "pausing"}:
        ended = await stop(place, Stop(grace=command.grace, signal=command.signal))
    try:
        started = await start(place, how)
    except CommandFailed as error:
        # Whoever looks after it, as dockerd does, may have been quicker.
        again = await place.runtime.tasks.get(*place.target) if ended and error.code == "failed_precondition" else None
        if task is None or again is None or again.status != "running" or again.pid == task.pid:
            raise
        started = TaskStarted(pid=again.pid)
    return Restarted(pid=started.pid, ended=ended)


# -- delete


async def delete(place: Place, command: Delete) -> Deleted:
    """Remove the container and what belongs to it; return how its task ended, where it had one, and what had to stay."""
    await record_at(place)
    task = await place.runtime.tasks.get(*place.target)
    ended = ExitInfo()
    if task is not None:
        if task.status in {"running", "paused", "pausing"} and not command.force:
            raise _unfit(place, task.status, "stop it first, or delete it with force")
        ended = await remove_task(place, task)
    left = await place.runtime.containers.delete(*place.target, keep_snapshot=command.keep_snapshot)
    if place.sessions is not None:
        await place.sessions.forget(*place.target)
    return Deleted(exit_status=ended.exit_status, exited_at=ended.exited_at, killed=ended.killed, left=[*left])


async def remove_task(place: Place, task: TaskInfo) -> ExitInfo:
    """Delete the task, killed first unless it has ended, once its output is taken: what is not goes with it.

    Without a pid (restored and never started) there is nothing to kill.
    """
    killed = task.status != "stopped" and task.pid != 0
    if killed:
        async with _exit_awaited(place) as exited:
            await _kill(place, exited)
    if place.sessions is not None:
        await place.sessions.drain(*place.target)
    try:
        ended = await place.runtime.tasks.delete(*place.target)
    except CommandFailed as error:
        if error.code != "not_found":
            raise
        ended = ExitInfo()  # whoever waits for exits, as dockerd does, deletes the task at once
    return structs.replace(ended, killed=killed)


# -- how a container ends


async def end_task(place: Place) -> ExitInfo:
    """Kill every process of a container, frozen or not, and wait for its end; the task is still there."""
    async with _exit_awaited(place) as exited:
        return await _kill(place, exited)


@asynccontextmanager
async def _exit_awaited(place: Place) -> AsyncIterator[asyncio.Task[ExitInfo]]:
    """Wait for the exit on the side, from before the signal on: who comes later may find the task deleted already."""
    exited = asyncio.create_task(_exit(place))
    await asyncio.sleep(0)  # its call is under way now
    try:
        yield exited
    finally:
        exited.cancel()
        await asyncio.gather(exited, return_exceptions=True)


async def _exit(place: Place) -> ExitInfo:
    return await exit_of(place) or ExitInfo()  # its task was deleted by somebody else: nobody here can say how it ended


async def _within(exited: asyncio.Task[ExitInfo], seconds: float) -> bool:
    await asyncio.wait({exited}, timeout=seconds)
    return exited.done()


async def _kill(place: Place, exited: asyncio.Task[ExitInfo]) -> ExitInfo:
    """End every process of the container, frozen ones too, which do nothing any more where that can be had.

    Raises:
        CommandFailed: `deadline_exceeded`: it is still there.
    """
    task = await place.runtime.tasks.get(*place.target)
    frozen = task is not None and task.status in FROZEN
    if frozen:
        await _kill_frozen(place)
    await _send(place, int(SIGKILL), all_processes=True)
    if frozen:
        await _thaw(place)
    if not await _within(exited, KILLED_WITHIN_S):
        raise CommandFailed(
            "deadline_exceeded",
            f"{place} has not ended {KILLED_WITHIN_S:.0f} s after SIGKILL: a process hangs in the kernel, try again later",
        )
    return structs.replace(exited.result(), killed=True)


async def _kill_frozen(place: Place) -> None:
    try:
        await place.runtime.tasks.kill_frozen(*place.target)
    except CommandFailed as error:
        log.info("%s may do something more before it ends: %s", place, error)


async def _send(place: Place, signal: int, *, all_processes: bool = False) -> None:
    """Signal; that there is nothing left to signal is what is wanted here."""
    try:
        await place.runtime.tasks.kill(*place.target, signal, all_processes=all_processes)
    except CommandFailed as error:
        if error.code != "not_found":
            raise


async def _thaw(place: Place) -> None:
    """Resume, as well as can be: it may run already, or be ending, and in the end SIGKILL reaches frozen processes too."""
    try:
        await place.runtime.tasks.resume(*place.target)
    except CommandFailed as error:
        log.info("%s was paused and is not resumed: %s", place, error)


VERBS: Mapping[str, Verb] = MappingProxyType(
    {
        Start.verb: start,
        Restart.verb: restart,
        Pause.verb: pause,
        Resume.verb: resume,
        Kill.verb: kill,
        Stop.verb: stop,
        Delete.verb: delete,
    }
)
"""Verb -> coroutine."""
