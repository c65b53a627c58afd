"""Reading the log: in its order, each event once, through reconnects and restarts of the server.

What counts is the stream sequence of the last message that arrived. Consumers come and go (`bridge.jetstream.consumer`); each
new one begins behind that sequence, so nothing is left out and nothing comes twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

from bridge.errors import BadEnvelope, LogRefused, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Doubt, Place
from bridge.jetstream.errors import ApiError, Denied, log_errors
from bridge.jetstream.filters import collide, filtering, matches, reduced
from bridge.jetstream.parser import Delivered
from bridge.jetstream.patience import Patience
from bridge.jetstream.streams import NO_STREAM, stream_name
from bridge.model.codec import decode
from bridge.model.nanos import Nanos, format_rfc3339, now, parse_rfc3339
from bridge.model.subjects import Subjects
from bridge.ports import LogExtent, Start, StoredEvent

__all__ = ["JetStreamReader", "divided", "extent_of", "stored", "stream_info"]

log = logging.getLogger(__name__)

SEVERAL_FILTERS: Final = (2, 10, 0)
"""First server version whose consumers take more than one filter."""

PATIENCE_S: Final = 10.0
"""How long a reading that is to end may get nowhere; one that follows has no such limit once it has begun."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0


class JetStreamReader:
    """Reads the stream of events; `EventReader` is its contract."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._stream = stream_name(subjects)

    async def read(self, filters: Sequence[str], start: Start, *, follow: bool) -> AsyncGenerator[StoredEvent, None]:
        """Iterate over the events whose subjects match one of `filters`; without filters, over all of them.

        Close the iterator (`contextlib.aclosing`) when you stop early, and its consumer goes at once; else it goes after a
        minute.

        Raises:
            LogUnavailable: the log does not answer (with `follow` only at the beginning).
            LogRefused: there is no such stream, or reading is not allowed.
        """
        reading = _Reading(self._connection, self._stream, reduced(filters), start, follow=follow)
        try:
            async with aclosing(reading.events()) as events:
                async for event in events:
                    yield event
        finally:
            await reading.close()

    async def latest(self, filters: Sequence[str]) -> list[StoredEvent]:
        """Return the last event of each subject that matches one of `filters`, in the log's order.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: there is no such stream, or reading is not allowed.
        """
        found: dict[int, StoredEvent] = {}
        for pattern in reduced(filters) or [">"]:
            # One after the other: older servers take one filter for a consumer, and none takes two that overlap.
            for event in await self._latest(pattern):
                found[event.stream_sequence] = event
        return [found[sequence] for sequence in sorted(found)]

    async def extent(self) -> LogExtent:
        """Return how far the stream reaches, and for how long it keeps what it has.

        Raises:
            LogUnavailable: the stream does not answer.
            LogRefused: there is none, or looking at it is not allowed.
        """
        asked = now()
        with log_errors(self._stream):
            info = await stream_info(self._connection, self._stream)
        return extent_of(info, asked)

    async def _latest(self, pattern: str) -> list[StoredEvent]:
        patience = Patience(PATIENCE_S)
        while True:
            with log_errors(self._stream):
                async with asyncio.timeout(PATIENCE_S):
                    link = await self._connection.linked()
                await stream_info(self._connection, self._stream)
                consumer = Consumer(self._connection, self._stream, link)
                try:
                    left = await consumer.open({"deliver_policy": "last_per_subject", "filter_subject": pattern})
                    return await self._last_ones(consumer) if left else []
                except Doubt as doubt:
                    if patience.over(doubt):
                        raise LogUnavailable(f"reading stream {self._stream} gets nowhere: {doubt}") from doubt
                finally:
                    await consumer.close()

    @staticmethod
    async def _last_ones(consumer: Consumer) -> list[StoredEvent]:
        found = []
        async with aclosing(consumer.messages(wait=False)) as messages:
            async for message, place in messages:
                try:
                    found.append(stored(message, place))
                except BadEnvelope as error:
                    log.warning("skipping message %d on %s: %s", place.stream_sequence, message.subject, error)
                if place.pending == 0:
                    break
        return found


class _Reading:
    """One reading, from its beginning to its end."""

    def __init__(
        self, connection: Connection, stream: str, filters: Sequence[str], start: Start, *, follow: bool
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._follow = follow
        self._start = start
        self._server_filters, self._our_filters = divided(filters, connection.server_version)
        self._consumer: Consumer | None = None
        self._last = 0
        """Stream sequence of the last message that arrived; 0 before the first."""
        self._next: int | None = start.sequence
        """Where the next consumer begins; None as long as that is a time."""
        self._end: int | None = None
        """The stream's last sequence when the reading began, where it is to end."""
        self._created = ""
        """When the stream was made, which tells it from another of the same name; empty until the reading has begun."""
        self._skipped = 0

    async def events(self) -> AsyncGenerator[StoredEvent, None]:
        """Iterate over the events."""
        patience, pause = Patience(PATIENCE_S), FIRST_PAUSE_S
        while True:
            reason: Exception
            try:
                pending = await self._open()
                if pending == 0 and not self._follow:
                    return
                assert self._consumer is not None
                async with aclosing(self._consumer.messages(wait=self._follow)) as messages:
                    async for message, place in messages:
                        pause = FIRST_PAUSE_S
                        self._last = place.stream_sequence
                        if self._end is not None and self._last > self._end:
                            return
                        event = self._event(message, place)
                        if event is not None:
                            yield event
                        patience.renew()  # whoever reads may take his time
                        if self._end is not None and (self._last == self._end or place.pending == 0):
                            return
                reason = Doubt("no more messages, though there were to be some")
            except Doubt as doubt:
                reason = doubt
            except Denied as denied:
                raise LogRefused(f"stream {self._stream}: {denied}") from denied
            except LogUnavailable as error:
                if not self._created:
                    raise
                reason = error
            if not self._follow and patience.over(reason):
                raise LogUnavailable(f"reading stream {self._stream} gets nowhere: {reason}")
            log.debug("reading stream %s behind %d with another consumer: %s", self._stream, self._last, reason)
            await self._drop()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def close(self) -> None:
        """Take what is ours off the server."""
        await self._drop()
        if self._skipped > 1:
            log.warning("skipped %d messages of stream %s that are no events of ours", self._skipped, self._stream)

    async def _open(self) -> int:
        with log_errors(self._stream):
            async with asyncio.timeout(None if self._follow and self._created else PATIENCE_S):
                link = await self._connection.linked()
            self._resume(await stream_info(self._connection, self._stream))
            self._consumer = Consumer(self._connection, self._stream, link)
            return await self._consumer.open(self._where())

    async def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.close()

    def _resume(self, info: dict[str, Any]) -> None:
        # Where to go on, or at first where to begin and where to end.
        created, last = str(info.get("created")), int(info["state"]["last_seq"])
        if not self._created:
            self._end = None if self._follow else last
            if self._next is None and self._start.time is None:
                self._next = last + 1
        elif created != self._created:
            log.warning("stream %s is another than before: reading it from its beginning", self._stream)
            self._last, self._next = 0, 1
        elif last < self._last:
            log.warning(
                "stream %s went back from message %d to %d: reading on from there", self._stream, self._last, last
            )
            self._last, self._next = last, last + 1
        elif self._last:
            self._next = self._last + 1
        self._created = created

    def _where(self) -> dict[str, Any]:
        config: dict[str, Any]
        if self._next is not None:
            config = {"deliver_policy": "by_start_sequence", "opt_start_seq": max(1, self._next)}
        else:
            assert self._start.time is not None
            config = {"deliver_policy": "by_start_time", "opt_start_time": format_rfc3339(self._start.time)}
        return config | filtering(self._server_filters)

    def _event(self, message: Delivered, place: Place) -> StoredEvent | None:
        if self._our_filters and not any(matches(pattern, message.subject) for pattern in self._our_filters):
            return None
        try:
            return stored(message, place)
        except BadEnvelope as error:
            self._skipped += 1
            if self._skipped == 1:
                log.warning("skipping message %d on %s: %s", place.stream_sequence, message.subject, error)
            return None


def stored(message: Delivered, place: Place) -> StoredEvent:
    """Return a message of the stream as an event.

    Raises:
        BadEnvelope: it is none of ours.
    """
    return StoredEvent(
        stream_sequence=place.stream_sequence,
        stored_at=Nanos(place.stored_at),
        subject=message.subject,
        body=message.data,
        recorded=decode(message.data),
    )


async def stream_info(connection: Connection, stream: str) -> dict[str, Any]:
    """Return what JetStream says of the stream.

    Raises:
        LogRefused: there is none.
        ApiError: JetStream refuses.
        nats.errors.Error: it does not answer.
    """
    try:
        return await api(connection, f"STREAM.INFO.{stream}")
    except ApiError as error:
        if error.err_code == NO_STREAM:
            raise LogRefused(f"there is no stream {stream}: a bridge makes it at its first start") from error
        raise


def extent_of(info: dict[str, Any], asked: Nanos) -> LogExtent:
    """Return how far a stream reaches, by what JetStream says of it; `asked` is the time, where it does not tell that."""
    config, state = info["config"], info["state"]
    messages, last = int(state["messages"]), int(state["last_seq"])

    def time_of(field: str) -> Nanos | None:
        return parse_rfc3339(state[field]) if messages else None

    return LogExtent(
        first_sequence=int(state["first_seq"]) if messages else last + 1,
        last_sequence=last,
        first_at=time_of("first_ts"),
        last_at=time_of("last_ts"),
        messages=messages,
        size=int(state["bytes"]),
        max_age=max(0, int(config.get("max_age") or 0)),
        max_bytes=max(0, int(config.get("max_bytes") or 0)),
        max_messages=max(0, int(config.get("max_msgs") or 0)),
        now=parse_rfc3339(info["ts"]) if info.get("ts") else asked,  # servers tell it from 2.10 on
    )


def divided(filters: Sequence[str], server: tuple[int, int, int]) -> tuple[list[str], list[str]]:
    """Return the filters for the server and those for us: it takes several only if it is new, and none that overlap."""
    overlap = any(collide(one, other) for index, one in enumerate(filters) for other in filters[index + 1 :])
    if len(filters) > 1 and (overlap or server < SEVERAL_FILTERS):
        return [], list(filters)
    return list(filters), []
