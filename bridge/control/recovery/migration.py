"""What became of migrate and receive: the register and containerd say so, and both are gone on with.

It may take as long as the bus is away, so it goes on beside everything else, in the container's turn: nobody else is let to a
container of which it is open whose it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from msgspec import structs

from bridge.control.migration.harbour import Harbour
from bridge.control.migration.migrate import migrated, not_migrated
from bridge.control.migration.receive import arrived, key_of
from bridge.control.recovery.finding import GoesOn, NotDone, Recover, Undecided
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model.checkpoints import Verdict
from bridge.model.commands import Migrate, Receive
from bridge.model.migrations import Migration, MigrationKey
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Migrated, Received

__all__ = ["MIGRATION"]

AGAIN_S: Final = 1.0


async def recover_migrate(place: Place, command: Migrate, _started_at: Nanos) -> Migrated:
    """It is gone on with from what the register says."""
    harbour = _harbour(place)
    if place.command_id in harbour.leaving:
        raise NotDone("the bridge stops")  # by the very run that is looked at
    raise GoesOn(partial(_left, place, harbour, command.to), place.interruption)


async def _left(place: Place, harbour: Harbour, target: str) -> Migrated:
    key = MigrationKey(place.node, target, *place.target, place.command_id)
    async with harbour.turn(place):
        entry = await _entry(harbour, key)
        if entry is None:
            task = await place.runtime.tasks.get(*place.target)
            if task is not None and task.status == "paused":
                harbour.strand(key)
                raise Undecided(
                    f"no register says whose {place} is, and it stands still: look whether it runs elsewhere, then resume it"
                )
            raise NotDone(f"the bridge ended before {place} had begun to move: it is here as it was")
        async with harbour.watched(key.migration, harbour.left_open(place, entry)) as departure:
            entry = await departure.run()
    if entry is not None and entry.state == "released":
        return migrated(entry, Verdict(findings=[]))
    why = CommandFailed("unavailable", "the bridge ended before it was decided")
    raise not_migrated(place, entry, why)


async def recover_receive(place: Place, command: Receive, _started_at: Nanos) -> Received:
    """What was to be restored is gone on with; of all else nothing is left that the register would not say."""
    if command.stage != "restore":
        raise NotDone(f"the bridge ended before it had come to {command.stage} the migration {command.migration}")
    raise GoesOn(partial(_arrived, place, _harbour(place), command), place.interruption)


async def _arrived(place: Place, harbour: Harbour, command: Receive) -> Received:
    at = structs.replace(place, command_id=command.migration)
    async with harbour.turn(place):
        arrival = harbour.found(at, key_of(place, command))
        entry = await arrival.run()
    why = CommandFailed("unavailable", f"the bridge ended before {place} ran")
    return arrived(place, entry, arrival.why or why)


def _harbour(place: Place) -> Harbour:
    if place.harbour is None:
        raise Undecided("this bridge moves no containers any more")
    harbour: Harbour = place.harbour
    return harbour


async def _entry(harbour: Harbour, key: MigrationKey) -> Migration | None:
    while True:
        try:
            return await harbour.entry(key)
        except CommandFailed:
            await asyncio.sleep(AGAIN_S)


MIGRATION: Mapping[str, Recover] = MappingProxyType({Migrate.verb: recover_migrate, Receive.verb: recover_receive})
"""Verb -> how its outcome is found."""
