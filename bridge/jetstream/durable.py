"""Reading the log under a name, whose place the server keeps: a durable consumer, held to the log's order.

A consumer that acknowledges with `all` keeps one number: up to where everything is done with. What it had delivered behind that
to somebody who died it would deliver again only when a time is over, and in the middle of what is new. So it is never let
do that (its time is a year): whoever comes reads what is open with an ordinary reader first, in order, acknowledges it,
and only then goes on with what the consumer delivers. The same is done after every doubt, such as a lost connection.

Two that read under one name take deliveries from each other; each sees the hole in the numbers, and reads what is open. So
nobody acknowledges for the other what he has not had himself.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Final

from msgspec import Struct

from bridge.errors import BadEnvelope, LogRefused, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Doubt, Place
from bridge.jetstream.errors import NATS_ERRORS, ApiError, Denied, log_errors
from bridge.jetstream.filters import filtering, matches, reduced
from bridge.jetstream.parser import Delivered
from bridge.jetstream.reader import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    PATIENCE_S,
    JetStreamReader,
    divided,
    stored,
    stream_info,
)
from bridge.jetstream.streams import SECOND, stream_name
from bridge.model.nanos import format_rfc3339, parse_rfc3339
from bridge.model.subjects import Subjects
from bridge.ports import Start, StoredEvent, Wanted

__all__ = ["JetStreamDurable"]

log = logging.getLogger(__name__)

PENDING: Final = 1_000
"""Events that are delivered and not acknowledged, at the most: what a crash may repeat."""

ACK_WAIT_S: Final = 365 * 86_400
NO_CONSUMER: Final = 10014
DONE: Final = b"+ACK"
LAST_ACK_S: Final = 1.0
"""How long whoever leaves waits for the server to have the last acknowledgement."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_BEGINNING: Final = ("deliver_policy", "opt_start_seq", "opt_start_time")


class _Open(Struct, frozen=True, kw_only=True):
    """What is known of a consumer.

    Attributes:
        beginning: where it began, in JetStream's terms.
        open: how many messages it has delivered that are not acknowledged.
        done: stream sequence up to which they all are, 0 where none is; `done_number` the consumer's own.
        delivered: stream sequence up to which it has delivered; `delivered_number` the consumer's own.
    """

    beginning: dict[str, Any]
    open: int = 0
    done: int = 0
    done_number: int = 0
    delivered: int = 0
    delivered_number: int = 0

    @property
    def first(self) -> Start:
        """Where what is open begins."""
        if self.done_number:
            return Start(sequence=self.done + 1)
        if self.beginning["deliver_policy"] == "by_start_time":
            return Start(time=parse_rfc3339(self.beginning["opt_start_time"]))
        return Start(sequence=self.beginning["opt_start_seq"])


class JetStreamDurable:
    """Implements `bridge.ports.DurableReader`."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects
        self._stream = stream_name(subjects)

    @asynccontextmanager
    async def resume(
        self, name: str, filters: Sequence[str], start: Start, wanted: Wanted
    ) -> AsyncIterator[_DurableReading]:
        """Read on where this name has come to; see the port."""
        reading = _DurableReading(
            self._connection, self._subjects, _checked(name), filters=filters, start=start, wanted=wanted
        )
        async with self._connection.denials(reading.on_denied):
            await reading.begin()
            try:
                yield reading
            finally:
                await reading.settle()

    async def forget(self, name: str) -> bool:
        """Forget a name; see the port."""
        with log_errors(self._stream):
            try:
                await api(self._connection, f"CONSUMER.DELETE.{self._stream}.{_checked(name)}")
            except ApiError as error:
                if error.err_code != NO_CONSUMER:
                    raise
                return False
        return True


class _DurableReading:
    """Implements `bridge.ports.DurableReading`."""

    def __init__(
        self,
        connection: Connection,
        subjects: Subjects,
        name: str,
        *,
        filters: Sequence[str],
        start: Start,
        wanted: Wanted,
    ) -> None:
        self._connection = connection
        self._reader = JetStreamReader(connection, subjects)
        self._stream = stream_name(subjects)
        self._name = name
        self._filters = reduced(filters)
        self._server_filters, self._our_filters = divided(self._filters, connection.server_version)
        self._start = start
        self._wanted = wanted
        self._created = ""
        """When the stream was made; empty until the reading has begun."""
        self._next: int | None = start.sequence
        """Where a consumer begins that has to be made; None as long as that is a time."""
        self._last = 0
        """Stream sequence of the last message that was taken; 0 before the first."""
        self._handed: deque[tuple[int, str]] = deque()
        """Of what was handed out and is not acknowledged: its sequence, and the receipt of the last that is done with it."""
        self._done = ""
        """The receipt of the last that is done with."""
        self._passed = 0
        """What was passed over since the server was told."""
        self._denied: Denied | None = None

    async def begin(self) -> None:
        """Make the consumer, or see that it is one of ours.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: there is no such stream, or reading so is not allowed.
        """
        consumer, _ = await self._open()
        await consumer.close(keep=True)

    async def events(self) -> AsyncGenerator[StoredEvent, None]:
        """Iterate over what is not acknowledged and over what comes; see the port."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                async with aclosing(self._session()) as session:
                    async for sequence, receipt, event in session:
                        pause = FIRST_PAUSE_S
                        if sequence <= self._last:
                            continue
                        self._last = sequence
                        if event is None or not self._wanted(event):
                            await self._pass(sequence, receipt)
                            continue
                        self._handed.append((sequence, receipt))
                        yield event
                reason = "no more messages"
            except Doubt as doubt:
                reason = str(doubt)
            except Denied as denied:
                raise LogRefused(f"stream {self._stream}: {denied}") from denied
            except LogUnavailable as error:
                reason = str(error)
            log.debug("reading stream %s as %s anew behind %d: %s", self._stream, self._name, self._last, reason)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def acknowledge(self, event: StoredEvent) -> None:
        """Take note that this event and all before it are done with; see the port."""
        receipt = ""
        while self._handed and self._handed[0][0] <= event.stream_sequence:
            receipt = self._handed.popleft()[1]
        if receipt:
            await self._tell(receipt)

    async def settle(self) -> None:
        """See that the server has the last acknowledgement, if it answers."""
        if self._done and self._connection.connected:
            with suppress(*NATS_ERRORS):
                await self._connection.request(self._done, DONE, timeout=LAST_ACK_S)

    def on_denied(self, denied: Denied) -> None:
        """Take what the server does not permit."""
        if denied.subject.startswith(f"$js.ack.{self._stream}.{self._name}.".lower()):
            self._denied = denied

    # -- inside

    async def _tell(self, receipt: str) -> None:
        self._done, self._passed = receipt, 0
        with suppress(*NATS_ERRORS):  # the next one says it too
            await self._connection.client.publish(receipt, DONE)

    async def _pass(self, sequence: int, receipt: str) -> None:
        if self._handed:
            self._handed[-1] = (self._handed[-1][0], receipt)
            return
        self._done = receipt
        self._passed += 1
        if self._passed >= PENDING // 10:
            await self._tell(receipt)
            log.debug("%s has passed over all up to message %d", self._name, sequence)

    async def _session(self) -> AsyncGenerator[tuple[int, str, StoredEvent | None], None]:
        """Iterate over sequences, receipts and events, from the opening of the consumer to the first doubt."""
        consumer, found = await self._open()
        try:
            if found.open and self._done:
                # What was said into a connection that was lost: while it is open, and nothing else comes, nobody would say it.
                await self._tell(self._done)
            if found.open:
                async with aclosing(self._open_ones(found)) as events:
                    async for one in events:
                        yield one
            async with aclosing(consumer.messages(wait=True, delivered=found.delivered_number)) as messages:
                async for message, place in messages:
                    if self._denied is not None:
                        raise self._denied
                    yield place.stream_sequence, message.reply, self._event(message, place)
        finally:
            await consumer.close(keep=True)

    async def _open_ones(self, found: _Open) -> AsyncGenerator[tuple[int, str, StoredEvent | None], None]:
        """Iterate over what was delivered, to whomever, and is not acknowledged."""
        number = found.done_number
        async with aclosing(self._reader.read(self._filters, found.first, follow=False)) as events:
            async for event in events:
                sequence = event.stream_sequence
                if sequence > found.delivered:
                    return
                # Of those that have expired meanwhile nobody knows how many they were: the next delivery sets that right.
                number = min(number + 1, found.delivered_number)
                yield sequence, f"$JS.ACK.{self._stream}.{self._name}.1.{sequence}.{number}.0.0", event

    async def _open(self) -> tuple[Consumer, _Open]:
        with log_errors(self._stream):
            async with asyncio.timeout(None if self._created else PATIENCE_S):
                link = await self._connection.linked()
            last = self._resume(await stream_info(self._connection, self._stream))
            found = await self._found(last)
            consumer = Consumer(self._connection, self._stream, link, self._name)
            try:
                await consumer.open(self._config(found.beginning))
            except BaseException:
                await consumer.close(keep=True)
                raise
        return consumer, found

    def _resume(self, info: dict[str, Any]) -> int:
        """Take in what the stream is; return its last sequence."""
        created, last = str(info.get("created")), int(info["state"]["last_seq"])
        if not self._created:
            if self._next is None and self._start.time is None:
                self._next = last + 1
        elif created != self._created:
            log.warning("stream %s is another than before: %s reads it from its beginning", self._stream, self._name)
            self._last, self._next, self._done = 0, 1, ""
            self._handed.clear()
        elif last < self._last:
            log.warning("stream %s went back from message %d to %d", self._stream, self._last, last)
            self._last, self._next, self._done = last, last + 1, ""
            self._handed.clear()
        elif self._last:
            self._next = self._last + 1
        self._created = created
        return last

    async def _found(self, last: int) -> _Open:
        """Return how the consumer stands, as if it were there where it has to be made."""
        try:
            info = await api(self._connection, f"CONSUMER.INFO.{self._stream}.{self._name}")
        except ApiError as error:
            if error.err_code != NO_CONSUMER:
                raise
            return self._new()
        config = info["config"]
        if config.get("ack_policy") != "all" or config.get("deliver_subject"):
            sentence = f"{self._name} is another program's consumer of stream {self._stream}: take another name"
            raise LogRefused(sentence)
        done, delivered = info["ack_floor"], info["delivered"]
        if (
            delivered["stream_seq"] > last
        ):  # the stream went back: what it will store now has numbers that were there before
            await api(self._connection, f"CONSUMER.DELETE.{self._stream}.{self._name}")
            self._next = min(done["stream_seq"], last) + 1
            return self._new()
        return _Open(
            open=info["num_ack_pending"],
            done=done["stream_seq"],
            done_number=done["consumer_seq"],
            delivered=delivered["stream_seq"],
            delivered_number=delivered["consumer_seq"],
            beginning={name: config[name] for name in _BEGINNING if config.get(name)},
        )

    def _new(self) -> _Open:
        self._done = ""
        if self._next is not None:
            beginning = {"deliver_policy": "by_start_sequence", "opt_start_seq": max(1, self._next)}
        else:
            assert self._start.time is not None
            beginning = {"deliver_policy": "by_start_time", "opt_start_time": format_rfc3339(self._start.time)}
        return _Open(beginning=beginning)

    def _config(self, beginning: dict[str, Any]) -> dict[str, Any]:
        config: dict[str, Any] = {
            "durable_name": self._name,
            "description": "A subscription of bridge.client (containerd-bridge)",
            "ack_policy": "all",
            "ack_wait": ACK_WAIT_S * SECOND,
            "max_deliver": -1,
            "max_ack_pending": PENDING,
            "mem_storage": False,
            "num_replicas": 0,
            "inactive_threshold": 0,
            **beginning,
        }
        return config | filtering(self._server_filters)

    def _event(self, message: Delivered, place: Place) -> StoredEvent | None:
        if self._our_filters and not any(matches(pattern, message.subject) for pattern in self._our_filters):
            return None
        try:
            return stored(message, place)
        except BadEnvelope as error:
            log.warning("skipping message %d on %s: %s", place.stream_sequence, message.subject, error)
            return None


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} names no subscription: letters, digits, '_' and '-', 64 at the most")
    return name
