"""How far what is known of a node can be believed: whether its bridge is heard, and when it was not subscribed.

A bridge that follows its containerd writes a heartbeat every ten seconds. One that writes none has ended, or is cut off from
the bus; one whose events are stored long after it read them is behind. What is known of its containers is then of old.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from bridge.client.filters import EventFilter
from bridge.client.reading import closing
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeConnected, NodeDisconnected, NodeGap, NodeHeartbeat, NodeLease, NodeStopped
from bridge.model.selection import Names
from bridge.model.subjects import Subjects
from bridge.ports import EventReader, LogExtent, Start, StoredEvent

__all__ = [
    "Condition",
    "Doubt",
    "NodeStanding",
    "doubt_of",
    "gaps_around",
    "moment_of",
    "of_the_last_hour",
    "standings",
    "unheard",
]

LATE_NS: Final = 35_000_000_000
"""Three heartbeats, and some time for the way. A bridge that is later than this is not heard, or is behind."""

HOUR_NS: Final = 3_600_000_000_000

OF_THE_BRIDGE: Final = ("started", "stopped", "connected", "disconnected", "gap", "heartbeat")

Condition: TypeAlias = Literal["live", "behind", "silent", "disconnected", "stopped"]


class NodeStanding(Struct, frozen=True, kw_only=True):
    """What the log tells of a node's bridge.

    Attributes:
        node: the node's name.
        condition: `live`; `behind`, it writes and is late; `silent`, nothing comes and nothing said why; `disconnected`, its
            containerd is gone; `stopped`, the bridge was stopped.
        as_of: when it last proved that it was following its containerd, by its own clock.
        heard_at: when its last event was stored, by the log's clock.
        reason: what it said when it stopped or lost its containerd.
        ahead_ns: by how much its clock is ahead of the log's at least: its last event was stored before it was read.
    """

    node: str
    condition: Condition
    as_of: Nanos
    heard_at: Nanos
    reason: str = ""
    ahead_ns: int = 0


class Doubt(Struct, frozen=True, kw_only=True):
    """A time for which what is told of a node may be wrong.

    Attributes:
        node: the node's name.
        since: when it was last proven to follow its containerd; None where it never was.
        until: when it was again; None while it is not.
        reason: why not, as a clause: `its bridge is silent`.
    """

    node: str
    since: Nanos | None
    until: Nanos | None
    reason: str

    def covers(self, moment: Nanos) -> bool:
        """Tell whether the moment lies within."""
        return (self.since is None or self.since <= moment) and (self.until is None or moment < self.until)


_PROOFS: Final = (NodeConnected, NodeHeartbeat, NodeStopped)
"""A bridge that starts, or loses its containerd, proves nothing."""

_SENTENCES: Final[dict[Condition, str]] = {
    "behind": "its bridge is behind with writing",
    "silent": "its bridge is silent",
    "disconnected": "its bridge has lost containerd",
    "stopped": "its bridge was stopped",
}


def doubt_of(standing: NodeStanding) -> Doubt | None:
    """Return why what is known of a node now may be wrong, None where it is up to date."""
    if standing.condition == "live":
        return None
    why = f" ({standing.reason})" if standing.reason else ""
    return Doubt(node=standing.node, since=standing.as_of, until=None, reason=f"{_SENTENCES[standing.condition]}{why}")


def unheard(nodes: Collection[str], known: Sequence[NodeStanding]) -> list[Doubt]:
    """Return the doubts about nodes of which the log has no sign: their bridges ended longer ago than it reaches back."""
    lost = sorted(set(nodes) - {standing.node for standing in known})
    return [Doubt(node=node, since=None, until=None, reason="the log has no sign of its bridge") for node in lost]


async def standings(
    reader: EventReader, subjects: Subjects, extent: LogExtent, nodes: Names = ()
) -> list[NodeStanding]:
    """Return how each node of the log stands, sorted by name.

    Raises:
        LogUnavailable: the log does not answer.
        LogRefused: there is none, or reading it is not allowed.
    """
    choice = EventFilter(nodes=nodes, words=OF_THE_BRIDGE)
    found: dict[str, list[StoredEvent]] = {}
    for event in await reader.latest(choice.subjects(subjects)):
        if choice.admits(event):
            found.setdefault(event.recorded.node, []).append(event)
    return [_standing(node, found[node], extent.now) for node in sorted(found)]


async def gaps_around(reader: EventReader, subjects: Subjects, moment: Nanos, nodes: Names = ()) -> list[Doubt]:
    """Return the gaps in which the moment lies.

    Raises:
        LogUnavailable: the log does not answer.
        LogRefused: there is none, or reading it is not allowed.
    """
    found = []
    choice = EventFilter(nodes=nodes, words=NodeGap.word)
    async with closing(reader.read(choice.subjects(subjects), Start(sequence=1), follow=False)) as events:
        async for event in events:
            match event.recorded.data:
                case NodeGap(since=since, until=until, reason=reason):
                    why = f"its bridge did not follow containerd ({reason})"
                    found.append(Doubt(node=event.recorded.node, since=since, until=until, reason=why))
                case _:
                    pass
    return [gap for gap in found if gap.covers(moment)]


async def of_the_last_hour(reader: EventReader, subjects: Subjects, extent: LogExtent) -> list[StoredEvent]:
    """Return the gaps and leases of all nodes within the hour before now.

    Raises:
        LogUnavailable: the log does not answer.
        LogRefused: there is none, or reading it is not allowed.
    """
    choice = EventFilter(words=(NodeGap.word, NodeLease.word))
    start = Start(time=Nanos(extent.now - HOUR_NS))
    async with closing(reader.read(choice.subjects(subjects), start, follow=False)) as events:
        return [event async for event in events if choice.admits(event)]


async def moment_of(reader: EventReader, point: Nanos | int) -> Nanos | None:
    """Return the time of a point: of a sequence number, when that event, or the next one there is, was read; None behind all.

    Raises:
        LogUnavailable: the log does not answer.
        LogRefused: there is none, or reading it is not allowed.
    """
    if isinstance(point, Nanos):
        return point
    async with closing(reader.read([], Start(sequence=point), follow=False)) as events:
        async for event in events:
            return event.recorded.recordedtime
    return None


def _standing(node: str, events: Sequence[StoredEvent], now: Nanos) -> NodeStanding:
    last = events[-1]
    reason = ""
    condition: Condition = "live"
    match last.recorded.data:
        case NodeStopped(reason=reason):
            condition = "stopped"
        case NodeDisconnected(reason=reason):
            condition = "disconnected"
        case _ if now - last.stored_at > LATE_NS:
            condition = "silent"
        case _ if last.stored_at - last.recorded.recordedtime > LATE_NS:
            condition = "behind"
    return NodeStanding(
        node=node,
        condition=condition,
        as_of=_proven(events),
        heard_at=last.stored_at,
        reason=reason,
        ahead_ns=max(0, last.recorded.recordedtime - last.stored_at),
    )


def _proven(events: Sequence[StoredEvent]) -> Nanos:
    proofs = [event for event in events if isinstance(event.recorded.data, _PROOFS)]
    return max(event.recorded.recordedtime for event in proofs or events)
