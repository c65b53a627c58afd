"""Where a checkpoint goes: the catalogue of the bus, containerd's image store, a directory, or a file of the node's host.

Whatever it is, it is there whole and can be read again before anybody is told, or nothing of it is. What is there already is
never replaced.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import structs

from bridge.checkpoints import Contents, pack
from bridge.control.checkpoint_dump import Dump, checkpointing_at, contents_of
from bridge.control.checkpoint_host import check_free, taken, write_directory, write_file
from bridge.control.checkpoint_image import make_checkpoint_image
from bridge.control.checkpoint_origin import exported
from bridge.control.leases import taken_back, undo
from bridge.control.verb import Place
from bridge.control.workshop import Bench
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model import labels
from bridge.model.checkpoints import CheckpointKey, CheckpointRecord
from bridge.model.commands import Checkpoint
from bridge.model.outcomes import Progress

__all__ = ["check_target", "keep", "name_of"]

TOLD_EVERY: Final = 4 << 20
"""Bytes of an archive after which it is told how far that has come."""

CANCELLED: Final = "checkpoint was cancelled: nothing of it is left, and its container is as it was"


def name_of(command: Checkpoint, key: CheckpointKey) -> str:
    """Return what a checkpoint is called in the log: its key, or where else it lies."""
    return key.token if command.to == "catalogue" else command.target


async def check_target(place: Place, command: Checkpoint, key: CheckpointKey) -> None:
    """See that nothing is there yet.

    Raises:
        CommandFailed: `already_exists`; `invalid_argument` where it is no place at all.
    """
    match command.to:
        case "catalogue":
            try:
                await checkpointing_at(place).catalogue.get(key)
            except CommandFailed as error:
                if error.code == "not_found":
                    return
                raise
            raise CommandFailed(
                "already_exists", f"{place} has a checkpoint {key.name} already: give another name, or remove that one"
            )
        case "image":
            assert place.namespace is not None
            if any(one.name == command.target for one in await place.runtime.images.list(place.namespace)):
                raise taken(f"image {command.target}")
        case "dir" | "file":
            await check_free(Path(command.target))


async def keep(place: Place, command: Checkpoint, bench: Bench, dumped: Dump, *, lease: str) -> CheckpointRecord:
    """Put a dump where it is to go, and read it again.

    Raises:
        CommandFailed: nothing of it is there.
    """
    if command.to == "image":
        return await _into_image(place, command.target, bench, dumped, lease)
    contents = await place.interruption.through(contents_of(place, bench, dumped), otherwise=CANCELLED)
    match command.to:
        case "catalogue":
            return await _into_catalogue(place, dumped, contents)
        case "dir":
            return await _into_directory(place, Path(command.target), contents)
        case "file":
            return await _into_file(place, Path(command.target), contents)


# -- the catalogue


async def _into_catalogue(place: Place, dumped: Dump, contents: Contents) -> CheckpointRecord:
    catalogue, draft = checkpointing_at(place).catalogue, dumped.draft
    archive, key = await pack(contents), draft.key

    try:
        facts = await place.interruption.through(
            catalogue.store(key, archive, upload=draft.id, tell=_telling(place, "storing", archive.unpacked)),
            otherwise=CANCELLED,
        )
        failpoint("archived")
        if draft.image_digest:
            await place.interruption.through(_image_along(place, draft), otherwise=CANCELLED)
        place.tell(Progress(id=draft.id, name=draft.name, event="verifying", total=facts.size))
        await place.interruption.through(_read(catalogue.load(key, expected=facts.digest)), otherwise=CANCELLED)
        facts = structs.replace(facts, unpacked=archive.unpacked)
        record = await catalogue.put(structs.replace(draft, archive=facts))
    except BaseException:
        # What the catalogue cannot be told now it sweeps away by itself.
        await undo(f"checkpoint {key.token}", catalogue.abandon(key, upload=draft.id))
        raise
    failpoint("recorded")
    return record


async def _image_along(place: Place, draft: CheckpointRecord) -> None:
    """Let the catalogue have the container's image too, once for all checkpoints of it."""
    archive = partial(exported, place, draft.image_digest, draft.image)
    tell = _telling(place, "storing image", 0)
    await checkpointing_at(place).catalogue.store_image(draft.image_digest, archive, upload=draft.id, tell=tell)


def _telling(place: Place, event: str, total: int) -> Callable[[int], None]:
    told = 0

    def tell(done: int) -> None:
        nonlocal told
        if done - told >= TOLD_EVERY:
            told = done
            place.tell(Progress(id=place.command_id, name=str(place), event=event, done=done, total=total))

    return tell


async def _read(archive: AsyncIterator[bytes]) -> None:
    async for _ in archive:
        pass


# -- an image of containerd's


async def _into_image(place: Place, name: str, bench: Bench, dumped: Dump, lease: str) -> CheckpointRecord:
    assert place.namespace is not None
    namespace, checkpoints, images = place.namespace, place.runtime.checkpoints, place.runtime.images

    async def away() -> None:
        if any(
            one.name == name and one.labels.get(labels.COMMAND) == dumped.draft.id
            for one in await images.list(namespace)
        ):
            await images.delete(namespace, name)

    try:
        making = make_checkpoint_image(place, name, bench, dumped, lease)
        await place.interruption.through(making, otherwise=CANCELLED)
        await checkpoints.image(namespace, name)
    except BaseException as error:
        await taken_back(error, f"image {name}", away)
        raise
    failpoint("recorded")
    return dumped.draft


# -- the host


async def _into_file(place: Place, target: Path, contents: Contents) -> CheckpointRecord:
    archive = await pack(contents)
    await place.interruption.through(write_file(archive, target, contents.record.id), otherwise=CANCELLED)
    assert archive.facts is not None
    failpoint("recorded")
    return structs.replace(contents.record, archive=archive.facts)


async def _into_directory(place: Place, target: Path, contents: Contents) -> CheckpointRecord:
    await place.interruption.through(write_directory(contents, target, contents.record.id), otherwise=CANCELLED)
    failpoint("recorded")
    return contents.record
