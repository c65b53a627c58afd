"""Entries for the log, and an independent reader: nats-py's ordered consumer, read until nothing is pending."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import nats

from bridge.config import NatsConfig
from bridge.jetstream.connection import Connection, connect
from bridge.jetstream.log import open_log
from bridge.jetstream.streams import ensure_events
from bridge.model.codec import encode
from bridge.model.envelope import Recorded, format_source
from bridge.model.envelope import Sequence as Number
from bridge.model.events import TaskStart
from bridge.model.identity import new_ulid
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeHeartbeat
from bridge.model.subjects import Subjects
from bridge.ports import Entry, EventLog

SUBJECTS = Subjects()
STREAM = "CONTAINERD_EVENTS"
LOG = "11111111-2222-3333-4444-555555555555"


def entries(
    count: int, *, first: int = 1, containers: int = 7, node: str = "n1", size: int = 0, log: str = LOG
) -> list[Entry]:
    """Events of several containers in turn, numbered in their node's log from `first`; bodies of `size` bytes at least."""
    made = []
    for n in range(first, first + count):
        container = f"c.{n % containers}"
        recorded = Recorded(
            specversion="1.0",
            datacontenttype="application/json",
            id=new_ulid(),
            type=TaskStart.type,
            source=format_source(node, "demo"),
            time=Nanos(n),
            recordedtime=Nanos(n),
            position=f"{log}:{n}",
            origin="live",
            data=TaskStart(container_id=container, pid=n, labels={"fill": "x" * size} if size else {}),
            subject=container,
            sequence=Number(n),
        )
        subject = SUBJECTS.event(node, "demo", container, "start")
        made.append(Entry(n=n, id=recorded.id, subject=subject, body=encode(recorded)))
    return made


def heartbeat(n: int, *, node: str = "n1") -> Entry:
    """An event of the node itself."""
    recorded = Recorded(
        specversion="1.0",
        datacontenttype="application/json",
        id=new_ulid(),
        type=NodeHeartbeat.type,
        source=format_source(node, None),
        time=Nanos(n),
        recordedtime=Nanos(n),
        position=f"{LOG}:{n}",
        origin="live",
        data=NodeHeartbeat(probe_ns=1),
    )
    return Entry(n=n, id=recorded.id, subject=SUBJECTS.node(node, "heartbeat"), body=encode(recorded))


@asynccontextmanager
async def connected(url: str, **settings: str) -> AsyncIterator[Connection]:
    async with connect(NatsConfig(url=url, **settings), name="test") as connection:  # type: ignore[arg-type]
        yield connection


@asynccontextmanager
async def log_on(url: str, **settings: str) -> AsyncIterator[tuple[Connection, EventLog]]:
    """The event log on a server, its stream made if need be, and its connection."""
    async with connected(url, **settings) as connection:
        await ensure_events(connection, SUBJECTS)
        yield connection, await open_log(connection, SUBJECTS)


@asynccontextmanager
async def opened(url: str, **settings: str) -> AsyncIterator[EventLog]:
    """The event log on a server alone."""
    async with log_on(url, **settings) as (_, log):
        yield log


class Kept(NamedTuple):
    """One message of the stream."""

    sequence: int
    subject: str
    id: str
    body: bytes


async def kept(url: str, stream: str = STREAM) -> list[Kept]:
    """Read the whole stream with a client that is not ours."""
    client = await nats.connect(url)
    try:
        js = client.jetstream(timeout=60)
        found: list[Kept] = []
        if (await js.stream_info(stream)).state.messages == 0:
            return found
        subscription = await js.subscribe(">", stream=stream, ordered_consumer=True)
        while True:
            message = await subscription.next_msg(timeout=90)
            message_id = (message.headers or {}).get("Nats-Msg-Id", "")
            found.append(Kept(message.metadata.sequence.stream, message.subject, message_id, message.data))
            if not message.metadata.num_pending:
                return found
    finally:
        await client.close()


def per_container(found: Iterable[Kept | Entry]) -> dict[str, list[str]]:
    """The ids of each container's events, in order."""
    ids: dict[str, list[str]] = defaultdict(list)
    for message in found:
        ids[message.subject.rpartition(".")[0]].append(message.id)
    return ids


def judge(found: Sequence[Kept], sent: Sequence[Entry]) -> None:
    """None missing, none twice, none before its time."""
    there, wanted = [message.id for message in found], [entry.id for entry in sent]
    assert len(set(wanted) - set(there)) == 0, "missing"
    assert len(there) == len(set(there)), "twice"
    assert len(set(there) - set(wanted)) == 0, "more than was sent"
    assert per_container(found) == per_container(sent), "in another order"
