"""The pieces of an archive on their way into the store: cut, sealed where that is wanted, each with how far it comes.

Every piece says in a header how many pieces and bytes there are with it, and their digest so far. The last one that is stored is
so all that a new bridge needs to go on: it reads the archive from the start, makes the same pieces, sends none of them, and
compares the digest. What is another archive than before shows there, and nothing of it is put behind the old one.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Annotated, Final, NamedTuple

from msgspec import Meta, Struct

from bridge.errors import BadEnvelope
from bridge.jetstream.checkpoint_cipher import PREFIX, Sealing
from bridge.model.codec import decode_as, encode_any
from bridge.ports import Archive

__all__ = ["AnotherArchive", "Piece", "Reached", "pieces", "reached_by"]

HEADER: Final = "Containerd-Bridge-Upload"
MOST_PREFIXES: Final = 100
"""Of an upload that was taken up oftener than this it is begun anew: the list of its prefixes stands in a header."""

_Prefix = Annotated[str, Meta(pattern=r"^[0-9a-f]{38}(?!\n)$")]


class AnotherArchive(Exception):
    """What is read is not what is stored of it already."""


class Reached(Struct, frozen=True, kw_only=True):
    """How far an upload is with a piece.

    Attributes:
        number: pieces with it.
        offset: bytes with it.
        length: of every piece but the last.
        sha256: of all bytes with it, hex digits.
        last: whether it is the last one.
        prefixes: of what is sealed: from which piece on, counted from 0, which prefix was used.
    """

    number: Annotated[int, Meta(ge=1)]
    offset: Annotated[int, Meta(ge=1)]
    length: Annotated[int, Meta(ge=1024)]
    sha256: str
    last: bool = False
    prefixes: Annotated[list[tuple[int, _Prefix]], Meta(max_length=MOST_PREFIXES)] = []

    @property
    def headers(self) -> Mapping[str, str]:
        """The header of the piece."""
        return {HEADER: encode_any(self).decode()}


class _Part(NamedTuple):
    data: bytes
    last: bool


class Piece(NamedTuple):
    """One piece, as it is stored."""

    data: bytes
    reached: Reached


def reached_by(headers: Mapping[str, str]) -> Reached | None:
    """Return what a piece says of itself; None where it says nothing that can be understood."""
    try:
        return decode_as(headers.get(HEADER, "").encode(), Reached)
    except BadEnvelope:
        return None


async def pieces(
    archive: Archive, length: int, sealing: Sealing | None, behind: Reached | None
) -> AsyncGenerator[Piece, None]:
    """Iterate over the pieces of an archive that come behind one that is stored, None for all of them.

    Raises:
        AnotherArchive: what is stored is not the beginning of this archive.
    """
    digest, number, offset = hashlib.sha256(), 0, 0
    prefixes = [] if behind is None else list(behind.prefixes)
    if bool(prefixes) != (sealing is not None) and behind is not None:
        raise AnotherArchive  # it was encrypted before and is not now, or the other way round
    if sealing is not None:
        start = 0 if behind is None else behind.number
        prefixes = [one for one in prefixes if one[0] < start]
        prefixes.append((start, secrets.token_hex(PREFIX)))
        if len(prefixes) > MOST_PREFIXES:
            raise AnotherArchive

    def made(data: bytes, *, last: bool) -> Piece:
        nonlocal number, offset
        number += 1
        if sealing is not None:
            prefix = next(bytes.fromhex(prefix) for first, prefix in reversed(prefixes) if first <= number - 1)
            data = sealing.seal(data, prefix=prefix, number=number - 1, last=last)
        digest.update(data)
        offset += len(data)
        reached = Reached(
            number=number,
            offset=offset,
            length=length,
            sha256=digest.copy().hexdigest(),
            last=last,
            prefixes=prefixes,
        )
        return Piece(data, reached)

    def all_made(parts: list[_Part]) -> list[Piece]:
        return [made(data, last=last) for data, last in parts]

    async with aclosing(_cut(archive, length if sealing is None else sealing.room)) as cut:
        async for parts in cut:
            for piece in await asyncio.to_thread(all_made, parts):
                reached = piece.reached
                if behind is None or reached.number > behind.number:
                    yield piece
                elif reached.number == behind.number and _differ(reached, behind):
                    raise AnotherArchive
    if behind is not None and number < behind.number:
        raise AnotherArchive


def _differ(one: Reached, other: Reached) -> bool:
    return (one.offset, one.sha256, one.last) != (other.offset, other.sha256, other.last)


async def _cut(archive: Archive, length: int) -> AsyncGenerator[list[_Part], None]:
    """Iterate over an archive in parts of this length, as many at once as there are; an empty archive has none."""
    waiting = bytearray()
    async for data in archive:
        parts: list[_Part] = []
        view = memoryview(data)
        while view:
            if len(waiting) == length:  # there is more: this was not the last
                parts.append(_Part(bytes(waiting), last=False))
                waiting.clear()
            taken = length - len(waiting)
            waiting += view[:taken]
            view = view[taken:]
        if parts:
            yield parts
    if waiting:
        yield [_Part(bytes(waiting), last=True)]
