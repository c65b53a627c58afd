"""A FastStream service on the log: it turns what failed into alerts on a subject of its own.

    NATS_URL=nats://127.0.0.1:4222 faststream run examples.client.faststream_service:app
    nats sub alerts.containers

The log is an ordinary JetStream stream, so every framework reads it with a durable consumer of its own. `read_event` gives the
typed event of a message's body. FastStream acknowledges when the function has ended without an exception, so an alert may come
twice after a crash, with the same id; one event is pulled at a time, which keeps the order of the log.
"""

from __future__ import annotations

import os

import msgspec
from faststream import FastStream
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub

from bridge.client import TaskExit, TaskOOM, read_event

ALERTS = "alerts.containers"

broker = NatsBroker(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
app = FastStream(broker)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody is told."""

    id: str
    node: str
    container: str
    what: str


def alert_of(body: bytes) -> Alert | None:
    """Return what is to be told of an event, None where it is no failure."""
    event = read_event(body)
    match event.data:
        case TaskExit(exit_status=status, name=name, container_id=container) if status != 0:
            what = "ended, nobody knows how" if status is None else f"ended with {status}"
        case TaskOOM(name=name, container_id=container):
            what = "ran out of memory"
        case _:
            return None
    return Alert(id=event.id, node=event.node, container=name or container, what=what)


@broker.subscriber(
    "containerd.events.>",
    stream=JStream("CONTAINERD_EVENTS", declare=False),
    durable="alerts",
    pull_sub=PullSub(batch_size=1),
    max_workers=1,
)
async def on_event(message: NatsMessage) -> None:
    """Publish an alert for an event that is a failure."""
    alert = alert_of(message.body)
    if alert is not None:
        await broker.publish(msgspec.json.encode(alert), ALERTS)
