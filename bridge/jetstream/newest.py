"""The newest event on each subject of a node: what the log knows of every container, without reading all of it.

One message for each container and kind of event, streamed, so that ten thousand containers cost seconds and no memory.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from bridge.errors import BadEnvelope, LogRefused, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Doubt
from bridge.jetstream.errors import Denied, log_errors
from bridge.jetstream.pace import LEAST, Pace
from bridge.model.codec import decode
from bridge.model.nanos import Nanos
from bridge.model.subjects import Subjects, quote
from bridge.ports import StoredEvent

__all__ = ["newest"]

log = logging.getLogger(__name__)


async def newest(
    connection: Connection, subjects: Subjects, stream: str, node: str
) -> AsyncGenerator[StoredEvent, None]:
    """Iterate over the newest event on each of the node's subjects; see `EventLog.newest`.

    Raises:
        LogUnavailable: the stream does not answer, or not to the end.
        LogRefused: there is no such stream, or it may not be read.
    """
    with log_errors(stream):
        last = int((await api(connection, f"STREAM.INFO.{stream}"))["state"]["last_seq"])
    for plane in ("events", "nodes"):
        async with aclosing(_on(connection, stream, f"{subjects.root}.{plane}.{quote(node)}.>", last)) as events:
            async for event in events:
                yield event


async def _on(connection: Connection, stream: str, pattern: str, last: int) -> AsyncGenerator[StoredEvent, None]:
    with log_errors(stream):
        consumer = Consumer(connection, stream, connection.link)
    try:
        with log_errors(stream):
            there = await consumer.open({"deliver_policy": "last_per_subject", "filter_subject": pattern})
        if there == 0:
            return
        async with aclosing(consumer.messages(wait=False, pace=Pace(LEAST))) as messages:
            async for message, place in messages:
                if place.stream_sequence > last:
                    break
                try:
                    recorded = decode(message.data)
                except BadEnvelope:
                    log.warning("message %d on %s is no event of ours", place.stream_sequence, message.subject)
                else:
                    yield StoredEvent(
                        stream_sequence=place.stream_sequence,
                        stored_at=Nanos(place.stored_at),
                        subject=message.subject,
                        body=message.data,
                        recorded=recorded,
                    )
                if place.pending == 0:
                    break
    except Doubt as doubt:
        raise LogUnavailable(f"stream {stream} cannot be read at present: {doubt}") from doubt
    except Denied as denied:
        raise LogRefused(f"stream {stream}: {denied}", "denied") from denied
    finally:
        await consumer.close()
