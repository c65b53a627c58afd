"""One container's life: each of its events with the state after it, and in between the times of which nobody knows."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from msgspec import Struct

from bridge.client.filters import EventFilter
from bridge.client.reading import closing, whole_log
from bridge.model.fold import evolve
from bridge.model.node_events import NodeGap
from bridge.model.selection import Names
from bridge.model.state import ContainerState
from bridge.model.subjects import Subjects
from bridge.ports import EventReader, Start, StoredEvent

__all__ = ["Moment", "life"]

_GAP: Final = NodeGap.word


class Moment(Struct, frozen=True, kw_only=True):
    """One event and the state after it. `state` is None for a gap: events of that time may be missing."""

    event: StoredEvent
    state: ContainerState | None


async def life(
    reader: EventReader, subjects: Subjects, container: str, *, nodes: Names, namespaces: Names, follow: bool
) -> AsyncGenerator[Moment, None]:
    """Iterate over a container's events from the log's first one on, in the log's order.

    Gaps come along while there is such a container on their node: from its first event on, and not once its record is deleted.
    A login of one namespace can have what has been; following is one reading with two filters, which keeps the order.
    """
    own = EventFilter(nodes=nodes, namespaces=namespaces, containers=container)
    filters = own.subjects(subjects)
    filters += EventFilter(nodes=nodes, words=_GAP).subjects(subjects)
    states: dict[tuple[str, str | None], ContainerState] = {}
    opened = reader.read(filters, Start(sequence=1), follow=True) if follow else whole_log(reader, filters)
    async with closing(opened) as events:
        async for event in events:
            recorded = event.recorded
            if isinstance(recorded.data, NodeGap):
                there = [state for (node, _), state in states.items() if node == recorded.node]
                if any(state.status != "gone" for state in there):
                    yield Moment(event=event, state=None)
            elif recorded.container == container and own.admits(event):
                place = recorded.node, recorded.namespace
                states[place] = evolve(states.get(place), recorded)
                yield Moment(event=event, state=states[place])
