"""The bus as a consumer sees it: events of the log, and the nodes that take commands."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from bridge.client.containers import Listing, Place, listing, locate
from bridge.client.filters import EventFilter, Names, names
from bridge.client.known import KnownNode, known
from bridge.client.node import Node
from bridge.client.points import Point, read_point
from bridge.client.reading import read
from bridge.errors import CommandFailed
from bridge.model.nanos import Nanos, now
from bridge.model.subjects import Subjects
from bridge.ports import CommandSender, EventReader, NodePresence, NodeRecords, Start, StoredEvent

__all__ = ["Bus"]


class Bus:
    """Events out, commands in. Made by `bridge.client.connect`, or over any reader and sender (see `bridge.testing`)."""

    def __init__(
        self, reader: EventReader, sender: CommandSender, subjects: Subjects, records: NodeRecords | None = None
    ) -> None:
        self._reader = reader
        self._sender = sender
        self._records = records
        self.subjects = subjects

    # -- events

    def events(
        self,
        *,
        node: Names = (),
        namespace: Names = (),
        container: Names = (),
        type: Names = (),  # noqa: A002 - the word of the contract
        since: Point | None = None,
        until: Point | None = None,
        follow: bool | None = None,
        node_events: bool | None = None,
    ) -> AsyncGenerator[StoredEvent, None]:
        """Iterate over events in the log's order: a container's own events in theirs, none missing, none twice.

        Close the iterator when leaving it early (`contextlib.aclosing`); that ends the subscription.

        Args:
            node: only from these nodes.
            namespace: only from these containerd namespaces; what belongs to no namespace comes along.
            container: only of these containers, by id.
            type: only of these types, by the subject's last word (`exit`, `oom`, `gap`, ...); all but heartbeats without.
            since: where to begin, this point included. Without, with `follow` at the next event to come, else at the first.
            until: where to end, this point included. A time to come is waited for, unless `follow` is False.
            follow: go on with what comes; None for "unless `until` is given". For ever without `until`; with a sequence number
                until an event at or behind it matched.
            node_events: also events of nodes; None for "unless `container` is given or `type` names one".

        Raises:
            ValueError: an argument makes no sense, or `until` lies before `since`; at the call itself.
            LogUnavailable: the log does not answer.
            LogRefused: there is no log, or reading it is not allowed.
        """
        choice = EventFilter(
            nodes=node, namespaces=namespace, containers=container, words=type, node_events=node_events
        )
        filters = choice.subjects(self.subjects)
        # In this order: the same duration twice is then no earlier as an end than as a beginning.
        begin = None if since is None else read_point(since)
        end = None if until is None else read_point(until)
        if _is_before(end, begin):
            raise ValueError(
                f"until {_shown(until, end)} lies before since {_shown(since, begin)}: nothing can be between them"
            )
        match end:
            case None:
                go_on = follow is not False
            case Nanos():
                go_on = follow is not False and end > now()
            case _:
                go_on = follow is True
        start = _start(begin, follow=go_on)
        return _admitted(choice, read(self._reader, filters, start, end, follow=go_on))

    # -- nodes

    async def nodes(self, *, wait: float = 0.5) -> Sequence[NodePresence]:
        """Return the nodes that take commands and answer within `wait` seconds, sorted by name."""
        return await self._sender.nodes(wait=wait)

    async def known_nodes(self, *, wait: float = 0.5) -> Sequence[KnownNode]:
        """Return every node that has a bridge, also those that take no commands, sorted by name.

        A bridge that ended without a stop is among them; its record is then not renewed any more.

        Raises:
            LogUnavailable: the records cannot be had at present.
            LogRefused: reading them is not allowed.
        """
        records = [] if self._records is None else await self._records.records()
        return known(await self.nodes(wait=wait), records)

    async def node(self, name: str | None = None) -> Node:
        """Return a node to command: the named one, else the only one there is.

        Raises:
            ValueError: `name` cannot be a node's name.
            CommandFailed: none was named and none answers (`unavailable`), or several do (`invalid_argument`); the sentence
                names them.
        """
        if name is not None:
            return Node(name, self._sender, self.subjects)
        nodes = await self._answering()
        if len(nodes) > 1:
            raise CommandFailed(
                "invalid_argument", f"{len(nodes)} nodes answer, {', '.join(node.name for node in nodes)}: name one"
            )
        return nodes[0]

    # -- containers, of several nodes at once

    async def containers(self, *, node: Names = (), namespace: Names = (), filters: Sequence[str] = ()) -> Listing:
        """Return the containers of these nodes, of all that answer unless some are named.

        Args:
            node: names of nodes.
            namespace: containerd namespaces; all of them unless some are named.
            filters: containerd's own, such as `labels.app==web`.

        Raises:
            CommandFailed: no node answers.
        """
        return await listing(await self._choice(node), names(namespace) or [None], filters)

    async def locate(self, container: str, *, node: str | None = None, namespace: str | None = None) -> Place:
        """Find a container by its id, its name or the first digits of its id.

        Where node and namespace are both given they are believed, and nobody is asked.

        Raises:
            ValueError: a name cannot be one.
            CommandFailed: there is none (`not_found`), there are several (`invalid_argument`; the sentence names them), or a
                node that may have it did not answer.
        """
        if node is not None and namespace is not None:
            return Place(node=Node(node, self._sender, self.subjects), namespace=namespace, container=container)
        return await locate(await self._choice(node or ()), container, namespace)

    async def _choice(self, node: Names) -> list[Node]:
        chosen = names(node)
        return [Node(name, self._sender, self.subjects) for name in chosen] if chosen else await self._answering()

    async def _answering(self) -> list[Node]:
        present = await self.nodes()
        if not present:
            raise CommandFailed(
                "unavailable",
                "no node on this bus takes commands: switch them on with `containerd-bridge serve --commands`",
            )
        return [Node(node.node, self._sender, self.subjects) for node in present]


async def _admitted(
    choice: EventFilter, opened: AsyncGenerator[StoredEvent, None]
) -> AsyncGenerator[StoredEvent, None]:
    async with aclosing(opened) as events:
        async for event in events:
            if choice.admits(event):
                yield event


def _is_before(end: Nanos | int | None, begin: Nanos | int | None) -> bool:
    """Return whether the one is known to lie before the other: a time and a sequence number do not compare."""
    if end is None or begin is None or isinstance(end, Nanos) != isinstance(begin, Nanos):
        return False
    return end < begin


def _shown(given: Point | None, point: Nanos | int | None) -> str:
    """Return a point as its giver wrote it, else what was read from it."""
    return given.strip() if isinstance(given, str) else str(point)


def _start(point: Nanos | int | None, *, follow: bool) -> Start:
    match point:
        case None:
            return Start() if follow else Start(sequence=1)
        case Nanos():
            return Start(time=point)
        case _:
            return Start(sequence=point)
