"""The verb by which the source of a migration asks its target to do its part: receive.

Only bridges are permitted to send it, and nobody's word is taken for anything: before anything is done the register has to have
an entry of that source for this container and this node, in the state in which it is to be done.
"""

from __future__ import annotations

from msgspec import structs

from bridge.control.migration.harbour import Harbour
from bridge.control.migration.landing import Landing
from bridge.control.migration.migrate import harbour_at
from bridge.control.migration.target import TargetView
from bridge.control.restore import permit_plan
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model.checkpoints import Verdict
from bridge.model.commands import Receive
from bridge.model.migrations import Migration, MigrationKey, MigrationState
from bridge.model.outcomes import Received

__all__ = ["arrived", "key_of", "receive"]

NOTHING = Verdict(findings=[])


async def receive(place: Place, command: Receive) -> Received:
    """Do the target's part of a migration."""
    if not command.migration or not command.source:
        raise CommandFailed("invalid_argument", "this names no migration: `migration` and `source` say which one it is")
    await place.permit(begins=False)  # whether anything may come here at all; what it is, is judged when it is known
    harbour = harbour_at(place)
    key = key_of(place, command)
    entry = await harbour.entry(key)
    if entry is None:
        raise CommandFailed(
            "failed_precondition",
            f"the register has no migration {key.migration} of {place} from node {key.source} to node {place.node}",
        )
    match command.stage:
        case "reserve":
            return await _reserve(place, harbour, entry)
        case "prepare":
            return await _prepare(place, harbour, entry, command)
        case "restore":
            return await _restore(place, harbour, entry)
        case "abandon":
            return await _abandon(place, harbour, entry)


def key_of(place: Place, command: Receive) -> MigrationKey:
    """Return what the migration stands under in the register."""
    return MigrationKey(command.source, place.node, *place.target, command.migration)


def _demand(entry: Migration, *states: MigrationState) -> None:
    if entry.state not in states:
        raise CommandFailed("failed_precondition", f"migration {entry.id} is {entry.state} by now: nothing is done")


async def _reserve(place: Place, harbour: Harbour, entry: Migration) -> Received:
    _demand(entry, "reserved")
    at = structs.replace(place, command_id=entry.id)
    landing = Landing(at, entry.key)
    verdict = await landing.promise(place, entry)
    assert landing.plan is not None
    harbour.hold(entry.id, landing, harbour.arrival(entry.key, landing, TargetView()))
    failpoint("receive-promise")
    wants = landing.plan.fresh and landing.plan.image is None
    return Received(stage="reserved", verdict=verdict, wants_image=wants)


async def _prepare(place: Place, harbour: Harbour, entry: Migration, command: Receive) -> Received:
    _demand(entry, "reserved")
    landing = _promised(place, harbour, entry)
    await place.permit()  # its spec was judged when it was promised, and is again when it is restored
    await landing.prepare(command.part, image=command.image)
    failpoint("receive-prepare")
    return Received(stage="prepared", verdict=NOTHING)


async def _restore(place: Place, harbour: Harbour, entry: Migration) -> Received:
    _demand(entry, "offered", "taken", "running", "released")
    landing = _promised(place, harbour, entry)
    assert landing.plan is not None
    await permit_plan(place, landing.plan)
    arrival = harbour.berths[entry.id].arrival
    if entry.state == "offered" and not arrival.view.ready:
        await landing.have_all(entry)
        arrival.view = TargetView(ready=True)
    found = await arrival.run()
    if arrival.over:
        del harbour.berths[entry.id]
    return arrived(place, found, arrival.why)


def arrived(place: Place, entry: Migration | None, why: CommandFailed | None) -> Received:
    """Return what is told of a container that has arrived.

    Raises:
        CommandFailed: it has not.
    """
    if entry is not None and entry.state in {"running", "released"}:
        return Received(stage="running", verdict=NOTHING, pid=entry.pid)
    if why is not None:
        raise why
    state = "gone" if entry is None else entry.state
    raise CommandFailed("failed_precondition", f"{place} does not run here: its migration is {state}")


async def _abandon(place: Place, harbour: Harbour, entry: Migration) -> Received:
    await place.permit()
    berth = harbour.berths.get(entry.id)
    arrival = harbour.found(structs.replace(place, command_id=entry.id), entry.key) if berth is None else berth.arrival
    await arrival.run()
    if arrival.over:
        harbour.berths.pop(entry.id, None)
    return Received(stage="abandoned", verdict=NOTHING)


def _promised(place: Place, harbour: Harbour, entry: Migration) -> Landing:
    berth = harbour.berths.get(entry.id)
    if berth is None or berth.landing.plan is None:
        raise CommandFailed(
            "failed_precondition",
            f"this bridge has promised no room for {place}: it was started since, or has given it up",
        )
    return berth.landing
