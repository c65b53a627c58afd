"""The newest event on each subject of a node: what the log knows of every container, without reading all of it.

One message for each container and kind of event, streamed, so that ten thousand containers cost seconds and no memory.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from bridge.errors import BadEnvelope
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import log_errors
from bridge.jetstream.pace import LEAST, Pace
from bridge.jetstream.stored import each_of
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
    on_each = each_of(connection, stream, pattern, last_per_subject=True, pace=lambda: Pace(LEAST))
    with log_errors(stream):
        async with aclosing(on_each) as messages:
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
