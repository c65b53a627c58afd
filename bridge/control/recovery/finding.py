"""What looking for a command's outcome can come to, and what is looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from msgspec import Struct

from bridge.control.leases import lease_of
from bridge.control.verb import Interruption, Place
from bridge.errors import BridgeError
from bridge.model import labels
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import TaskInfo
from bridge.ports import StdioSession

__all__ = [
    "GoesOn",
    "NotDone",
    "NotHere",
    "Recover",
    "Undecided",
    "absent",
    "begun",
    "leased",
    "seen",
    "session_of",
    "task_of",
]


REMEMBERED_S: Final = 3_000.0
"""For so long the record of a session is there for certain, also of one that has ended."""


class Undecided(BridgeError):
    """Nobody can say any more whether the command took effect; the sentence says what is seen now."""


class NotDone(BridgeError):
    """It had no effect, or none is left: it may be sent again, under another id. The sentence says what was found."""


class NotHere(NotDone):
    """What this bridge keeps on its own disk shows that it had no effect. The disk of another one may show something else."""


class GoesOn(BridgeError):
    """It is not over: a process of its own outlives the bridge. `result` waits for that and returns the verb's result.

    Whoever takes the command back meanwhile reaches that through `interruption`.
    """

    def __init__(self, result: Callable[[], Awaitable[Struct]], interruption: Interruption) -> None:
        super().__init__("it goes on")
        self.result = result
        self.interruption = interruption


Recover: TypeAlias = Callable[[Place, Any, Nanos], Awaitable[Struct]]
"""Finds the outcome of a command (the struct of that verb) that was started at that time. It does nothing of the command; what
is left of one that was broken off in the middle it takes away.

Raises:
    Undecided: it cannot be told.
    NotDone: it had no effect.
    GoesOn: it is not over.
    CommandFailed: it failed, and had no effect.
"""


async def task_of(place: Place) -> TaskInfo | None:
    """Return the container's task."""
    return await place.runtime.tasks.get(*place.target)


def seen(place: Place, task: TaskInfo | None) -> str:
    """Say what is there of it now."""
    return f"{place} has no task now" if task is None else f"{place} is {task.status} now"


async def begun(place: Place, started_at: Nanos) -> int | None:
    """Return the process that the container began to run since then, None where the log knows of none."""
    state = await place.known(*place.target)
    began = state.started_at
    return state.pid if began is not None and began >= started_at else None


async def leased(place: Place) -> bool:
    """Tell whether the command's lease is still there: whoever made it did not come to its end."""
    assert place.namespace is not None
    found = await place.runtime.leases.list([place.namespace], labels.COMMAND)
    return any(one.id == lease_of(place.command_id) for one in found)


def absent(place: Place, what: str, started_at: Nanos) -> Undecided | NotHere:
    """Return what it means that a command has no session: its process was never made, since the session comes first."""
    if place.sessions is None or (now() - started_at) / 1e9 > REMEMBERED_S:
        return Undecided(f"no session of {what} is known")
    return NotHere(f"the bridge ended before {what} was made: nothing of it is left")


def session_of(place: Place, exec_id: str | None) -> StdioSession | None:
    """Return the session of a process if it is this command's."""
    session = None if place.sessions is None else place.sessions.find(*place.target, exec_id)
    return session if session is not None and session.command_id == place.command_id else None
