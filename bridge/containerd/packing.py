"""An archive's bytes as they were before somebody packed them, with gzip, bzip2, xz or zstd, or not at all.

What is read here is hostile: a few packed bytes can stand for any number of zeros, and can ask for any amount of memory to be
unpacked in. So no more is unpacked than is asked for, in bounded memory, and what grows out of all proportion is refused.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol

import zstandard

from bridge.errors import CommandFailed

__all__ = ["PACKING_ERRORS", "Unpacked"]

PACKING_ERRORS: Final = (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
"""What a damaged archive raises."""

READ: Final = 1 << 16
"""Packed bytes that are taken at a time."""

MEMORY: Final = 1 << 27
"""Bytes that unpacking may take: what `zstd --ultra` and `xz -9` need."""

FREE: Final = 1 << 30
LARGEST_GROWTH: Final = 100
"""How far an archive may grow: so many times its packed size, beyond a first part that is free. Images grow two to ten times."""

_LONGEST_MAGIC: Final = 6


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Unpacked:
    """A file to read once, from its beginning to its end."""

    def __init__(self, more: Callable[[], bytes]) -> None:
        """Take what returns the next packed bytes, none at their end."""
        self._packed = _Packed(more)
        self._file: _Readable | None = None
        self._count = 0

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only at the end.

        Raises:
            PACKING_ERRORS: it is damaged.
            CommandFailed: `invalid_argument`: it grows out of proportion.
        """
        if self._file is None:
            self._file = _opened(self._packed)
        data = bytearray()
        while len(data) < size and (piece := self._file.read(size - len(data))):
            data += piece
        self._count += len(data)
        if self._count > FREE + LARGEST_GROWTH * self._packed.count:
            raise CommandFailed(
                "invalid_argument",
                f"the archive grows to more than {LARGEST_GROWTH} times its size: it was packed to fill disks",
            )
        return bytes(data)


class _Packed:
    """The packed bytes as a file, of which the beginning can be looked at."""

    def __init__(self, more: Callable[[], bytes]) -> None:
        self._more = more
        self._rest = b""
        self.count = 0

    def begin(self) -> bytes:
        """Return the first bytes, which are read again after that."""
        first = self.read(_LONGEST_MAGIC)
        self._rest, self.count = first + self._rest, 0
        return first

    def read(self, size: int = READ) -> bytes:
        size = READ if size < 0 else size
        parts, length = [self._rest], len(self._rest)
        while length < size and (piece := self._more()):
            parts.append(piece)
            length += len(piece)
        data = b"".join(parts)
        self._rest = data[size:]
        self.count += min(size, length)
        return data[:size]


class _Stepwise:
    """What bzip2 or xz unpacks: one stream behind the other, as much as is asked for."""

    def __init__(self, packed: _Packed, decoder: Callable[[], Any]) -> None:
        self._packed = packed
        self._new = decoder
        self._decoder = decoder()

    def read(self, size: int, /) -> bytes:
        while True:
            if self._decoder.eof:
                rest = self._decoder.unused_data or self._packed.read(READ)
                if not rest.strip(b"\0"):  # xz pads with zeros
                    return b""
                self._decoder = self._new()
            else:
                rest = self._packed.read(READ) if self._decoder.needs_input else b""
                if self._decoder.needs_input and not rest:
                    raise EOFError("it ends in the middle")
            if data := self._decoder.decompress(rest, size):
                return bytes(data)


def _opened(packed: _Packed) -> _Readable:
    begin = packed.begin()
    if begin.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=packed, mode="rb")  # type: ignore[call-overload, no-any-return]
    if begin.startswith(b"\x28\xb5\x2f\xfd"):
        decoder = zstandard.ZstdDecompressor(max_window_size=MEMORY)
        return decoder.stream_reader(packed, read_size=READ, read_across_frames=True)  # type: ignore[arg-type]
    if begin.startswith(b"BZh"):
        return _Stepwise(packed, bz2.BZ2Decompressor)
    if begin.startswith(b"\xfd7zXZ\0"):
        return _Stepwise(packed, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY))
    return packed
