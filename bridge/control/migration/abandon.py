"""The verb by which an operator decides a migration that hangs: migrate-abandon.

It only writes into the register, in the steps that are an operator's; the ends read that there and do the rest. So it is safe by
itself where nothing was given away, and where something was it takes an operator's word for what no bridge can know.
"""

from __future__ import annotations

import logging

from msgspec.structs import replace

from bridge.control.migration.migrate import harbour_at
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model.commands import MigrateAbandon
from bridge.model.migrations import DECIDED, Migration
from bridge.model.outcomes import Done

__all__ = ["abandon"]

log = logging.getLogger(__name__)


async def abandon(place: Place, command: MigrateAbandon) -> Done:
    """Write that it is taken back, or with `force` that it has failed."""
    harbour = harbour_at(place)
    found = [entry for entry in await harbour.entries() if _is_meant(entry, place, command)]
    if not found:
        raise CommandFailed("not_found", f"no migration of {place} away from node {place.node} is under way")
    for entry in found:
        if entry.state == "running":
            raise CommandFailed(
                "failed_precondition", f"{place} runs on node {entry.target} already: migrate it back from there"
            )
        if entry.state == "taken" and not command.force:
            raise CommandFailed(
                "failed_precondition",
                f"node {entry.target} has taken {place} and may run it: start its bridge, which says what came of it; or say so "
                "with force, where it is certain that it does not run there and never will",
            )
        state = "failed" if entry.state == "taken" else "withdrawn"
        log.warning("migration %s of %s is %s: an operator says so", entry.id, place, state)
        await harbour.decide(replace(entry, state=state, by="operator", why="an operator has taken it back"))
    return Done()


def _is_meant(entry: Migration, place: Place, command: MigrateAbandon) -> bool:
    here = (entry.source, entry.namespace, entry.container) == (place.node, *place.target)
    return here and entry.state not in DECIDED and command.migration in {None, entry.id}
