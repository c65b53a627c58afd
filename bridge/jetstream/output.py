"""Storing what processes write: `bridge.ports.OutputLog`.

Each message says behind which one of its subject it belongs, and the server refuses it anywhere else (ADR: header
Nats-Expected-Last-Subject-Sequence). So what a dead bridge, or a lost connection, still had under way can neither come twice nor
between what is stored later.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import msgspec
from msgspec import Struct

from bridge.errors import BadEnvelope, ConfigError, LogRefused, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Doubt, Place
from bridge.jetstream.errors import ApiError, Denied, log_error, log_errors
from bridge.jetstream.output_stream import AS_USUAL, HEADERS, LARGEST, OutputMaking, ensure_output, output_stream_name
from bridge.jetstream.parser import Delivered, header_lines
from bridge.jetstream.streams import NO_MESSAGE, NO_STREAM
from bridge.model.stdio import Chunk, OutputStream, StreamEnd, headers_of, message_id, piece_from
from bridge.model.subjects import StdioSubject, Subjects
from bridge.ports import Digest, OutputEnd

__all__ = ["JetStreamOutput"]

APPEND_S: Final = 10.0
"""Patience with an acknowledgement."""


class _Stored(Struct):
    """A message as JetStream's API tells it."""

    seq: int
    hdrs: str = ""
    data: str = ""


class _Ack(Struct):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: dict[str, Any] | None = None


class JetStreamOutput:
    """The stream of output, written to."""

    def __init__(self, connection: Connection, subjects: Subjects, making: OutputMaking = AS_USUAL) -> None:
        """Take where it is, and how it is made should it be gone."""
        self._connection = connection
        self._subjects = subjects
        self._making = making
        self._stream = output_stream_name(subjects)

    @property
    def largest(self) -> int:
        """Bytes that one chunk can hold."""
        return min(LARGEST, self._connection.client.max_payload - HEADERS)

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

    async def append(self, subject: StdioSubject, piece: Chunk | StreamEnd, *, after: int) -> int:
        """Store a piece behind the one at `after`; see the port."""
        stream: OutputStream = "stderr" if subject.line == "stderr" else "stdout"
        headers = headers_of(piece) | {
            "Nats-Msg-Id": message_id(stream, piece),
            "Nats-Expected-Stream": self._stream,
            "Nats-Expected-Last-Subject-Sequence": str(after),
        }
        data = piece.data if isinstance(piece, Chunk) else b""
        with log_errors(self._stream):
            answer = await self._connection.request(
                self._subjects.stdio(subject), data, timeout=APPEND_S, headers=headers
            )
        try:
            ack = msgspec.json.decode(answer.data, type=_Ack)
        except msgspec.DecodeError as error:
            raise LogUnavailable(f"what answers for stream {self._stream} is not JetStream: {error}") from error
        if ack.error:
            raise log_error(ack.error, self._stream)
        if ack.duplicate or ack.stream != self._stream:
            # It begins where a stored one begins, which need not be as long.
            raise LogUnavailable(f"stream {self._stream} has such a message already, or another stream took it")
        return ack.seq

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
        return msgspec.convert(answer["message"], _Stored)

    async def _make(self) -> None:
        try:
            await ensure_output(self._connection, self._subjects, self._making)
        except ConfigError as error:
            raise LogRefused(str(error)) from error

    async def _read(self, subject: str, after: int) -> AsyncGenerator[tuple[Delivered, Place], None]:
        with log_errors(self._stream):
            consumer = Consumer(self._connection, self._stream, self._connection.link)
            try:
                start = {"deliver_policy": "by_start_sequence", "opt_start_seq": after + 1, "filter_subject": subject}
                if not await consumer.open(start):
                    return
                async with aclosing(consumer.messages(wait=False)) as messages:
                    async for message, place in messages:
                        yield message, place
                        if place.pending == 0:
                            return
            except Doubt as doubt:
                raise LogUnavailable(f"stream {self._stream} cannot be read at present: {doubt}") from doubt
            except Denied as denied:
                raise LogRefused(f"stream {self._stream}: {denied}") from denied
            finally:
                await consumer.close()


def _headers(encoded: str) -> dict[str, str]:
    _, _, lines = base64.b64decode(encoded).partition(b"\r\n")
    return header_lines(lines)
