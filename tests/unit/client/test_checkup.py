"""What is found to be wrong on a bus, and what to do about it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridge.client.checkup import Finding, findings
from bridge.client.standing import NodeStanding
from bridge.model.nanos import Nanos
from bridge.ports import BusFacts, Grant, LogExtent
from tests.unit.cli.recorded import NOON, SECOND

DAY = 86_400 * SECOND

EXTENT = LogExtent(
    first_sequence=11,
    last_sequence=110,
    first_at=Nanos(NOON - 5 * DAY),
    last_at=Nanos(NOON - 3 * SECOND),
    messages=100,
    size=2_000,
    max_age=7 * DAY,
    max_bytes=0,
    max_messages=0,
    now=Nanos(NOON),
)
GOOD = BusFacts(
    server="127.0.0.1:4222",
    version="2.15.1",
    jetstream="",
    max_payload=1_048_576,
    needed_payload=1_000_000,
    stream="CONTAINERD_EVENTS",
    no_stream="",
    faults=[],
    discards_new=False,
    extent=EXTENT,
    buckets={"containerd-state": ""},
    stores=[],
    grants=[Grant(action="read the log", subject="a", granted="all")],
)
NODE = NodeStanding(node="n1", condition="live", as_of=Nanos(NOON - 3 * SECOND), heard_at=Nanos(NOON - 3 * SECOND))


def found(nodes: Any = (NODE,), *, reach: dict[str, Any] | None = None, **changes: Any) -> list[Finding]:
    """What is found where everything is good but these."""
    facts = msgspec.structs.replace(GOOD, **changes)
    if reach is not None:
        facts = msgspec.structs.replace(facts, extent=msgspec.structs.replace(EXTENT, **reach))
    return findings(facts, nodes)


def wrong(*args: Any, **changes: Any) -> list[tuple[str, str, str]]:
    return [(one.level, one.area, one.message) for one in found(*args, **changes) if one.level != "ok"]


def test_where_all_is_good_each_thing_is_said_to_be() -> None:
    assert [(one.level, one.area, one.message) for one in found()] == [
        ("ok", "nats", "connected to 127.0.0.1:4222 (nats-server 2.15.1)"),
        ("ok", "jetstream", "it answers"),
        ("ok", "stream", "CONTAINERD_EVENTS is as strong as a bridge needs it"),
        ("ok", "retention", f"100 events, 2000 bytes, since {EXTENT.first_at}; 10 before them are gone"),
        ("ok", "retention", "an event is kept for 7 d, the oldest goes in 2 d: then `history` and `ps --at` no longer reach it"),
        ("ok", "log", "the last event was stored 3 s ago"),
        ("ok", "node n1", "live, its last event was stored 3 s ago"),
        ("ok", "buckets", "containerd-state is there"),
        ("ok", "permissions", "this login may read the log"),
    ]  # fmt: skip
    assert not [one for one in found() if one.remedy]


def test_without_jetstream_nothing_else_is_looked_for() -> None:
    down: dict[str, Any] = {
        "jetstream": "JetStream is not enabled: start it",
        "no_stream": "x",
        "extent": None,
        "buckets": {},
    }

    assert found([], **down)[1] == Finding(
        level="fail", area="jetstream", message="JetStream is not enabled", remedy="start it", trouble="jetstream-off"
    )
    assert [one.area for one in found([], **down)] == ["nats", "jetstream", "permissions"]


def test_a_stream_that_is_not_there_or_not_strong_enough_fails() -> None:
    assert wrong([], no_stream="there is no stream", extent=None) == [("fail", "stream", "there is no stream")]
    assert wrong(faults=["storage is memory, needed is file"]) == [
        ("fail", "stream", "CONTAINERD_EVENTS: storage is memory, needed is file")
    ]


def test_a_server_that_takes_too_little_at_once_fails() -> None:
    assert wrong(max_payload=65_536) == [("fail", "nats", "max_payload is 65536 bytes, needed are 1000000")]


def test_a_log_that_cannot_be_read_fails() -> None:
    assert wrong("not permitted") == [("fail", "nodes", "the log cannot be read: not permitted")]


def test_a_log_without_limit_is_worth_a_word() -> None:
    assert wrong(reach={"max_age": 0}) == [
        ("warn", "retention", "events are kept for ever: the stream grows until the disk is full")
    ]


@pytest.mark.parametrize(
    ("limits", "discards_new", "levels"),
    [
        ({"max_bytes": 2_000}, False, []),
        ({"max_bytes": 4_000}, True, []),
        ({"max_bytes": 2_200}, True, ["warn"]),
        ({"max_bytes": 2_000}, True, ["fail"]),
        ({"max_messages": 100}, True, ["fail"]),
    ],
)
def test_a_stream_that_will_take_no_more_is_told_of_in_time(
    limits: dict[str, int], discards_new: bool, levels: list[str]
) -> None:
    assert [level for level, _, _ in wrong(reach=limits, discards_new=discards_new)] == levels


def test_a_log_in_which_nothing_happens_is_worth_a_word() -> None:
    assert wrong(reach={"last_at": Nanos(NOON - 3600 * SECOND)}) == [
        ("warn", "log", "the last event was stored 1 h ago")
    ]
    empty = {"first_at": None, "last_at": None, "messages": 0, "size": 0, "first_sequence": 1, "last_sequence": 0}
    assert wrong(reach=empty) == [("warn", "log", "it is empty")]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("behind", "behind: it writes what it read 10 min before"),
        ("silent", "silent: its last event was stored 10 min ago, and nothing said that it would stop"),
        (
            "disconnected",
            "an open gap: it has lost its containerd (reason), its last event was stored 10 min ago",
        ),
        ("stopped", "an open gap: its bridge was stopped (reason), its last event was stored 10 min ago"),
    ],
)
def test_a_node_that_is_not_live_is_told_of(condition: Any, expected: str) -> None:
    heard = Nanos(NOON - 600 * SECOND)
    node = NodeStanding(
        node="n2",
        condition=condition,
        as_of=Nanos(heard - 600 * SECOND),
        heard_at=heard,
        reason="reason" if condition in {"disconnected", "stopped"} else "",
    )

    assert wrong([NODE, node]) == [("warn", "node n2", expected)]
    assert all(one.remedy for one in found([node]) if one.area == "node n2")


def test_a_bucket_that_is_not_there_is_told_of() -> None:
    assert wrong(buckets={"containerd-state": "no such stream"}) == [
        ("warn", "buckets", "containerd-state cannot be used: no such stream")
    ]


def test_what_a_login_may_not_do_is_told_of() -> None:
    def grants(*given: Any) -> list[Grant]:
        return [Grant(action="send", subject=f"s{n}", granted=one) for n, one in enumerate(given)]

    assert wrong(grants=grants("all", "none")) == [("warn", "permissions", "this login may not send")]
    assert found(grants=grants("all", "none"))[-1].remedy == "permit s1 in NATS, if it should"
    assert found(grants=grants("all", "some"))[-1].message == "this login may send in some places: s1"
    assert wrong(grants=grants("all", "some")) == []
    assert found(grants=None)[-1].message == "the server does not tell what this login may do"
