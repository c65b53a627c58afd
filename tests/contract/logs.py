"""A log of events to hold to its contract, real or in memory, and entries to put into it."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

import bridge.jetstream.durable as durable_module
import bridge.jetstream.reader as reader_module
from bridge.jetstream.connection import Connection
from bridge.jetstream.durable import JetStreamDurable
from bridge.jetstream.log import open_log
from bridge.jetstream.reader import JetStreamReader
from bridge.jetstream.streams import ensure_events
from bridge.model.codec import encode
from bridge.model.envelope import Event, Position, Recorded, format_source
from bridge.model.envelope import Sequence as Number
from bridge.model.events import TaskStart
from bridge.model.identity import new_ulid
from bridge.model.nanos import now
from bridge.model.node_events import NodeHeartbeat
from bridge.model.subjects import Subjects
from bridge.ports import DurableReader, Entry, EventLog, EventReader, Start, StoredEvent
from bridge.testing import MemoryDurable, MemoryLog
from tests.testbed import NatsServer

SUBJECTS = Subjects()
LOG = "00000000-0000-4000-8000-000000000000"


@contextlib.asynccontextmanager
async def server_down(server: NatsServer, connection: Connection) -> AsyncIterator[None]:
    """Kill the server for the length of the block; return when the connection is back."""
    lost = connection.link.lost
    await asyncio.to_thread(server.kill)
    await lost()
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(90):
            await connection.linked()


class Store(ABC):
    """A log, and a reader of it."""

    log: EventLog
    reader: EventReader
    durable: DurableReader

    @abstractmethod
    def down(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Nobody answers for the length of the block."""

    async def events(self, *filters: str, start: Start | None = None) -> list[StoredEvent]:
        """Read what is there."""
        events = self.reader.read(filters, start or Start(sequence=1), follow=False)
        return [event async for event in events]

    async def ids(self, *filters: str, start: Start | None = None) -> list[str]:
        """Read what is there, ids only."""
        return [event.recorded.id for event in await self.events(*filters, start=start)]

    def kept(self, appended: Sequence[Entry], stored: Sequence[str]) -> bool:
        """Whether exactly these entries are stored, each once, in the order that this log promises."""
        if self.log.in_one_order:
            return list(stored) == [one.id for one in appended]
        container = {one.id: one.subject.rpartition(".")[0] for one in appended}
        return Counter(stored) == Counter(container.keys()) and all(
            [name for name in stored if container[name] == each]
            == [name for name in container if container[name] == each]
            for each in set(container.values())
        )

    @abstractmethod
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let reading give up soon."""

    @contextlib.asynccontextmanager
    async def following(self, *filters: str, start: Start) -> AsyncIterator[AsyncIterator[StoredEvent]]:
        """Read on and on; the reading is closed at the end of the block."""
        events: Any = self.reader.read(filters, start, follow=True)
        async with aclosing(events):
            yield events


class MemoryStore(Store):
    """The one of `bridge.testing`."""

    def __init__(self, memory: MemoryLog) -> None:
        self.log = memory
        self.reader = memory
        self.durable = MemoryDurable(memory)
        self._memory = memory

    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pass  # it gives up at once

    @contextlib.asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        with self._memory.down():
            yield


class JetStreamStore(Store):
    """The stream of a real nats-server."""

    def __init__(self, server: NatsServer, connection: Connection, log: EventLog) -> None:
        self.log = log
        self.reader = JetStreamReader(connection, SUBJECTS)
        self.durable = JetStreamDurable(connection, SUBJECTS)
        self._server = server
        self._connection = connection

    @classmethod
    async def open(cls, server: NatsServer, connection: Connection) -> Store:
        await ensure_events(connection, SUBJECTS)
        return cls(server, connection, await open_log(connection, SUBJECTS))

    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader_module, "PATIENCE_S", 0.5)
        monkeypatch.setattr(durable_module, "PATIENCE_S", 0.5)

    @contextlib.asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        async with server_down(self._server, self._connection):
            yield


def entries(
    count: int, *, first: int = 1, node: str = "n1", containers: Sequence[str] = ("web.1", "web.2", "db")
) -> list[Entry]:
    """Events of several containers in turn, from position `first` on."""
    return [entry(n, node=node, container=containers[n % len(containers)]) for n in range(first, first + count)]


def entry(n: int, *, node: str = "n1", namespace: str = "k8s.io", container: str = "web.1") -> Entry:
    """An event of a container."""
    event = TaskStart(container_id=container, pid=n)
    body = _body(event, n, format_source(node, namespace), subject=container, sequence=Number(n))
    return Entry(n=n, id=body.id, subject=SUBJECTS.event(node, namespace, container, event.word), body=encode(body))


def heartbeat(n: int, *, node: str = "n1") -> Entry:
    """An event of a node."""
    event = NodeHeartbeat(probe_ns=n)
    body = _body(event, n, format_source(node, None))
    return Entry(n=n, id=body.id, subject=SUBJECTS.node(node, event.word), body=encode(body))


def garbage(n: int, *, node: str = "n1") -> Entry:
    """Bytes that are no event, on the subject of one."""
    return Entry(n=n, id=new_ulid(), subject=SUBJECTS.event(node, "k8s.io", "web.1", "start"), body=b"\xff{garbage")


def _body(event: Event, n: int, source: str, **attributes: Any) -> Recorded[Event]:
    moment = now()
    return Recorded(
        specversion="1.0",
        datacontenttype="application/json",
        id=new_ulid(),
        type=event.type,
        source=source,
        time=moment,
        recordedtime=moment,
        position=str(Position(LOG, n)),
        origin="live",
        data=event,
        **attributes,
    )
