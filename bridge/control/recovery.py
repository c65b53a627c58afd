"""What became of commands that were under way when the bridge died: looked for, and never done again.

A family of verbs says for each of them how its outcome is found: `recover(place, command, started_at)` looks at containerd and
returns the verb's result where what was asked for is so, raises CommandFailed where it provably failed without an effect, and
raises `Undecided` where looking cannot tell. A verb that is not in the table is undecided. What is made for a command is named
after `place.command_id`, so that it can be found.

    RECOVERIES = {Pause.verb: recover_pause}      in the family's module, and put into `RECOVERIES` here
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from signal import SIGKILL
from types import MappingProxyType
from typing import Any, NoReturn, TypeAlias

from msgspec import Struct

from bridge.control.creation import created_by
from bridge.control.verb import Place
from bridge.errors import BridgeError, CommandFailed
from bridge.model.commands import (
    Command,
    Create,
    Delete,
    Exec,
    Kill,
    Pause,
    Restart,
    Resume,
    Run,
    Start,
    Stop,
    signal_number,
)
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Created, Deleted, Done, ExecResult, ExitInfo, Ran, Restarted, TaskInfo, TaskStarted

__all__ = ["RECOVERIES", "Recover", "Undecided", "recover"]


class Undecided(BridgeError):
    """Nobody can say any more whether the command took effect; the sentence says what is seen now."""


Recover: TypeAlias = Callable[[Place, Any, Nanos], Awaitable[Struct]]
"""Finds the outcome of a command (the struct of that verb) that was started at that time, by looking only.

Raises:
    Undecided: it cannot be told.
    CommandFailed: it failed, and had no effect.
"""


async def recover(place: Place, command: Command, started_at: Nanos) -> Struct:
    """Return the result of a command that was started and not finished.

    Raises:
        Undecided: nobody can say.
        CommandFailed: it failed.
    """
    try:
        return await RECOVERIES.get(command.verb, _undecided)(place, command, started_at)
    except CommandFailed as error:
        if error.code in {"unavailable", "internal", "unknown", "deadline_exceeded"}:
            raise Undecided(f"containerd cannot be asked ({error})") from error
        raise


async def _undecided(_place: Place, command: Command, _started_at: Nanos) -> NoReturn:
    raise Undecided(f"nothing shows whether {command.verb} took effect")


async def _task(place: Place) -> TaskInfo | None:
    return await place.runtime.tasks.get(*place.target)


def _seen(place: Place, task: TaskInfo | None) -> str:
    return f"{place} has no task now" if task is None else f"{place} is {task.status} now"


async def recover_start(place: Place, _: Start, started_at: Nanos) -> TaskStarted:
    """It runs since then, or has run since then: the log knows when its process began."""
    pid = await _begun(place, started_at)
    process = _process(place)
    return TaskStarted(pid=pid, session=process.session if process else None, process=process)


def _process(place: Place) -> ExecResult | None:
    """Return the container's own process, where this very command put its stdio on the bus."""
    session = None if place.sessions is None else place.sessions.find(*place.target, None)
    return session.result() if session is not None and session.command_id == place.command_id else None


async def recover_restart(place: Place, _: Restart, started_at: Nanos) -> Restarted:
    """A process of it began since then; how the one before ended, the log tells."""
    return Restarted(pid=await _begun(place, started_at))


async def _begun(place: Place, started_at: Nanos) -> int:
    task = await _task(place)
    state = await place.known(*place.target)
    began = state.started_at
    if began is not None and began >= started_at and state.pid is not None:
        return state.pid
    raise Undecided(_seen(place, task))


async def recover_pause(place: Place, _: Pause, _started_at: Nanos) -> Done:
    """It is paused, or it is undecided: whoever resumed it may have been somebody else."""
    task = await _task(place)
    if task is not None and task.status == "paused":
        return Done(already=True)
    raise Undecided(_seen(place, task))


async def recover_resume(place: Place, _: Resume, _started_at: Nanos) -> Done:
    """It runs, or it is undecided."""
    task = await _task(place)
    if task is not None and task.status == "running":
        return Done(already=True)
    raise Undecided(_seen(place, task))


async def recover_kill(place: Place, command: Kill, started_at: Nanos) -> Done:
    """It ended by this very signal since then, or it is undecided: most signals leave no trace."""
    task = await _task(place)
    number = signal_number(command.signal)
    ended = task is not None and task.exited_at is not None and task.exited_at >= started_at
    if ended and task is not None and task.exit_status == 128 + number and command.exec_id is None:
        return Done()
    if number == SIGKILL and task is None and command.exec_id is None:
        state = await place.known(*place.target)
        if state.exited and state.exit_status == 128 + number and (state.exited_at or 0) >= started_at:
            return Done()
    raise Undecided(_seen(place, task))


async def recover_stop(place: Place, _: Stop, _started_at: Nanos) -> ExitInfo:
    """It has ended, or it is undecided: the signal may still be at work."""
    task = await _task(place)
    if task is None:
        return ExitInfo()
    if task.status == "stopped":
        return ExitInfo(exit_status=task.exit_status, exited_at=task.exited_at)
    raise Undecided(_seen(place, task))


async def recover_delete(place: Place, _: Delete, _started_at: Nanos) -> Deleted:
    """Its record is gone, or it is undecided how far it came."""
    try:
        await place.runtime.containers.get(*place.target)
    except CommandFailed as error:
        if error.code == "not_found":
            return Deleted()
        raise
    raise Undecided(f"{_seen(place, await _task(place))}, and its record is still there")


async def recover_create(place: Place, _: Create, _started_at: Nanos) -> Created:
    """The container is there under this command's id, or it is undecided: it may have been deleted again."""
    created = await created_by(place, place.command_id)
    if created is None:
        raise Undecided(f"there is no container {place.container} that this command made")
    return created


async def recover_run(place: Place, command: Run, started_at: Nanos) -> Ran:
    """The container is there under this command's id, and it was started."""
    created = await recover_create(place, command, started_at)
    task = await _task(place)
    if task is None or task.status == "created":
        raise Undecided(f"{place} was made, and {_seen(place, task)}")
    return Ran(container=created.container, pid=task.pid, image=created.image, already=True, process=_process(place))


async def recover_exec(place: Place, command: Exec, _started_at: Nanos) -> ExecResult:
    """Its session knows how it ended; one that goes on outlives the bridge, and can be attached to."""
    exec_id = command.exec_id or place.command_id
    session = None if place.sessions is None else place.sessions.find(*place.target, exec_id)
    if session is None or session.command_id != place.command_id:
        raise Undecided(f"no session of an exec {exec_id} in {place} is known")
    result = session.result()
    if result.running and command.mode != "detached":
        raise Undecided(f"exec {exec_id} goes on in {place}: attach to it")
    return result


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

CREATING: Mapping[str, Recover] = MappingProxyType({Create.verb: recover_create, Run.verb: recover_run})

RECOVERIES: Mapping[str, Recover] = MappingProxyType({**LIFECYCLE, **CREATING, Exec.verb: recover_exec})
"""Verb -> how its outcome is found, of every family. A verb that is missing is `Undecided`."""
