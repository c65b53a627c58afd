"""Where a frame of zstd's ends, found without unpacking it.

The library unpacks quickly from a file, and then does not say whether a frame came to its end, or whether something stood behind
it. A frame's own headers say so: of the frame, and of each block in it (RFC 8878, 3.1.1). Only these are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import zstandard

__all__ = ["Frame", "ZSTD"]

ZSTD: Final = b"\x28\xb5\x2f\xfd"
LARGEST_BLOCK: Final = 128 << 10

_DICTIONARY: Final = (0, 1, 2, 4)
_SIZE: Final = (0, 2, 4, 8)
_REPEATED, _RESERVED = 1, 3


class Frame:
    """A file with the bytes of one frame, for whoever unpacks it."""

    def __init__(self, exactly: Callable[[int], bytes]) -> None:
        """Take what returns so many bytes, or raises an error where there are not as many."""
        self._exactly = exactly
        self._pieces = self._walk()

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, a block at the most, none only at the end.

        Raises:
            ZstdError: it is damaged where the frame says how it goes on.
        """
        del size
        return next(self._pieces, b"")

    def _walk(self) -> Iterator[bytes]:
        head = self._exactly(len(ZSTD) + 1)
        flags = head[-1]
        single = flags >> 5 & 1
        length = (1 - single) + _DICTIONARY[flags & 3] + (_SIZE[flags >> 6] or single)
        yield head + self._exactly(length)
        last = False
        while not last:
            header = self._exactly(3)
            value = int.from_bytes(header, "little")
            last, kind, size = bool(value & 1), value >> 1 & 3, value >> 3
            if kind == _RESERVED or size > LARGEST_BLOCK:
                raise zstandard.ZstdError("a block that there cannot be")
            yield header + self._exactly(1 if kind == _REPEATED else size)
        if flags >> 2 & 1:
            yield self._exactly(4)
