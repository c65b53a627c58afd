"""Catalogues of checkpoints to hold to their contract, real or in memory."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from bridge.config import NatsConfig
from bridge.errors import CommandFailed
from bridge.jetstream.api import api
from bridge.jetstream.checkpoint_buckets import CheckpointMaking, chunk_subject
from bridge.jetstream.checkpoint_cipher import CheckpointSecret
from bridge.jetstream.checkpoints import JetStreamCheckpoints
from bridge.jetstream.connection import Connection, connect
from bridge.model.checkpoints import ArchiveFacts, CheckpointKey, CheckpointRecord
from bridge.model.nanos import Nanos
from bridge.model.subjects import Subjects
from bridge.ports.checkpoints import CheckpointCatalogue, Keeping
from bridge.testing import MemoryCheckpoints

SUBJECTS = Subjects()
MIB = 1 << 20


def key(name: str = "c1", *, container: str = "web.1", namespace: str = "k8s.io", node: str = "n1") -> CheckpointKey:
    return CheckpointKey(node, namespace, container, name)


def record(
    where: CheckpointKey, facts: ArchiveFacts, *, upload: str = "a-1", at: int = 1, **fields: Any
) -> CheckpointRecord:
    node, namespace, container, name = where
    made = CheckpointRecord(
        id=upload, node=node, namespace=namespace, container=container, name=name, created_at=Nanos(at), archive=facts
    )
    return msgspec.structs.replace(made, **fields)


def text(size: int, seed: int = 0) -> bytes:
    """Bytes of which no two parts are the same."""
    return b"".join((n * 7919 + seed).to_bytes(8, "big") for n in range(-(-size // 8)))[:size]


def archive(data: bytes, piece: int = 100_000) -> Callable[[], AsyncIterator[bytes]]:
    async def read() -> AsyncIterator[bytes]:
        for start in range(0, len(data), piece):
            yield data[start : start + piece]
            await asyncio.sleep(0)

    return read


def unheard(_size: int) -> None:
    pass


async def whole(catalogue: CheckpointCatalogue, where: CheckpointKey, *, offset: int = 0) -> bytes:
    return b"".join([piece async for piece in catalogue.load(where, offset=offset)])


async def until_it_fails(reading: AsyncIterator[bytes]) -> tuple[bytes, CommandFailed]:
    """Read until it fails; return what came before, and the failure."""
    read = b""
    try:
        async for piece in reading:
            read += piece
    except CommandFailed as failure:
        return read, failure
    raise AssertionError("it came to its end")


async def broken_off(catalogue: CheckpointCatalogue, where: CheckpointKey, data: bytes, *, upload: str) -> int:
    """Store the first half of an archive, then die; return how much is stored."""
    stored, half = [0], asyncio.Event()

    async def read() -> AsyncIterator[bytes]:
        yield data[: len(data) // 2]
        await asyncio.Event().wait()

    def tell(size: int) -> None:
        stored.append(size)
        if size:
            half.set()

    storing = asyncio.create_task(catalogue.store(where, read, upload=upload, tell=tell))
    await asyncio.wait({storing, asyncio.create_task(half.wait())}, return_when=asyncio.FIRST_COMPLETED)
    storing.cancel()
    await asyncio.wait({storing})
    assert storing.cancelled()
    return stored[-1]


class Catalogues(ABC):
    """One catalogue, as several bridges have it."""

    @abstractmethod
    async def another(self, *, node: str | None = "n1", keeping: Keeping | None = None) -> CheckpointCatalogue:
        """The catalogue as one more bridge has it."""

    @abstractmethod
    async def damage(self, where: CheckpointKey) -> None:
        """Change what is stored of an archive, behind the catalogue's back."""


class MemoryCatalogues(Catalogues):
    """That of `bridge.testing`."""

    def __init__(self) -> None:
        self._first = MemoryCheckpoints()

    async def another(self, *, node: str | None = "n1", keeping: Keeping | None = None) -> CheckpointCatalogue:
        return MemoryCheckpoints.beside(self._first, node=node, keeping=keeping)

    async def damage(self, where: CheckpointKey) -> None:
        self._first.damage(where)


class JetStreamCatalogues(Catalogues):
    """That of a real nats-server; each bridge has a connection of its own."""

    def __init__(self, url: str, closing: AsyncExitStack, secret: CheckpointSecret | None = None) -> None:
        self._url = url
        self._closing = closing
        self._secret = secret

    async def connection(self) -> Connection:
        return await self._closing.enter_async_context(connect(NatsConfig(url=self._url), name="test"))

    async def another(self, *, node: str | None = "n1", keeping: Keeping | None = None) -> CheckpointCatalogue:
        return JetStreamCheckpoints(
            await self.connection(),
            SUBJECTS,
            node=node,
            secrets=[] if self._secret is None else [self._secret],
            keeping=keeping,
            making=CheckpointMaking(),
        )

    async def damage(self, where: CheckpointKey) -> None:
        connection = await self.connection()
        bucket = SUBJECTS.checkpoint_bucket
        stream = f"OBJ_{bucket}"
        objects = JetStreamCheckpoints(connection, SUBJECTS)._objects
        standing = await objects.find(where.token)
        assert standing is not None
        subject = chunk_subject(bucket, standing.info.nuid)
        found = await connection.jetstream.get_last_msg(stream, subject)
        assert found.data is not None
        assert found.seq is not None
        await api(connection, f"STREAM.MSG.DELETE.{stream}", {"seq": found.seq})
        await connection.jetstream.publish(subject, found.data[:-1] + bytes([found.data[-1] ^ 1]))
