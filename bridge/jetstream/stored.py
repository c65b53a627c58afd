"""What a stream has under a subject: the last message of one, the last that was written, and every message of a pattern.

The leader is asked for the last one, so that what was written before is seen; or, `filtered`, a consumer of that subject alone,
which is what NATS can permit to somebody who may not read the rest. JetStream's direct get would name the subject too, but
whoever may use it can have nats-server write what he reads under any subject, which he gives for the answer, a key or a job, and
not a word changed (seen with 2.10 and 2.15).

Reading many survives a lost connection: each new consumer begins behind the last message that arrived. Where one after the other
keeps silent, the stream's own API is asked for the rest, one by one: slow, but a bridge starts.

An answer of nats-server's own can be had under any subject too. `written_of` tells what was written from that, by what
nats-server itself sees to: a message that says `Nats-Expected-Stream` is stored by the stream of that name and by no other, so it
was sent there; answers say nothing of the kind, and what is handed on, by a direct get or by a stream that republishes, says
`Nats-Stream` besides (docs/decisions/0035).
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, NamedTuple

import nats.errors

from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Doubt, Place, Silent
from bridge.jetstream.errors import ApiError, Denied
from bridge.jetstream.pace import Pace
from bridge.jetstream.parser import Delivered, header_lines
from bridge.jetstream.patience import Patience
from bridge.jetstream.streams import NO_MESSAGE
from bridge.model.nanos import Nanos, parse_rfc3339

__all__ = ["ECHO", "FOREIGN", "Last", "Written", "each_of", "is_written", "last_of", "sent_to", "written_of"]

log = logging.getLogger(__name__)

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
    _, _, lines = _bytes(message, "hdrs").partition(b"\r\n")
    return Last(_bytes(message, "data"), header_lines(lines), int(message["seq"]), parse_rfc3339(message["time"]))


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
    pace: Callable[[], Pace] | None = None,
) -> AsyncGenerator[tuple[Delivered, Place], None]:
    """Iterate over the messages whose subjects match and whose places are behind `after`, as many as there are now, each once.

    Of each message the headers alone come with `headers_only`, and its size as `Nats-Msg-Size`; with `last_per_subject`
    the last of each subject alone, and what is written meanwhile. Close the iterator when you stop early.

    Args:
        connection: where.
        stream: which.
        subject: a subject or a pattern.
        after: the place behind which it begins.
        headers_only: whether bodies are left out.
        last_per_subject: whether what stood under a subject before is.
        pace: makes what says how much is asked for at once, for a line that may be slow.

    Raises:
        Denied: it is not permitted.
        ApiError: JetStream refuses; there is no such stream, for one.
        nats.errors.Error: no answer for too long.
    """
    config: dict[str, Any] = {"filter_subject": subject}
    config |= {"headers_only": True} if headers_only else {}
    patience = Patience(PATIENCE_S)
    while True:
        async with asyncio.timeout(patience.left_s):
            link = await connection.linked()
        consumer = Consumer(connection, stream, link)
        if last_per_subject:
            config["deliver_policy"] = "last_per_subject"
        else:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": after + 1}
        try:
            if not await consumer.open(config):
                return
            async with aclosing(consumer.messages(wait=False, pace=pace and pace())) as messages:
                async for message, place in messages:
                    if place.stream_sequence <= after:
                        continue  # a consumer for the last of each subject begins anew
                    after = place.stream_sequence
                    yield message, place
                    patience.renew()  # whoever reads may take his time
                    if not place.pending and not last_per_subject:
                        return
            return
        except Doubt as doubt:
            if patience.over(doubt):
                if not isinstance(doubt, Silent) or headers_only or last_per_subject:
                    raise nats.errors.Error(f"stream {stream} cannot be read: {doubt}") from doubt
                log.warning("stream %s: %s, as those before it; the rest is asked for one by one", stream, doubt)
                break
            await asyncio.sleep(PAUSE_S)
        finally:
            await consumer.close()
    async with aclosing(_one_by_one(connection, stream, subject, after)) as rest:
        async for message, place in rest:
            yield message, place


async def _one_by_one(
    connection: Connection, stream: str, subject: str, after: int
) -> AsyncGenerator[tuple[Delivered, Place], None]:
    try:
        last = int((await api(connection, f"STREAM.INFO.{stream}"))["state"]["last_seq"])
        while after < last:
            request = {"seq": after + 1, "next_by_subj": subject}
            found = (await api(connection, f"STREAM.MSG.GET.{stream}", request))["message"]
            after = int(found["seq"])
            if after <= last:
                message = Delivered(found["subject"], "", _bytes(found, "data"), _bytes(found, "hdrs"))
                yield message, Place(after, 0, parse_rfc3339(found["time"]), last - after)
    except Denied as denied:
        raise nats.errors.Error(f"its consumers keep silent, and its API is not ours to ask: {denied}") from denied
    except ApiError as error:
        if error.err_code != NO_MESSAGE:
            raise


def _bytes(message: Mapping[str, Any], field: str) -> bytes:
    return base64.b64decode(message.get(field) or "")
