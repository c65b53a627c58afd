"""Events as a reader hands them over, for tests of how they are shown."""

from __future__ import annotations

from typing import Any

import msgspec

from bridge.model.codec import encode
from bridge.model.envelope import Event, Origin, Recorded, Sequence, format_source
from bridge.model.events import ContainerCreate, ContainerDelete, TaskCreate, TaskExit, TaskStart
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import NodeEvent, NodeGap, NodeHeartbeat
from bridge.model.state import ContainerState
from bridge.model.subjects import Subjects
from bridge.ports import StoredEvent

SECOND = 10**9
NOON = 1_795_435_200 * SECOND
SUBJECTS = Subjects()


def stored(
    event: Event,
    container: str | None = None,
    *,
    number: int = 1,
    after: float = 0.0,
    incarnation: str | None = None,
    namespace: str | None = "default",
    node: str = "n1",
    origin: Origin = "live",
) -> StoredEvent:
    """One event, `after` seconds after noon; `number` is its place among the container's and in the stream."""
    of_node = isinstance(event, NodeEvent)
    time = Nanos(NOON + round(after * SECOND))
    recorded: Recorded[Event] = Recorded(
        specversion="1.0",
        datacontenttype="application/json",
        id=f"01J{number:023d}",
        type=event.type,
        source=format_source(node, None if of_node else namespace),
        time=time,
        recordedtime=time,
        position=f"8b8e2d4c:{number}",
        origin=origin,
        data=event,
        subject=container,
        sequence=Sequence(number) if container else None,
        incarnation=incarnation,
    )
    subject = SUBJECTS.node(node, event.word) if of_node else SUBJECTS.event(node, namespace, container, event.word)
    return StoredEvent(
        stream_sequence=number, stored_at=time, subject=subject, body=encode(recorded), recorded=recorded
    )


def beat(node: str, ago_s: float = 1) -> StoredEvent:
    """A heartbeat of a moment ago, by the real clock."""
    heard = Nanos(now() - round(ago_s * SECOND))
    event = stored(NodeHeartbeat(probe_ns=1), node=node)
    recorded = msgspec.structs.replace(event.recorded, recordedtime=heard)
    return msgspec.structs.replace(event, stored_at=heard, recorded=recorded)


def state(container: str, status: Any = "running", node: str = "n1", **more: Any) -> ContainerState:
    """What is known of a container."""
    labels = more.pop("labels", {})
    return ContainerState(node=node, namespace="default", container=container, status=status, labels=labels, **more)


BEGINNING: list[Event] = [
    ContainerCreate(id="web", image="docker.io/library/nginx:1", labels={"app": "web"}),
    TaskCreate(container_id="web", pid=7),
    TaskStart(container_id="web", pid=7),
]
LIFE_OF_WEB = [
    stored(event, "web", number=number, after=number, incarnation="w") for number, event in enumerate(BEGINNING, 1)
]
JOB: dict[str, Any] = {"image": "busybox", "labels": {}}
THEN = [
    *LIFE_OF_WEB,
    stored(TaskStart(container_id="job", pid=8, **JOB), "job", number=4, after=10, incarnation="j"),
    stored(TaskExit(container_id="job", id="job", exit_status=3, **JOB), "job", number=5, after=20, incarnation="j"),
    stored(NodeHeartbeat(probe_ns=1), number=6, after=25),
    stored(
        NodeGap(since=Nanos(NOON + 25 * SECOND), until=Nanos(NOON + 35 * SECOND), reason="lost"), number=7, after=35
    ),
    stored(ContainerDelete(id="job"), "job", number=8, after=40, incarnation="j"),
    stored(NodeHeartbeat(probe_ns=1), number=9, after=50),
]
