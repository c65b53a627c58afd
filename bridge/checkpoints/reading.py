"""A checkpoint's archive as it is read: hostile, whoever brings it.

It is unpacked into a directory that the caller has opened and that nobody else writes to. **Nothing is written outside of it,
and nothing is left in it when the archive is refused**, wherever in it the reason stands. What may be in it is what `layout`
names: files, and one directory. No links, no devices, no file twice, nothing that has holes or another size than it says; all
of it within the caller's limits, unpacked with as much memory as a few pieces take.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from bridge.checkpoints import layout
from bridge.checkpoints.facts import Told, told
from bridge.checkpoints.intake import Arrived, Intake
from bridge.checkpoints.landing import Landing
from bridge.checkpoints.layout import ARCHIVE, LIMITS, Limits, Place, place, refusal, shown
from bridge.checkpoints.packing import Unpacked
from bridge.checkpoints.pump import consumed
from bridge.checkpoints.tar import TarReader
from bridge.model.checkpoints import ArchiveFacts

__all__ = ["peek", "unpack"]


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


async def peek(archive: AsyncIterator[bytes], *, limits: Limits = LIMITS, what: str = ARCHIVE) -> Told:
    """Read what an archive says of itself, and no further; of ours that are its first few kilobytes.

    What the record says of its archive is empty, because that is not known before the end.

    Raises:
        CommandFailed: `invalid_argument`: it is refused, as far as it was read.
    """
    return await consumed(archive, lambda more: _peek(more, limits, what))


def _unpack(
    more: Callable[[], bytes], directory: int, limits: Limits, expected: ArchiveFacts | None, what: str
) -> Arrived:
    source = Unpacked(more, what)
    # A file that the record does not know of is one too many as soon as it begins.
    whole = limits.whole if expected is None else min(limits.whole, expected.unpacked)
    with Landing(directory, what=what) as landing:
        intake = Intake(landing, limits, what)
        for where, size, reader in _places(source, limits, whole, what):
            if where.kind == "directory":
                landing.folder(where.name)
            else:
                intake.take(where, size, reader.content())
        found = ArchiveFacts(
            size=source.size,
            digest=source.digest,
            unpacked=intake.total,
            compression="zstd" if source.packing == "zstd" else "none",
        )
        if expected is not None:
            _compare(found, expected, what)
        return intake.arrived(directory, found)


def _peek(more: Callable[[], bytes], limits: Limits, what: str) -> Told:
    tables: dict[str, bytes] = {}
    for where, size, reader in _places(Unpacked(more, what), limits, limits.whole, what):
        if where.kind == "table":
            if size > limits.table or where.name in tables:
                raise refusal(f"{what} has {where.path} of {size} bytes, or twice")
            tables[where.name] = b"".join(reader.content())
        elif {layout.SPEC, layout.CONFIG} <= set(tables):
            break
    return told(tables, ArchiveFacts(size=0, digest="", unpacked=0), what=what)


def _places(source: Unpacked, limits: Limits, whole: int, what: str) -> Iterator[tuple[Place, int, TarReader]]:
    """Return where each entry belongs, its size, and the reader that has its bytes."""
    reader = TarReader(source.read, entries=limits.entries, whole=whole, what=what)
    for entry in reader:
        if entry.kind not in ("file", "directory"):
            raise refusal(f"{what} has {shown(entry.name)}, a {entry.kind}: there are files in it, and nothing else")
        where = place(entry.name, directory=entry.kind == "directory", what=what)
        if where is not None:
            yield where, entry.size, reader


def _compare(found: ArchiveFacts, expected: ArchiveFacts, what: str) -> None:
    for says, there, should in (
        ("bytes", found.size, expected.size),
        ("as its digest", found.digest, expected.digest),
        ("bytes in its files", found.unpacked, expected.unpacked),
    ):
        if there != should:
            raise refusal(f"{what} is not the one of the record: it has {there} {says}, and should have {should}")
