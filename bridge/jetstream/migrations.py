"""The register of migrations, in its bucket: each entry under `<source>.<namespace>.<container>.<migration>`.

A change names the revision that it was decided by, so of two that were decided by the same one the server takes the first and
refuses the other, whichever end they come from and however late. Nothing in the bucket expires: what is not decided has to stand
there for as long as a node may be away.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from bridge.errors import BadEnvelope, LogRefused
from bridge.jetstream.api import api
from bridge.jetstream.buckets import bucket_stream, key_subject
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import ApiError, log_errors
from bridge.jetstream.keys import Key, WrongRevision, keys_in
from bridge.jetstream.streams import NO_STREAM
from bridge.model.codec import decode_as, encode_any
from bridge.model.migrations import Migration, MigrationKey, check_step
from bridge.model.subjects import Subjects
from bridge.ports import MovedOn, Registered

__all__ = ["JetStreamMigrations"]

log = logging.getLogger(__name__)

ABREAST: Final = 32
"""Entries that are asked for at the same time."""


class JetStreamMigrations:
    """Implements `bridge.ports.MigrationRegister`."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._bucket = subjects.migration_bucket
        self._stream = bucket_stream(self._bucket)

    async def get(self, key: MigrationKey) -> Registered:
        """Return what stands there; see the port.

        Raises:
            LogUnavailable: the bucket does not answer.
            LogRefused: there is none, it may not be read, or what stands there is of a version that this one does not know.
        """
        standing = await self._key(key).get()
        if standing is None or standing.value is None:
            return Registered(None, 0 if standing is None else standing.revision)
        try:
            return Registered(decode_as(standing.value, Migration), standing.revision)
        except BadEnvelope as error:
            raise LogRefused(
                f"bucket {self._bucket}: what stands under {key.token} is no migration: {error}"
            ) from error

    async def list(self, node: str) -> list[Migration]:
        """Return the entries of a node; what cannot be read is passed over with a warning. See the port."""
        with log_errors(self._stream):
            try:
                keys = sorted(await keys_in(self._connection, self._bucket))
            except ApiError as error:
                if error.err_code != NO_STREAM:
                    raise
                raise LogRefused(f"there is no bucket {self._bucket}: a bridge makes it at its start") from error
        found: list[Migration | None] = []
        for start in range(0, len(keys), ABREAST):
            found += await asyncio.gather(*[self._entry(key) for key in keys[start : start + ABREAST]])
        return [entry for entry in found if entry is not None and node in {entry.source, entry.target}]

    async def change(self, standing: Registered, wanted: Migration) -> Registered:
        """Let `wanted` stand there if nothing has changed; see the port.

        Raises:
            MovedOn: something else stands there.
            LogUnavailable: it is open whether it stands there, or will.
            LogRefused: there is no bucket, or it may not be written.
        """
        check_step(standing.migration, wanted)
        try:
            revision = await self._key(wanted.key).put(encode_any(wanted), expected=standing.revision)
        except WrongRevision as error:
            raise MovedOn(f"migration {wanted.id} is not {_word(standing)} any more") from error
        return Registered(wanted, revision)

    async def forget(self, key: MigrationKey) -> None:
        """Take an entry away, without leaving a mark; see the port."""
        subject = key_subject(self._bucket, key.token)
        with log_errors(self._stream):
            await api(self._connection, f"STREAM.PURGE.{self._stream}", {"filter": subject})

    def _key(self, key: MigrationKey) -> Key:
        return Key(self._connection, self._bucket, key.token)

    async def _entry(self, token: str) -> Migration | None:
        try:
            return (await self.get(MigrationKey.parse(token))).migration
        except ValueError as error:
            log.warning("passing over what stands in bucket %s: %s", self._bucket, error)
        except LogRefused as error:
            log.warning("passing over a migration: %s", error)
        return None


def _word(standing: Registered) -> str:
    return "absent" if standing.migration is None else standing.migration.state
