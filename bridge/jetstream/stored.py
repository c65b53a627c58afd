"""What a stream has under a subject: the last message of one, and every message of a pattern in its order.

The leader is asked for the last one, so that what was written before is seen; or, `filtered`, a consumer of that subject alone,
which is what NATS can permit to somebody who may not read the rest. JetStream's direct get would name the subject too, but
whoever may use it can have nats-server write what he reads under any subject, which he gives for the answer, a key or a job, and
not a word changed (seen with 2.10 and 2.15). Reading many survives a lost connection: each new consumer begins behind the last
message that arrived.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final, NamedTuple

import nats.errors

from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Doubt, Place
from bridge.jetstream.errors import ApiError
from bridge.jetstream.parser import Delivered, header_lines
from bridge.jetstream.streams import NO_MESSAGE
from bridge.model.nanos import Nanos, parse_rfc3339

__all__ = ["Last", "each_of", "last_of"]

PATIENCE_S: Final = 30.0
"""How long reading many may get nowhere."""

PAUSE_S: Final = 0.1


class Last(NamedTuple):
    """A message as it is stored."""

    data: bytes
    headers: Mapping[str, str]
    sequence: int
    stored_at: Nanos


async def last_of(connection: Connection, stream: str, subject: str, *, filtered: bool = False) -> Last | None:
    """Return the last message under a subject, None where there is none.

    Raises:
        ApiError: JetStream refuses.
        nats.errors.Error: no answer.
    """
    if filtered:
        return await _filtered(connection, stream, subject)
    try:
        found = await api(connection, f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
    except ApiError as error:
        if error.err_code == NO_MESSAGE:
            return None
        raise
    message = found["message"]
    _, _, lines = base64.b64decode(message.get("hdrs") or "").partition(b"\r\n")
    data = base64.b64decode(message.get("data") or "")
    return Last(data, header_lines(lines), int(message["seq"]), parse_rfc3339(message["time"]))


async def _filtered(connection: Connection, stream: str, subject: str) -> Last | None:
    found: Last | None = None
    async with aclosing(each_of(connection, stream, subject, last_per_subject=True)) as messages:
        async for message, place in messages:
            found = Last(message.data, message.headers, place.stream_sequence, Nanos(place.stored_at))
    return found


async def each_of(
    connection: Connection,
    stream: str,
    subject: str,
    *,
    after: int = 0,
    headers_only: bool = False,
    last_per_subject: bool = False,
) -> AsyncGenerator[tuple[Delivered, Place], None]:
    """Iterate over the messages whose subjects match and whose places are behind `after`, as many as there are now.

    Of each message the headers alone come with `headers_only`, and its size as `Nats-Msg-Size`; with `last_per_subject`
    the last of each subject alone. Close the iterator when you
    stop early.

    Raises:
        Denied: it is not permitted.
        ApiError: JetStream refuses; there is no such stream, for one.
        nats.errors.Error: no answer for too long.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + PATIENCE_S
    while True:
        async with asyncio.timeout(max(0.0, until - clock())):
            link = await connection.linked()
        consumer = Consumer(connection, stream, link)
        config: dict[str, Any] = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": after + 1,
            "filter_subject": subject,
        }
        if headers_only:
            config["headers_only"] = True
        if last_per_subject:  # beginning anew tells some twice, which is as good
            config = {**config, "deliver_policy": "last_per_subject"}
            del config["opt_start_seq"]
        try:
            if not await consumer.open(config):
                return
            async with aclosing(consumer.messages(wait=False)) as messages:
                async for message, place in messages:
                    after, until = place.stream_sequence, clock() + PATIENCE_S
                    yield message, place
                    until = clock() + PATIENCE_S  # whoever reads may take his time
                    if not place.pending:
                        return
            return
        except Doubt as doubt:
            if clock() > until:
                raise nats.errors.Error(f"stream {stream} cannot be read: {doubt}") from doubt
            await asyncio.sleep(PAUSE_S)
        finally:
            await consumer.close()
