"""How far what is known of a node can be believed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridge.client.standing import Doubt, NodeStanding, doubt_of, gaps_around, standings
from bridge.model.nanos import Nanos
from bridge.model.node_events import (
    NodeConnected,
    NodeDisconnected,
    NodeGap,
    NodeHeartbeat,
    NodeStarted,
    NodeStopped,
)
from bridge.ports import LogExtent, StoredEvent
from tests.unit.cli.recorded import NOON, SECOND, SUBJECTS, stored
from tests.unit.client.small_bus import SmallReader, bus

BEAT = NodeHeartbeat(probe_ns=1)
CONNECTED = NodeConnected(containerd_version="2.1", containerd_revision="a")


def at(seconds: float) -> Nanos:
    return Nanos(NOON + round(seconds * SECOND))


async def stand(*events: StoredEvent, now: float) -> list[NodeStanding]:
    extent = LogExtent(
        first_sequence=1, last_sequence=9, first_at=at(0), last_at=at(now), messages=9, size=9,
        max_age=0, max_bytes=0, max_messages=0, now=at(now),
    )  # fmt: skip
    return await standings(SmallReader(events), SUBJECTS, extent)


async def condition(*events: StoredEvent, now: float) -> tuple[str, float, str]:
    (node,) = await stand(*events, now=now)
    return node.condition, (node.as_of - NOON) / SECOND, node.reason


async def test_a_bridge_that_beats_is_live() -> None:
    beats = [stored(CONNECTED, after=0), stored(BEAT, after=10)]

    assert await condition(*beats, now=20) == ("live", 10, "")


async def test_a_bridge_that_beats_no_more_is_silent() -> None:
    assert await condition(stored(BEAT, after=10), now=46) == ("silent", 10, "")
    assert await condition(stored(BEAT, after=10), now=45) == ("live", 10, "")


async def test_a_bridge_whose_events_are_stored_late_is_behind() -> None:
    late = msgspec.structs.replace(stored(BEAT, after=10), stored_at=at(100))

    assert await condition(late, now=101) == ("behind", 10, "")


async def test_a_bridge_without_its_containerd_has_an_open_gap() -> None:
    lost = stored(NodeDisconnected(reason="socket closed"), after=15)

    assert await condition(stored(BEAT, after=10), lost, now=3600) == ("disconnected", 10, "socket closed")


async def test_a_bridge_that_is_back_is_live_again() -> None:
    events = [
        stored(NodeDisconnected(reason="x"), after=15),
        stored(NodeGap(since=at(10), until=at(20), reason="x"), after=20),
        stored(CONNECTED, after=20),
    ]

    assert await condition(*events, now=21) == ("live", 20, "")


async def test_a_bridge_that_was_stopped_says_so() -> None:
    events = [stored(BEAT, after=10), stored(NodeStopped(reason="asked to stop"), after=12)]

    assert await condition(*events, now=3600) == ("stopped", 12, "asked to stop")


async def test_a_bridge_that_begins_has_proven_nothing_yet() -> None:
    events = [stored(BEAT, after=10), stored(NodeStarted(version="1", pid=1), after=3000)]

    assert await condition(*events, now=3001) == ("live", 10, "")


async def test_each_node_stands_for_itself() -> None:
    found = await stand(stored(BEAT, node="n2", after=10), stored(BEAT, node="n1", after=100), now=101)

    assert [(node.node, node.condition) for node in found] == [("n1", "live"), ("n2", "silent")]


def standing(condition: Any, reason: str = "") -> NodeStanding:
    return NodeStanding(node="n1", condition=condition, as_of=at(1), heard_at=at(2), reason=reason)


@pytest.mark.parametrize(
    ("condition", "reason", "expected"),
    [
        ("silent", "", "its bridge is silent"),
        ("behind", "", "its bridge is behind with writing"),
        ("disconnected", "socket closed", "its bridge has lost containerd (socket closed)"),
        ("stopped", "asked to stop", "its bridge was stopped (asked to stop)"),
    ],
)
def test_what_is_not_live_is_in_doubt(condition: str, reason: str, expected: str) -> None:
    assert doubt_of(standing(condition, reason)) == Doubt(node="n1", since=at(1), until=None, reason=expected)


def test_what_is_live_is_not() -> None:
    assert doubt_of(standing("live")) is None


GAPS = [
    stored(NodeGap(since=None, until=at(5), reason="first start")),
    stored(NodeGap(since=at(10), until=at(20), reason="containerd restarted")),
    stored(NodeGap(since=at(12), until=at(30), reason="it too"), node="n2"),
]


@pytest.mark.parametrize(
    ("moment", "reasons"),
    [(0, ["first start"]), (5, []), (10, ["containerd restarted"]), (20, ["it too"]), (30, [])],
)
async def test_gaps_around_a_moment(moment: int, reasons: list[str]) -> None:
    found = await gaps_around(SmallReader(GAPS), SUBJECTS, at(moment))

    assert [doubt.reason for doubt in found] == [f"its bridge did not follow containerd ({one})" for one in reasons]


async def test_doubts_of_a_moment_are_its_gaps_and_what_has_not_ended_since() -> None:
    reader = SmallReader([*GAPS, *[stored(BEAT, node=node, after=40) for node in ("n1", "n2", "n3")]])

    then = await bus(reader).doubts(at(15))
    now = await bus(reader).doubts()

    # Long after all of this none of the three is heard any more; at 15 seconds that had not begun.
    assert [(doubt.node, doubt.until) for doubt in then] == [("n1", at(20)), ("n2", at(30))]
    assert [(doubt.node, doubt.until) for doubt in now] == [("n1", None), ("n2", None), ("n3", None)]
