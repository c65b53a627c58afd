"""The other end of stdio: reads the output of processes, writes their input; `bridge.ports.StdioClient`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final

import nats.errors

from bridge.errors import BadEnvelope, Code, CommandFailed, LogRefused, LogUnavailable
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Doubt
from bridge.jetstream.errors import NATS_ERRORS, Denied, explain, log_errors
from bridge.jetstream.output_stream import output_stream_name
from bridge.jetstream.parser import Delivered
from bridge.jetstream.patience import Patience
from bridge.jetstream.reader import stream_info
from bridge.model.codec import decode_as, encode_any
from bridge.model.stdio import Chunk, Credit, InputPiece, InputReply, OutputStream, StreamEnd, input_headers, piece_from
from bridge.model.subjects import StdioSubject, Subjects
from bridge.ports import StoredPiece

__all__ = ["NatsStdio"]

log = logging.getLogger(__name__)

FILTERS: Final = (2, 10, 0)
"""First server version that takes a consumer's filter which is wider than the stream's own subjects."""

PATIENCE_S: Final = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0


class NatsStdio:
    """Stdio over a connection."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects
        self._stream = output_stream_name(subjects)

    async def read(
        self, subject: StdioSubject, session: str, *, after: int, follow: bool
    ) -> AsyncGenerator[StoredPiece, None]:
        """Iterate over a session's messages; see the port. Consumers come and go, each behind the last message."""
        prefix = self._prefix(subject)
        last, begun, pause, patience = after, False, FIRST_PAUSE_S, Patience(PATIENCE_S)
        while True:
            try:
                with log_errors(self._stream):
                    async with asyncio.timeout(None if begun and follow else PATIENCE_S):
                        link = await self._connection.linked()
                    await stream_info(self._connection, self._stream)
                    consumer = Consumer(self._connection, self._stream, link)
                    try:
                        start = {"deliver_policy": "by_start_sequence", "opt_start_seq": last + 1}
                        waiting = await consumer.open({**start, **self._filtered(prefix)})
                        begun = True
                        if not waiting and not follow:
                            return
                        async with aclosing(consumer.messages(wait=follow)) as messages:
                            async for message, place in messages:
                                last, pause = place.stream_sequence, FIRST_PAUSE_S
                                piece = _piece(message) if message.subject.startswith(prefix) else None
                                if piece is not None and piece.session == session:
                                    yield StoredPiece(last, _stream_of(message.subject), piece)
                                patience.renew()  # whoever reads may take his time
                                if not follow and place.pending == 0:
                                    return
                    finally:
                        await consumer.close()
            except Doubt as doubt:
                if not follow and patience.over(doubt):
                    raise LogUnavailable(f"reading stream {self._stream} gets nowhere: {doubt}") from doubt
                log.debug("reading stream %s behind %d with another consumer: %s", self._stream, last, doubt)
            except Denied as denied:
                raise LogRefused(f"stream {self._stream}: {denied}") from denied
            except LogUnavailable:
                if not begun or not follow:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def check(self, subject: StdioSubject) -> None:
        """See that reading works, with a consumer that finds nothing; see the port."""
        try:
            with log_errors(self._stream):
                async with asyncio.timeout(PATIENCE_S):
                    link = await self._connection.linked()
                await stream_info(self._connection, self._stream)
                consumer = Consumer(self._connection, self._stream, link)
                try:
                    await consumer.open({"deliver_policy": "new", **self._filtered(self._prefix(subject))})
                    async with aclosing(consumer.messages(wait=False)) as messages:
                        async for _ in messages:
                            break
                finally:
                    await consumer.close()
        except Doubt as doubt:
            raise LogUnavailable(f"stream {self._stream} cannot be read: {doubt}") from doubt
        except Denied as denied:
            raise LogRefused(f"stream {self._stream}: {denied}") from denied

    async def write(self, subject: StdioSubject, piece: InputPiece, *, timeout: float) -> InputReply:
        """Send a piece of input; see the port."""
        where = self._subjects.stdio(subject._replace(line="stdin"))
        try:
            answer = await self._connection.request(where, piece.data, timeout=timeout, headers=input_headers(piece))
            return decode_as(answer.data, InputReply)
        except nats.errors.NoRespondersError as error:
            raise CommandFailed("unavailable", f"nobody takes input on {where}: the bridge is down") from error
        except BadEnvelope as error:
            raise CommandFailed("internal", f"what answers on {where} is no containerd-bridge: {error}") from error
        except NATS_ERRORS as error:
            code: Code = "refused" if isinstance(error, Denied) else "deadline_exceeded"
            raise CommandFailed(code, f"no answer to input: {explain(error)}") from error

    async def credit(self, subject: StdioSubject, credit: Credit) -> None:
        """Say what has been read; see the port."""
        with suppress(*NATS_ERRORS):
            await self._connection.client.publish(
                self._subjects.stdio(subject._replace(line="credit")), encode_any(credit)
            )

    def _prefix(self, subject: StdioSubject) -> str:
        return self._subjects.stdio(subject._replace(line="stdout")).removesuffix("stdout")

    def _filtered(self, prefix: str) -> dict[str, str]:
        # Older ones want a filter that the stream itself has: there we get everybody's, and pass most by.
        return {"filter_subject": f"{prefix}*"} if self._connection.server_version >= FILTERS else {}


def _piece(message: Delivered) -> Chunk | StreamEnd | None:
    try:
        return piece_from(message.headers, message.data)
    except BadEnvelope as error:
        log.debug("a message on %s: %s", message.subject, error)
        return None


def _stream_of(subject: str) -> OutputStream:
    return "stderr" if subject.endswith(".stderr") else "stdout"
