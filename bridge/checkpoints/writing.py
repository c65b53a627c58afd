"""A checkpoint's archive as it is written: a stream of bytes, the same ones each time, never whole in memory.

The layout is the one that `checkpointctl` reads, plus `bridge.json`, the record: it stands first, so that who wants to know
what an archive is need not read on. **The same directory gives the same bytes**: names in order, one owner, one time, packed
in one way. So an upload that was broken off goes on where it was, and two archives of one dump have one digest.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import AsyncGenerator, Generator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec import Struct

from bridge.checkpoints import layout
from bridge.checkpoints.facts import described
from bridge.checkpoints.layout import INVENTORY, is_image_name, shown, trouble
from bridge.checkpoints.packing import PackedPieces, Packing
from bridge.checkpoints.pump import produced, thread
from bridge.checkpoints.tar import BLOCK
from bridge.errors import CommandFailed
from bridge.model.checkpoints import ArchiveFacts, CheckpointRecord
from bridge.model.nanos import Nanos

__all__ = ["Contents", "PackedArchive", "pack", "pack_criu_tar"]

PIECE: Final = 1 << 20
LONGEST_LOG: Final = 8 << 20
"""Bytes of CRIU's log that are kept, its last ones."""

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Contents(Struct, frozen=True, kw_only=True):
    """What goes into an archive.

    Attributes:
        record: the checkpoint's; what of it is about the archive is not looked at.
        spec: the container's OCI spec as it is, JSON.
        images: the directory that CRIU wrote.
        layer: what the container wrote on top of its image, a tar file that is not compressed.
        log: CRIU's; `stats` its figures.
        container_created_at: when the container was made, where that is known.
    """

    record: CheckpointRecord
    spec: bytes
    images: Path
    layer: Path | None = None
    log: Path | None = None
    stats: Path | None = None
    container_created_at: Nanos | None = None


class _Part(NamedTuple):
    """One file of an archive: bytes, or a file's from `offset` on."""

    name: str
    size: int
    source: bytes | Path
    offset: int = 0


class PackedArchive:
    """An archive that can be read any number of times.

    Attributes:
        unpacked: bytes of all files in it.
        facts: size and digest of the packed bytes, once they have been read to their end.
    """

    def __init__(self, parts: list[_Part], mtime: int, packing: Packing) -> None:
        self.unpacked = sum(part.size for part in parts)
        self.facts: ArchiveFacts | None = None
        self._parts = parts
        self._mtime = mtime
        self._packing = packing

    def __call__(self) -> AsyncGenerator[bytes, None]:
        """Return the bytes, from the first one on.

        Raises:
            CommandFailed: `failed_precondition`: a file cannot be read, or is not as long as it was.
        """
        return produced(self._pieces())

    def _pieces(self) -> Generator[bytes, None, None]:
        """Return the packed bytes in pieces of about a mebibyte; blocks."""
        packed = PackedPieces(self._packing)
        for data in self._tar():
            if piece := packed.add(data):
                yield piece
        last = packed.finish()
        compression: Any = self._packing
        if compression in ("zstd", "none"):  # gzip is for other programs, never stored
            self.facts = ArchiveFacts(
                size=packed.size,
                digest=packed.digest,
                unpacked=self.unpacked,
                compression=compression,
            )
        yield last

    def _tar(self) -> Iterator[bytes]:
        within = False
        for part in self._parts:
            if not within and part.name.startswith(f"{layout.IMAGES}/"):
                within = True
                yield self._header(layout.IMAGES, 0, directory=True)
            yield self._header(part.name, part.size)
            yield from _read(part)
            yield bytes(-part.size % BLOCK)
        yield bytes(2 * BLOCK)

    def _header(self, name: str, size: int, *, directory: bool = False) -> bytes:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size, self._mtime, 0o600
        if directory:
            info.type, info.mode = tarfile.DIRTYPE, 0o700
        return info.tobuf(tarfile.PAX_FORMAT)


async def pack(contents: Contents, packing: Packing = "zstd") -> PackedArchive:
    """Return the archive of `contents`; nothing but sizes has been read yet.

    Raises:
        CommandFailed: `failed_precondition`: there is no dump in the directory, or something that is no file of a dump.
    """
    parts = await thread(lambda: _parts(contents))
    return PackedArchive(parts, contents.record.created_at // 1_000_000_000, packing)


async def pack_criu_tar(images: Path) -> PackedArchive:
    """Return the tar of a dump as containerd keeps it in its content store: CRIU's files, in no directory, not packed.

    Raises:
        CommandFailed: as in `pack`.
    """
    parts = await thread(lambda: _images(images))
    return PackedArchive(parts, 0, "none")


def _parts(contents: Contents) -> list[_Part]:
    tables = described(contents.record, contents.spec, contents.container_created_at)
    parts = [_Part(name, len(data), data) for name, data in tables.items()]
    if contents.log is not None:
        size = _size(contents.log)
        offset = max(0, size - LONGEST_LOG)
        parts.append(_Part(layout.LOG, size - offset, contents.log, offset))
    if contents.stats is not None:
        parts.append(_Part(layout.STATS, _size(contents.stats), contents.stats))
    parts += [part._replace(name=f"{layout.IMAGES}/{part.name}") for part in _images(contents.images)]
    if contents.layer is not None:
        parts.append(_Part(layout.LAYER, _size(contents.layer), contents.layer))
    return parts


def _images(directory: Path) -> list[_Part]:
    """Return CRIU's files in their order. One that is not whole is no dump: CRIU writes its inventory last."""
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise trouble(error, f"the dump in {shown(str(directory))} cannot be read") from error
    if INVENTORY not in names:
        raise CommandFailed("failed_precondition", f"there is no whole dump in {shown(str(directory))}")
    for name in names:
        if not is_image_name(name):
            raise CommandFailed("failed_precondition", f"{shown(name)} in the dump is no name of a file of CRIU's")
    return [_Part(name, _size(directory / name), directory / name) for name in names]


def _size(file: Path) -> int:
    try:
        status = os.lstat(file)
    except OSError as error:
        raise trouble(error, f"{shown(file.name)} cannot be read") from error
    if not stat.S_ISREG(status.st_mode):
        raise CommandFailed(
            "failed_precondition", f"{shown(file.name)} is no file, so the dump cannot be kept in an archive"
        )
    return status.st_size


def _read(part: _Part) -> Iterator[bytes]:
    if isinstance(part.source, bytes):
        yield part.source
        return
    left = part.size
    try:
        with open(os.open(part.source, _READ), "rb", buffering=0) as file:
            file.seek(part.offset)
            while left and (piece := file.read(min(PIECE, left))):
                left -= len(piece)
                yield piece
            more = file.read(1)
    except OSError as error:
        raise trouble(error, f"{shown(part.name)} cannot be read") from error
    if left or more:
        raise CommandFailed("failed_precondition", f"{shown(part.name)} has changed while it was packed")
