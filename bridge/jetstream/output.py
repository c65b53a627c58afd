"""Storing what processes write: `bridge.ports.OutputLog`.

Each message says behind which one it belongs, and the server refuses it anywhere else (`bridge.jetstream.chain`). So what a dead
bridge, or a lost connection, still had under way can neither come twice nor between what is stored later. How much is under way
at once goes by what the line has just carried.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from msgspec import Struct

from bridge.errors import BadEnvelope, ConfigError, LogError, LogRefused
from bridge.jetstream.api import api
from bridge.jetstream.chain import Chain, Message
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Place
from bridge.jetstream.errors import ApiError, log_errors
from bridge.jetstream.output_stream import AS_USUAL, HEADERS, LARGEST, OutputMaking, ensure_output, output_stream_name
from bridge.jetstream.pace import Pace
from bridge.jetstream.parser import Delivered, header_lines
from bridge.jetstream.stored import each_of
from bridge.jetstream.streams import NO_MESSAGE, NO_STREAM
from bridge.model.kinds import convert
from bridge.model.stdio import Chunk, OutputStream, StreamEnd, headers_of, message_id, piece_from
from bridge.model.subjects import StdioSubject, Subjects
from bridge.ports import Digest, OutputEnd

__all__ = ["JetStreamOutput"]

PORTION: Final = 2 << 20
"""Bytes of one stream under way at once: enough that the server has work while its answers are on their way."""

UNDER_WAY: Final = 8 << 20
"""Bytes under way of all streams together, beyond one piece of each."""


class _Stored(Struct):
    """A message as JetStream's API tells it."""

    seq: int
    hdrs: str = ""
    data: str = ""


class JetStreamOutput:
    """The stream of output, written to."""

    def __init__(self, connection: Connection, subjects: Subjects, making: OutputMaking = AS_USUAL) -> None:
        """Take where it is, and how it is made should it be gone."""
        self._connection = connection
        self._subjects = subjects
        self._making = making
        self._stream = output_stream_name(subjects)
        self._chain = Chain(connection, self._stream)
        self._pace = Pace(LARGEST)
        self._more = 0
        """Bytes under way beyond the first piece of each append."""

    @property
    def largest(self) -> int:
        """Bytes that one chunk can hold."""
        return min(LARGEST, self._connection.client.max_payload - HEADERS)

    @property
    def portion(self) -> int:
        """Bytes that had better be given at once now."""
        return max(self.largest, min(self._pace.bytes, PORTION, UNDER_WAY - self._more))

    async def end(self, subject: StdioSubject, session: str) -> OutputEnd:
        """Return how far the session is stored; see the port. A stream that is gone is made anew."""
        last = await self._last(self._subjects.stdio(subject))
        if last is None:
            return OutputEnd(0, 0)
        try:
            piece = piece_from(_headers(last.hdrs), base64.b64decode(last.data))
        except (BadEnvelope, ValueError):
            return OutputEnd(last.seq, 0)  # somebody else's: it stands there, and says nothing of us
        if piece.session != session:
            return OutputEnd(last.seq, 0)
        if isinstance(piece, StreamEnd):
            return OutputEnd(last.seq, piece.size, piece)
        return OutputEnd(last.seq, piece.offset + len(piece.data))

    async def append(self, subject: StdioSubject, *pieces: Chunk | StreamEnd, after: int) -> list[int]:
        """Store pieces behind the message at `after`; see the port."""
        stream: OutputStream = "stderr" if subject.line == "stderr" else "stdout"
        messages = [
            Message(message_id(stream, piece), headers_of(piece), piece.data if isinstance(piece, Chunk) else b"")
            for piece in pieces
        ]
        size, more = (sum(len(message.data) for message in some) for some in (messages, messages[1:]))
        self._more += more
        began = time.monotonic()
        try:
            places = await self._chain.publish(self._subjects.stdio(subject), messages, after=after)
        except LogError:
            self._pace = Pace(LARGEST)
            raise
        finally:
            self._more -= more
        if len(places) == len(pieces):
            self._pace.took(time.monotonic() - began, full=2 * size > self._pace.bytes)
        else:  # somebody else writes to the stream: what is under way behind one of theirs is sent in vain
            self._pace = Pace(LARGEST)
        return places

    async def digest(self, subject: StdioSubject, session: str, *, size: int, after: int, head: int) -> Digest | None:
        """Return the SHA-256 of what is stored; see the port."""
        found, offset, first = hashlib.sha256(), 0, bytearray()
        async with aclosing(self._read(self._subjects.stdio(subject), after)) as messages:
            async for message, _ in messages:
                try:
                    piece = piece_from(message.headers, message.data)
                except BadEnvelope:
                    continue
                if piece.session != session or isinstance(piece, StreamEnd):
                    continue
                if piece.offset != offset:
                    return None
                found.update(piece.data)
                first += piece.data[: max(0, head - len(first))]
                offset += len(piece.data)
                if offset >= size:
                    break
        return Digest(found.hexdigest(), bytes(first)) if offset == size else None

    # -- inside

    async def _last(self, subject: str) -> _Stored | None:
        with log_errors(self._stream):
            try:
                answer = await api(self._connection, f"STREAM.MSG.GET.{self._stream}", {"last_by_subj": subject})
            except ApiError as error:
                if error.err_code == NO_MESSAGE:
                    return None
                if error.err_code != NO_STREAM:
                    raise
                await self._make()
                return None
        return convert(answer["message"], _Stored)

    async def _make(self) -> None:
        try:
            await ensure_output(self._connection, self._subjects, self._making)
        except ConfigError as error:
            raise LogRefused(str(error)) from error

    async def _read(self, subject: str, after: int) -> AsyncGenerator[tuple[Delivered, Place], None]:
        with log_errors(self._stream):
            async with aclosing(each_of(self._connection, self._stream, subject, after=after)) as messages:
                async for message, place in messages:
                    yield message, place


def _headers(encoded: str) -> dict[str, str]:
    _, _, lines = base64.b64decode(encoded).partition(b"\r\n")
    return header_lines(lines)
