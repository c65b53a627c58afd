"""The catalogue of checkpoints on the bus: records in a bucket, archives in the object store of the same name.

An archive is stored first and its record is written last, and the record is taken away first: so there is no record without an
archive, and what a crash leaves is an archive that nobody names, which the sweep takes away. A record says which bytes are its
archive; where others stand in the store, reading them is an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

import msgspec

from bridge.config import Config
from bridge.errors import Code, CommandFailed, ConfigError, LogError, LogRefused, LogUnavailable
from bridge.jetstream.checkpoint_buckets import CheckpointMaking, ensure_checkpoints
from bridge.jetstream.checkpoint_cipher import CheckpointSecret
from bridge.jetstream.checkpoint_keys import read_keys
from bridge.jetstream.checkpoint_objects import (
    COMPRESSION,
    ObjectInfo,
    Objects,
    image_object,
    nuid_of,
    nuid_of_image,
)
from bridge.jetstream.checkpoint_reading import read_archive
from bridge.jetstream.checkpoint_records import Records
from bridge.jetstream.checkpoint_store import ArchiveStore, Overtaken
from bridge.jetstream.checkpoint_sweep import Sweep
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import log_errors
from bridge.jetstream.keys import WrongRevision
from bridge.model.checkpoints import ArchiveFacts, CheckpointKey, CheckpointRecord
from bridge.model.nanos import Nanos
from bridge.model.subjects import NONE, Subjects
from bridge.ports import Archive
from bridge.ports.checkpoints import CheckpointCatalogue, Keeping

__all__ = ["JetStreamCheckpoints", "open_checkpoints", "read_checkpoints", "sweeping"]

log = logging.getLogger(__name__)

TRIES: Final = 3
SWEEP_S: Final = 600.0
"""Seconds between two sweeps: what has expired may stay so much longer."""


async def sweeping(catalogue: CheckpointCatalogue, allowed: Callable[[], bool]) -> None:
    """Sweep the catalogue now and every so often, for ever.

    Args:
        catalogue: which one.
        allowed: whether this bridge has its node now.
    """
    while True:
        if allowed():
            try:
                freed = await catalogue.sweep()
            except CommandFailed as failure:
                log.warning("the catalogue of checkpoints was not swept: %s", failure)
            else:
                if freed:
                    log.info("%d bytes of the catalogue of checkpoints are free again", freed)
        await asyncio.sleep(SWEEP_S)


def open_checkpoints(connection: Connection, config: Config) -> JetStreamCheckpoints:
    """Return the catalogue as a node's bridge has it; bucket and store are made when something is first put there.

    Raises:
        ConfigError: the file of its key is none.
    """
    return JetStreamCheckpoints(
        connection,
        config.subjects,
        node=config.node,
        secrets=[] if config.checkpoint_key is None else read_keys(config.checkpoint_key),
        keeping=Keeping(
            max_bytes=config.checkpoints_quota,
            most=config.checkpoints_keep,
            max_age_s=config.checkpoints_max_age_s,
        ),
        making=CheckpointMaking(config.nats.replicas, config.checkpoints_max_bytes),
    )


def read_checkpoints(connection: Connection, subjects: Subjects, key: Path | None = None) -> JetStreamCheckpoints:
    """Return the catalogue as a client has it, with the file of its keys where archives are to be read or written.

    Raises:
        ConfigError: the file is no key.
    """
    return JetStreamCheckpoints(connection, subjects, secrets=[] if key is None else read_keys(key), filtered=True)


class JetStreamCheckpoints:
    """Implements `bridge.ports.checkpoints.CheckpointCatalogue`."""

    def __init__(
        self,
        connection: Connection,
        subjects: Subjects,
        *,
        node: str | None = None,
        secrets: Sequence[CheckpointSecret] = (),
        keeping: Keeping | None = None,
        making: CheckpointMaking | None = None,
        filtered: bool = False,
    ) -> None:
        """Take where it is.

        Args:
            connection: an open one.
            subjects: the subjects of the bus.
            node: whose quota and retention are kept; none for who only reads or imports.
            secrets: archives are encrypted with the first, and read with any; without they are stored as they are, and encrypted
                ones are not read.
            keeping: the quota and the retention.
            making: how bucket and store are made where there are none; without it they are not made.
            filtered: ask in a way that can be permitted to who may not read all.
        """
        bucket = subjects.checkpoint_bucket
        self._connection = connection
        self._subjects = subjects
        self._node = node
        self._secrets = secrets
        self._keeping = keeping or Keeping()
        self._making = making
        self._records = Records(connection, bucket, filtered=filtered)
        self._objects = Objects(connection, bucket, filtered=filtered)
        self._store = ArchiveStore(
            self._objects, self._records, node=node, secret=next(iter(secrets), None), max_bytes=self._keeping.max_bytes
        )
        self._sweep = Sweep(self._records, self._objects, node, self._keeping, self._store.under_way)

    async def ensure(self) -> None:
        """Make bucket and store where there are none, and hold what is there against what is needed.

        Raises:
            CommandFailed: they cannot be made or used; the sentence says what to do.
        """
        if self._making is None:
            return
        with self._failures():
            try:
                await ensure_checkpoints(self._connection, self._subjects, self._making)
            except ConfigError as error:
                raise LogRefused(str(error)) from error

    # -- records

    async def get(self, key: CheckpointKey) -> CheckpointRecord:
        """Return a record; see the port."""
        with self._failures():
            found = await self._records.find(key)
        if found is None:
            raise CommandFailed("not_found", f"there is no checkpoint {key.token}")
        return found.record

    async def list(
        self, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> Sequence[CheckpointRecord]:
        """Return the records; see the port."""
        try:
            with self._failures():
                found = await self._records.all(node, namespace, container)
        except CommandFailed as failure:
            if isinstance(failure.__cause__, LogError) and failure.__cause__.trouble == "no_stream":
                return []
            raise
        return sorted((one.record for one in found), key=lambda record: (record.created_at, record.key))

    async def put(self, record: CheckpointRecord) -> CheckpointRecord:
        """Write a new record and return it as it stands; see the port."""
        age = self._keeping.max_age_s
        if record.expires_at is None and age and not record.imported:
            record = msgspec.structs.replace(record, expires_at=Nanos(record.created_at + age * 1_000_000_000))
        with self._failures():
            await self.ensure()
            await self._records.write(record)
            self._store.unnamed.pop(record.key.token, None)
            await self._sweep.beyond(record)
        return record

    async def remove(self, key: CheckpointKey) -> int:
        """Remove a record, then its archive; see the port."""
        with self._failures():
            self._store.unnamed.pop(key.token, None)
            return await self._sweep.remove(key)

    # -- archives

    async def store(
        self, key: CheckpointKey, archive: Callable[[], Archive], *, upload: str, tell: Callable[[int], None]
    ) -> ArchiveFacts:
        """Store an archive in pieces; see the port."""
        name, nuid = key.token, nuid_of(key, upload)
        with self._failures():
            await self.ensure()
            before = await self._objects.find(name)
            record = await self._records.find(key)
            if record is not None and record.record.id != upload:
                raise _taken(key)
            if before is not None and before.info.nuid == nuid:
                tell(before.info.size)
                return _facts(before.info)
            try:
                info = await self._store.store(name, nuid, archive, tell=tell, before=before)
            except Overtaken:
                raise _taken(key) from None
            if before is not None:
                await self._objects.purge_own(before.info)
            return _facts(info)

    async def abandon(self, key: CheckpointKey, *, upload: str) -> int:
        """Remove the pieces of an upload that nobody goes on with; see the port."""
        nuid = nuid_of(key, upload)
        with self._failures():
            self._store.unnamed.pop(key.token, None)
            standing = await self._objects.find(key.token)
            if standing is not None and standing.info.nuid == nuid:
                return await self._objects.remove(standing)
            return await self._sweep.purge(nuid)

    async def load(self, key: CheckpointKey, *, offset: int = 0, expected: str = "") -> AsyncGenerator[bytes, None]:
        """Return the bytes of an archive; see the port."""
        with self._failures():
            standing = await self._objects.find(key.token)
            if standing is None:
                raise CommandFailed("not_found", f"there is no archive {key.token} in the catalogue")
            found = None if expected else await self._records.find(key)
            named = found.record.archive.digest if found is not None else expected
            if named and named != standing.info.sha256:
                raise CommandFailed(
                    "failed_precondition",
                    f"the archive {key.token} is not the one of its record: somebody else has written it. Remove the checkpoint",
                )
            async with aclosing(read_archive(self._objects, standing.info, self._secrets, offset=offset)) as data:
                async for piece in data:
                    yield piece

    # -- images

    async def store_image(
        self, digest: str, archive: Callable[[], Archive], *, upload: str, tell: Callable[[int], None]
    ) -> int:
        """Store the archive of an image; see the port."""
        name, nuid = image_object(digest), nuid_of_image(self._node or NONE, digest, upload)
        with self._failures():
            await self.ensure()
            for _ in range(TRIES):
                before = await self._objects.find(name)
                if before is None or self._is_of_before(before.info.key):
                    break
                try:
                    await self._objects.write(before.info, expected=before.revision)  # from now on it is new again
                except WrongRevision:
                    continue
                return before.info.size
            try:
                size = (await self._store.store(name, nuid, archive, tell=tell, before=before)).size
                self._store.unnamed.pop(name, None)  # it is everybody's
                if before is not None and before.info.nuid != nuid:
                    await self._objects.purge_own(before.info)
                return size
            except Overtaken:
                standing = await self._objects.find(name)
                return 0 if standing is None else standing.info.size

    async def load_image(self, digest: str) -> AsyncGenerator[bytes, None]:
        """Return the bytes of an image's archive; see the port."""
        with self._failures():
            standing = await self._objects.find(image_object(digest))
            if standing is None:
                raise CommandFailed("not_found", f"there is no archive of image {digest} in the catalogue")
            async with aclosing(read_archive(self._objects, standing.info, self._secrets)) as data:
                async for piece in data:
                    yield piece

    async def sweep(self) -> int:
        """Remove what has expired, and pieces of uploads that nobody goes on with; see the port."""
        with self._failures():
            return await self._sweep.run()

    # -- inside

    def _is_of_before(self, key: str) -> bool:
        """Tell whether this key encrypted once, and another one does by now: it is to be taken out when no record names it."""
        return bool(key and self._secrets) and key != self._secrets[0].fingerprint

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Raise what goes wrong inside as `CommandFailed`."""
        try:
            with log_errors(self._objects.stream):
                yield
        except LogUnavailable as error:
            raise CommandFailed("unavailable", f"the catalogue of checkpoints: {error}") from error
        except LogRefused as error:
            code: Code = "failed_precondition"
            if error.trouble == "full":
                code = "exhausted"
                error = LogRefused(
                    f"{error}: remove checkpoints (containerd-bridge checkpoint rm), or give it more room", "full"
                )
            elif error.trouble == "denied":
                code = "refused"
            raise CommandFailed(code, f"the catalogue of checkpoints: {error}") from error
        except LogError as error:
            raise CommandFailed("unavailable", f"the catalogue of checkpoints: {error}") from error


def _taken(key: CheckpointKey) -> CommandFailed:
    return CommandFailed(
        "already_exists", f"there is a checkpoint {key.token} already: give another name, or remove it first"
    )


def _facts(info: ObjectInfo) -> ArchiveFacts:
    return ArchiveFacts(
        size=info.size,
        digest=info.sha256,
        unpacked=0,
        compression="zstd" if info.header(COMPRESSION) == "zstd" else "none",
        key=info.key,
    )
