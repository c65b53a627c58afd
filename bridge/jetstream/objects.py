"""Object stores: the way by which an archive of images gets to a node, since no message is as large.

An object is written in pieces, each acknowledged, and read in portions, so that neither end holds it whole. Its digest is
compared when all of it has been read, and whoever reads is told before the end if it is another one.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any, BinaryIO, Final

import nats.errors
import nats.js.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, ObjectInfo
from nats.js.object_store import ObjectStore

from bridge.errors import CommandFailed
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, explain

__all__ = ["JetStreamObjects"]

PORTION: Final = 32
"""Pieces of 128 KiB that are asked for at once."""

PATIENCE_S: Final = 30.0

KEPT_S: Final = 24 * 3600
"""A bucket of ours forgets an archive after a day, should nobody have taken it away before."""


class JetStreamObjects:
    """Implements `bridge.ports.ObjectSource` and `bridge.ports.ObjectShelf`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self, bucket: str, name: str) -> AsyncIterator[bytes]:
        """Return an object's bytes in order, as they are read; see the port."""
        what = f"object {name} in bucket {bucket}"
        try:
            info = await self._info(bucket, name)
            total = hashlib.sha256()
            left = info.size or 0
            async for piece in self._pieces(bucket, str(info.nuid), left):
                total.update(piece)
                left -= len(piece)
                if left < 0:
                    raise CommandFailed("unavailable", f"{what} is longer than it says: write it again")
                yield piece
        except (nats.js.errors.NotFoundError, nats.js.errors.BucketNotFoundError) as error:
            raise CommandFailed("not_found", f"there is no {what}: put the archive there first") from error
        except NATS_ERRORS as error:
            raise CommandFailed("unavailable", f"{what} cannot be read: {explain(error)}") from error
        if left or _digest(total.digest()) != (info.digest or "").partition("=")[2].rstrip("="):
            raise CommandFailed("invalid_argument", f"{what} is damaged: its digest is another one, write it again")

    async def put(self, bucket: str, name: str, file: BinaryIO, read: Callable[[int], None]) -> None:
        """Write a file as an object; see the port."""
        try:
            store = await self._store(bucket)
            await store.put(name, _Counted(file, read))  # type: ignore[arg-type]
        except NATS_ERRORS as error:
            raise CommandFailed(
                "unavailable", f"{name} cannot be put into bucket {bucket}: {explain(error)}"
            ) from error

    async def remove(self, bucket: str, name: str) -> None:
        """Take an object away; see the port."""
        try:
            store = await self._connection.jetstream.object_store(bucket)
            await store.delete(name)
        except (nats.js.errors.NotFoundError, nats.js.errors.BucketNotFoundError):
            return
        except NATS_ERRORS as error:
            raise CommandFailed("unavailable", f"{name} stays in bucket {bucket}: {explain(error)}") from error

    async def _store(self, bucket: str) -> ObjectStore:
        jetstream = self._connection.jetstream
        try:
            return await jetstream.object_store(bucket)
        except (nats.js.errors.NotFoundError, nats.js.errors.BucketNotFoundError):
            return await jetstream.create_object_store(bucket, ttl=KEPT_S)

    async def _info(self, bucket: str, name: str) -> ObjectInfo:
        store = await self._connection.jetstream.object_store(bucket)
        return await store.get_info(name)

    async def _pieces(self, bucket: str, nuid: str, size: int) -> AsyncIterator[bytes]:
        if not size:
            return
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, mem_storage=True)
        subject, stream = f"$O.{bucket}.C.{nuid}", f"OBJ_{bucket}"
        subscription = await self._connection.jetstream.pull_subscribe(subject, stream=stream, config=config)
        try:
            expected, left = 1, size
            while left > 0:
                for message in await subscription.fetch(PORTION, timeout=PATIENCE_S):
                    if message.metadata.sequence.consumer != expected:
                        raise nats.errors.Error("nats: some of it was lost on the way")
                    expected += 1
                    left -= len(message.data)
                    yield message.data
        finally:
            await self._drop(subscription)

    async def _drop(self, subscription: Any) -> None:
        try:
            await subscription.unsubscribe()
        except NATS_ERRORS:
            return  # the connection is gone, and the consumer goes by itself


class _Counted:
    """A file that tells how much of it has been read."""

    def __init__(self, file: BinaryIO, read: Callable[[int], None]) -> None:
        self._file = file
        self._read = read
        self._total = 0

    def readinto(self, buffer: bytearray) -> int:
        """Read as `io.RawIOBase` does. Called from a thread."""
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._total += len(data)
        self._read(self._total)
        return len(data)


def _digest(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
