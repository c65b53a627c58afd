"""A node as a browser gets it: whether its bridge is heard, how late it is, which commands it takes, and its gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from bridge.client import Bus, KnownNode, LogError, NodeGap, NodeStanding, StoredEvent
from bridge.page.rows import milliseconds

__all__ = ["Gap", "NodeRow", "gap_of", "node_rows"]

KEPT: Final = 20
"""Gaps of a node that are shown, the newest."""


class Gap(Struct, frozen=True, kw_only=True, gc=False):
    """A time of which the log of a node may miss events. `since` is None where it was never followed before."""

    n: int
    since: int | None
    until: int
    reason: str


class NodeRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node.

    Attributes:
        condition: how its bridge stands, as `bridge.client.NodeStanding` says; `unknown` where the log has no sign of it.
        reason: what the bridge said when it stopped or lost its containerd.
        heard: when its last event was stored; `proven` when it last proved to be following its containerd.
        late: milliseconds from the reading of its last event to its storing: what waits in its outbox shows here.
        groups: the groups of commands that it takes.
        answers: whether it answered just now.
    """

    node: str
    condition: str
    reason: str = ""
    heard: int | None = None
    proven: int | None = None
    late: int | None = None
    version: str = ""
    containerd: str = ""
    groups: list[str] = []
    answers: bool = False
    since: int | None = None
    renewed: int | None = None
    gaps: list[Gap] = []


def gap_of(event: StoredEvent) -> Gap | None:
    """Return the gap that an event tells of."""
    match event.data:
        case NodeGap(since=since, until=until, reason=reason):
            return Gap(
                n=event.stream_sequence, since=milliseconds(since), until=milliseconds(until) or 0, reason=reason
            )
        case _:
            return None


async def node_rows(
    bus: Bus, *, late: Mapping[str, int], gaps: Mapping[str, Sequence[Gap]], chosen: Sequence[str] = ()
) -> list[NodeRow]:
    """Return every node that the log or the records know, sorted by name.

    Raises:
        LogUnavailable: the log does not answer.
        LogRefused: there is none, or it may not be read.
    """
    standings = {one.node: one for one in await bus.standings(node=chosen)}
    known = {one.node: one for one in await _known(bus) if not chosen or one.node in chosen}
    return [
        _row(name, standings.get(name), known.get(name), late.get(name), gaps.get(name, ()))
        for name in sorted(standings.keys() | known.keys())
    ]


async def _known(bus: Bus) -> Sequence[KnownNode]:
    try:
        return await bus.known_nodes()
    except LogError:  # a login that may not read the records still sees who answers
        return [
            KnownNode(node=one.node, version=one.version, groups=one.groups, answers=True) for one in await bus.nodes()
        ]


def _row(
    name: str, standing: NodeStanding | None, known: KnownNode | None, late: int | None, gaps: Sequence[Gap]
) -> NodeRow:
    record = None if known is None else known.record
    return NodeRow(
        node=name,
        condition="unknown" if standing is None else standing.condition,
        reason="" if standing is None else standing.reason,
        heard=None if standing is None else milliseconds(standing.heard_at),
        proven=None if standing is None else milliseconds(standing.as_of),
        late=late,
        version="" if known is None else known.version,
        containerd="" if record is None else record.containerd or "",
        groups=[] if known is None else sorted(known.groups),
        answers=known is not None and known.answers,
        since=None if record is None else milliseconds(record.since),
        renewed=None if record is None else milliseconds(record.renewed),
        gaps=list(gaps)[-KEPT:],
    )
