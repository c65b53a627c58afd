"""The log folded to a point: by time, by number, and where its beginning has expired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.client.folding import Folded, demand_reach, fold
from bridge.model.codec import encode
from bridge.model.envelope import Event
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeHeartbeat
from bridge.model.state import ContainerState
from bridge.model.subjects import ContainerKey
from bridge.ports import LogExtent, StoredEvent
from tests.unit.client.small_bus import SmallReader, bus
from tests.unit.model.small_log import (
    ID,
    SmallLog,
    checkpointed,
    create,
    deleted,
    exec_added,
    exec_exited,
    exec_started,
    exited,
    oom,
    paused,
    record,
    recorded,
    removed,
    resumed,
    start,
    told,
    update,
)
from tests.unit.model.small_log import (
    fold as plain_fold,
)

KEY = ContainerKey("host1", "k8s.io", ID)
LIFE = (record(), create(), start(), paused(), resumed(), exited(137), deleted(137), removed())
BEHIND = Nanos(1_000_000)


def stored(log: SmallLog, *, later: Sequence[int] = ()) -> list[StoredEvent]:
    """What was told as it stands in the log, the n-th event read at time n; those in `later` were read at `BEHIND`."""
    return [
        StoredEvent(
            stream_sequence=n,
            stored_at=Nanos(n),
            subject="",
            body=encode(one),
            recorded=msgspec.structs.replace(one, recordedtime=BEHIND) if n in later else one,
        )
        for n, one in enumerate(log.recorded, 1)
    ]


def folded(
    events: Sequence[StoredEvent],
    point: Nanos | int | None = None,
    kept: dict[ContainerKey, ContainerState] | None = None,
) -> Folded:
    found = Folded(point, kept)
    for event in events:
        found.take(event)
    return found


def status_at(
    events: Sequence[StoredEvent], point: Nanos | int, kept: dict[ContainerKey, ContainerState] | None = None
) -> Any:
    states = folded(events, point, kept).at_point()
    return states[0].status if states else None


# -- the whole log is there


@pytest.mark.parametrize(
    ("n", "status"), [(0, None), (1, "none"), (3, "running"), (4, "paused"), (6, "stopped"), (7, "none"), (8, "gone")]
)
def test_a_point_is_what_was_read_until_then(n: int, status: str | None) -> None:
    events = stored(told(*LIFE))

    assert status_at(events, Nanos(n)) == status
    assert status_at(events, n) == status


@given(
    st.lists(
        st.sampled_from([*LIFE, oom(), exec_added(), exec_started(), exec_exited(), checkpointed(), update(a="b")]),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 13),
)
def test_the_state_at_a_point_is_the_fold_of_what_is_before_it(events: list[Event], n: int) -> None:
    log = told(*events)

    expected = plain_fold(None, log.recorded[:n])

    assert folded(stored(log), n).at_point() == ([] if expected is None else [expected])
    assert folded(stored(log), Nanos(n)).at_point() == ([] if expected is None else [expected])


def test_what_was_read_later_ends_it_though_the_clock_went_back() -> None:
    # The third was read after the point; what comes behind it says an earlier time and cannot count either.
    events = stored(told(*LIFE), later=[3])

    assert status_at(events, Nanos(8)) == "created"


def test_what_was_stored_late_was_read_in_time() -> None:
    late = [msgspec.structs.replace(event, stored_at=BEHIND) for event in stored(told(*LIFE))]

    assert status_at(late, Nanos(4)) == "paused"


def test_events_of_nodes_are_nobody_s() -> None:
    beat = StoredEvent(
        stream_sequence=9, stored_at=Nanos(9), subject="", body=b"", recorded=recorded(NodeHeartbeat(probe_ns=1), None)
    )

    assert folded([beat]).at_point() == []


def test_without_a_point_it_is_the_end() -> None:
    log = told(*LIFE[:4])

    assert folded(stored(log)).at_point() == [log.state]
    assert folded(stored(log)).ends == {KEY: log.state}


# -- the log begins in the middle


def kept(log: SmallLog) -> dict[ContainerKey, ContainerState]:
    assert log.state is not None
    return {KEY: log.state}


def test_of_a_log_that_begins_in_the_middle_the_first_events_are_counted() -> None:
    assert folded(stored(told(*LIFE))[2:]).incomplete == {KEY: 2}
    assert folded(stored(told(*LIFE))).incomplete == {}


def test_before_its_first_event_there_the_container_was_there_and_its_status_is_unknown() -> None:
    events = stored(told(record(image="nginx"), create(), start(), paused(), exited()))[3:]

    (state,) = folded(events, 3).at_point()

    assert (state.status, state.sequence, state.container) == ("unknown", 3, ID)


def test_a_record_that_is_made_anew_says_that_there_was_none() -> None:
    events = stored(told(*LIFE, record()))[8:]

    assert status_at(events, 8) is None


def test_what_never_tells_a_status_leaves_it_as_it_is_kept() -> None:
    log = told(record(), create(), start(), exec_added(), exec_started(), exec_exited())
    events = stored(log)[3:]

    (then,) = folded(events, 5, kept(log)).at_point()

    assert then == plain_fold(None, log.recorded[:5])
    assert status_at(events, 5) == "unknown"


def test_a_status_that_was_told_later_is_not_taken_for_an_earlier_one() -> None:
    log = told(record(), create(), start(), exec_added(), exited())

    assert status_at(stored(log)[3:], 4, kept(log)) == "unknown"


def test_what_is_kept_of_another_task_or_from_too_long_ago_is_not_believed() -> None:
    log = told(record(), create(), start(), exec_added(), exec_exited())
    assert log.state is not None
    other = {KEY: msgspec.structs.replace(log.state, incarnation="another")}
    old = kept(told(record(), create()))

    assert status_at(stored(log)[3:], 4, other) == "unknown"
    assert status_at(stored(log)[3:], 4, old) == "unknown"


def test_an_out_of_memory_before_the_log_is_told_from_one_in_it() -> None:
    before = told(record(), create(), start(), oom(), exec_added(), exec_exited())
    after = told(record(), create(), start(), exec_added(), oom())

    assert [state.oom for state in folded(stored(before)[4:], 5, kept(before)).at_point()] == [True]
    assert [state.oom for state in folded(stored(after)[3:], 4, kept(after)).at_point()] == [False]
    assert [state.oom for state in folded(stored(after)[3:], 5, kept(after)).at_point()] == [True]


def test_a_container_without_any_event_in_the_log_stands_as_it_is_kept() -> None:
    idle = ContainerState(node="a", namespace="default", container="db", status="running")
    log = told(*LIFE[:3])

    assert folded(stored(log), None, {ContainerKey("a", "default", "db"): idle}).at_point() == [idle, log.state]


@given(
    st.lists(st.sampled_from([exec_added(), exec_started(), exec_exited(), oom(), checkpointed()]), max_size=8),
    st.data(),
)
def test_what_expired_is_made_up_for_by_what_is_kept(quiet: list[Event], data: st.DataObject) -> None:
    # Whatever the log has forgotten of a task's beginning, and wherever the point is: it is as if nothing had been forgotten.
    log = told(record(), create(), start(), *quiet)
    first = data.draw(st.integers(3, len(log.recorded)))
    point = data.draw(st.integers(first, len(log.recorded)))

    (state,) = folded(stored(log)[first:], point, kept(log)).at_point()

    expected = plain_fold(None, log.recorded[:point])
    assert expected is not None
    # What an expired event was the last to tell of: when it was, an exec that it added, the checkpoint that it made.
    forgotten = {"execs", "last_checkpoint", "checkpoints", "position", "updated"}
    same = [name for name in state.__struct_fields__ if name not in forgotten]
    assert {name: getattr(state, name) for name in same} == {name: getattr(expected, name) for name in same}


# -- how far the log reaches


def extent(first: int, first_at: int | None, **more: Any) -> LogExtent:
    values: dict[str, Any] = {
        "last_sequence": 100,
        "last_at": Nanos(100),
        "messages": 1,
        "size": 1,
        "max_age": 0,
        "max_bytes": 0,
        "max_messages": 0,
        "now": Nanos(200),
    }
    at = None if first_at is None else Nanos(first_at)
    return LogExtent(first_sequence=first, first_at=at, **{**values, **more})


@pytest.mark.parametrize("point", [Nanos(0), 0, Nanos(50), 5])
def test_a_log_that_has_forgotten_nothing_reaches_back_for_ever(point: Nanos | int) -> None:
    demand_reach(extent(1, 50), point, point)


@pytest.mark.parametrize(("point", "reaches"), [(Nanos(49), False), (Nanos(50), True), (8, False), (9, True)])
def test_a_point_before_the_log_is_refused(point: Nanos | int, reaches: bool) -> None:
    if reaches:
        demand_reach(extent(10, 50), point, point)
    else:
        with pytest.raises(ValueError, match=r"lies before the log, which begins with event 10, stored at 1970-01-01"):
            demand_reach(extent(10, 50), "x", point)


def test_a_log_without_any_event_left_tells_nothing() -> None:
    with pytest.raises(ValueError, match="begins with event 101: nothing is known of then"):
        demand_reach(extent(101, None), "1m", Nanos(150))


# -- reading it


async def test_the_log_is_read_from_its_beginning_to_its_end_and_let_go() -> None:
    log = told(*LIFE)
    reader = SmallReader(stored(log))

    found = await fold(reader, ["x"], 3)

    assert [state.status for state in found.at_point()] == ["running"]
    assert reader.asked[0][0] == ["x"]
    assert reader.open == 0


async def test_states_at_a_point_are_chosen_like_events() -> None:
    log = told(update(app="web"), create(), start(), exited(3))
    reader = SmallReader(stored(log))

    found = await bus(reader).states(at=3, namespace="k8s.io", label="app=web", name="web*")
    failed = await bus(reader).states(at=4, exit_status="!=0")

    assert [state.status for state in found] == ["running"]
    assert [state.exit_status for state in failed] == [3]
    assert await bus(reader).states(at=3, exit_status="!=0") == []
    assert await bus(reader).states(at=4, label="app=api") == []
    assert reader.asked[0][0] == ["containerd.events.*.k8s=2Eio.*.*"]
