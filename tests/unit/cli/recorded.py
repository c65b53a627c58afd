"""Events as a reader hands them over, for tests of how they are shown."""

from __future__ import annotations

from bridge.model.codec import encode
from bridge.model.envelope import Event, Origin, Recorded, Sequence, format_source
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeEvent
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
