"""The verbs that make and remove checkpoints: checkpoint, checkpoint-remove.

The order is what makes it safe. Under a lease the task stands still, is dumped, and what it wrote to its file system is taken; it
runs on; only then what takes long begins: the archive is stored, and read again; the record comes last, and with it the
checkpoint is one. **Whatever fails, the container is as it was before and nothing is left.**

With `exit` the task stands still until the record is there, and is killed then: nothing can go wrong any more that would leave
neither a container nor a checkpoint. Only where it has TCP connections CRIU itself ends it, which has to close them without their
other ends noticing; what is in the directory then is all there is of it, so a crash is gone on from (`finish`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

from msgspec import structs

from bridge.control.checkpoint_dump import Dump, Pause, checkpointing_at, dump, facts_of, stats_in
from bridge.control.checkpoint_targets import check_target, keep, name_of
from bridge.control.checkpoint_verdict import verdict_of_dump
from bridge.control.leases import held, undo
from bridge.control.lifecycle import end_task
from bridge.control.verb import Checkpointing, Place, Verb, record_at, task_at
from bridge.control.workshop import Bench, Note
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model.checkpoints import CheckpointKey, CheckpointOptions, CheckpointRecord, Verdict
from bridge.model.commands import Checkpoint, CheckpointRemove, Command
from bridge.model.events import TaskCheckpointed
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import Checkpointed, CheckpointRemoved

__all__ = ["VERBS", "bench_of", "finish", "only_here", "options_of", "refuse", "result_of", "tell_of"]


async def checkpoint(place: Place, command: Checkpoint) -> Checkpointed:
    """Make a checkpoint; its container stands afterwards as before, unless it is to end."""
    kit = checkpointing_at(place)
    _check(command)
    record, task = await asyncio.gather(record_at(place), task_at(place))
    if task.status not in {"running", "paused"}:
        raise CommandFailed(
            "failed_precondition", f"{place} is {task.status}: there is nothing to dump, start it first"
        )
    options = options_of(command)
    draft = await facts_of(place, record, task, options, name=command.name or _name(), rw=command.rw)
    if command.expires:
        draft = structs.replace(draft, expires_at=Nanos(now() + int(command.expires * 1e9)))
    await check_target(place, command, draft.key)
    verdict = await verdict_of_dump(place, record, task, draft)
    if command.check:
        return Checkpointed(verdict=verdict, record=draft)
    refuse(place, verdict, force=command.force)
    spec = record.spec or {}
    async with bench_of(place, kit) as bench, held(place, place.command_id) as lease:
        ends = command.exit and command.tcp_established
        async with _ending(place, kit, wanted=command.exit), Pause(place, bench, task, draft=draft) as pause:
            if ends:
                await bench.note(Note(paused=task.status == "running", ended=True, draft=draft))
            dumped = await place.interruption.through(
                dump(place, bench, pause, draft, spec, lease=lease, ends=ends, packed=command.to == "image"),
                otherwise=f"checkpoint was cancelled: {place} is as it was before",
            )
            if ends:
                pause.ended()
            elif not command.exit:
                await pause.over()
            draft = structs.replace(
                dumped.draft,
                interrupted_ns=pause.interrupted_ns,
                exited=command.exit,
                stats=await stats_in(bench),
            )
            dumped = structs.replace(dumped, draft=draft)
            kept = await _kept(place, command, bench, dumped, lease)
            if command.exit and not ends:
                await _end(place, command, kept)
                pause.ended()
        return result_of(command, kept, verdict)


def options_of(command: Command) -> CheckpointOptions:
    """Return how CRIU is to dump, as far as a command says it."""
    fields = CheckpointOptions.__struct_fields__
    return CheckpointOptions(**{name: getattr(command, name) for name in fields if hasattr(command, name)})


def result_of(
    command: Checkpoint, record: CheckpointRecord, verdict: Verdict, *, already: bool = False
) -> Checkpointed:
    """Return what is told of a checkpoint that was made."""
    return Checkpointed(
        verdict=verdict,
        record=record,
        image=command.target if command.to == "image" else "",
        path=command.target if command.to in {"dir", "file"} else "",
        already=already,
    )


def refuse(place: Place, verdict: Verdict, *, force: bool) -> None:
    """Do nothing of what is known to fail.

    Raises:
        CommandFailed: `failed_precondition`: what would, and the way out.
    """
    if verdict.ok or force:
        return
    told = "; ".join(f"{one.says}: {one.way_out}" if one.way_out else one.says for one in verdict.blocking)
    raise CommandFailed("failed_precondition", f"{place}: {told}; or try it all the same, with force")


async def _kept(place: Place, command: Checkpoint, bench: Bench, dumped: Dump, lease: str) -> CheckpointRecord:
    """Put it where it is to go, and tell of it."""
    kept = await keep(place, command, bench, dumped, lease=lease)
    tell_of(place, command, kept)
    return kept


def tell_of(place: Place, command: Checkpoint, record: CheckpointRecord) -> None:
    """Tell in the log that a checkpoint was made."""
    namespace, container = place.target
    event = TaskCheckpointed(container_id=container, checkpoint=name_of(command, record.key))
    checkpointing_at(place).happened(event, namespace, container, record.id)


async def _end(place: Place, command: Checkpoint, record: CheckpointRecord) -> None:
    """End the task, which has a checkpoint now; that stays, whatever comes of the end."""
    try:
        await end_task(place)
    except CommandFailed as error:
        made = name_of(command, record.key)
        sentence = f"checkpoint {made} is made, and its container was to end: {error.message}"
        raise CommandFailed(error.code, sentence, containerd=error.containerd) from error


async def finish(place: Place, command: Checkpoint, bench: Bench, note: Note) -> Checkpointed:
    """Go on where a bridge was killed after CRIU had ended the task: the directory has all there is of it."""
    assert note.draft is not None
    record = await record_at(place)
    draft = structs.replace(note.draft, exited=True, stats=await stats_in(bench))
    # Not under the lease of then: whoever clears up after the bridge that is gone takes that away.
    async with held(place, f"{place.command_id}-again") as lease:
        changes = place.runtime.checkpoints.changes
        layer = await changes(*place.target, packed=command.to == "image", lease=lease) if draft.rw else None
        kept = await _kept(place, command, bench, Dump(draft=draft, spec=record.spec or {}, layer=layer), lease)
    return result_of(command, kept, Verdict(findings=[]))


# -- what stands around it


@asynccontextmanager
async def bench_of(place: Place, kit: Checkpointing) -> AsyncIterator[Bench]:
    """Have a directory of the command's own, which is gone afterwards; but not what would be lost with it.

    Where the bridge stops in the middle, whoever looks for the outcome has to know what stands in it, and removes it.
    """
    bench = await kit.workshop.open(place.command_id)
    try:
        yield bench
    except CommandFailed as error:
        if await only_here(place, bench):
            sentence = (
                f"{error.message}; the task has ended, and its dump is in {bench.images}: `restore` takes it as dir"
            )
            raise CommandFailed(error.code, sentence, containerd=error.containerd) from error
        await undo(str(bench.path), kit.workshop.close(place.command_id))
        raise
    except Exception:
        if not await only_here(place, bench):
            await undo(str(bench.path), kit.workshop.close(place.command_id))
        raise
    await undo(str(bench.path), kit.workshop.close(place.command_id))


async def only_here(place: Place, bench: Bench) -> bool:
    """Tell whether what lies in a directory is all there is of a task: CRIU has ended it, and its dump is whole."""
    if not (await bench.noted()).ended or not await bench.is_whole():
        return False
    try:
        task = await place.runtime.tasks.get(*place.target)
    except CommandFailed:
        return True  # nobody can say
    return task is None or task.status == "stopped"


@asynccontextmanager
async def _ending(place: Place, kit: Checkpointing, *, wanted: bool) -> AsyncIterator[None]:
    """Let the exit that comes be told from a crash; no other one, where it does not come."""
    if not wanted:
        yield
        return
    kit.ending(*place.target, place.command_id)
    try:
        yield
    except BaseException:
        kit.ending(*place.target, None)
        raise


def _check(command: Checkpoint) -> None:
    """See that the options make sense together."""
    flaw = None
    if command.to == "catalogue" and command.target:
        flaw = "a checkpoint in the catalogue has a name and no target: leave the target out"
    elif command.to != "catalogue" and not command.target:
        flaw = f"where the {command.to} is to be is missing: give a target"
    elif command.to in {"dir", "file"} and (not command.target.startswith("/") or ".." in command.target.split("/")):
        flaw = f"{command.target!r} is no absolute path without '..': give one of the node's host"
    elif command.to != "catalogue" and command.expires:
        flaw = "what is not in the catalogue does not expire: leave expires out"
    if flaw is not None:
        raise CommandFailed("invalid_argument", flaw)


def _name() -> str:
    """Return a name that says when it was made, to the millisecond."""
    moment = now()
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(moment // 1_000_000_000))}.{moment // 1_000_000 % 1000:03d}Z"


# -- checkpoint-remove


async def checkpoint_remove(place: Place, command: CheckpointRemove) -> CheckpointRemoved:
    """Remove a checkpoint from the catalogue; that there is none is not found."""
    if not command.name:
        raise CommandFailed("invalid_argument", "no checkpoint is named: give its name")
    catalogue = checkpointing_at(place).catalogue
    key = CheckpointKey(command.of or place.node, *place.target, command.name)
    await catalogue.get(key)
    freed = await catalogue.remove(key)
    failpoint("removed")
    return CheckpointRemoved(checkpoint=key.token, freed=freed)


VERBS: Mapping[str, Verb] = MappingProxyType({Checkpoint.verb: checkpoint, CheckpointRemove.verb: checkpoint_remove})
"""Verb -> coroutine."""
