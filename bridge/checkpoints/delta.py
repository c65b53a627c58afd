"""What changed between two dumps of one container, as a stream: what pre-copy sends while it runs, and once more when it stands.

A dump's files lie side by side in a directory; whatever else is to go along may lie there too. **Written**, each page that the
earlier dump has is named and not sent; the bytes themselves are compared, so no digests have to be kept and none can collide.
Without an earlier dump everything is sent. **Rebuilt** (`rebuilding`), it is the same directory, as a digest of each file says.

The stream is a header and then records, packed with zstd: `F` a file begins, `C` copy a stretch of an earlier file, `D` data,
`E` the file ends, with its digest, `Z` all ends, with the number of files. The same two directories give the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import AsyncGenerator, Generator, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from bridge.checkpoints.layout import is_image_name, shown, trouble
from bridge.checkpoints.packing import PackedPieces
from bridge.checkpoints.pagemap import PAGE, Alike, alignment
from bridge.checkpoints.pump import produced
from bridge.errors import CommandFailed

__all__ = ["COPY", "DATA", "Delta", "DeltaFacts", "END", "FILE", "HEADER", "LAST", "PIECE"]

HEADER: Final = b"containerd-bridge delta 1\n"
FILE, COPY, DATA, END, LAST = b"F", b"C", b"D", b"E", b"Z"
PIECE: Final = 1 << 20
"""Bytes of data in one record, at the most, and what is compared at once."""

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_INTO: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class DeltaFacts(NamedTuple):
    """A stream that was read to its end: its size and digest, the bytes of all files, and how many of those were sent."""

    size: int
    digest: str
    whole: int
    changed: int


class _Stretch(NamedTuple):
    """Part of a file that is being written: copied from `earlier`, or as `data`."""

    data: bytes
    earlier: str = ""
    offset: int = 0
    length: int = 0


class Delta:
    """What the directory `current` has and `earlier` has not; it can be read any number of times.

    Attributes:
        facts: once it has been read to its end.
    """

    def __init__(self, current: Path, earlier: Path | None) -> None:
        self.facts: DeltaFacts | None = None
        self._current = current
        self._earlier = earlier

    def __call__(self) -> AsyncGenerator[bytes, None]:
        """Return the stream, from the first byte on.

        Raises:
            CommandFailed: `failed_precondition`: something in the directories is no file of a dump, or cannot be read.
        """
        return produced(self._packed())

    def _packed(self) -> Generator[bytes, None, None]:
        packed = PackedPieces("zstd")
        whole = changed = 0
        for record, of_file, of_data in self._records():
            whole, changed = whole + of_file, changed + of_data
            if piece := packed.add(record):
                yield piece
        last = packed.finish()
        self.facts = DeltaFacts(packed.size, packed.digest, whole, changed)
        yield last

    def _records(self) -> Iterator[tuple[bytes, int, int]]:
        """Return the records, how many bytes of a file each stands for, and how many of those it holds."""
        try:
            current = os.open(self._current, _INTO)
            earlier = os.open(self._earlier, _INTO) if self._earlier is not None else None
        except OSError as error:
            raise trouble(error, f"the dump in {shown(str(self._current))} cannot be compared") from error
        try:
            yield HEADER, 0, 0
            alike = alignment(current, earlier) if earlier is not None else {}
            names = sorted(os.listdir(current))
            for name in names:
                yield from _File(current, earlier, name).records(alike.get(name))
            yield LAST + struct.pack(">I", len(names)), 0, 0
        except OSError as error:
            raise trouble(error, f"the dump in {shown(str(self._current))} cannot be read") from error
        finally:
            os.close(current)
            if earlier is not None:
                os.close(earlier)


class _File:
    """One file that is written, and the earlier ones that it is compared with."""

    def __init__(self, current: int, earlier: int | None, name: str) -> None:
        if not is_image_name(name):
            raise CommandFailed("failed_precondition", f"{shown(name)} in the dump is no name of a file of CRIU's")
        self._name = name
        self._current = current
        self._earlier = earlier
        self._opened: dict[str, int] = {}
        self._digest = hashlib.sha256()

    def records(self, alike: list[Alike] | None) -> Iterator[tuple[bytes, int, int]]:
        self._file = os.open(self._name, _READ, dir_fd=self._current)
        try:
            size = os.fstat(self._file).st_size
            yield FILE + _named(self._name) + struct.pack(">Q", size), 0, 0
            if alike is None and self._earlier is not None:
                alike = [Alike(0, size, self._name, 0)]
            for stretch in _joined(self._stretches(size, alike or [])):
                if stretch.earlier:
                    place = struct.pack(">QQ", stretch.offset, stretch.length)
                    yield COPY + _named(stretch.earlier) + place, stretch.length, 0
                else:
                    length = len(stretch.data)
                    yield DATA + struct.pack(">I", length) + stretch.data, length, length
            yield END + self._digest.digest(), 0, 0
        finally:
            for file in (self._file, *self._opened.values()):
                os.close(file)

    def _stretches(self, size: int, alike: list[Alike]) -> Iterator[_Stretch]:
        """Return the file in its order: what is the same, and what has to be sent, page by page where they differ."""
        at = 0
        for one in sorted(alike):
            if one.offset < at or one.offset + one.length > size:
                continue  # a map that does not fit the file
            yield from self._sent(at, one.offset - at)
            yield from self._compared(one)
            at = one.offset + one.length
        yield from self._sent(at, size - at)

    def _compared(self, one: Alike) -> Iterator[_Stretch]:
        earlier = self._open(one.earlier)
        for start in range(0, one.length, PIECE):
            length = min(PIECE, one.length - start)
            data = self._read(one.offset + start, length)
            before = b"" if earlier is None else os.pread(earlier, length, one.earlier_offset + start)
            if data == before:
                yield _Stretch(b"", one.earlier, one.earlier_offset + start, length)
                continue
            for begin in range(0, length, PAGE):
                page = data[begin : begin + PAGE]
                if page == before[begin : begin + PAGE]:
                    yield _Stretch(b"", one.earlier, one.earlier_offset + start + begin, len(page))
                else:
                    yield _Stretch(page)

    def _sent(self, offset: int, length: int) -> Iterator[_Stretch]:
        for start in range(0, length, PIECE):
            yield _Stretch(self._read(offset + start, min(PIECE, length - start)))

    def _open(self, name: str) -> int | None:
        """Return an earlier file, None where there is none."""
        if name not in self._opened and self._earlier is not None:
            try:
                self._opened[name] = os.open(name, _READ, dir_fd=self._earlier)
            except OSError:
                return None
        return self._opened.get(name)

    def _read(self, offset: int, length: int) -> bytes:
        """Return the next bytes of the file; all of them come by here, in their order."""
        data = os.pread(self._file, length, offset)
        while len(data) < length:
            more = os.pread(self._file, length - len(data), offset + len(data))
            if not more:
                raise CommandFailed("failed_precondition", f"{shown(self._name)} has changed while it was compared")
            data += more
        self._digest.update(data)
        return data


def _joined(stretches: Iterator[_Stretch]) -> Iterator[_Stretch]:
    """Put together what belongs together, so that a record is not about one page only."""
    data = bytearray()
    copied: _Stretch | None = None
    for one in stretches:
        if copied is not None:
            if one.earlier == copied.earlier and one.offset == copied.offset + copied.length:
                copied = copied._replace(length=copied.length + one.length)
                continue
            yield copied
            copied = None
        if data and (one.earlier or len(data) + len(one.data) > PIECE):
            yield _Stretch(bytes(data))
            data.clear()
        if one.earlier:
            copied = one
        else:
            data += one.data
    if copied is not None:
        yield copied
    if data:
        yield _Stretch(bytes(data))


def _named(name: str) -> bytes:
    return struct.pack(">B", len(name)) + name.encode("ascii")
