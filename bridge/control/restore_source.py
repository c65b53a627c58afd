"""Where a checkpoint comes from: the catalogue, an image of containerd's, a directory or a file of the node's host.

Whatever it is, it ends up in the command's directory, read by `bridge.checkpoints`, which takes nobody's word for anything. The
catalogue vouches for what a bridge has put there; all else is somebody's, and only restored by who trusts it: what is in a
checkpoint is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from msgspec import Struct, structs

from bridge.checkpoints import IMAGES, Told, peek, read_criu_tar, read_directory, told, unpack
from bridge.control.checkpoint_dump import NOTHING, checkpointing_at
from bridge.control.checkpoint_host import bytes_of, directory_at, is_directory
from bridge.control.checkpoint_image import parts_of_image
from bridge.control.verb import Place
from bridge.control.workshop import Bench, disk, opened
from bridge.errors import CommandFailed
from bridge.model.checkpoints import CheckpointKey, CheckpointOptions, CheckpointRecord
from bridge.model.commands import Restore
from bridge.ports import Archive, Descriptor

__all__ = ["Source", "Taken", "bring", "look_at", "source_of", "told_at"]

PIECE: Final = 1 << 20
ARCHIVE: Final = "archive"
TABLES: Final = ("bridge.json", "config.dump", "spec.dump")


class Source(Struct, frozen=True, kw_only=True):
    """What a `restore` names. `record` is the catalogue's, whose word is taken; None where nobody vouches."""

    name: str
    record: CheckpointRecord | None = None


class Taken(Struct, frozen=True, kw_only=True):
    """A checkpoint that is to be restored, in the command's directory once it is brought there.

    Attributes:
        name: where it came from, as the restored container's label says it.
        images: CRIU's files.
        spec: the OCI spec of the container; None where only its dump is there.
        record: what is known of it, by the catalogue or by itself; None where it says nothing.
        vouched: whether the record is the catalogue's own.
        directory: where `LAYER` lies, where it has one.
        dump: CRIU's files as a tar, where they lie in containerd's content store instead; `descriptor` the layer there.
    """

    name: str
    images: Path
    directory: Path
    spec: dict[str, Any] | None = None
    record: CheckpointRecord | None = None
    vouched: bool = False
    has_layer: bool = False
    dump: Descriptor | None = None
    descriptor: Descriptor | None = None
    image: str = ""
    runtime: str = ""
    snapshotter: str = ""
    options: CheckpointOptions = CheckpointOptions()

    @property
    def with_layer(self) -> bool:
        """Whether what the container wrote to its files is there."""
        return self.has_layer or self.descriptor is not None

    @property
    def exited(self) -> bool:
        """Whether the dump ended the task, so that what it left is as it was then."""
        return self.record is not None and self.record.exited


async def source_of(place: Place, command: Restore) -> Source:
    """Return what the command names.

    Raises:
        CommandFailed: `invalid_argument` where it names nothing, or more than one thing; `failed_precondition` where nobody
            vouches for it, and the sender does not trust it; `not_found`.
    """
    named = [one for one in ("checkpoint", "image", "dir", "file") if getattr(command, one)]
    if len(named) != 1:
        what = f"{' and '.join(named)} are given" if named else "nothing is"
        raise CommandFailed(
            "invalid_argument", f"one thing is restored, and {what}: give checkpoint, image, dir or file"
        )
    if command.checkpoint:
        try:
            key = CheckpointKey.parse(command.checkpoint)
        except ValueError as error:
            raise CommandFailed("invalid_argument", str(error)) from error
        record = await checkpointing_at(place).catalogue.get(key)
        if record.imported and not command.trust:
            raise _untrusted(f"checkpoint {key.token} was imported, so it says itself what it is")
        return Source(name=key.token, record=record)
    name: str = getattr(command, named[0])
    if ".." in name.split("/"):
        raise CommandFailed("invalid_argument", f"{name!r} climbs: give a path without '..'")
    if not command.trust:
        raise _untrusted(f"nobody vouches for the {named[0]} {name}")
    return Source(name=name)


def _untrusted(why: str) -> CommandFailed:
    return CommandFailed("failed_precondition", f"{why}, and what is in it is run: give trust if you know who made it")


async def look_at(place: Place, command: Restore, source: Source, bench: Bench) -> Taken:
    """Return what a checkpoint says of itself, without the dump; nothing of it is in the directory yet.

    Raises:
        CommandFailed: `invalid_argument`: it is refused; `not_found`.
    """
    directory = bench.path / ARCHIVE
    if command.image:
        parts = await parts_of_image(place, command.image)
        return Taken(
            name=command.image,
            images=directory / IMAGES,
            directory=directory,
            spec=parts.spec,
            dump=parts.dump,
            descriptor=parts.layer,
            image=parts.image,
            runtime=parts.runtime,
            snapshotter=parts.snapshotter,
            options=parts.options,
        )
    if source.record is not None:
        says = await peek(_archive(place, source.record))
    else:
        says = await told_at(Path(command.dir or command.file))
    record = source.record or says.record
    return Taken(
        name=source.name,
        images=directory / IMAGES,
        directory=directory,
        spec=says.spec or None,
        record=record,
        vouched=source.record is not None and not source.record.imported,
        has_layer=record is None or record.rw,
        image=record.image if record is not None else str(says.config.get("rootfsImageName") or ""),
        runtime=record.runtime if record is not None else "",
        snapshotter=record.snapshotter if record is not None else "",
        options=record.options if record is not None else CheckpointOptions(),
    )


async def bring(place: Place, command: Restore, taken: Taken) -> Taken:
    """Bring it into the command's directory.

    Raises:
        CommandFailed: `invalid_argument`: it is refused; `exhausted`: there is no room. Nothing of it is left.
    """
    await disk(lambda: taken.directory.mkdir(mode=0o700))
    with opened(taken.directory) as target:
        if taken.dump is not None:
            assert place.namespace is not None
            await disk(lambda: taken.images.mkdir(mode=0o700))
            with opened(taken.images) as images:
                await read_criu_tar(place.runtime.checkpoints.read(place.namespace, taken.dump), images)
            return taken
        if command.dir:
            with directory_at(Path(command.dir)) as found:
                arrived = await read_directory(found, target, what=f"the directory {command.dir}")
        elif command.file:
            arrived = await unpack(bytes_of(Path(command.file)), target, what=f"the file {command.file}")
        else:
            assert taken.record is not None
            loaded = _archive(place, taken.record)
            # The record speaks of what is stored; where that is encrypted, the catalogue alone can compare it.
            expected = None if taken.record.archive.key else taken.record.archive
            arrived = await unpack(loaded, target, expected=expected)
    if (arrived.told.spec or None) != taken.spec:
        raise CommandFailed("failed_precondition", f"{taken.name} has changed while it was read: try again")
    return structs.replace(taken, has_layer=arrived.layer is not None)


def _archive(place: Place, record: CheckpointRecord) -> Archive:
    """Return the bytes of an archive of the catalogue, and of no other one that somebody has put in its place."""
    return checkpointing_at(place).catalogue.load(record.key, expected=record.archive.digest)


async def told_at(path: Path) -> Told:
    """Return what a directory or a file of ours says of itself, without reading the rest.

    Raises:
        CommandFailed: it is none, or cannot be read.
    """
    if not await is_directory(path):
        return await peek(bytes_of(path), what=f"the file {path}")
    tables = {}
    for name in TABLES:
        try:
            tables[name] = b"".join([piece async for piece in bytes_of(path / name)])
        except CommandFailed as error:
            if error.code != "not_found":
                raise
    if TABLES[-1] not in tables:
        return Told(record=None, spec={}, config={})  # a dump and nothing else
    return told(tables, NOTHING, what=f"the directory {path}")
