"""A checkpoint's archive as it is read: hostile, whoever brings it.

It is unpacked into a directory that the caller has opened and that nobody else writes to. **Nothing is written outside of it,
and nothing is left in it when the archive is refused**, wherever in it the reason stands. What may be in it is what `layout`
names: files, and one directory. No links, no devices, no file twice, nothing that has holes or another size than it says; all
of it within the caller's limits, unpacked with as much memory as a few pieces take.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from msgspec import Struct

from bridge.checkpoints import layout
from bridge.checkpoints.directory import check_dump
from bridge.checkpoints.facts import Told, told
from bridge.checkpoints.landing import Landing
from bridge.checkpoints.layer import check_layer
from bridge.checkpoints.layout import ARCHIVE, LIMITS, Limits, Place, is_image_name, place, refusal, shown
from bridge.checkpoints.packing import Unpacked
from bridge.checkpoints.pump import consumed
from bridge.checkpoints.tar import Entry, TarReader
from bridge.model.checkpoints import ArchiveFacts

__all__ = ["IMAGES_TAR", "Arrived", "read_criu_tar", "unpack"]

IMAGES_TAR: Final = "the dump's tar"


class Arrived(Struct, frozen=True, kw_only=True):
    """An archive that was taken.

    Attributes:
        told: what it says of itself.
        archive: its size and digest as they were read.
        images: names and sizes of CRIU's files, in the directory `checkpoint`.
        layer: bytes of `rootfs-diff.tar`, null where there is none.
        log: whether CRIU's log came along, as `dump.log`; `stats` whether its figures, as `stats-dump`.
    """

    told: Told
    archive: ArchiveFacts
    images: dict[str, int]
    layer: int | None = None
    log: bool = False
    stats: bool = False


async def unpack(
    archive: AsyncIterator[bytes],
    directory: int,
    *,
    limits: Limits = LIMITS,
    expected: ArchiveFacts | None = None,
    what: str = ARCHIVE,
) -> Arrived:
    """Unpack an archive into an empty directory.

    Args:
        archive: its bytes.
        directory: a descriptor of it; it is not closed.
        limits: how much is taken.
        expected: what the record says of it: size, digest and unpacked size have to be these.
        what: is unpacked, in sentences.

    Raises:
        CommandFailed: `invalid_argument`: it is refused; `exhausted`: there is no room for it. Nothing of it is left.
    """
    return await consumed(archive, lambda more: _unpack(more, directory, limits, expected, what))


async def read_criu_tar(
    tar: AsyncIterator[bytes], directory: int, *, limits: Limits = LIMITS, what: str = IMAGES_TAR
) -> dict[str, int]:
    """Unpack the tar of a dump, as it is in containerd's content store: CRIU's files, in no directory.

    Returns:
        Their names and sizes.

    Raises:
        CommandFailed: as in `unpack`.
    """

    def work(more: Callable[[], bytes]) -> dict[str, int]:
        found: dict[str, int] = {}
        source = Unpacked(more, what)
        with Landing(directory, what=what) as landing:
            reader = TarReader(source.read, entries=limits.entries, whole=limits.whole, what=what)
            for entry in reader:
                name = _flat(entry, what)
                if name is not None:
                    found[name] = landing.write("", name, reader.content())
            check_dump(found, what)
        return found

    return await consumed(tar, work)


def _flat(entry: Entry, what: str) -> str | None:
    """Return the name of a file of a dump's tar, None for the directory that they are in."""
    if entry.kind == "directory" and entry.name in (b"/", b".", b"./"):
        return None
    if entry.kind != "file":
        raise refusal(f"{what} has {shown(entry.name)}, a {entry.kind}: there are files in a dump, and nothing else")
    name = entry.name.removeprefix(b"./").decode("ascii", "replace")
    if not is_image_name(name):
        raise refusal(f"{what} has {shown(entry.name)}, which is no name of a file of CRIU's")
    return name


def _unpack(
    more: Callable[[], bytes], directory: int, limits: Limits, expected: ArchiveFacts | None, what: str
) -> Arrived:
    source = Unpacked(more, what)
    whole = limits.whole if expected is None else min(limits.whole, expected.unpacked)
    with Landing(directory, what=what) as landing:
        reader = TarReader(source.read, entries=limits.entries, whole=whole, what=what)
        tables: dict[str, bytes] = {}
        sizes: dict[str, int] = {}
        images: dict[str, int] = {}
        for entry in reader:
            if entry.kind not in ("file", "directory"):
                raise refusal(
                    f"{what} has {shown(entry.name)}, a {entry.kind}: there are files in it, and nothing else"
                )
            where = place(entry.name, directory=entry.kind == "directory", what=what)
            if where is None:
                continue
            if where.kind == "directory":
                landing.folder(where.name)
                continue
            if entry.size > limits.most(where.kind):
                raise refusal(f"{what} has {where.path} of {entry.size} bytes, more than {limits.most(where.kind)}")
            pieces = _kept(reader, tables, where) if where.kind == "table" else reader.content()
            size = landing.write(where.directory, where.name, pieces)
            (images if where.kind == "image" else sizes)[where.name] = size
        found = ArchiveFacts(
            size=source.size,
            digest=source.digest,
            unpacked=sum(sizes.values()) + sum(images.values()),
            compression="zstd" if source.packing == "zstd" else "none",
        )
        if expected is not None:
            _compare(found, expected, what)
        check_dump(images, what)
        if layout.LAYER in sizes:
            check_layer(directory, layout.LAYER, limits)
        return Arrived(
            told=told(tables, found, what=what),
            archive=found,
            images=images,
            layer=sizes.get(layout.LAYER),
            log=layout.LOG in sizes,
            stats=layout.STATS in sizes,
        )


def _kept(reader: TarReader, tables: dict[str, bytes], where: Place) -> Iterator[bytes]:
    pieces = []
    for piece in reader.content():
        pieces.append(piece)
        yield piece
    tables[where.name] = b"".join(pieces)


def _compare(found: ArchiveFacts, expected: ArchiveFacts, what: str) -> None:
    for says, there, should in (
        ("bytes", found.size, expected.size),
        ("as its digest", found.digest, expected.digest),
        ("bytes in its files", found.unpacked, expected.unpacked),
    ):
        if there != should:
            raise refusal(f"{what} is not the one of the record: it has {there} {says}, and should have {should}")
