"""An archive's bytes packed and unpacked: zstd, gzip, or not at all.

**Packed**, the same bytes come out for the same bytes in, so that an upload that was broken off can go on: one thread, a
fixed level, no time in the header. **Unpacked**, no more is in memory than a few pieces, whatever the archive asks for, the
end has to be there, and nothing may be behind it.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, TypeAlias

import zstandard

from bridge.checkpoints.layout import refusal

__all__ = ["Packing", "Unpacked", "packer"]

Packing: TypeAlias = Literal["zstd", "gzip", "none"]

LEVEL: Final = 1
"""Memory packs nearly as well with the quickest level as with the next ones, and somebody waits for it."""

WINDOW: Final = 1 << 25
"""Bytes that unpacking zstd may take: four times what `zstd -19` asks for. `--ultra -22` and `--long` ask for more."""

STEP: Final = 2 << 10
"""Packed bytes that are unpacked at once. Four of them can stand for 128 KiB, so this is what bounds memory."""

_GZIP: Final = 31  # zlib's word for: with gzip's header, and its largest window


class Packer(Protocol):
    """What packs, piece by piece; both may return nothing yet."""

    def compress(self, data: bytes, /) -> bytes:
        """Take a piece."""
        ...

    def flush(self) -> bytes:
        """Return what is left."""
        ...


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def packer(packing: Packing) -> Packer:
    """Return what packs so."""
    match packing:
        case "zstd":
            return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, threads=0).compressobj()
        case "gzip":
            return zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
        case "none":
            return _Plain()


class Unpacked:
    """A file to read once, from its beginning to its end.

    Attributes:
        size: packed bytes so far; `digest` is theirs.
        packing: how it is packed, once something has been read.
    """

    def __init__(self, more: Callable[[], bytes], what: str) -> None:
        """Take what returns the next packed bytes, none at their end, and what to call it all in sentences."""
        self.size = 0
        self.packing: Packing | None = None
        self._more = more
        self._what = what
        self._sum = hashlib.sha256()
        self._packed = memoryview(b"")
        self._ready = memoryview(b"")
        self._decoder: Any = None

    @property
    def digest(self) -> str:
        """Of what has been read so far, as `sha256:` and 64 digits."""
        return f"sha256:{self._sum.hexdigest()}"

    def read(self, size: int) -> bytes:
        """Return up to so many bytes, none only at the end.

        Raises:
            CommandFailed: `invalid_argument`: it is damaged, ends too early, or goes on behind its end.
        """
        if self.packing is None:
            self._begin()
        while not self._ready:
            if not self._decode():
                return b""
        data, self._ready = bytes(self._ready[:size]), self._ready[size:]
        return data

    def _begin(self) -> None:
        first = b""
        while len(first) < 4 and (piece := self._take()):
            first += piece
        self._packed = memoryview(first)
        if first.startswith(b"\x28\xb5\x2f\xfd"):
            self.packing = "zstd"
            self._decoder = zstandard.ZstdDecompressor(max_window_size=WINDOW).decompressobj()
        elif first.startswith(b"\x1f\x8b"):
            self.packing = "gzip"
            self._decoder = zlib.decompressobj(_GZIP)
        else:
            self.packing = "none"

    def _decode(self) -> bool:
        """Have some more ready; tell whether it may go on."""
        if not self._packed:
            self._packed = memoryview(self._take())
        if self.packing == "none":
            self._ready, self._packed = self._packed, memoryview(b"")
            return bool(self._ready)
        if self._decoder.eof:
            if self._decoder.unused_data or self._packed:
                raise refusal(f"{self._what} goes on behind its end")
            return False
        if not self._packed:
            raise refusal(f"{self._what} ends in the middle, after {self.size} bytes")
        step, self._packed = self._packed[:STEP], self._packed[STEP:]
        try:
            self._ready = memoryview(self._decoder.decompress(step))
        except (zlib.error, zstandard.ZstdError, MemoryError) as error:
            raise refusal(f"{self._what} cannot be unpacked: {error}") from error
        return True

    def _take(self) -> bytes:
        piece = self._more()
        self.size += len(piece)
        self._sum.update(piece)
        return piece
