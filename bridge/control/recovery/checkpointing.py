"""What became of checkpoint, checkpoint-remove and restore.

A checkpoint carries its command's id, wherever it was put, and is there whole or not at all; a note in the command's directory
says whether the task stands still because of it. A restored container carries the id in a label, and runs or does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bridge.control import lifecycle
from bridge.control.checkpoint import finish, only_here, result_of, tell_of
from bridge.control.checkpoint_dump import resume
from bridge.control.checkpoint_host import taken_away
from bridge.control.creation import created_by
from bridge.control.leases import AGAIN_S, MOST_S, PASSING, lease_of
from bridge.control.lifecycle import end_task
from bridge.control.recovery.finding import GoesOn, NotDone, Recover, Undecided, seen, task_of
from bridge.control.restore import restored_by
from bridge.control.restore_container import put_back, snapshot_key_of
from bridge.control.restore_source import told_at
from bridge.control.restore_spec import without_config
from bridge.control.verb import Checkpointing, Place
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.checkpoints import CheckpointKey, CheckpointRecord, Verdict
from bridge.model.commands import Checkpoint, CheckpointRemove, Delete, Restore
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Checkpointed, CheckpointRemoved, Restored

__all__ = ["CHECKPOINTING"]

log = logging.getLogger(__name__)

BUSY_S: Final = 20.0
"""How long a CRIU that goes on with its dump is waited for before anybody else is let in; it may take an hour."""


def _kit(place: Place) -> Checkpointing:
    if place.checkpointing is None:
        raise Undecided("this bridge has no catalogue of checkpoints any more")
    return place.checkpointing


# -- checkpoint


async def recover_checkpoint(place: Place, command: Checkpoint, _started_at: Nanos) -> Checkpointed:
    """It is where it was to go, under this command's id; or the task runs on, and nothing of it is left.

    Whatever else is found, what stands still because of it runs on first, unless it was to end. Where CRIU has ended the task,
    and nothing but the directory has it, that is gone on with. What cannot be asked for now is asked for until it can.
    """
    if command.check:
        raise NotDone("the bridge ended while it looked at what a checkpoint would meet")
    kit = _kit(place)
    try:
        return await _looked_for(place, kit, command)
    except CommandFailed as error:
        if error.code not in PASSING:
            raise
        raise GoesOn(partial(_insisted, place, kit, command), place.interruption) from error


async def _insisted(place: Place, kit: Checkpointing, command: Checkpoint) -> Checkpointed:
    pause = AGAIN_S
    while True:
        await asyncio.sleep(pause)
        try:
            return await _looked_for(place, kit, command)
        except GoesOn as found:
            result = await found.result()
            assert isinstance(result, Checkpointed)
            return result
        except CommandFailed as error:
            if error.code not in PASSING:
                raise
            log.info("what became of command %s is not known yet: %s", place.command_id, error)
        pause = min(2 * pause, MOST_S)


async def _looked_for(place: Place, kit: Checkpointing, command: Checkpoint) -> Checkpointed:
    bench = kit.workshop.bench(place.command_id)
    note = await bench.noted()
    if bench.there:
        try:
            async with asyncio.timeout(BUSY_S):
                await place.runtime.checkpoints.until_over(bench.images)
        except TimeoutError as error:
            raise CommandFailed("unavailable", f"CRIU is still at work on {place}") from error
    if note.paused and not command.exit:
        await resume(place)
    record = await _made(place, kit, command)
    if command.to in {"dir", "file"}:
        await taken_away(Path(command.target), place.command_id)
    if record is not None:
        if command.exit:
            await _end(place)
        await _tell(place, command, record)
        await _clear(place, kit)
        return result_of(command, record, Verdict(findings=[]), already=True)
    if note.draft is not None and await only_here(place, bench):
        raise GoesOn(partial(_finished, place, kit, command), place.interruption)
    if note.paused:
        await resume(place)
    if command.to == "catalogue" and note.draft is not None:
        await kit.catalogue.abandon(note.draft.key, upload=place.command_id)
    await _clear(place, kit)
    raise NotDone(
        f"the bridge ended before the checkpoint of {place} was made: nothing of it is left; "
        f"{seen(place, await task_of(place))}"
    )


async def _finished(place: Place, kit: Checkpointing, command: Checkpoint) -> Checkpointed:
    bench = kit.workshop.bench(place.command_id)
    result = await finish(place, command, bench, await bench.noted())
    await _clear(place, kit)
    return result


async def _made(place: Place, kit: Checkpointing, command: Checkpoint) -> CheckpointRecord | None:
    """Return the record of what this command has put where it was to go, None where that is not there."""
    namespace, container = place.target
    found: CheckpointRecord | None = None
    match command.to:
        case "catalogue":
            records = await kit.catalogue.list(node=place.node, namespace=namespace, container=container)
            found = next((one for one in records if one.id == place.command_id), None)
        case "image":
            for image in await place.runtime.images.list(namespace):
                if image.name == command.target and image.labels.get(labels.COMMAND) == place.command_id:
                    found = (await kit.workshop.bench(place.command_id).noted()).draft
        case "dir" | "file":
            try:
                told = await told_at(Path(command.target))
            except CommandFailed:
                return None
            if told.record is not None and told.record.id == place.command_id:
                found = told.record
    return found


async def _end(place: Place) -> None:
    task = await task_of(place)
    if task is not None and task.status != "stopped":
        _kit(place).ending(*place.target, place.command_id)
        await end_task(place)


async def _tell(place: Place, command: Checkpoint, record: CheckpointRecord) -> None:
    """Tell of it in the log, unless that was done."""
    try:
        last = (await place.known(*place.target)).last_checkpoint
    except CommandFailed:
        last = None
    if last is None or last.made_at is None or last.made_at < record.created_at:
        tell_of(place, command, record)


async def _clear(place: Place, kit: Checkpointing) -> None:
    assert place.namespace is not None
    await place.runtime.leases.delete(place.namespace, lease_of(place.command_id), sync=True)
    await kit.workshop.close(place.command_id)


# -- checkpoint-remove


async def recover_checkpoint_remove(place: Place, command: CheckpointRemove, _started_at: Nanos) -> CheckpointRemoved:
    """Its record is gone, and what may be left of its archive goes now; or it is there as before."""
    catalogue = _kit(place).catalogue
    key = CheckpointKey(command.of or place.node, *place.target, command.name)
    try:
        await catalogue.get(key)
    except CommandFailed as error:
        if error.code != "not_found":
            raise
        return CheckpointRemoved(checkpoint=key.token, freed=await catalogue.remove(key))
    raise NotDone(f"the bridge ended before checkpoint {key.token} was removed: it is there as before")


# -- restore


async def recover_restore(place: Place, command: Restore, _started_at: Nanos) -> Restored:
    """The container runs under this command's id; else what was made is taken away, and what was there is as before."""
    if command.check:
        raise NotDone("the bridge ended while it looked at what a restore would meet")
    kit = _kit(place)
    found = await restored_by(place, place.command_id)
    if found is not None:
        record = await place.runtime.containers.get(*place.target)
        before = (await kit.workshop.bench(place.command_id).noted()).before
        spec = without_config(record.spec or {}) if before is None else before.spec or {}
        await place.runtime.containers.respec(*place.target, spec)
        await _clear(place, kit)
        return found
    bench = kit.workshop.bench(place.command_id)
    before = (await bench.noted()).before
    if before is not None:
        if (task := await task_of(place)) is not None:
            await lifecycle.remove_task(place, task)
        await put_back(place, before)
        if (
            await place.runtime.snapshots.labels(place.target[0], before.snapshotter, snapshot_key_of(place))
            is not None
        ):
            await place.runtime.snapshots.remove(place.target[0], before.snapshotter, snapshot_key_of(place))
    elif await created_by(place, place.command_id) is not None:
        await lifecycle.delete(place, Delete(force=True))
    for image in await place.runtime.images.list(place.target[0]):
        if image.labels.get(labels.COMMAND) == place.command_id:
            await place.runtime.images.delete(place.target[0], image.name)
    await _clear(place, kit)
    raise NotDone(f"the bridge ended before {place} was restored: nothing of it is left")


CHECKPOINTING: Mapping[str, Recover] = MappingProxyType(
    {
        Checkpoint.verb: recover_checkpoint,
        CheckpointRemove.verb: recover_checkpoint_remove,
        Restore.verb: recover_restore,
    }
)
"""Verb -> how its outcome is found."""
