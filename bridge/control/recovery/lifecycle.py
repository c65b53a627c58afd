"""What became of start, restart, pause, resume, kill, stop, delete."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from signal import SIGKILL
from types import MappingProxyType

from bridge.control.execution import on_the_bus, unread
from bridge.control.lifecycle import remove_task
from bridge.control.recovery.finding import (
    GoesOn,
    NotDone,
    Recover,
    Undecided,
    absent,
    begun,
    seen,
    session_of,
    task_of,
)
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model.commands import Delete, Kill, Pause, Restart, Resume, Start, Stop, signal_number
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Deleted, Done, ExitInfo, Restarted, TaskStarted
from bridge.ports import StdioSession

__all__ = ["LIFECYCLE", "pid_of", "remove_unstarted", "started_with"]


async def recover_start(place: Place, command: Start, started_at: Nanos) -> TaskStarted:
    """It runs since then, or has run since then: its session knows, or the log when its process began."""
    session = session_of(place, None)
    if session is not None:
        raise GoesOn(partial(started_with, place, session, started_at), place.interruption)
    await _remove_unread(place)
    if command.stdio == "bus":
        raise absent(place, f"the task of {place}", started_at)
    return TaskStarted(pid=await _begun(place, started_at))


async def started_with(place: Place, session: StdioSession, started_at: Nanos) -> TaskStarted:
    """Return the process of a session as soon as it is known whether it runs.

    Raises:
        NotDone: it has never run, and its task is gone.
        Undecided: it may have run, and be gone.
    """
    if (pid := await pid_of(place, session, started_at)) is not None:
        return TaskStarted(pid=pid, session=session.id, process=session.result())
    await remove_unstarted(place)
    raise NotDone(f"the bridge ended before the task of {place} was started: nothing of it is left")


async def pid_of(place: Place, session: StdioSession, started_at: Nanos) -> int | None:
    """Return the container's process of a session as soon as it is known whether it has run; None where it never has.

    Raises:
        Undecided: it may have run, and be gone, and the log does not know of it either.
    """
    ran = await session.ran()
    if ran is not None:
        return session.result().pid if ran else None
    try:
        pid, now_seen = await begun(place, started_at), seen(place, await task_of(place))
    except CommandFailed as error:
        raise Undecided(f"it was about to be started, and the rest cannot be asked for ({error})") from error
    if pid is None:
        raise Undecided(f"it was about to be started, and {now_seen}")
    return pid


async def remove_unstarted(place: Place) -> None:
    """Take away a task of the command's own that has never run."""
    task = await task_of(place)
    if task is not None and task.status == "created":
        await remove_task(place, task)


async def _remove_unread(place: Place) -> None:
    """Take away a task whose session was given up already.

    Raises:
        NotDone: there was one.
    """
    task = await task_of(place)
    if task is not None and unread(place, task):
        await remove_task(place, task)
        raise NotDone(
            f"the bridge ended before the new task of {place} was started: it is taken away, and no other is there"
        )


async def recover_restart(place: Place, _: Restart, started_at: Nanos) -> Restarted:
    """A process of it began since then: its session knows, or the log; how the one before ended, the log tells."""
    session = session_of(place, None)
    if session is not None:
        raise GoesOn(partial(_restarted_with, place, session, started_at), place.interruption)
    await _remove_unread(place)
    if await begun(place, started_at) is None and await _is_on_the_bus(place):
        doubt = absent(place, f"the new task of {place}", started_at)
        raise type(doubt)(f"{doubt}; {seen(place, await task_of(place))}")
    return Restarted(pid=await _begun(place, started_at))


async def _restarted_with(place: Place, session: StdioSession, started_at: Nanos) -> Restarted:
    return Restarted(pid=(await started_with(place, session, started_at)).pid)


async def _is_on_the_bus(place: Place) -> bool:
    try:
        return on_the_bus(await place.runtime.containers.get(*place.target))
    except CommandFailed as error:
        if error.code == "not_found":
            return False
        raise


async def _begun(place: Place, started_at: Nanos) -> int:
    task = await task_of(place)
    pid = await begun(place, started_at)
    if pid is not None:
        return pid
    if task is not None and task.status == "created":
        # What was started is never `created` again.
        raise NotDone(f"the bridge ended before {place} was started: its task is made and waits, start it")
    raise Undecided(seen(place, task))


async def recover_pause(place: Place, _: Pause, _started_at: Nanos) -> Done:
    """It is paused, or it is undecided: whoever resumed it may have been somebody else."""
    task = await task_of(place)
    if task is not None and task.status == "paused":
        return Done(already=None)
    raise Undecided(seen(place, task))


async def recover_resume(place: Place, _: Resume, _started_at: Nanos) -> Done:
    """It runs, or it is undecided."""
    task = await task_of(place)
    if task is not None and task.status == "running":
        return Done(already=None)
    raise Undecided(seen(place, task))


async def recover_kill(place: Place, command: Kill, started_at: Nanos) -> Done:
    """It ended by this very signal since then, or it is undecided: most signals leave no trace."""
    task = await task_of(place)
    number = signal_number(command.signal)
    ended = task is not None and task.exited_at is not None and task.exited_at >= started_at
    if ended and task is not None and task.exit_status == 128 + number and command.exec_id is None:
        return Done()
    if number == SIGKILL and task is None and command.exec_id is None:
        state = await place.known(*place.target)
        if state.exited and state.exit_status == 128 + number and (state.exited_at or 0) >= started_at:
            return Done()
    raise Undecided(seen(place, task))


async def recover_stop(place: Place, _: Stop, _started_at: Nanos) -> ExitInfo:
    """It has ended, or it is undecided: the signal may still be at work."""
    task = await task_of(place)
    if task is None:
        return ExitInfo()
    if task.status == "stopped":
        return ExitInfo(exit_status=task.exit_status, exited_at=task.exited_at)
    raise Undecided(seen(place, task))


async def recover_delete(place: Place, _: Delete, _started_at: Nanos) -> Deleted:
    """Its record is gone, or it is undecided how far it came."""
    try:
        await place.runtime.containers.get(*place.target)
    except CommandFailed as error:
        if error.code == "not_found":
            return Deleted()
        raise
    raise Undecided(f"{seen(place, await task_of(place))}, and its record is still there")


LIFECYCLE: Mapping[str, Recover] = MappingProxyType(
    {
        Start.verb: recover_start,
        Restart.verb: recover_restart,
        Pause.verb: recover_pause,
        Resume.verb: recover_resume,
        Kill.verb: recover_kill,
        Stop.verb: recover_stop,
        Delete.verb: recover_delete,
    }
)
"""Verb -> how its outcome is found."""
