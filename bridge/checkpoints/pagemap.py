"""Where the same page of memory lies in two dumps of one container.

CRIU writes the pages of a process one after another, and where each was in memory into a map beside them. One page more at the
beginning moves all the others, so two dumps are compared by what the maps say and not by position. A map that cannot be read
costs no more than that: what is found here is where to look, and the bytes are compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from bridge.checkpoints.protobuf import fields
from bridge.errors import CommandFailed

__all__ = ["PAGE", "Alike", "alignment"]

PAGE: Final = 4096
LARGEST: Final = 64 << 20
"""Bytes of a map; with its some twenty for each stretch of memory that is three million of them."""

_MAGIC: Final = (0x54564319).to_bytes(4, "little") + (0x56084025).to_bytes(4, "little")
_PRESENT: Final = 4

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Alike(NamedTuple):
    """A stretch of a file, and the stretch of a file of the earlier dump that is likely to be the same."""

    offset: int
    length: int
    earlier: str
    earlier_offset: int


class _Stretch(NamedTuple):
    address: int
    length: int
    offset: int


class _Map(NamedTuple):
    pages: str
    stretches: list[_Stretch]


def alignment(current: int, earlier: int) -> dict[str, list[Alike]]:
    """Return for the page images of a dump where the earlier one has the same pages; both are directories' descriptors."""
    found: dict[str, list[Alike]] = {}
    for name in sorted(os.listdir(current)):
        if name.startswith("pagemap-"):
            new, old = _map(current, name), _map(earlier, name)
            if new is not None and old is not None:
                found.setdefault(new.pages, []).extend(_overlaps(new, old))
    return found


def _overlaps(new: _Map, old: _Map) -> Iterator[Alike]:
    """Return what is in both maps; each is in the order of addresses."""
    at = 0
    for one in new.stretches:
        while at < len(old.stretches) and old.stretches[at].address + old.stretches[at].length <= one.address:
            at += 1
        index = at
        while index < len(old.stretches) and old.stretches[index].address < one.address + one.length:
            other = old.stretches[index]
            begin = max(one.address, other.address)
            length = min(one.address + one.length, other.address + other.length) - begin
            yield Alike(one.offset + begin - one.address, length, old.pages, other.offset + begin - other.address)
            index += 1


def _map(directory: int, name: str) -> _Map | None:
    try:
        with os.fdopen(os.open(name, _READ, dir_fd=directory), "rb") as file:
            data = file.read(LARGEST + 1)
        return _parsed(data, name) if data.startswith(_MAGIC) and len(data) <= LARGEST else None
    except (OSError, CommandFailed):
        return None


def _parsed(data: bytes, name: str) -> _Map | None:
    pages, offset, last = None, 0, 0
    stretches: list[_Stretch] = []
    for message in _messages(data):
        numbers = {number: value for number, value in fields(message, name) if isinstance(value, int)}
        if pages is None:
            pages = numbers.get(1, 0)
            continue
        address, count = numbers.get(1, 0), numbers.get(5, numbers.get(2, 0))
        if not numbers.get(4, 0) & _PRESENT:
            continue
        if address < last:
            return None
        stretches.append(_Stretch(address, count * PAGE, offset))
        offset += count * PAGE
        last = address + count * PAGE
    return None if pages is None else _Map(f"pages-{pages}.img", stretches)


def _messages(data: bytes) -> Iterator[bytes]:
    at = len(_MAGIC)
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        yield data[at + 4 : at + 4 + length]
        at += 4 + length
