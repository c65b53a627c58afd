"""What a process has written and the bus has not acknowledged, on disk.

Bytes come from the FIFO by splice(2): the kernel moves them into the file in one step that no signal interrupts half-way, so the
length of the file is the record of what was taken, and there is no moment at which a byte is in neither place. Nothing is
synced: a killed process loses nothing of what it wrote to files, and a host that loses its power loses the containers too.

The spool is a row of segments, each a file named by the offset of its first byte. A segment goes when all of it is
acknowledged and another one has begun, so the last one's name and length always say how far the stream has come.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from msgspec import Struct

__all__ = ["SEGMENT", "Spool"]

SEGMENT: Final = 4 << 20
"""Bytes after which a segment is followed by another one: small enough to never reach the disk, as a rule."""

_DIGITS: Final = 20
_EOF: Final = "eof"


class _Segment(Struct):
    start: int
    descriptor: int


class Spool:
    """The spool of one stream. Inert until `open`."""

    def __init__(self, directory: Path, *, segment: int = SEGMENT) -> None:
        self._directory = directory
        self._segment = segment
        self._segments: list[_Segment] = []
        self.end = 0
        """Offset behind the last byte that was taken."""
        self.complete = False
        """Whether the process's own end was seen behind it."""

    def open(self) -> None:
        """Make it, or go on with what is there.

        Raises:
            OSError: the disk does not let us.
        """
        self._directory.mkdir(mode=0o700, exist_ok=True)
        starts = sorted(int(name) for name in os.listdir(self._directory) if name.isdigit())
        for start in starts:
            self._add(start)
        if self._segments:
            last = self._segments[-1]
            self.end = last.start + os.fstat(last.descriptor).st_size
        else:
            self._add(0)
        self.complete = (self._directory / _EOF).exists()

    @property
    def start(self) -> int:
        """Offset of the first byte that is still here."""
        return self._segments[0].start

    def take(self, fifo: int, most: int) -> int:
        """Take up to `most` bytes from a FIFO; return how many came. None come where nobody can write to it any more.

        Raises:
            BlockingIOError: somebody can, and has not.
            OSError: the disk does not take them; they are still in the FIFO.
        """
        last = self._segments[-1]
        if self.end - last.start >= self._segment:
            last = self._add(self.end)
        count = os.splice(fifo, last.descriptor, most, offset_dst=self.end - last.start, flags=os.SPLICE_F_NONBLOCK)
        self.end += count
        return count

    def read(self, offset: int, most: int) -> bytes:
        """Return bytes from `offset` on, fewer than `most` where a segment or the spool ends."""
        for segment in reversed(self._segments):
            if segment.start <= offset:
                return os.pread(segment.descriptor, min(most, self.end - offset), offset - segment.start)
        return b""

    def release(self, offset: int) -> None:
        """Let go of segments that end at or before `offset`; the last one stays."""
        while len(self._segments) > 1 and self._segments[1].start <= offset:
            segment = self._segments.pop(0)
            os.close(segment.descriptor)
            self._path(segment.start).unlink(missing_ok=True)

    def finish(self) -> None:
        """Note that the stream ends here."""
        self.complete = True
        os.close(os.open(self._directory / _EOF, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def skip_to(self, offset: int) -> None:
        """Begin anew at `offset`, where what is here and what is stored do not meet."""
        for segment in self._segments:
            os.close(segment.descriptor)
            self._path(segment.start).unlink(missing_ok=True)
        self._segments = []
        self.end = offset
        self._add(offset)

    def close(self) -> None:
        """Close the files."""
        for segment in self._segments:
            os.close(segment.descriptor)
        self._segments = []

    def remove(self) -> None:
        """Close the files and take them away."""
        self.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _add(self, start: int) -> _Segment:
        descriptor = os.open(self._path(start), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        segment = _Segment(start, descriptor)
        self._segments.append(segment)
        return segment

    def _path(self, start: int) -> Path:
        return self._directory / f"{start:0{_DIGITS}d}"
