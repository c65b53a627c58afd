"""An archive's bytes packed and unpacked: zstd, gzip, or not at all.

**Packed**, the same bytes come out for the same bytes in, so that an upload that was broken off can go on: one thread, a
fixed level, no time in the header. **Unpacked**, no more is in memory than a few pieces, whatever the archive asks for, the
end has to be there, and nothing may be behind it.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Final, Literal, Protocol, TypeAlias

import zstandard

from bridge.checkpoints.frame import ZSTD, Frame
from bridge.checkpoints.layout import refusal

__all__ = ["PackedPieces", "Packing", "Unpacked", "packer"]

Packing: TypeAlias = Literal["zstd", "gzip", "none"]

LEVEL: Final = 1
"""Memory packs nearly as well with the quickest level as with the next ones, and somebody waits for it."""

WINDOW: Final = 1 << 25
"""Bytes that unpacking zstd may take: four times what `zstd -19` asks for. `--ultra -22` and `--long` ask for more."""

PIECE: Final = 1 << 20
"""Bytes that are unpacked at once, and that a packed piece has at the least."""

_STEP: Final = 64 << 10
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


class PackedPieces:
    """Bytes packed into pieces of about a mebibyte.

    Attributes:
        size: bytes of the pieces so far.
    """

    def __init__(self, packing: Packing) -> None:
        self.size = 0
        self._packer = packer(packing)
        self._digest = hashlib.sha256()
        self._waiting = bytearray()

    @property
    def digest(self) -> str:
        """Of the pieces so far: `sha256:` and 64 hex digits."""
        return f"sha256:{self._digest.hexdigest()}"

    def add(self, data: bytes) -> bytes:
        """Take bytes; return a piece, empty while there is none yet."""
        self._waiting += self._packer.compress(data)
        return self._piece() if len(self._waiting) >= PIECE else b""

    def finish(self) -> bytes:
        """Return the last piece."""
        self._waiting += self._packer.flush()
        return self._piece()

    def _piece(self) -> bytes:
        piece = bytes(self._waiting)
        self._waiting.clear()
        self._digest.update(piece)
        self.size += len(piece)
        return piece


class Unpacked:
    """A file to read once, from its beginning to its end.

    Attributes:
        packing: how it is packed, once something has been read.
    """

    def __init__(self, more: Callable[[], bytes], what: str) -> None:
        """Take what returns the next packed bytes, none at their end, and what to call it all in sentences."""
        self.packing: Packing | None = None
        self._packed = _Packed(more, what)
        self._what = what
        self._ready = memoryview(b"")
        self._source: _Readable = self._packed

    @property
    def size(self) -> int:
        """How many packed bytes have been taken."""
        return self._packed.size

    @property
    def digest(self) -> str:
        """Of these bytes, as `sha256:` and 64 digits."""
        return f"sha256:{self._packed.sum.hexdigest()}"

    def read(self, size: int) -> bytes:
        """Return up to so many bytes, none only at the end.

        Raises:
            CommandFailed: `invalid_argument`: it is damaged, ends too early, or goes on behind its end.
        """
        if self.packing is None:
            self._begin()
        if not self._ready:
            try:
                self._ready = memoryview(self._source.read(PIECE))
            except (zlib.error, zstandard.ZstdError, MemoryError) as error:
                raise refusal(f"{self._what} cannot be unpacked: {error}") from error
            if not self._ready and self._packed.read(1):
                raise refusal(f"{self._what} goes on behind its end")
        data, self._ready = bytes(self._ready[:size]), self._ready[size:]
        return data

    def _begin(self) -> None:
        first = self._packed.begin()
        if first.startswith(ZSTD):
            self.packing = "zstd"
            decoder = zstandard.ZstdDecompressor(max_window_size=WINDOW)
            self._source = decoder.stream_reader(Frame(self._packed.exactly), read_size=PIECE)  # type: ignore[arg-type]
        elif first.startswith(b"\x1f\x8b"):
            self.packing = "gzip"
            self._source = _Gzip(self._packed)
        else:
            self.packing = "none"


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Packed:
    """The packed bytes, counted; what was taken too much of them can be put back."""

    def __init__(self, more: Callable[[], bytes], what: str) -> None:
        self.size = 0
        self.sum = hashlib.sha256()
        self._more = more
        self._what = what
        self._rest = memoryview(b"")

    def begin(self) -> bytes:
        """Return the first bytes, which are read again after that."""
        first = b""
        while len(first) < len(ZSTD) and (piece := self.read(PIECE)):
            first += piece
        self.put_back(first)
        return first

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes, none only at the end."""
        if not self._rest:
            piece = self._more()
            self.size += len(piece)
            self.sum.update(piece)
            self._rest = memoryview(piece)
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return data

    def exactly(self, size: int) -> bytes:
        """Return so many bytes, or refuse."""
        data = self.read(size)
        while len(data) < size:
            more = self.read(size - len(data))
            if not more:
                raise refusal(f"{self._what} ends in the middle, after {self.size} bytes")
            data += more
        return data

    def put_back(self, data: bytes) -> None:
        """Have these bytes read again next."""
        self._rest = memoryview(data + self._rest)


class _Gzip:
    """What gzip unpacks: one stream, as much at once as is asked for."""

    def __init__(self, packed: _Packed) -> None:
        self._packed = packed
        self._decoder = zlib.decompressobj(_GZIP)
        self._over = False

    def read(self, size: int, /) -> bytes:
        data = b""
        while not data and not self._over:
            step = self._decoder.unconsumed_tail or self._packed.exactly(1) + self._packed.read(_STEP)
            data = self._decoder.decompress(step, size)
            if self._decoder.eof:
                self._over = True
                self._packed.put_back(self._decoder.unused_data)
        return data
