"""The register of migrations, in its bucket: each entry under `<source>.<target>.<namespace>.<container>.<migration>`.

A change names the revision that it was decided by, so of two that were decided by the same one the server takes the first and
refuses the other, whichever end they come from and however late. Nothing in the bucket expires: what is not decided has to stand
there for as long as a node may be away.

Whoever may ask nats-server anything can have the answer stored under a key. So an entry is what was *written* last, and a change
names the revision of the very last message, whatever that is: it stands above what was stored there, and takes that away
(docs/decisions/0035). Source and target stand first in the key, so that NATS can permit each node the entries that name it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bridge.errors import BadEnvelope, LogError, LogRefused
from bridge.jetstream.api import api
from bridge.jetstream.buckets import bucket_stream, key_subject
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import ApiError, log_errors
from bridge.jetstream.keys import Key, WrongRevision, keys_in
from bridge.jetstream.stored import FOREIGN, Written, sent_to, written_of
from bridge.jetstream.streams import NO_STREAM
from bridge.model.codec import decode_as, encode_any
from bridge.model.migrations import Migration, MigrationKey, check_step
from bridge.model.nanos import Nanos, parse_rfc3339
from bridge.model.subjects import Subjects, quote
from bridge.ports import Listed, MovedOn, Registered

__all__ = ["JetStreamMigrations"]

log = logging.getLogger(__name__)

ABREAST: Final = 32
"""Entries that are asked for at the same time."""

TOLD: Final = 1000
"""Keys of which it is remembered that something foreign stands there; whoever stores it may think of more."""


class JetStreamMigrations:
    """Implements `bridge.ports.MigrationRegister`."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._bucket = subjects.migration_bucket
        self._stream = bucket_stream(self._bucket)
        self._foreign: set[str] = set()
        """Keys under which something stands that nobody has written."""

    async def get(self, key: MigrationKey) -> Registered:
        """Return what was written there last; see the port.

        Raises:
            LogUnavailable: the bucket does not answer.
            LogRefused: there is none, it may not be read, or what was written there is of a version that this one does not know.
        """
        return self._registered(key, await self._written(key))

    async def _written(self, key: MigrationKey) -> Written:
        with self._errors():
            written = await written_of(self._connection, self._stream, key_subject(self._bucket, key.token))
        self._tell(key, written)
        return written

    def _registered(self, key: MigrationKey, written: Written) -> Registered:
        if written.last is None:
            return Registered(None, written.revision)
        try:
            entry = decode_as(written.last.data, Migration)
        except BadEnvelope as error:
            raise LogRefused(
                f"bucket {self._bucket}: what stands under {key.token} is no migration: {error}"
            ) from error
        if entry.key != key:
            raise LogRefused(f"bucket {self._bucket}: what stands under {key.token} is the migration {entry.key.token}")
        return Registered(entry, written.revision)

    async def list(self, node: str) -> list[Listed]:
        """Return the entries of a node; what cannot be read is passed over with a warning. See the port."""
        keys: set[str] = set()
        with self._errors():
            for pattern in (f"{quote(node)}.>", f"*.{quote(node)}.>"):
                keys |= await keys_in(self._connection, self._bucket, pattern)
            info = await api(self._connection, f"STREAM.INFO.{self._stream}")
        if not keys:
            return []
        # Servers before 2.10 do not tell the time: then it is at least that of their last message.
        moment = parse_rfc3339(info.get("ts") or info["state"]["last_ts"])
        found: list[Listed | None] = []
        ordered = sorted(keys)
        for start in range(0, len(ordered), ABREAST):
            found += await asyncio.gather(*[self._listed(key, moment) for key in ordered[start : start + ABREAST]])
        return [entry for entry in found if entry is not None]

    async def change(self, standing: Registered, wanted: Migration) -> Registered:
        """Let `wanted` stand there if nothing has changed; see the port.

        Raises:
            MovedOn: something else stands there.
            LogUnavailable: it is open whether it stands there, or will.
            LogRefused: there is no bucket, or it may not be written.
        """
        check_step(standing.migration, wanted)
        key = Key(self._connection, self._bucket, wanted.key.token)
        try:
            revision = await key.put(encode_any(wanted), expected=standing.revision, headers=sent_to(self._stream))
        except WrongRevision as error:
            raise MovedOn(f"migration {wanted.id} is not {_word(standing)} any more") from error
        if wanted.key.token in self._foreign:
            try:
                await self._purge(wanted.key, below=revision)
            except LogError as error:  # it is passed over for as long as it stands there
                log.info("what nobody has written under %s is not taken away: %s", wanted.key.token, error)
        return Registered(wanted, revision)

    async def forget(self, key: MigrationKey) -> None:
        """Take an entry away, without leaving a mark; see the port."""
        await self._purge(key)

    # -- inside

    async def _purge(self, key: MigrationKey, *, below: int | None = None) -> None:
        request: dict[str, object] = {"filter": key_subject(self._bucket, key.token)}
        if below is not None:
            request["seq"] = below
        with self._errors():
            await api(self._connection, f"STREAM.PURGE.{self._stream}", request)

    async def _listed(self, token: str, moment: Nanos) -> Listed | None:
        try:
            key = MigrationKey.parse(token)
            written = await self._written(key)
            entry = self._registered(key, written).migration
            if entry is not None and written.last is not None:
                return Listed(entry, max(0.0, (moment - written.last.stored_at) / 1e9))
        except ValueError as error:
            log.warning("passing over what stands in bucket %s: %s", self._bucket, error)
        except LogRefused as error:
            log.warning("passing over a migration: %s", error)
        return None

    def _tell(self, key: MigrationKey, written: Written) -> None:
        if not written.foreign:
            self._foreign.discard(key.token)
            return
        if key.token in self._foreign:
            return
        if len(self._foreign) >= TOLD:
            self._foreign.clear()
        self._foreign.add(key.token)
        log.warning(FOREIGN, self._bucket, key.token, written.foreign)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with log_errors(self._stream):
                yield
        except LogRefused as error:
            if isinstance(error.__cause__, ApiError) and error.__cause__.err_code == NO_STREAM:
                raise LogRefused(f"there is no bucket {self._bucket}: a bridge makes it at its start") from error
            raise


def _word(standing: Registered) -> str:
    return "absent" if standing.migration is None else standing.migration.state
