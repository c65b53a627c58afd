"""The records of checkpoints, in their bucket (ADR-8).

A record's key is the checkpoint's, `<node>.<namespace>.<container>.<name>`, and only that node's bridge is permitted to write
there: that is what it means that the catalogue vouches for a checkpoint. What somebody brings from elsewhere has `imported` in
front of the same key, and is `imported` whatever the record itself says. So whoever may import can pretend nothing.

A record is what was written last under its key, whatever nats-server was made to store above it as the answer to somebody's
question (`bridge.jetstream.stored.written_of`): that is passed over, and the next record that is written stands above it. What
was written is decoded strictly and has to be of its key; all else is left out of lists, with a line in the log.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from contextlib import aclosing, suppress
from typing import Final, NamedTuple

from msgspec.structs import replace

from bridge.errors import BadEnvelope, CommandFailed
from bridge.jetstream.api import api
from bridge.jetstream.buckets import bucket_stream, key_subject
from bridge.jetstream.checkpoint_objects import SHA256
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import ApiError
from bridge.jetstream.keys import Key, WrongRevision
from bridge.jetstream.stored import FOREIGN, Written, each_of, is_written, sent_to, written_of
from bridge.jetstream.streams import NO_STREAM
from bridge.model.checkpoints import CheckpointKey, CheckpointRecord
from bridge.model.codec import decode_as, encode_any
from bridge.model.subjects import quote

__all__ = ["IMPORTED", "Records", "StandingRecord", "record_key"]

log = logging.getLogger(__name__)

IMPORTED: Final = "imported"
TRIES: Final = 3


class StandingRecord(NamedTuple):
    """A record, under which key of the bucket it stands, at which revision, and which one is the very last there."""

    record: CheckpointRecord
    key: str
    revision: int
    last: int


def record_key(record: CheckpointRecord) -> str:
    """Return the key of the bucket for a record."""
    return f"{IMPORTED}.{record.key.token}" if record.imported else record.key.token


class Records:
    """All records."""

    def __init__(self, connection: Connection, bucket: str, *, filtered: bool = False) -> None:
        """Take where they are; `filtered` for who may not read all of them."""
        self._connection = connection
        self._bucket = bucket
        self._stream = bucket_stream(bucket)
        self._filtered = filtered

    async def find(self, key: CheckpointKey) -> StandingRecord | None:
        """Return a checkpoint's record: the one of its node, else an imported one; None where there is neither.

        Raises:
            CommandFailed: what stands there is no record.
            ApiError: JetStream refuses.
            nats.errors.Error: no answer.
        """
        for place in _places(key):
            try:
                written = await self._written(place)
            except ApiError as error:
                if error.err_code == NO_STREAM:
                    return None
                raise
            if written.last is None:
                continue
            try:
                record = _record(place, written.last.data)
                return StandingRecord(record, place, written.last.sequence, written.revision)
            except BadEnvelope as error:
                raise CommandFailed(
                    "failed_precondition", f"what stands under {place} in {self._bucket} is no record: {error}"
                ) from error
        return None

    async def all(self, *parts: str | None) -> list[StandingRecord]:
        """Return the records whose node, namespace and container are these; None is any."""
        pattern = ".".join(quote(part) if part else "*" for part in parts) + ".*"
        found: dict[CheckpointKey, StandingRecord] = {}
        for place in (f"{IMPORTED}.{pattern}", pattern):  # what a node says itself takes the place of what was imported
            standing = await self._standing(place)
            found.update({one.record.key: one for one in standing.values()})
        return list(found.values())

    async def _standing(self, pattern: str) -> dict[str, StandingRecord]:
        """Return the record that was written last under each key, by key."""
        found: dict[str, StandingRecord] = {}
        foreign: Counter[str] = Counter()
        async with aclosing(each_of(self._connection, self._stream, key_subject(self._bucket, pattern))) as messages:
            async for message, at in messages:
                key = message.subject.removeprefix(key_subject(self._bucket, ""))
                if not is_written(message.headers, self._stream):
                    foreign[key] += 1
                    if key in found:
                        found[key] = found[key]._replace(last=at.stream_sequence)
                    continue
                try:
                    found[key] = StandingRecord(_record(key, message.data), key, at.stream_sequence, at.stream_sequence)
                except BadEnvelope as error:
                    found.pop(key, None)
                    log.warning("skipping what stands under %s in %s: %s", key, self._bucket, error)
        for key, count in foreign.items():
            log.warning(FOREIGN, self._bucket, key, count)
        return found

    async def write(self, record: CheckpointRecord) -> None:
        """Write a record where none is, or where the one of the same id is.

        Raises:
            CommandFailed: `already_exists`; `invalid_argument` where no node may be called so.
            LogError: it cannot be written, or that is open.
        """
        if record.node == IMPORTED and not record.imported:
            raise CommandFailed(
                "invalid_argument", f"a node called {IMPORTED} has no checkpoints in the catalogue: rename it"
            )
        place, body = record_key(record), encode_any(record)
        for _ in range(TRIES):
            there = await self.find(record.key)
            if there is not None and (there.record.id != record.id or there.key != place):
                break
            if there is not None and there.record == record:
                return
            key = Key(self._connection, self._bucket, place)
            expected = (await self._written(place)).revision if there is None else there.last
            try:
                revision = await key.put(body, expected=expected, headers=sent_to(self._stream))
            except WrongRevision:
                continue
            if expected and not self._filtered:  # whoever only imports may purge nothing
                await self._purge(place, below=revision)
            return
        raise CommandFailed(
            "already_exists", f"there is a checkpoint {record.key.token} already: give another name, or remove it"
        )

    async def keys(self) -> set[CheckpointKey]:
        """Return the checkpoints that something was written for; what cannot be read may be of a later version."""
        prefix = len(key_subject(self._bucket, ""))
        found = set()
        async with aclosing(
            each_of(self._connection, self._stream, key_subject(self._bucket, ">"), headers_only=True)
        ) as messages:
            async for message, _ in messages:
                if not is_written(message.headers, self._stream):
                    continue
                with suppress(ValueError):
                    found.add(CheckpointKey.parse(message.subject[prefix:].removeprefix(f"{IMPORTED}.")))
        return found

    async def remove(self, standing: StandingRecord) -> None:
        """Take a record away, and not one that has been written there since."""
        await self._purge(standing.key, below=standing.last + 1)

    async def _purge(self, place: str, *, below: int) -> None:
        request = {"filter": key_subject(self._bucket, place), "seq": below}
        await api(self._connection, f"STREAM.PURGE.{self._stream}", request)

    async def _written(self, place: str) -> Written:
        subject = key_subject(self._bucket, place)
        return await written_of(self._connection, self._stream, subject, filtered=self._filtered)


def _places(key: CheckpointKey) -> list[str]:
    """Return under which keys of the bucket a checkpoint may stand; nobody vouches for what a node of that name would make."""
    return [*([] if key.node == IMPORTED else [key.token]), f"{IMPORTED}.{key.token}"]


def _record(place: str, body: bytes) -> CheckpointRecord:
    record = decode_as(body, CheckpointRecord)
    if place.startswith(f"{IMPORTED}."):
        record, place = replace(record, imported=True), place.partition(".")[2]
    elif record.imported:
        raise BadEnvelope("it says that it was imported, and stands where a node's own are", data=body)
    try:
        key = CheckpointKey.parse(place)
    except ValueError as error:
        raise BadEnvelope(str(error), data=body) from error
    if record.key != key:
        raise BadEnvelope("it is another checkpoint's", data=body)
    if record.archive.size < 0 or not re.match(SHA256, record.archive.digest):
        raise BadEnvelope("it does not say which archive is its own", data=body)
    return record
