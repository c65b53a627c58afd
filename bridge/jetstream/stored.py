"""What a stream has under a subject: the last message of one, the last that was written, and every message of a pattern.

The leader is asked for the last one, so that what was written before is seen; or, `filtered`, a consumer of that subject alone,
which is what NATS can permit to somebody who may not read the rest. JetStream's direct get would name the subject too, but
whoever may use it can have nats-server write what he reads under any subject, which he gives for the answer, a key or a job, and
not a word changed (seen with 2.10 and 2.15). Reading many survives a lost connection: each new consumer begins behind the last
message that arrived.

An answer of nats-server's own can be had under any subject too. `written_of` tells what was written from that, by what
nats-server itself sees to: a message that says `Nats-Expected-Stream` is stored by the stream of that name and by no other, so it
was sent there; answers say nothing of the kind, and what is handed on, by a direct get or by a stream that republishes, says
`Nats-Stream` besides (docs/decisions/0035).
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

__all__ = ["ECHO", "FOREIGN", "Last", "Written", "each_of", "is_written", "last_of", "sent_to", "written_of"]

PATIENCE_S: Final = 30.0
"""How long reading many may get nowhere."""

PAUSE_S: Final = 0.1

ECHO: Final = "Nats-Stream"
"""The header of what nats-server hands on from a stream."""

FOREIGN: Final = (
    "bucket %s: under %s stand messages (%d) that no bridge has written; they are passed over. Answers of nats-server get there "
    "where somebody who may ask it has them sent there: see who may (docs/security.md)"
)
"""What is said of them in the log."""

EXPECTED_STREAM: Final = "Nats-Expected-Stream"


class Last(NamedTuple):
    """A message as it is stored."""

    data: bytes
    headers: Mapping[str, str]
    sequence: int
    stored_at: Nanos


class Written(NamedTuple):
    """What was written last under a subject.

    Attributes:
        last: the message, None where nobody has written one.
        revision: of the very last message there, which a write has to expect; 0 where there is none.
        foreign: how many there are above `last` that nobody has written.
    """

    last: Last | None
    revision: int
    foreign: int


def sent_to(stream: str) -> dict[str, str]:
    """Return the headers by which a message that is written to a stream is told from what is only stored there."""
    return {EXPECTED_STREAM: stream}


def is_written(headers: Mapping[str, str], stream: str) -> bool:
    """Tell whether a message of this stream was sent to it by somebody who may write there."""
    return headers.get(EXPECTED_STREAM) == stream and ECHO not in headers


async def written_of(connection: Connection, stream: str, subject: str, *, filtered: bool = False) -> Written:
    """Return what was written last under a subject, whatever nats-server was made to store above it.

    Raises:
        Denied: it is not permitted.
        ApiError: JetStream refuses.
        nats.errors.Error: no answer, or it changed while it was read.
    """
    top = None
    if not filtered:
        top = await last_of(connection, stream, subject)
        if top is None:
            return Written(None, 0, 0)
        if is_written(top.headers, stream):
            return Written(top, top.sequence, 0)
    found = Written(None, 0, 0)
    async with aclosing(each_of(connection, stream, subject)) as messages:
        async for message, place in messages:
            if is_written(message.headers, stream):
                last = Last(message.data, message.headers, place.stream_sequence, Nanos(place.stored_at))
                found = Written(last, last.sequence, 0)
            else:
                found = Written(found.last, place.stream_sequence, found.foreign + 1)
            if top is not None and place.stream_sequence >= top.sequence:
                return found
    if top is not None:  # taken away meanwhile, or told by a replica that has not all of it yet
        raise nats.errors.Error(f"what stands under {subject} changed while it was read")
    return found


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
