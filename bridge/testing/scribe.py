"""Writes events into a log as a bridge would: with ids, positions, sequences and incarnations.

    scribe = Scribe(log, "web1")
    await scribe.record(TaskExit(container_id="web.1", id="web.1", exit_status=3), namespace="default", container="web.1")

For tests of whoever reads the log: no containerd and no bridge are needed.
"""

from __future__ import annotations

import uuid
from collections import defaultdict

from bridge.model.codec import encode
from bridge.model.envelope import Event, Origin, Position, Recorded, Sequence, format_source
from bridge.model.events import ContainerEvent, TaskCreate, TaskRestored
from bridge.model.identity import new_ulid
from bridge.model.nanos import Nanos, now
from bridge.model.schema import dataschema_of
from bridge.model.subjects import Subjects
from bridge.ports import Entry, EventLog

__all__ = ["Scribe"]


class Scribe:
    """The author of one node's log."""

    def __init__(self, log: EventLog, node: str = "node", *, subjects: Subjects | None = None) -> None:
        """Take where to write, as which node, and the subjects of the bus; those under `containerd` unless given."""
        self._log = log
        self._node = node
        self._subjects = subjects or Subjects()
        self._uuid = str(uuid.uuid4())
        self._n = 0
        self._sequences: defaultdict[tuple[str | None, str], int] = defaultdict(int)
        self._incarnations: dict[tuple[str | None, str], str] = {}

    async def record(
        self,
        event: Event,
        *,
        namespace: str | None = None,
        container: str | None = None,
        time: Nanos | None = None,
        origin: Origin = "live",
        correlation_id: str | None = None,
    ) -> Recorded[Event]:
        """Append one event and return it in its envelope.

        Args:
            event: what happened.
            namespace: its containerd namespace; None for events of the node itself.
            container: its container's id; None for events that belong to none.
            time: containerd's timestamp; now unless given.
            origin: how it came to be known.
            correlation_id: the command that it belongs to.

        Raises:
            LogError: as the log says. Recording the event again makes it another one, with other numbers.
        """
        recorded = self._enveloped(event, namespace, container, time=time, origin=origin, correlation_id=correlation_id)
        await self._log.append([self._entry(recorded, namespace, container)])
        return recorded

    def _enveloped(
        self,
        event: Event,
        namespace: str | None,
        container: str | None,
        *,
        time: Nanos | None,
        origin: Origin,
        correlation_id: str | None,
    ) -> Recorded[Event]:
        self._n += 1
        identity, moment, key = new_ulid(), now(), (namespace, container or "")
        if container is not None:
            self._sequences[key] += 1
            if isinstance(event, TaskCreate | TaskRestored):
                self._incarnations[key] = identity
        return Recorded(
            specversion="1.0",
            datacontenttype="application/json",
            id=identity,
            type=event.type,
            source=format_source(self._node, namespace),
            subject=container if container is not None else getattr(event, "name", None),
            time=time or moment,
            recordedtime=moment,
            position=str(Position(self._uuid, self._n)),
            sequence=Sequence(self._sequences[key]) if container is not None else None,
            incarnation=self._incarnations.get(key),
            origin=origin,
            correlationid=correlation_id,
            dataschema=dataschema_of(type(event)),
            data=event,
        )

    def _entry(self, recorded: Recorded[Event], namespace: str | None, container: str | None) -> Entry:
        event = recorded.data
        if isinstance(event, ContainerEvent):
            subject = self._subjects.event(self._node, namespace, container, event.word)
        else:
            subject = self._subjects.node(self._node, event.word)
        return Entry(n=self._n, id=recorded.id, subject=subject, body=encode(recorded))
