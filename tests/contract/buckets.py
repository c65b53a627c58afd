"""Stores of states and leases of nodes to hold to their contracts, real or in memory."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

import bridge.jetstream.state as state_module
from bridge.jetstream.api import api
from bridge.jetstream.buckets import bucket_stream, ensure_buckets, key_subject
from bridge.jetstream.connection import Connection
from bridge.jetstream.lease import JetStreamLease
from bridge.jetstream.nodes import JetStreamNodes
from bridge.jetstream.state import open_states
from bridge.model.identity import new_ulid
from bridge.model.nanos import now
from bridge.model.nodes import NodeRecord
from bridge.model.subjects import ContainerKey, Subjects
from bridge.ports import Change, NodeLease, NodeRecords, StateEntry, StateStore
from bridge.testing import MemoryNodes, MemoryStates
from tests.contract.logs import server_down
from tests.testbed import NatsServer

SUBJECTS = Subjects()
Ended = Callable[[NodeRecord], bool]


def never(_record: NodeRecord) -> bool:
    return False


def key(container: str = "web.1", *, namespace: str = "k8s.io", node: str = "n1") -> ContainerKey:
    return ContainerKey(node, namespace, container)


def put(value: bytes, container: str = "web.1", **where: str) -> Change:
    return Change(key=key(container, **where), value=value)


def gone(container: str = "web.1", **where: str) -> Change:
    return Change(key=key(container, **where), value=None)


def record(node: str = "n1", *, lease_s: float = 1.0, **fields: Any) -> NodeRecord:
    made = NodeRecord(
        node=node, holder=new_ulid(), log="u", version="1.2.3", pid=4711, since=now(), renewed=now(), lease_s=lease_s
    )
    return msgspec.structs.replace(made, **fields)


class Buckets(ABC):
    """Both buckets, and what can happen to them."""

    states: StateStore
    nodes: NodeRecords

    @abstractmethod
    def lease(self, ours: NodeRecord, *, ended: Ended = never) -> NodeLease:
        """A lease of another bridge's."""

    @abstractmethod
    def down(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Nobody answers for the length of the block."""

    @abstractmethod
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let reading give up soon."""

    @abstractmethod
    async def forget(self, where: ContainerKey) -> None:
        """Lose a key without a mark."""

    @abstractmethod
    async def lose_states(self) -> None:
        """Lose the store of states with all that is in it."""

    async def values(self, **where: str) -> dict[str, bytes | None]:
        """What stands there now, by container."""
        return {entry.key.container: entry.value for entry in await self.states.read(**where)}

    @contextlib.asynccontextmanager
    async def following(self, **where: str) -> AsyncIterator[AsyncIterator[StateEntry | None]]:
        """Follow; the following is closed at the end of the block."""
        entries: Any = self.states.follow(**where)
        async with aclosing(entries):
            yield entries


class MemoryBuckets(Buckets):
    """Those of `bridge.testing`."""

    def __init__(self) -> None:
        self.states = self._states = MemoryStates()
        self.nodes = self._nodes = MemoryNodes()

    def lease(self, ours: NodeRecord, *, ended: Ended = never) -> NodeLease:
        return self._nodes.lease(ours, ended=ended)

    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pass  # it gives up at once

    @contextlib.asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        with self._states.down(), self._nodes.down():
            yield

    async def forget(self, where: ContainerKey) -> None:
        self._states.forget(where)

    async def lose_states(self) -> None:
        self._states.lose()


class JetStreamBuckets(Buckets):
    """Those of a real nats-server."""

    def __init__(self, server: NatsServer, connection: Connection, states: StateStore) -> None:
        self.states = states
        self.nodes = JetStreamNodes(connection, SUBJECTS)
        self._server = server
        self._connection = connection

    @classmethod
    async def open(cls, server: NatsServer, connection: Connection) -> Buckets:
        await ensure_buckets(connection, SUBJECTS)
        return cls(server, connection, await open_states(connection, SUBJECTS))

    def lease(self, ours: NodeRecord, *, ended: Ended = never) -> NodeLease:
        return JetStreamLease(self._connection, SUBJECTS, ours, ended=ended)

    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(state_module, "PATIENCE_S", 2.0)
        monkeypatch.setattr(state_module, "GONE_S", 0.1)

    @contextlib.asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        async with server_down(self._server, self._connection):
            yield

    async def forget(self, where: ContainerKey) -> None:
        subject = key_subject(SUBJECTS.state_bucket, Subjects.state_key(where))
        await api(self._connection, f"STREAM.PURGE.{bucket_stream(SUBJECTS.state_bucket)}", {"filter": subject})

    async def lose_states(self) -> None:
        await api(self._connection, f"STREAM.DELETE.{bucket_stream(SUBJECTS.state_bucket)}")
