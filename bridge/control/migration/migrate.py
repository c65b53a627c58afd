"""The verb that moves a running container to another node: migrate.

Until the register says that it runs there, it is here, running or standing still; and where anything fails before, it runs on
here as if nothing had been, and nothing of it is there. From the moment at which the target has taken it, the target alone says
what came of it, and the container stands still here until that can be read (docs/migration.md).
"""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import structs

from bridge.control.checkpoint import options_of, refuse
from bridge.control.checkpoint_dump import facts_of
from bridge.control.checkpoint_verdict import memory_of, verdict_of_dump
from bridge.control.migration.departure import Departure
from bridge.control.migration.harbour import Harbour
from bridge.control.migration.loading import Loading, digest_of
from bridge.control.migration.source import SourceView
from bridge.control.verb import Place, record_at, task_at
from bridge.errors import CommandFailed
from bridge.model.checkpoints import Finding, Verdict
from bridge.model.commands import Migrate
from bridge.model.migrations import Migration, MigrationKey, part_key
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import ContainerInfo, Migrated, TaskInfo

__all__ = ["harbour_at", "migrate", "migrated", "not_migrated"]

GIVE_UP_S: Final = 2.0
"""How long a bridge that stops may take to let the container run on; else the next one does."""


def harbour_at(place: Place) -> Harbour:
    """Return what moves containers.

    Raises:
        CommandFailed: `unimplemented`: nothing does on this node.
    """
    if place.harbour is None:
        raise CommandFailed("unimplemented", f"no container leaves node {place.node} or arrives at it")
    harbour: Harbour = place.harbour
    return harbour


async def migrate(place: Place, command: Migrate) -> Migrated:
    """Move the container; it stays where it is if anything fails."""
    harbour = harbour_at(place)
    _check(place, command)
    record, task = await asyncio.gather(record_at(place), task_at(place))
    if task.status != "running":
        remedy = "resume it first" if task.status in {"paused", "pausing"} else "start it first"
        raise CommandFailed("failed_precondition", f"{place} is {task.status}, and only what runs is moved: {remedy}")
    migration = await _entry(place, command, record, task)
    verdict = await verdict_of_dump(place, record, task, migration.record)
    refuse(place, verdict, force=command.force)
    loading = Loading(
        place,
        migration,
        harbour.asking(migration),
        spec=record.spec or {},
        pre_copy=command.pre_copy,
        checks_only=command.check,
    )
    departure = harbour.departure(place, migration, loading, view=SourceView())
    async with harbour.watched(migration.id, departure):
        entry = await _run(place, departure)
    both = Verdict(findings=[*_of(place.node, verdict), *_of(command.to, loading.verdict)])
    if command.check and departure.why is loading.checked:
        return Migrated(verdict=both)
    if entry is None or entry.state != "released":
        raise not_migrated(place, entry, departure.why)
    return structs.replace(
        migrated(entry, both),
        rounds=loading.rounds,
        sent=loading.sent,
        sent_frozen=loading.sent_frozen,
        frozen_ns=departure.arrived_at - loading.frozen_at,
    )


async def _run(place: Place, departure: Departure) -> Migration | None:
    """Go to the end; a bridge that stops lets the container run on, where it may still say so."""
    try:
        return await departure.run()
    except asyncio.CancelledError:
        departure.give_up(CommandFailed("unavailable", f"the bridge on node {place.node} stops"))
        try:
            async with asyncio.timeout(GIVE_UP_S):
                return await departure.run()
        except TimeoutError:
            pass
        raise


def migrated(entry: Migration, verdict: Verdict) -> Migrated:
    """Return what is told of a container that runs at the target."""
    return Migrated(verdict=verdict, node=entry.target, pid=entry.pid, verified=entry.verified)


def not_migrated(place: Place, entry: Migration | None, why: CommandFailed | None) -> CommandFailed:
    """Return what is told of a container that runs on here."""
    if why is not None and why.code == "unknown":
        return why
    # What the target refuses was begun here all the same, and has come to nothing.
    code = "failed_precondition" if why is None or why.code == "refused" else why.code
    said = str(why) if why is not None else ""
    if entry is not None and entry.by != "source" and entry.why:
        code = "failed_precondition"
        said = entry.why if entry.by == "operator" else f"node {entry.target}: {entry.why}"
    if not said:
        code, said = "unavailable", "the register of migrations does not answer"
    sentence = f"{place} was not moved, and runs on on node {place.node}: {said.rstrip('.')}"
    return CommandFailed(code, sentence, containerd=None if why is None else why.containerd)


def _check(place: Place, command: Migrate) -> None:
    if not command.to:
        raise CommandFailed("invalid_argument", "where it is to go is missing: give to, a node")
    if command.to == place.node:
        raise CommandFailed("invalid_argument", f"{place} is on node {place.node} already: give another one")


async def _entry(place: Place, command: Migrate, record: ContainerInfo, task: TaskInfo) -> Migration:
    namespace, container = place.target
    key = MigrationKey(place.node, command.to, namespace, container, place.command_id)
    draft = await facts_of(place, record, task, options_of(command), name=part_key(key, 0).name, rw=True)
    moment = now()
    return Migration(
        id=place.command_id,
        state="reserved",
        source=place.node,
        target=command.to,
        namespace=namespace,
        container=container,
        born=record.created_at or Nanos(0),
        began_at=moment,
        changed_at=moment,
        record=draft,
        spec=digest_of(record.spec or {}),
        needs=await memory_of(place) or 0,
        verify=command.verify,
        force=command.force,
    )


def _of(node: str, verdict: Verdict) -> list[Finding]:
    return [structs.replace(one, says=f"node {node}: {one.says}") for one in verdict.findings]
