"""The work done in the obvious ways, each a program that runs until it is ended.

All of them read the stream with `grpc.aio`, decode each event with protobuf, make a dictionary and then JSON of it, and are done
with one event before they take the next:

- `awaited`: publishes with `await js.publish(...)` and a `Nats-Msg-Id`: JetStream acknowledges each event.
- `flushed`: publishes with core NATS and flushes, as tools do that forward the events of a container engine to a broker.
  The flush says that the server has read the event, not that it is stored.

- `kept`: the same work as the bridge's. What a container is, its image and labels, is asked of containerd when it turns up; each
  event gets a number and is committed to a synced SQLite database, with its container's number, before it is published as by
  `awaited`; what is acknowledged goes with the next commit.

The other two keep nothing on disk, number nothing and say nothing of the container: there the comparison is in their favour.
None of the three proves its subscription or connects again.

    python -m benchmarks.obvious awaited|flushed|kept SOCKET NATS_URL NODE
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import grpc.aio
import nats
from google.protobuf.json_format import MessageToDict

from bridge._pb.containerd import events_pb2, runc_pb2
from bridge._pb.containerd.services.containers_pb2 import ContainersStub, GetContainerRequest
from bridge._pb.containerd.services.events_pb2 import EventsStub, SubscribeRequest
from bridge._pb.containerd.types_pb2 import Envelope
from bridge._pb.pool import POOL

__all__ = ["WAYS", "document", "main"]


# A runtime's options travel inside an event as an Any, and JSON wants every type that it meets to be known to the pool.
assert runc_pb2.Options.DESCRIPTOR.file.pool is POOL


async def _documents(path: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Subscribe, and iterate over the events as the end of a subject and a dictionary."""
    async with grpc.aio.insecure_channel(
        f"unix://{path}", options=[("grpc.default_authority", "localhost")]
    ) as channel:
        async for envelope in EventsStub(channel).Subscribe(SubscribeRequest()):
            yield document(envelope)


def document(envelope: Envelope) -> tuple[str, dict[str, Any]]:
    """Return the end of an event's subject (namespace, container, event) and its dictionary."""
    kind = getattr(events_pb2, envelope.event.type_url.rpartition(".")[2])
    payload = kind.FromString(envelope.event.value)
    event = MessageToDict(payload, preserving_proto_field_name=True, descriptor_pool=POOL)
    container = event.get("container_id") or event["id"]
    _, family, word = envelope.topic.split("/")
    if family == "containers":
        word = f"container-{word}"
    elif word == "exit" and event["id"] != container:
        word = "exec-exit"
    return f"{envelope.namespace}.{container}.{word}", {
        "time": envelope.timestamp.ToJsonString(),
        "namespace": envelope.namespace,
        "topic": envelope.topic,
        "event": event,
    }


async def _awaited(path: str, url: str, node: str) -> None:
    async with await nats.connect(url) as client:
        jetstream = client.jetstream()
        async for end, event in _documents(path):
            body = json.dumps(event).encode()
            await jetstream.publish(f"containerd.events.{node}.{end}", body, headers={"Nats-Msg-Id": uuid.uuid4().hex})


async def _flushed(path: str, url: str, node: str) -> None:
    async with await nats.connect(url) as client:
        async for end, event in _documents(path):
            await client.publish(f"containerd.events.{node}.{end}", json.dumps(event).encode())
            await client.flush()


_SCHEMA: Final = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE outbox (id TEXT PRIMARY KEY, subject TEXT NOT NULL, body BLOB NOT NULL);
    CREATE TABLE containers (container TEXT PRIMARY KEY, sequence INTEGER NOT NULL);
"""


async def _kept(path: str, url: str, node: str) -> None:
    db = sqlite3.connect(Path(path).with_name("kept.db"), isolation_level=None)
    db.executescript(_SCHEMA)
    acknowledged: list[tuple[str]] = []
    async with (
        grpc.aio.insecure_channel(f"unix://{path}", options=[("grpc.default_authority", "localhost")]) as channel,
        await nats.connect(url) as client,
    ):
        containers = ContainersStub(channel)
        known: dict[str, dict[str, Any]] = {}
        jetstream = client.jetstream()
        async for end, event in _documents(path):
            namespace, container, _ = end.split(".")
            if container not in known:
                asked = GetContainerRequest(id=container)
                record = (await containers.Get(asked, metadata=[("containerd-namespace", namespace)])).container
                known[container] = {"image": record.image, "labels": dict(record.labels)}
            subject, identity = f"containerd.events.{node}.{end}", uuid.uuid4().hex
            db.execute("BEGIN")
            db.executemany("DELETE FROM outbox WHERE id = ?", acknowledged)
            (sequence,) = db.execute(
                "INSERT INTO containers VALUES (?, 1) ON CONFLICT DO UPDATE SET sequence = sequence + 1 RETURNING sequence",
                (container,),
            ).fetchone()
            body = json.dumps({**event, **known[container], "sequence": sequence}).encode()
            db.execute("INSERT INTO outbox VALUES (?, ?, ?)", (identity, subject, body))
            db.execute("COMMIT")
            await jetstream.publish(subject, body, headers={"Nats-Msg-Id": identity})
            acknowledged = [(identity,)]


WAYS: Final[dict[str, Callable[[str, str, str], Awaitable[None]]]] = {
    "awaited": _awaited,
    "flushed": _flushed,
    "kept": _kept,
}


def main(arguments: list[str]) -> int:
    """Publish until the stream ends."""
    try:
        name, path, url, node = arguments
        way = WAYS[name]
    except (KeyError, ValueError):
        print("usage: python -m benchmarks.obvious awaited|flushed|kept SOCKET NATS_URL NODE", file=sys.stderr)
        return 2

    async def publish() -> None:
        await way(path, url, node)

    asyncio.run(publish())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
