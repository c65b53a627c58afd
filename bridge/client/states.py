"""The states of containers: as they are kept now, and as they were at a point of the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from msgspec import Struct

from bridge.client.filters import EventFilter
from bridge.client.folding import demand_reach, fold
from bridge.client.kept import Kept, only, read_kept
from bridge.client.points import Point, read_point
from bridge.errors import LogRefused
from bridge.model.selection import Names, names
from bridge.model.state import ContainerState
from bridge.model.subjects import ContainerKey, Subjects
from bridge.ports import EventReader, StateEntry, StateStore

__all__ = ["Places", "states_at", "states_now"]


class Places(Struct, frozen=True, kw_only=True):
    """Where containers are looked for, and which; none of a kind means all."""

    nodes: Names = ()
    namespaces: Names = ()
    containers: Names = ()

    def events(self) -> EventFilter:
        """Return the choice of their events.

        Raises:
            ValueError: a name is empty.
        """
        return EventFilter(nodes=self.nodes, namespaces=self.namespaces, containers=self.containers, node_events=False)

    async def kept(self, store: StateStore) -> Kept:
        """Return what is kept of them."""
        return await read_kept(store, nodes=self.nodes, namespaces=self.namespaces, containers=self.containers)

    def has(self, key: ContainerKey) -> bool:
        """Tell whether a container is one of them."""
        wanted = (names(self.nodes), names(self.namespaces), names(self.containers))
        return all(not chosen or name in chosen for name, chosen in zip(key, wanted, strict=True))

    def follow(self, store: StateStore) -> AsyncIterator[StateEntry | None]:
        """Follow what is kept of them, and of others where the store cannot tell these apart."""
        return store.follow(node=only(names(self.nodes)), namespace=only(names(self.namespaces)))


async def states_now(store: StateStore, places: Places) -> list[ContainerState]:
    """Return the states that are kept, sorted by node, namespace and id.

    Raises:
        ValueError: a name is empty.
        LogUnavailable: the store does not answer.
        LogRefused: there is no such store, or it may not be read.
    """
    places.events()
    states = (await places.kept(store)).states
    return [states[key] for key in sorted(states)]


async def states_at(
    reader: EventReader, store: StateStore | None, subjects: Subjects, at: Point, places: Places
) -> list[ContainerState]:
    """Return the states at a point of the log, sorted by node, namespace and id.

    Args:
        reader: the log.
        store: what is kept beside it, for what it has forgotten.
        subjects: the subjects of the bus.
        at: the point.
        places: where to look.

    Raises:
        ValueError: a name is empty, or the log does not reach back so far.
        LogUnavailable: the log, or the store, does not answer.
        LogRefused: there is no log, or it may not be read.
    """
    filters, point = places.events().subjects(subjects), read_point(at)
    extent = await reader.extent()
    demand_reach(extent, at, point)
    known: Mapping[ContainerKey, ContainerState] = {}
    if store is not None and extent.forgotten:
        # Without it, what the log has forgotten stays unknown; that is no reason to tell nothing.
        with suppress(LogRefused):
            known = (await places.kept(store)).states
    return (await fold(reader, filters, point, known)).at_point()
