"""Logs of a few events, told by hand, with the state of each container after all of them."""

from __future__ import annotations

from typing import Any

from bridge.model.codec import encode
from bridge.model.envelope import Event, Recorded, format_source
from bridge.model.envelope import Sequence as Number
from bridge.model.events import ContainerCreate
from bridge.model.fold import evolve
from bridge.model.identity import new_ulid
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeEvent
from bridge.model.state import ContainerState
from bridge.model.subjects import ContainerKey
from bridge.ports import Entry
from tests.integration.jetstream_entries import SUBJECTS

SECOND = 10**9


class Story:
    """What happens on several nodes, as their bridges would record it."""

    def __init__(self, began: Nanos) -> None:
        """Take when it begins: the n-th event is read n seconds later, unless it says when."""
        self.began = began
        self.entries: list[Entry] = []
        self.recorded: list[Recorded[Any]] = []
        self.states: dict[ContainerKey, ContainerState] = {}

    def tell(
        self,
        event: Event,
        container: str = "",
        *,
        namespace: str = "k8s.io",
        node: str = "n.1",
        after: float | None = None,
        incarnation: str | None = None,
    ) -> None:
        """Record one event, of a container unless it is a node's."""
        n = len(self.entries) + 1
        of_node = isinstance(event, NodeEvent)
        key = ContainerKey(node, namespace, container)
        before = self.states.get(key)
        read = Nanos(self.began + round((n if after is None else after) * SECOND))
        recorded: Recorded[Any] = Recorded(
            specversion="1.0",
            datacontenttype="application/json",
            id=new_ulid(),
            type=event.type,
            source=format_source(node, None if of_node else namespace),
            time=read,
            recordedtime=read,
            position=f"11111111-2222-3333-4444-555555555555:{n}",
            origin="live",
            data=event,
            subject=None if of_node else container,
            sequence=None if of_node else Number(1 if before is None else before.sequence + 1),
            incarnation=None if of_node or isinstance(event, ContainerCreate) else incarnation or f"{container}-1",
        )
        subject = SUBJECTS.node(node, event.word) if of_node else SUBJECTS.event(node, namespace, container, event.word)
        self.entries.append(Entry(n=n, id=recorded.id, subject=subject, body=encode(recorded)))
        self.recorded.append(recorded)
        if not of_node:
            self.states[key] = evolve(before, recorded)
