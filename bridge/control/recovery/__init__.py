"""What became of commands that were under way when the bridge died: looked for, and never done again.

A family of verbs says for each of them how its outcome is found: `recover(place, command, started_at)` looks at containerd and
returns the verb's result where what was asked for is so, raises NotDone where it provably had no effect, GoesOn where a process
of its own outlives the bridge, and Undecided where looking cannot tell. A verb that is not in the table is undecided. What is
made for a command is named after `place.command_id`, so that it can be found; what was made half is taken away.

    FAMILY = {Pause.verb: recover_pause}      in the family's module, and put into `RECOVERIES` here
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NoReturn

from msgspec import Struct

from bridge.control.leases import AGAIN_S, MOST_S
from bridge.control.recovery.checkpointing import CHECKPOINTING
from bridge.control.recovery.creating import CREATING
from bridge.control.recovery.execution import EXECUTION
from bridge.control.recovery.finding import GoesOn, NotDone, NotHere, Recover, Undecided
from bridge.control.recovery.images import IMAGES
from bridge.control.recovery.lifecycle import LIFECYCLE
from bridge.control.recovery.limits import LIMITS
from bridge.control.recovery.migration import MIGRATION
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model.commands import Command
from bridge.model.nanos import Nanos

__all__ = ["AWAY_S", "RECOVERIES", "GoesOn", "NotDone", "NotHere", "Recover", "Undecided", "recover"]

AWAY_S: Final = 30.0
"""Patience with a containerd that went away while a command is looked for, and with a log that does not follow it yet."""


async def recover(place: Place, command: Command, started_at: Nanos, *, until: float | None = None) -> Struct:
    """Return the result of a command that was started and not finished. A containerd that is away is waited for a while.

    Args:
        place: where it worked.
        command: its options.
        started_at: when it was started.
        until: so long, by the loop's clock; `AWAY_S` unless given.

    Raises:
        Undecided: nobody can say.
        NotDone: it had no effect.
        GoesOn: it is not over.
        CommandFailed: it failed.
    """
    loop = asyncio.get_running_loop()
    pause, until = AGAIN_S, loop.time() + AWAY_S if until is None else until
    while True:
        try:
            return await RECOVERIES.get(command.verb, _undecided)(place, command, started_at)
        except CommandFailed as error:
            if error.code not in {"unavailable", "internal", "unknown", "deadline_exceeded"}:
                raise
            if error.code != "unavailable" or loop.time() + pause > until:
                raise Undecided(f"containerd cannot be asked ({error})") from error
        await asyncio.sleep(pause)
        pause = min(2 * pause, MOST_S)


async def _undecided(_place: Place, command: Command, _started_at: Nanos) -> NoReturn:
    raise Undecided(f"nothing shows whether {command.verb} took effect")


RECOVERIES: Mapping[str, Recover] = MappingProxyType(
    {**LIFECYCLE, **CREATING, **EXECUTION, **IMAGES, **LIMITS, **CHECKPOINTING, **MIGRATION}
)
"""Verb -> how its outcome is found, of every family. A verb that is missing is `Undecided`."""
