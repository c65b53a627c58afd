"""An archive looked at without being unpacked, and packed otherwise: what somebody does who only passes it on.

Looking at it is what unpacking it is, but for the writing: the same names, kinds and sizes are refused. What is in its layer is
looked at by the node that restores it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import aclosing
from typing import Final

from bridge.checkpoints import layout
from bridge.checkpoints.facts import Told, told
from bridge.checkpoints.layout import ARCHIVE, LIMITS, Limits, check_dump, place, refusal, shown
from bridge.checkpoints.packing import Packing, Unpacked, packer
from bridge.checkpoints.pump import consumed, produced
from bridge.checkpoints.tar import TarReader
from bridge.model.checkpoints import ArchiveFacts

__all__ = ["recoded", "survey"]

PIECE: Final = 1 << 18


async def survey(
    archive: AsyncIterator[bytes], *, limits: Limits = LIMITS, what: str = ARCHIVE
) -> tuple[Told, ArchiveFacts]:
    """Read an archive to its end; return what it says of itself, and what it is.

    Raises:
        CommandFailed: `invalid_argument`: it is no checkpoint's; what `archive` raises.
    """
    return await consumed(archive, lambda more: _survey(more, limits, what))


async def recoded(
    archive: AsyncIterator[bytes], packing: Packing, *, what: str = ARCHIVE
) -> AsyncGenerator[bytes, None]:
    """Return the same archive, packed otherwise.

    Raises:
        CommandFailed: `invalid_argument`: it cannot be unpacked; what `archive` raises.
    """
    loop = asyncio.get_running_loop()

    async def piece() -> bytes:
        async for data in archive:
            if data:
                return data
        return b""

    def more() -> bytes:
        return asyncio.run_coroutine_threadsafe(piece(), loop).result()

    def pieces() -> Generator[bytes, None, None]:
        source, packed = Unpacked(more, what), packer(packing)
        while data := source.read(PIECE):
            if ready := packed.compress(data):
                yield ready
        if ready := packed.flush():
            yield ready

    async with aclosing(produced(pieces())) as made:
        async for data in made:
            yield data


def _survey(more: Callable[[], bytes], limits: Limits, what: str) -> tuple[Told, ArchiveFacts]:
    source = Unpacked(more, what)
    reader = TarReader(source.read, entries=limits.entries, whole=limits.whole, what=what)
    tables: dict[str, bytes] = {}
    seen: set[str] = set()
    unpacked = 0
    for entry in reader:
        if entry.kind not in ("file", "directory"):
            raise refusal(f"{what} has {shown(entry.name)}, a {entry.kind}: there are files in it, and nothing else")
        where = place(entry.name, directory=entry.kind == "directory", what=what)
        if where is None:
            continue
        if where.path in seen:
            raise refusal(f"{what} has {where.path} twice")
        seen.add(where.path)
        if entry.size > limits.most(where.kind):
            raise refusal(f"{what} has {where.path} of {entry.size} bytes, more than {limits.most(where.kind)}")
        if where.kind == "table":
            tables[where.name] = b"".join(reader.content())
        unpacked += entry.size
    check_dump({path.removeprefix(f"{layout.IMAGES}/") for path in seen}, what)
    facts = ArchiveFacts(
        size=source.size,
        digest=source.digest,
        unpacked=unpacked,
        compression="zstd" if source.packing == "zstd" else "none",
    )
    return told(tables, facts, what=what), facts
