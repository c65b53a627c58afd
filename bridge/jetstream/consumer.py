"""A consumer of ours on the server, for as long as one TCP connection lasts and nothing is missing.

It is ephemeral, acknowledges nothing and is pulled from in portions, so what waits for a slow caller waits in the stream. The
server numbers what it delivers to a consumer; a number that is missing, a heartbeat that knows more than we do, silence or
a lost connection end it with `Doubt`, and who reads opens another one behind the last message that arrived.

A portion that has come to its last byte exactly is over, and the server says nothing of it, since its client can count them
(seen with 2.9, 2.10 and 2.15). Who does not count waits for what nobody sends: at the same place every time, for as long as the
same messages stand there.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from math import inf
from typing import Any, Final

import msgspec
from msgspec import Struct
from nats.aio.subscription import Subscription

from bridge.jetstream.api import api
from bridge.jetstream.client import Link
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, Denied
from bridge.jetstream.pace import LEAST, OVERHEAD, Pace
from bridge.jetstream.parser import Delivered

__all__ = ["Consumer", "Doubt", "Place", "Silent"]

PORTION: Final = 10_000
PORTION_BYTES: Final = 8 * 1024 * 1024
"""A portion ends with whichever comes first. Between two of them the server has nothing to do: they had better be long."""

MESSAGE_BYTES: Final = 1024
"""What a message is taken to have before any has come."""

HEARTBEAT_S: Final = 5.0
PULL_S: Final = 30.0
SILENCE_S: Final = 2.5 * HEARTBEAT_S
"""Without a message or heartbeat for so long the consumer counts as gone."""

UNUSED_S: Final = 60.0
"""The server forgets a consumer that nobody pulls from after this time."""

SECOND: Final = 1_000_000_000

HEARTBEAT, NO_MESSAGES, TIMEOUT, CONFLICT = "100", "404", "408", "409"
_OF_BEFORE: Final = "of a pull before"


class Doubt(Exception):
    """The consumer has to be replaced; nobody's error."""


class Silent(Doubt):
    """It says nothing at all, on a connection that is alive."""


class Place(Struct, frozen=True, gc=False):
    """What the reply subject of a delivered message says of it."""

    stream_sequence: int
    consumer_sequence: int
    stored_at: int
    pending: int


class Consumer:
    """One consumer. `open` makes it, `close` takes it away; between the two it lives on one link."""

    def __init__(self, connection: Connection, stream: str, link: Link, name: str = "") -> None:
        self._connection = connection
        self._stream = stream
        self._link = link
        self._name = name or f"bridge_{secrets.token_hex(8)}"
        self._inbox = connection.client.new_inbox()
        self._subscription: Subscription | None = None
        self._made = False
        self._counted = False
        """Whether portions are so many messages, and not so many bytes."""
        self._message_bytes = MESSAGE_BYTES
        self._pulls = 0
        self._pending = 0
        self._arrived: deque[Delivered] = deque()
        self._news = asyncio.Event()
        self._denied: Denied | None = None

    async def open(self, config: Mapping[str, Any]) -> int:
        """Make it.

        Args:
            config: filters and where to begin, in JetStream's terms.

        Returns:
            How many messages there are for it now.

        Raises:
            ApiError: JetStream refuses.
            nats.errors.Error: it does not answer.
        """
        # Of a consumer for the last of each subject the server drops the message at which a portion's bytes are over: it is never
        # delivered, and no number is missing (seen with nats-server 2.9, 2.10 and 2.15).
        self._counted = config.get("deliver_policy") == "last_per_subject"
        self._link.watch(self._wake)
        self._subscription = await self._connection.client.listen(f"{self._inbox}.*", self._on_message)
        fixed = {
            "name": self._name,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(UNUSED_S * SECOND),
        }
        # A filter that stands in the subject too is what NATS can permit: who may read one namespace only is held to it there.
        only = config.get("filter_subject")
        made = await api(
            self._connection,
            f"CONSUMER.CREATE.{self._stream}.{self._name}" + (f".{only}" if only else ""),
            {"stream_name": self._stream, "config": {**fixed, **config}},
        )
        self._made = True
        self._pending = int(made.get("num_pending") or 0)
        return self._pending

    async def close(self, *, keep: bool = False) -> None:
        """Take it off the server, if that answers; else it goes by itself in a minute. A second time does nothing.

        Args:
            keep: leave it there, for a durable one.
        """
        self._link.unwatch(self._wake)
        subscription, self._subscription = self._subscription, None
        made, self._made = self._made and not keep, False
        with suppress(*NATS_ERRORS):
            if subscription is not None:
                await subscription.unsubscribe()
            if made and self._connection.connected:
                await api(self._connection, f"CONSUMER.DELETE.{self._stream}.{self._name}", timeout=1.0)

    async def messages(
        self, *, wait: bool, pace: Pace | None = None, delivered: int = 0
    ) -> AsyncGenerator[tuple[Delivered, Place], None]:
        """Iterate over its messages; for ever with `wait`, else as long as there are some.

        Args:
            wait: for what comes.
            delivered: the number of the last message that it has delivered before, of a durable one.
            pace: how much is asked for at once until all that is there has come; without, as much as is best on a quick line.

        Raises:
            Doubt: it has to be replaced.
            Denied: pulling is not permitted.
        """
        expected = delivered + 1
        pace = pace or (Pace(LEAST) if self._counted else None)
        limit = PORTION_BYTES if pace is None else pace.bytes
        arrived = self._arrived
        async with self._connection.denials(self._on_denied):
            while True:
                asked = await self._pull(limit, wait=wait)
                began = time.monotonic()
                taken = size = 0
                room = limit if limit and not self._counted else inf
                while taken < asked and room > 0:
                    message = arrived.popleft() if arrived else await self._arrival()
                    status = None if message.data else self._status(message)
                    if status is None:
                        place = _place(message.reply)
                        if place.consumer_sequence != expected:
                            raise Doubt(f"number {expected} is missing")
                        expected += 1
                        taken += 1
                        size += len(message.data) + OVERHEAD
                        room -= _counted_size(message)
                        self._pending = place.pending
                        if not place.pending:
                            pace = None  # from here on the time is not the line's
                        yield message, place
                    elif status == _OF_BEFORE:
                        continue
                    elif status == HEARTBEAT:
                        _compare(message, expected)
                    elif _ends_portion(status, message):
                        break  # the portion has ended
                    else:
                        raise Doubt(f"{status} {_description(message)}")
                self._message_bytes = size // taken if taken else self._message_bytes
                # A message that is larger than a whole portion comes alone.
                alone = status == CONFLICT and not taken
                limit = 0 if alone else _limit(pace, time.monotonic() - began, full=2 * size > limit)
                if not wait and not taken and limit:
                    return

    # -- inside

    async def _pull(self, limit: int, *, wait: bool) -> int:
        """Ask for a portion of `limit` bytes, 0 for one message; return how many messages may come at the most."""
        most = PORTION if limit else 1
        if limit and self._counted:
            most = min(PORTION, max(1, limit // self._message_bytes))
        request: dict[str, Any] = {"batch": most}
        if limit and not self._counted:
            request["max_bytes"] = limit
        if wait:
            request |= {"expires": int(PULL_S * SECOND), "idle_heartbeat": int(HEARTBEAT_S * SECOND)}
        else:
            request["no_wait"] = True
        subject = f"{self._connection.api}CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
        self._pulls += 1
        try:
            await self._connection.client.publish(
                subject, msgspec.json.encode(request), reply=f"{self._inbox}.{self._pulls}"
            )
        except NATS_ERRORS as error:
            raise Doubt(str(error)) from error
        return most

    def _status(self, message: Delivered) -> str | None:
        # None for an event. What the server says of a pull carries that pull's subject, and may come after the next one.
        # A message of the stream has its own subject, whatever its headers say.
        status = message.headers.get("Status")
        if status is None or not message.subject.startswith(self._inbox):
            return None
        return status if message.subject == f"{self._inbox}.{self._pulls}" else _OF_BEFORE

    async def _arrival(self) -> Delivered:
        while not self._arrived:
            # What the server sent into a connection that is lost is lost too, and nothing after it would tell.
            if not self._link.alive:
                raise Doubt("the connection was lost")
            if self._denied is not None:
                raise self._denied
            try:
                async with asyncio.timeout(SILENCE_S):
                    await self._news.wait()
            except TimeoutError as error:
                counts = f" and counts {self._pending} messages as waiting" if self._pending else ""
                raise Silent(f"silence: a consumer has said nothing for {SILENCE_S:g} s{counts}") from error
            self._news.clear()
        return self._arrived.popleft()

    def _on_message(self, message: Delivered) -> None:
        self._arrived.append(message)
        self._news.set()

    def _on_denied(self, denied: Denied) -> None:
        if denied.subject.startswith(f"{self._connection.api}CONSUMER.MSG.NEXT.{self._stream}.".lower()):
            self._denied = denied
            self._news.set()

    def _wake(self, _reason: str) -> None:
        self._news.set()


def _counted_size(message: Delivered) -> int:
    # What the server takes off a portion's bytes for this message.
    return len(message.subject) + len(message.reply) + len(message.raw_headers) + len(message.data)


def _ends_portion(status: str, message: Delivered) -> bool:
    return status in {NO_MESSAGES, TIMEOUT} or (status == CONFLICT and "MaxBytes" in _description(message))


def _limit(pace: Pace | None, seconds: float, *, full: bool) -> int:
    """Return how many bytes the next portion may have, after one that took so long."""
    if pace is None:
        return PORTION_BYTES
    pace.took(seconds, full=full)
    return pace.bytes


def _compare(heartbeat: Delivered, expected: int) -> None:
    last = heartbeat.headers.get("Nats-Last-Consumer")
    if last is not None and last != str(expected - 1):
        raise Doubt(f"the server has delivered up to number {last}, here came {expected - 1}")


def _place(reply: str) -> Place:
    # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>; the longer form (ADR-15) has
    # <domain>.<account> before the stream, and perhaps a token behind.
    tokens = reply.split(".")
    at = 5 if len(tokens) == 9 else 7
    try:
        stream, consumer, stored, pending = tokens[at : at + 4]
        return Place(int(stream), int(consumer), int(stored), int(pending))
    except ValueError as error:
        raise Doubt(f"a message without a place: {reply!r}") from error


def _description(message: Delivered) -> str:
    return message.headers.get("Description", "")
