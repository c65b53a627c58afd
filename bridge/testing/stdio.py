"""The stream of output, and the lines to processes, in memory. Pieces really are headers and bytes on the way.

stdio = MemoryStdio()
stdio.fail(LogUnavailable("the server restarts"), stored=True)   # the next append stores its piece, and then this
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from msgspec import Struct

from bridge.errors import CommandFailed, LogConflict, LogError, LogUnavailable
from bridge.model.codec import decode_as, encode_any
from bridge.model.stdio import (
    Chunk,
    Credit,
    InputPiece,
    InputReply,
    OutputStream,
    StreamEnd,
    headers_of,
    input_from,
    input_headers,
    piece_from,
)
from bridge.model.subjects import StdioSubject, Subjects
from bridge.ports import Digest, OutputEnd, StoredPiece
from bridge.ports.stdio import OnCredit, OnInput

__all__ = ["MemoryStdio", "MemoryStdioOfNodes", "StoredMessage"]


class StoredMessage(Struct, frozen=True, kw_only=True):
    """A message as it stands in the stream. Its place is its number, from 1; None stands where it has expired."""

    subject: str
    headers: dict[str, str]
    data: bytes


class MemoryStdio:
    """Implements `bridge.ports.OutputLog`, `StdioLines` and `StdioClient`."""

    def __init__(
        self, subjects: Subjects | None = None, *, largest: int = 256 * 1024, portion: int = 1024 * 1024
    ) -> None:
        """Take the subjects of the bus, how much one message holds, and how much had better be given at once."""
        self.subjects = subjects or Subjects()
        self.largest = largest
        self.portion = portion
        self.messages: list[StoredMessage | None] = []
        """Everything that was stored, in order."""
        self._news = asyncio.Event()
        self._faults: list[tuple[LogError, bool]] = []
        self._between = 0
        self._up = True
        self._on_input: OnInput | None = None
        self._on_credit: OnCredit | None = None

    # -- what can be done to it

    def fail(self, error: LogError, *, stored: bool = False) -> None:
        """Let the next piece's append raise `error`, after it was stored or before. Several calls are used up one by one."""
        self._faults.append((error, stored))

    def come_between(self, times: int = 1) -> None:
        """Let somebody else's message come between two pieces of an append: the second one and all behind it are not stored."""
        self._between += times

    def expire(self, count: int) -> None:
        """Lose the oldest `count` messages."""
        self.messages[:count] = [None] * count

    @contextmanager
    def down(self) -> Iterator[None]:
        """Be down for the length of the block: nothing is stored, and nobody can ask."""
        self._up = False
        try:
            yield
        finally:
            self._up = True

    # -- OutputLog

    async def end(self, subject: StdioSubject, session: str) -> OutputEnd:
        """Return how far the session is stored; see the port."""
        await self._reach()
        place = self._last(self.subjects.stdio(subject))
        message = self.messages[place - 1] if place else None
        if message is None:
            return OutputEnd(place, 0)
        piece = piece_from(message.headers, message.data)
        if piece.session != session:
            return OutputEnd(place, 0)
        if isinstance(piece, StreamEnd):
            return OutputEnd(place, piece.size, piece)
        return OutputEnd(place, piece.offset + len(piece.data))

    async def append(self, subject: StdioSubject, *pieces: Chunk | StreamEnd, after: int) -> list[int]:
        """Store pieces behind the message at `after`; see the port."""
        await self._reach()
        name = self.subjects.stdio(subject)
        places: list[int] = []
        for piece in pieces:
            if places and self._between:
                self._between -= 1
                break
            error, stored = self._faults.pop(0) if self._faults else (None, True)
            if stored:
                if self._last(name) != after:
                    raise LogConflict(f"the last message on {name} is {self._last(name)}, not {after}")
                data = piece.data if isinstance(piece, Chunk) else b""
                self.messages.append(StoredMessage(subject=name, headers=headers_of(piece), data=data))
                self._news.set()
            if error is not None:
                raise error
            after = len(self.messages)
            places.append(after)
        return places

    async def digest(self, subject: StdioSubject, session: str, *, size: int, after: int, head: int) -> Digest | None:
        """Return the SHA-256 of what is stored; see the port."""
        await self._reach()
        data = b""
        for message in self.messages[after:]:
            if message is not None and message.subject == self.subjects.stdio(subject):
                piece = piece_from(message.headers, message.data)
                if isinstance(piece, Chunk) and piece.session == session:
                    if piece.offset != len(data):
                        return None
                    data += piece.data
        if len(data) < size:
            return None
        return Digest(hashlib.sha256(data[:size]).hexdigest(), data[:head])

    # -- StdioLines

    @asynccontextmanager
    async def serve(self, on_input: OnInput, on_credit: OnCredit) -> AsyncIterator[None]:
        """Hand on what comes until the context is left; see the port."""
        self._on_input, self._on_credit = on_input, on_credit
        try:
            yield
        finally:
            self._on_input = self._on_credit = None

    # -- StdioClient

    async def read(
        self, subject: StdioSubject, session: str, *, after: int, follow: bool
    ) -> AsyncGenerator[StoredPiece, None]:
        """Iterate over a session's messages; see the port."""
        place = after
        names: dict[str, OutputStream] = {
            self.subjects.stdio(subject._replace(line="stdout")): "stdout",
            self.subjects.stdio(subject._replace(line="stderr")): "stderr",
        }
        while True:
            await asyncio.sleep(0)
            while place < len(self.messages):
                message = self.messages[place]
                place += 1
                if message is None or message.subject not in names:
                    continue
                piece = piece_from(message.headers, message.data)
                if piece.session == session:
                    yield StoredPiece(place, names[message.subject], piece)
            if not follow:
                return
            self._news.clear()
            if place >= len(self.messages):
                await self._news.wait()

    async def check(self, subject: StdioSubject) -> None:  # noqa: ARG002 - whoever has it may read all of it
        """See that there is a stream; see the port."""
        await self._reach()

    async def write(self, subject: StdioSubject, piece: InputPiece, *, timeout: float) -> InputReply:
        """Send a piece of input; see the port."""
        await asyncio.sleep(0)
        if self._on_input is None:
            raise CommandFailed("unavailable", "nobody takes input: the bridge is down")
        arrived = input_from(input_headers(piece), piece.data)
        try:
            async with asyncio.timeout(timeout):
                return decode_as(encode_any(await self._on_input(subject, arrived, None)), InputReply)
        except TimeoutError as error:
            raise CommandFailed("deadline_exceeded", "no answer to input: no answer in time") from error

    async def credit(self, subject: StdioSubject, credit: Credit) -> None:
        """Say what has been read; see the port."""
        await asyncio.sleep(0)
        if self._on_credit is not None:
            self._on_credit(subject, decode_as(encode_any(credit), Credit))

    # -- inside

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if not self._up:
            raise LogUnavailable("the stream of output is down")

    def _last(self, subject: str) -> int:
        return max((number for number, one in enumerate(self.messages, 1) if one and one.subject == subject), default=0)


class MemoryStdioOfNodes:
    """Implements `bridge.ports.StdioClient` over those of several nodes."""

    def __init__(self, nodes: Mapping[str, MemoryStdio]) -> None:
        """Take the stdio of each node."""
        self._nodes = nodes

    def read(
        self, subject: StdioSubject, session: str, *, after: int, follow: bool
    ) -> AsyncGenerator[StoredPiece, None]:
        """Iterate over the session's messages; see the port."""
        return self._nodes[subject.node].read(subject, session, after=after, follow=follow)

    async def check(self, subject: StdioSubject) -> None:
        """See that the output can be read; see the port."""
        await self._nodes[subject.node].check(subject)

    async def write(self, subject: StdioSubject, piece: InputPiece, *, timeout: float) -> InputReply:
        """Send a piece of input; see the port."""
        return await self._nodes[subject.node].write(subject, piece, timeout=timeout)

    async def credit(self, subject: StdioSubject, credit: Credit) -> None:
        """Say what has been read; see the port."""
        await self._nodes[subject.node].credit(subject, credit)
