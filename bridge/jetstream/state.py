"""The states of containers in their bucket: written side by side, one message in flight for each key, and followed.

Writing is `Lanes` with a lane for each key, so it is as quick as appending on older servers is, and an answer that does not
come ends it with `LogUnavailable` instead of leaving a value behind unseen. Every write has a message id, but a repeated one has
another: what is written again stands there again.

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

from bridge.errors import LogRefused, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.buckets import bucket_stream, key_subject
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Doubt, Place
from bridge.jetstream.errors import ApiError, Denied, log_errors
from bridge.jetstream.keys import OPERATION, Key, WrongRevision, is_mark, keys_in
from bridge.jetstream.lanes import Lanes
from bridge.jetstream.parser import Delivered
from bridge.jetstream.reader import FIRST_PAUSE_S, LONGEST_PAUSE_S, PATIENCE_S
from bridge.jetstream.streams import NO_STREAM
from bridge.model.identity import new_ulid
from bridge.model.nanos import Nanos, now
from bridge.model.subjects import ContainerKey, Subjects
from bridge.ports import Change, Entry, StateEntry

__all__ = ["JetStreamStates", "open_states"]

log = logging.getLogger(__name__)


class _Put(Entry, frozen=True, kw_only=True, array_like=True, gc=False):
    """A change as a message."""

    removed: bool = False


class _Writer(Lanes):
    """Lanes whose entries are values of keys."""

    def _lane(self, entry: Entry) -> str:
        return entry.subject

    def _header(self, entry: Entry) -> str:
        removal = f"{OPERATION}: DEL\r\n" if isinstance(entry, _Put) and entry.removed else ""
        return f"NATS/1.0\r\nNats-Msg-Id: {entry.id}\r\n{removal}\r\n"


class JetStreamStates:
    """Implements `bridge.ports.StateStore`. Made by `open_states`."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._bucket: Final = subjects.state_bucket
        self._stream: Final = bucket_stream(self._bucket)
        self._writer = _Writer(connection, self._stream)

    @property
    def session(self) -> object:
        """The connection that it goes through; see `StateStore.session`."""
        try:
            return self._connection.link
        except nats.errors.Error:
            return None

    async def open(self) -> None:
        """Begin to hear the answers to what is written.

        Raises:
            LogUnavailable: not connected.
        """
        await self._writer.open()

    async def write(self, changes: Sequence[Change]) -> None:
        """Make all these changes; see `StateStore.write`.

        Raises:
            LogUnavailable: unknown which are stored; write the same changes again.
            LogRefused: the bucket refuses; the sentence says why.
        """
        await self._writer.append(
            [
                _Put(
                    n=number,
                    id=new_ulid(),
                    subject=key_subject(self._bucket, Subjects.state_key(change.key)),
                    body=change.value or b"",
                    removed=change.value is None,
                )
                for number, change in enumerate(changes, 1)
            ]
        )

    async def replace(self, change: Change, *, revision: int) -> bool:
        """Make the change if the key stands at this revision; see `StateStore.replace`.

        Raises:
            LogUnavailable: it is open whether it was made.
            LogRefused: the bucket refuses; the sentence says why.
        """
        key = Key(self._connection, self._bucket, Subjects.state_key(change.key))
        expected = revision
        if revision == 0:
            standing = await key.get()
            if standing is not None and standing.value is not None:
                return False
            expected = 0 if standing is None else standing.revision
        try:
            if change.value is None:
                await key.remove(expected=expected)
            else:
                await key.put(change.value, expected=expected)
        except WrongRevision:
            return False
        return True

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


async def open_states(connection: Connection, subjects: Subjects) -> JetStreamStates:
    """Return the store of states, which lasts as long as the connection. The bucket must exist, see `ensure_buckets`.

    Raises:
        LogUnavailable: not connected.
    """
    states = JetStreamStates(connection, subjects)
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
        progress, pause = time.monotonic(), FIRST_PAUSE_S
        while True:
            try:
                async with aclosing(self._listing()) as entries:
                    async for entry in entries:
                        progress, pause = time.monotonic(), FIRST_PAUSE_S
                        yield entry
                reason = "no more messages, though there were to be some"
            except (Doubt, Denied, LogUnavailable, LogRefused) as error:
                reason = self._passing(error)
            if not self._complete and time.monotonic() - progress > PATIENCE_S:
                raise LogUnavailable(f"bucket {self._bucket} cannot be read: {reason}")
            log.debug("listing bucket %s again: %s", self._bucket, reason)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _passing(self, error: Exception) -> str:
        # Why it is tried again, unless it is not.
        if isinstance(error, Denied):
            raise LogRefused(f"bucket {self._bucket}: {error}") from error
        if isinstance(error, LogRefused) and not self._complete:
            raise error
        return str(error)  # a bucket that is made anew is followed on

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
            async with aclosing(consumer.messages(wait=True)) as messages:
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
                raise LogRefused(f"there is no bucket {self._bucket}: a bridge makes it at its first start") from error
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
