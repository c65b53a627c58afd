"""A dump rebuilt from an earlier one and from what has changed since (`delta`), at the other end of a migration.

What comes is checked as an archive is: names, sizes and amounts, and of every file the digest at its end. An earlier file is
read where the stream says and nowhere beyond its end, so a stream can mix up what is here and no more, and the digests tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from bridge.checkpoints.delta import COPY, DATA, END, FILE, HEADER, LAST, PIECE
from bridge.checkpoints.landing import Landing
from bridge.checkpoints.layout import LIMITS, Limits, is_image_name, refusal, shown, trouble
from bridge.checkpoints.packing import Unpacked
from bridge.checkpoints.pump import consumed

__all__ = ["rebuild"]

WHAT: Final = "the delta"

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


async def rebuild(
    delta: AsyncIterator[bytes], directory: int, *, earlier: int | None, limits: Limits = LIMITS
) -> dict[str, int]:
    """Write the directory that a delta was made from into an empty one.

    Args:
        delta: its bytes.
        directory: a descriptor of where it goes.
        earlier: one of where the dump before it is, null where there was none.
        limits: how much is taken.

    Returns:
        The names and sizes of the files.

    Raises:
        CommandFailed: `invalid_argument`: it is refused, or does not belong to what is in `earlier`; `exhausted`: there is no
            room. Nothing of it is left.
    """

    def work(more: Callable[[], bytes]) -> dict[str, int]:
        with Landing(directory, what=WHAT) as landing, contextlib.ExitStack() as stack:
            return _Rebuilding(Unpacked(more, WHAT), landing, earlier, limits, stack).run()

    return await consumed(delta, work)


class _Rebuilding:
    def __init__(
        self, source: Unpacked, landing: Landing, earlier: int | None, limits: Limits, stack: contextlib.ExitStack
    ) -> None:
        self._source = source
        self._landing = landing
        self._earlier = earlier
        self._limits = limits
        self._stack = stack
        self._opened: dict[str, tuple[int, int]] = {}
        self._total = 0

    def run(self) -> dict[str, int]:
        if self._exactly(len(HEADER)) != HEADER:
            raise refusal(f"{WHAT} does not begin as one begins")
        found: dict[str, int] = {}
        while (kind := self._exactly(1)) == FILE:
            if len(found) == self._limits.entries:
                raise refusal(f"{WHAT} has more than {self._limits.entries} files")
            name = self._name()
            (size,) = struct.unpack(">Q", self._exactly(8))
            if self._total + size > self._limits.whole:
                raise refusal(f"{WHAT} holds more than {self._limits.whole} bytes, with {shown(name)}")
            found[name] = self._landing.write("", name, self._pieces(name, size))
            self._total += size
        if kind != LAST or struct.unpack(">I", self._exactly(4)) != (len(found),):
            raise refusal(f"{WHAT} has {shown(kind)} where a file begins, or another number of files than it says")
        if self._source.read(1):
            raise refusal(f"{WHAT} goes on behind its end")
        return found

    def _pieces(self, name: str, size: int) -> Iterator[bytes]:
        """Return the bytes of a file, record after record, until its end is there and its digest is right."""
        digest, left = hashlib.sha256(), size
        while (kind := self._exactly(1)) != END:
            if kind == DATA:
                other, offset, (length,) = "", 0, struct.unpack(">I", self._exactly(4))
            elif kind == COPY:
                other, (offset, length) = self._name(), struct.unpack(">QQ", self._exactly(16))
            else:
                raise refusal(f"{WHAT} has {shown(kind)} in {shown(name)}, which is no record")
            if not 0 < length <= left or (kind == DATA and length > PIECE):
                raise refusal(f"{WHAT} has a record of {length} bytes in {shown(name)}, of which {left} are left")
            left -= length
            for piece in self._copied(other, offset, length) if kind == COPY else (self._exactly(length),):
                digest.update(piece)
                yield piece
        if left or self._exactly(digest.digest_size) != digest.digest():
            raise refusal(f"{WHAT} gives another {shown(name)} than it was made from: the dumps before it differ")

    def _copied(self, name: str, offset: int, length: int) -> Iterator[bytes]:
        file, size = self._open(name)
        if offset + length > size:
            raise refusal(f"{WHAT} copies from beyond the end of {shown(name)}")
        end = offset + length
        while offset < end:
            try:
                piece = os.pread(file, min(PIECE, end - offset), offset)
            except OSError as error:
                raise trouble(error, f"{shown(name)} of the dump before cannot be read") from error
            if not piece:
                raise refusal(f"{shown(name)} of the dump before has become shorter")
            offset += len(piece)
            yield piece

    def _open(self, name: str) -> tuple[int, int]:
        """Return an earlier file, and its size."""
        if name not in self._opened:
            if self._earlier is None:
                raise refusal(f"{WHAT} copies from {shown(name)} of a dump before it, which there was not")
            try:
                file = os.open(name, _READ, dir_fd=self._earlier)
            except OSError as error:
                raise refusal(f"{WHAT} copies from {shown(name)}, which the dump before it has not") from error
            self._stack.callback(os.close, file)
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise refusal(f"{WHAT} copies from {shown(name)}, which is no file")
            self._opened[name] = file, status.st_size
        return self._opened[name]

    def _name(self) -> str:
        name = self._exactly(self._exactly(1)[0]).decode("ascii", "replace")
        if not is_image_name(name):
            raise refusal(f"{WHAT} has {shown(name)}, which is no name of a file of CRIU's")
        return name

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._source.read(size - len(data))
            if not piece:
                raise refusal(f"{WHAT} ends in the middle")
            data += piece
        return bytes(data)
