"""Where a checkpoint goes: the catalogue of the bus, containerd's image store, a directory, or a file of the node's host.

Whatever it is, it is there whole and can be read again before anybody is told, or nothing of it is. What is there already is
never replaced.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import structs

from bridge.checkpoints import LAYER, Contents, PackedArchive, described, pack
from bridge.control.checkpoint_dump import Dump, checkpointing_at, contents_of
from bridge.control.checkpoint_image import make_checkpoint_image
from bridge.control.leases import undo
from bridge.control.verb import Place
from bridge.control.workshop import Bench, disk
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model.checkpoints import CheckpointKey, CheckpointRecord
from bridge.model.commands import Checkpoint
from bridge.model.outcomes import Progress
from bridge.ports import Archive

__all__ = ["beside", "check_target", "keep", "name_of"]

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
                raise _taken(f"image {command.target}")
        case "dir" | "file":
            path = Path(command.target)
            if not await asyncio.to_thread(path.parent.is_dir):
                raise CommandFailed("not_found", f"there is no directory {path.parent} on the host of {place.node}")
            if await asyncio.to_thread(os.path.lexists, path):
                raise _taken(str(path))


def _taken(what: str) -> CommandFailed:
    return CommandFailed("already_exists", f"{what} is there already, and is not replaced: give another name")


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
        await place.interruption.through(_read(catalogue.load(key)), otherwise=CANCELLED)
        facts = structs.replace(facts, unpacked=archive.unpacked)
        record = await catalogue.put(structs.replace(draft, archive=facts))
    except BaseException:
        await undo(f"checkpoint {key.token}", catalogue.abandon(key, upload=draft.id))
        raise
    failpoint("recorded")
    return record


async def _image_along(place: Place, draft: CheckpointRecord) -> None:
    """Let the catalogue have the container's image too, once for all checkpoints of it."""
    assert place.namespace is not None
    catalogue, namespace = checkpointing_at(place).catalogue, place.namespace

    async def exported() -> Archive:
        async for piece in await place.runtime.checkpoints.export_image(namespace, draft.image):
            yield piece

    await catalogue.store_image(draft.image_digest, exported, upload=draft.id, tell=_telling(place, "storing image", 0))


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
    namespace, checkpoints = place.namespace, place.runtime.checkpoints
    await place.interruption.through(make_checkpoint_image(place, name, bench, dumped, lease), otherwise=CANCELLED)

    try:
        await checkpoints.image(namespace, name)
    except BaseException:
        await undo(f"image {name}", place.runtime.images.delete(namespace, name))
        raise
    failpoint("recorded")
    return dumped.draft


# -- the host


async def _into_file(place: Place, target: Path, contents: Contents) -> CheckpointRecord:
    archive = await pack(contents)
    fresh = beside(target, contents.record.id)
    try:
        await place.interruption.through(_write(archive, fresh), otherwise=CANCELLED)
        assert archive.facts is not None
        await disk(lambda: _put(fresh, target))
    finally:
        await undo(str(fresh), disk(lambda: fresh.unlink(missing_ok=True)))
    failpoint("recorded")
    return structs.replace(contents.record, archive=archive.facts)


async def _write(archive: PackedArchive, path: Path) -> None:
    file = await disk(lambda: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    try:
        async for piece in archive():
            await disk(partial(_all, file, piece))
        await disk(lambda: os.fsync(file))
    finally:
        os.close(file)


def _all(file: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(file, left) :]


def _put(fresh: Path, target: Path) -> None:
    """Give a file its name, which nobody else has; it is on disk then."""
    try:
        os.link(fresh, target, follow_symlinks=False)
    except FileExistsError as error:
        raise _taken(str(target)) from error
    _settle(target.parent)


async def _into_directory(place: Place, target: Path, contents: Contents) -> CheckpointRecord:
    fresh = beside(target, contents.record.id)

    def copy() -> None:
        fresh.mkdir(mode=0o700)
        for name, data in described(contents.record, contents.spec, contents.container_created_at).items():
            _copied(fresh / name, data)
        sources = [*sorted(contents.images.iterdir()), *([contents.layer] if contents.layer else [])]
        for source in sources:
            _copied(fresh / (LAYER if source is contents.layer else source.name), source)
        _settle(fresh)

    def put() -> None:
        if os.path.lexists(target):
            raise _taken(str(target))
        fresh.rename(target)
        _settle(target.parent)

    try:
        await place.interruption.through(disk(copy), otherwise=CANCELLED)
        await disk(put)
    finally:
        await undo(str(fresh), disk(lambda: shutil.rmtree(fresh, ignore_errors=True)))
    failpoint("recorded")
    return contents.record


def _copied(path: Path, source: bytes | Path) -> None:
    """Write a file anew; it is on disk then."""
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        if isinstance(source, bytes):
            file.write(source)
        else:
            with source.open("rb") as read:
                shutil.copyfileobj(read, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())


def _settle(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def beside(target: Path, command_id: str) -> Path:
    """Return where what becomes `target` is written first, in the same directory."""
    return target.with_name(f".{target.name[:180]}.{command_id}")
