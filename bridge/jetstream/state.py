"""The states of containers in their bucket: written side by side (`bridge.jetstream.key_writer`), and followed.

A bridge writes only while it holds its node's lease, which is looked at before every write to the socket. What may still
arrive late, from a socket or a network that hung, is refused where the next holder has written the key meanwhile: then it stands
at another revision than the one expected. A bucket that is gone is made anew.

A follower reads with a consumer that begins with the last message of each key and then goes on; what the listing consists of it
asks the server apart from that (`keys_in`), and it is complete when each of those keys has come. After every loss it lists
anew, because a bucket forgets: keys that it knew and that are no longer there are gone, though no mark says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

import nats.errors

from bridge.errors import ConfigError, LogRefused, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.buckets import bucket_stream, ensure_states, key_subject
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Doubt, Place
from bridge.jetstream.errors import ApiError, Denied, log_errors
from bridge.jetstream.key_writer import KeyWriter
from bridge.jetstream.keys import Key, is_mark, keys_in
from bridge.jetstream.pace import LEAST, Pace
from bridge.jetstream.parser import Delivered
from bridge.jetstream.patience import Patience
from bridge.jetstream.publisher import Guard
from bridge.jetstream.reader import FIRST_PAUSE_S, LONGEST_PAUSE_S, PATIENCE_S
from bridge.jetstream.streams import NO_STREAM
from bridge.model.nanos import Nanos, now
from bridge.model.subjects import ContainerKey, Subjects
from bridge.ports import Change, StateEntry

__all__ = ["JetStreamStates", "open_states"]

log = logging.getLogger(__name__)

GONE_S: Final = 2.0
"""A bucket has to be missing for so long before it is made anew: a cluster that starts may not know of it yet."""


class JetStreamStates:
    """Implements `bridge.ports.StateStore`. Made by `open_states`."""

    def __init__(
        self, connection: Connection, subjects: Subjects, lease: Guard | None = None, *, replicas: int = 1
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._bucket: Final = subjects.state_bucket
        self._stream: Final = bucket_stream(self._bucket)
        self._replicas = replicas
        self._writer = KeyWriter(connection, self._bucket, lease)
        self._hears = False
        self._last = 0
        """Highest revision that was given out to us."""
        self._turns = 0
        """How often the bucket gave out a lower one than before."""
        self._gone_since: float | None = None

    @property
    def session(self) -> object:
        """The connection that it goes through, and the bucket behind it; see `StateStore.session`."""
        try:
            return self._connection.link, self._turns
        except nats.errors.Error:
            return None

    async def open(self) -> None:
        """Begin to hear the answers to what is written; else the first write does, since who only reads needs none.

        Raises:
            LogUnavailable: not connected.
        """
        await self._writer.open()
        self._hears = True

    async def write(self, changes: Sequence[Change]) -> list[int | None]:
        """Make all these changes; see `StateStore.write`. With a lease, only as long as it is held.

        Raises:
            LogUnavailable: unknown which are stored; or the lease has run out, and may be renewed.
            LogRefused: the bucket refuses; the sentence says why.
            LogConflict: the lease is somebody else's.
        """
        if not self._hears:
            await self.open()
        made = await self._writer.write(
            [(Subjects.state_key(change.key), change.value, change.revision) for change in changes]
        )
        revisions = [revision for revision in made if revision is not None]
        if revisions:
            if min(revisions) <= self._last:
                log.warning("bucket %s went back: it gave out revision %d again", self._bucket, min(revisions))
                self._turns += 1
            self._last = max(revisions)
        return made

    async def ensure(self) -> None:
        """Make the bucket anew if it has been missing for two seconds; see `StateStore.ensure`.

        Raises:
            LogUnavailable: JetStream does not answer.
            LogRefused: it is missing, and not for so long; or it may not be made.
        """
        try:
            with log_errors(self._stream):
                await api(self._connection, f"STREAM.INFO.{self._stream}")
        except LogRefused as error:
            if error.trouble != "no_stream":
                raise
            since = self._gone_since = self._gone_since or time.monotonic()
            if time.monotonic() - since < GONE_S:
                raise LogRefused(
                    f"bucket {self._bucket} is gone: it is made anew unless it comes back", "no_stream"
                ) from error
            log.warning("bucket %s is gone, with all that was in it: making it anew", self._bucket)
            try:
                await ensure_states(self._connection, self._subjects, replicas=self._replicas)
            except ConfigError as refusal:
                raise LogRefused(str(refusal)) from refusal
        self._gone_since = None
        self._last = 0

    async def read(self, *, node: str | None = None, namespace: str | None = None) -> list[StateEntry]:
        """Return everything that stands there now; see `StateStore.read`.

        Raises:
            LogUnavailable: the bucket does not answer.
            LogRefused: there is no such bucket, or it may not be read.
        """
        found: dict[ContainerKey, StateEntry] = {}
        async with aclosing(self.follow(node=node, namespace=namespace)) as entries:
            async for entry in entries:
                if entry is None:
                    break
                found[entry.key] = entry
        return [entry for entry in found.values() if entry.value is not None]

    async def follow(
        self, *, node: str | None = None, namespace: str | None = None
    ) -> AsyncGenerator[StateEntry | None, None]:
        """Iterate over what stands there, None, and over what changes; see `StateStore.follow`.

        Close the iterator (`contextlib.aclosing`) when you stop early, and its consumer goes at once; else after a minute.

        Raises:
            LogUnavailable: the bucket does not answer (at the beginning only).
            LogRefused: there is no such bucket, or it may not be read.
        """
        following = _Following(self._connection, self._bucket, Subjects.state_keys(node, namespace))
        async with aclosing(following.entries()) as entries:
            async for entry in entries:
                yield entry


async def open_states(
    connection: Connection, subjects: Subjects, lease: Guard | None = None, *, replicas: int = 1
) -> JetStreamStates:
    """Return the store of states, which lasts as long as the connection. The bucket must exist, see `ensure_buckets`.

    Args:
        connection: where.
        subjects: whose bucket.
        lease: what has to be held to write, None to write without.
        replicas: of the bucket, should it have to be made anew.

    Raises:
        LogUnavailable: not connected.
    """
    states = JetStreamStates(connection, subjects, lease, replicas=replicas)
    await states.open()
    return states


class _Following:
    """One following of the bucket, from its beginning to its end."""

    def __init__(self, connection: Connection, bucket: str, pattern: str) -> None:
        self._connection = connection
        self._bucket = bucket
        self._stream = bucket_stream(bucket)
        self._pattern = pattern
        self._prefix = len(key_subject(bucket, ""))
        self._known: dict[ContainerKey, int] = {}
        """Revision of each key that has a value, as it was last handed out."""
        self._created = ""
        """When the bucket was made, which tells it from another of the same name."""
        self._complete = False
        """Whether a listing has been complete yet."""

    async def entries(self) -> AsyncGenerator[StateEntry | None, None]:
        """Iterate."""
        patience, pause = Patience(PATIENCE_S), FIRST_PAUSE_S
        while True:
            reason: Exception
            try:
                async with aclosing(self._listing()) as entries:
                    async for entry in entries:
                        pause = FIRST_PAUSE_S
                        yield entry
                        patience.renew()  # whoever reads may take his time
                reason = Doubt("no more messages, though there were to be some")
            except (Doubt, Denied, LogUnavailable, LogRefused) as error:
                reason = self._passing(error)
            if not self._complete and patience.over(reason):
                raise LogUnavailable(f"bucket {self._bucket} cannot be read: {reason}")
            log.debug("listing bucket %s again: %s", self._bucket, reason)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _passing(self, error: Exception) -> Exception:
        # Why it is tried again, unless it is not.
        if isinstance(error, Denied):
            raise LogRefused(f"bucket {self._bucket}: {error}") from error
        if isinstance(error, LogRefused) and not self._complete:
            raise error
        return error  # a bucket that is made anew is followed on

    async def _listing(self) -> AsyncGenerator[StateEntry | None, None]:
        # With one consumer: what stands there, and then what comes, until that consumer is in doubt.
        with log_errors(self._stream):
            async with asyncio.timeout(None if self._complete else PATIENCE_S):
                link = await self._connection.linked()
            await self._demand_bucket()
            consumer = Consumer(self._connection, self._stream, link)
        try:
            with log_errors(self._stream):
                subject = key_subject(self._bucket, self._pattern)
                await consumer.open({"deliver_policy": "last_per_subject", "filter_subject": subject})
                missing = await keys_in(self._connection, self._bucket, self._pattern)
            for gone in self._gone(missing):
                yield gone
            async with aclosing(consumer.messages(wait=True, pace=Pace(LEAST))) as messages:
                listed = False
                if not missing:
                    listed = True
                    if self._completed():
                        yield None
                async for message, place in messages:
                    entry = self._entry(message, place)
                    if entry is not None:
                        yield entry
                    if listed:
                        continue
                    missing.discard(message.subject[self._prefix :])
                    if place.pending == 0:
                        missing -= await self._purged(missing)
                    if not missing:
                        listed = True
                        if self._completed():
                            yield None
        finally:
            await consumer.close()

    async def _demand_bucket(self) -> None:
        try:
            info = await api(self._connection, f"STREAM.INFO.{self._stream}")
        except ApiError as error:
            if error.err_code == NO_STREAM:
                raise LogRefused(
                    f"there is no bucket {self._bucket}: a bridge makes it at its start, and anew while it runs",
                    "no_stream",
                ) from error
            raise
        if info["created"] != self._created or info["state"]["last_seq"] < max(self._known.values(), default=0):
            # Another bucket of the same name, or one that went back: its revisions say nothing about those that we know.
            self._known = dict.fromkeys(self._known, 0)
            self._created = info["created"]

    def _gone(self, there: set[str]) -> list[StateEntry]:
        # What we know and what is not there any more; a mark would be.
        keys = [key for key in self._known if Subjects.state_key(key) not in there]
        return [StateEntry(key=key, value=None, revision=self._known.pop(key), stored_at=now()) for key in keys]

    async def _purged(self, keys: set[str]) -> set[str]:
        # Those of the listing that were taken away without a mark before their turn came.
        return {key for key in keys if await Key(self._connection, self._bucket, key).get() is None}

    def _completed(self) -> bool:
        # Whether this listing is the first that is complete.
        first, self._complete = not self._complete, True
        return first

    def _entry(self, message: Delivered, place: Place) -> StateEntry | None:
        # None for what has been handed out already, or is nothing of ours.
        try:
            key = Subjects.parse_state_key(message.subject[self._prefix :])
        except ValueError as error:
            log.warning("skipping revision %d of bucket %s: %s", place.stream_sequence, self._bucket, error)
            return None
        removed = any(is_mark(name, value) for name, value in message.headers.items())
        before = self._known.get(key)
        if removed:
            self._known.pop(key, None)
            if before is None:
                return None  # a mark of long ago
        else:
            self._known[key] = place.stream_sequence
            if before == place.stream_sequence:
                return None
        return StateEntry(
            key=key,
            value=None if removed else message.data,
            revision=place.stream_sequence,
            stored_at=Nanos(place.stored_at),
        )
