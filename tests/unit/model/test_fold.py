"""The fold: a legal history gives what everybody expects, and no order, repetition or loss of its events does harm."""

from __future__ import annotations

import itertools
from collections.abc import Sequence as Items
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.containerd.normalize import observe
from bridge.model.anomalies import anomaly
from bridge.model.codec import decode_as, encode_any
from bridge.model.envelope import EVENT_TYPES, Event, Recorded, Sequence, Unrecognized
from bridge.model.events import Anomaly, TaskExit
from bridge.model.fold import advance, evolve
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeHeartbeat
from bridge.model.state import MAX_EXECS, CheckpointMade, ContainerState, ExecState
from tests.data.envelopes import VERSIONS, captured
from tests.unit.model import examples
from tests.unit.model.small_log import (
    LOST,
    SHIM_DIED,
    SmallLog,
    checkpointed,
    create,
    deleted,
    exec_added,
    exec_exited,
    exec_started,
    exited,
    flagged,
    fold,
    oom,
    paused,
    record,
    recorded,
    removed,
    restored,
    resumed,
    start,
    told,
    update,
)

RUNNING = (record(), create(), start())

# -- a legal life

LIFE: list[tuple[Event, dict[str, Any]]] = [
    (record(), {"status": "none", "created_at": 1, "image": "busybox", "runtime": "runc", "labels": None}),
    (update(name="web"), {"status": "none", "labels": {"name": "web"}, "name": "web"}),
    (
        create(),
        {"status": "created", "pid": 20, "task_created_at": 3, "incarnation": "incarnation-3", "incarnations": 1},
    ),
    (start(), {"status": "running", "started_at": 4}),
    (exec_added(), {"execs": {"probe": ExecState(status="added", added_at=Nanos(5))}}),
    (
        exec_started(),
        {"execs": {"probe": ExecState(status="running", pid=21, added_at=Nanos(5), started_at=Nanos(6))}},
    ),
    (exec_exited(), {"execs": {}, "status": "running"}),
    (paused(), {"status": "paused", "paused_at": 8}),
    (
        checkpointed(),
        {
            "status": "paused",
            "checkpoints": 1,
            "last_checkpoint": CheckpointMade(checkpoint="before", made_at=Nanos(9), incarnation="incarnation-3"),
        },
    ),
    (resumed(), {"status": "running", "paused_at": None}),
    (oom(), {"status": "running", "oom": True, "ooms": 1}),
    (oom(), {"status": "running", "oom": True, "ooms": 2}),
    (exited(137), {"status": "stopped", "exited": True, "exit_status": 137, "exited_at": 1000, "lost": False}),
    (deleted(137), {"status": "none", "exit_status": 137, "pid": 20}),
    (
        restored(),
        {
            "status": "created",
            "incarnation": "incarnation-15",
            "incarnations": 2,
            "pid": None,
            "exited": False,
            "exit_status": None,
            "exited_at": None,
            "oom": False,
            "ooms": 0,
            "started_at": None,
            "restored_from": "before",
            "parent": "incarnation-3",
        },
    ),
    (start(30), {"status": "running", "pid": 30, "started_at": 16, "restored_from": "before"}),
    (exited(0, pid=30), {"status": "stopped", "exit_status": 0}),
    (deleted(0, pid=30), {"status": "none"}),
    (removed(), {"status": "gone", "deleted_at": 19, "exit_status": 0, "labels": {"name": "web"}}),
    (record("nginx"), {"status": "none", "deleted_at": None, "created_at": 20, "image": "nginx", "labels": None}),
]


def test_a_legal_life_is_told_at_every_step() -> None:
    log = SmallLog()
    for n, (event, expected) in enumerate(LIFE, 1):
        state = log.tell(event)
        assert {name: getattr(state, name) for name in expected} == expected, f"after {n} ({event.word})"
        assert (state.sequence, state.position, state.updated) == (n, f"log:{n}", n)
        assert (state.node, state.namespace, state.container) == ("host1", "k8s.io", "web.1")
    assert log.reasons == []


@pytest.mark.parametrize("version", VERSIONS)
def test_what_real_containerds_sent_has_no_anomaly_and_every_exit(version: str) -> None:
    logs: dict[tuple[str | None, str], SmallLog] = {}
    for message in captured(version):
        observed = observe(message.wire, Nanos(1))
        if observed.container is not None:
            log = logs.setdefault((observed.namespace, observed.container), SmallLog())
            log.tell(observed.event, time=observed.time)
    assert logs
    for log in logs.values():
        assert log.reasons == []
        assert log.state is not None
        assert (log.state.status, log.state.exit_status, log.state.incarnations) == ("gone", 137, 1)
        assert set(log.exits.values()) == {1}


# -- what came out of order, twice or not at all


def test_a_start_after_its_exit_changes_no_status() -> None:
    state = told(record(), create(), exited(), start()).state
    assert state is not None
    assert (state.status, state.exit_status, state.started_at) == ("stopped", 3, 4)


def test_a_pause_after_the_exit_changes_nothing() -> None:
    state = told(*RUNNING, exited(), paused(), resumed()).state
    assert state is not None
    assert (state.status, state.paused_at) == ("stopped", None)


def test_the_exit_ends_a_pause_and_every_exec() -> None:
    state = told(*RUNNING, exec_added(), paused(), exited(), exec_started()).state
    assert state is not None
    assert (state.status, state.paused_at, state.execs) == ("stopped", None, {})


def test_a_task_that_was_never_started_is_deleted_and_ends_after_that() -> None:
    log = told(record(), create(), deleted(0, at=None))
    assert log.state is not None
    assert (log.state.status, log.state.exited, log.state.exit_status) == ("none", False, None)
    state = log.tell(exited(137))
    assert (state.status, state.exited, state.exit_status) == ("none", True, 137)


def test_a_delete_tells_the_exit_that_did_not_arrive() -> None:
    state = told(*RUNNING, deleted(3)).state
    assert state is not None
    assert (state.status, state.exited, state.exit_status, state.exited_at) == ("none", False, 3, 1000)


def test_a_delete_of_another_task_changes_nothing() -> None:
    log = told(*RUNNING)
    log.tell(deleted(pid=19))
    assert log.reasons == ["other-incarnation"]
    assert log.state is not None
    assert (log.state.status, log.state.pid, log.state.exit_status) == ("running", 20, None)


def test_a_task_may_outlive_its_record() -> None:
    log = told(*RUNNING, removed())
    assert log.state is not None
    assert log.state.status == "gone"
    assert log.tell(exited()).exit_status == 3
    assert log.tell(deleted()).status == "gone"


def test_a_task_that_begins_after_its_record_was_deleted_leaves_it_deleted() -> None:
    log = told(record(), removed(), create(), start())
    assert log.state is not None
    assert log.state.status == "running"
    assert log.tell(exited(), deleted()).status == "gone"


@pytest.mark.parametrize(
    ("event", "status"), [(exited(), "stopped"), (start(), "running"), (paused(), "paused"), (resumed(), "running")]
)
def test_a_task_whose_beginning_was_missed_is_believed(event: Event, status: str) -> None:
    for log in (SmallLog(), told(record())):
        assert log.tell(event).status == status
        assert log.reasons == []


def test_the_first_word_of_a_record_leaves_its_task_as_it_is() -> None:
    state = told(start(), record()).state
    assert state is not None
    assert (state.status, state.pid, state.created_at) == ("running", 20, 2)


def test_a_start_whose_create_is_late_begins_the_next_task() -> None:
    log = told(*RUNNING, exited(), deleted(), start(30))
    assert log.state is not None
    assert (log.state.status, log.state.incarnation, log.state.exited) == ("running", "incarnation-6", False)
    state = log.tell(create(30))
    assert (state.status, state.incarnation, state.incarnations) == ("running", "incarnation-6", 2)
    assert log.tell(exited(5, pid=30)).exit_status == 5
    assert log.exits == {"incarnation-2": 1, "incarnation-6": 1}


def test_an_event_of_an_incarnation_whose_beginning_is_missing_begins_it() -> None:
    state = fold(told(*RUNNING, exited(), deleted()).state, [recorded(exited(7, pid=30), 9, incarnation="the-next")])
    assert state is not None
    assert (state.status, state.incarnation, state.exit_status, state.pid) == ("stopped", "the-next", 7, 30)
    assert state.incarnations == 2


# -- lost ends


@pytest.mark.parametrize("event", [LOST, SHIM_DIED])
def test_an_end_of_which_nobody_knows_more_is_lost(event: Event) -> None:
    state = told(*RUNNING, event).state
    assert state is not None
    assert (state.status, state.exited, state.lost) == ("stopped", True, True)
    assert (state.exit_status, state.exited_at, state.pid) == (None, None, 20)


def test_a_late_exit_adds_how_the_task_ended_and_does_not_count_again() -> None:
    log = told(*RUNNING)
    log.tell(LOST, origin="reconciled")
    state = log.tell(exited(137))
    assert (state.lost, state.exit_status, state.exited_at) == (False, 137, 1000)
    assert (state.anomalies, log.reasons, log.exits.total()) == (1, ["late-exit"], 1)


def test_a_late_exit_of_a_task_before_adds_nothing() -> None:
    state = told(*RUNNING, LOST).state
    later = fold(state, [recorded(flagged(exited(137, pid=19), "late-exit"), 9)])
    assert later is not None
    assert (later.lost, later.exit_status, later.anomalies) == (True, None, 1)


@given(examples.JSON, examples.JSON, examples.JSON)
def test_whatever_stands_in_an_anomaly_is_taken(pid: Any, status: Any, moment: Any) -> None:
    event = {"pid": pid, "exit_status": status, "exited_at": moment}
    told_as = Anomaly(container_id="web.1", reason="late-exit", event_type=TaskExit.type, event=event)
    state = fold(told(*RUNNING, LOST).state, [recorded(told_as, 9)])
    assert state is not None
    assert decode_as(encode_any(state), ContainerState) == state


def test_a_delete_tells_how_a_task_ended_that_was_thought_lost() -> None:
    state = told(*RUNNING, LOST, deleted(3)).state
    assert state is not None
    assert (state.lost, state.exit_status, state.exited_at) == (False, 3, 1000)


def test_a_lost_exit_leaves_what_the_delete_told() -> None:
    state = told(*RUNNING, deleted(3), LOST).state
    assert state is not None
    assert (state.exited, state.lost, state.exit_status) == (True, False, 3)


# -- execs and checkpoints


def test_of_too_many_execs_the_oldest_gives_way() -> None:
    log = told(*RUNNING, *[exec_added(f"probe{n}") for n in range(MAX_EXECS)])
    log.tell(exec_started("probe0"), exec_added("one-more"), exec_started("two-more"))
    assert log.state is not None
    assert list(log.state.execs) == [*(f"probe{n}" for n in range(2, MAX_EXECS)), "one-more", "two-more"]


def test_an_exec_that_is_added_twice_keeps_what_is_known() -> None:
    log = told(*RUNNING, exec_started(), exec_added())
    assert log.state is not None
    assert log.state.execs == {"probe": ExecState(status="running", pid=21, started_at=Nanos(4))}


def test_of_a_checkpoint_made_elsewhere_no_parent_is_known() -> None:
    state = told(*RUNNING, checkpointed("before"), exited(), deleted(), restored("another")).state
    assert state is not None
    assert (state.restored_from, state.parent, state.checkpoints) == ("another", None, 1)


# -- whatever comes

ENDED: Items[Event] = (
    create(),
    start(),
    exec_added(),
    exec_started(),
    exec_exited(),
    paused(),
    resumed(),
    oom(),
    oom(),
    exited(137),
    deleted(137),
)
"""A task's life as its shim tells it. Its record's events come from containerd itself, which keeps their order."""


def legal(final: Items[Event]) -> ContainerState:
    state = told(record(), *ENDED, *final).state
    assert state is not None
    return state


@given(st.permutations(range(len(ENDED))), st.lists(st.integers(0, len(ENDED) - 1), max_size=6), st.randoms())
@settings(max_examples=500)
def test_no_order_and_no_repetition_changes_how_it_ends(order: list[int], again: list[int], random: Any) -> None:
    # What is told twice is told with the same time.
    arriving = list(order)
    for n in again:
        arriving.insert(random.randint(0, len(arriving)), n)
    log = told(record())
    for n in arriving:
        log.tell(ENDED[n], time=100 + n)
    expected = legal(())
    assert log.state is not None
    for name in ("status", "exited", "exit_status", "exited_at", "lost", "execs", "paused_at", "pid", "incarnations"):
        assert getattr(log.state, name) == getattr(expected, name), name
    assert log.exits.total() == 1


@given(st.permutations(range(len(ENDED))), st.integers(0, len(ENDED)))
@settings(max_examples=300)
def test_wherever_the_record_is_deleted_it_is_gone_in_the_end(order: list[int], where: int) -> None:
    log = told(record())
    for n in order[:where]:
        log.tell(ENDED[n], time=100 + n)
    log.tell(removed())
    for n in order[where:]:
        log.tell(ENDED[n], time=100 + n)
    assert log.state is not None
    assert log.state.status == "gone"
    assert log.exits.total() == 1


@pytest.mark.parametrize("known", [True, False], ids=["with its record", "from nothing"])
def test_every_order_of_the_four_events_of_a_short_task_is_the_same_task(known: bool) -> None:
    task: list[Event] = [create(), start(), exited(), deleted()]
    for order in itertools.permutations(task):
        log = SmallLog()
        state = log.tell(*([record()] if known else []), *order)
        assert (state.status, state.exit_status, state.pid, state.incarnations) == ("none", 3, 20, 1)
        assert (log.reasons, log.exits.total()) == ([], 1)


PIDS = st.sampled_from([0, 10, 20])
STATUSES = st.sampled_from([None, 0, 137, 255])
MOMENTS = st.sampled_from([None, 1000, 2000])
ANYTHING: st.SearchStrategy[Event] = st.one_of(
    PIDS.map(create),
    st.builds(restored, st.sampled_from(["", "before"]), PIDS),
    PIDS.map(start),
    st.builds(exited, STATUSES, PIDS, MOMENTS),
    st.builds(deleted, STATUSES, PIDS, MOMENTS),
    st.sampled_from([oom(), paused(), resumed(), checkpointed(), record(), removed(), update(name="web")]),
    st.sampled_from([exec_added(), exec_started(), exec_exited(), exec_added("b"), exec_started("b", 0)]),
)
HISTORIES = st.lists(st.tuples(ANYTHING, st.integers(1, 5)), max_size=25)
"""Events of a few tasks of one container with their times, in whatever order, as often as they like."""


def log_of(history: list[tuple[Event, int]]) -> SmallLog:
    log = SmallLog()
    for event, time in history:
        log.tell(event, time=time)
    return log


@given(HISTORIES)
@settings(max_examples=500)
def test_one_exit_counts_for_each_incarnation_at_the_most(history: list[tuple[Event, int]]) -> None:
    assert all(count == 1 for count in log_of(history).exits.values())


@given(HISTORIES)
def test_every_state_survives_the_bus(history: list[tuple[Event, int]]) -> None:
    state = None
    for one in log_of(history).recorded:
        state = evolve(state, one)
        assert decode_as(encode_any(state), ContainerState) == state


@given(HISTORIES)
def test_a_state_does_not_contradict_itself(history: list[tuple[Event, int]]) -> None:
    state = None
    for one in log_of(history).recorded:
        state = evolve(state, one)
        assert not state.lost or state.exited
        assert not state.lost or state.exit_status is None
        assert not state.exited or state.status in {"stopped", "none", "gone"}
        assert state.status != "stopped" or state.exited
        assert (state.paused_at is not None) == (state.status == "paused")
        assert not state.execs or state.row not in {"stopped", "none", "gone"}
        assert state.deleted_at is not None or state.status != "gone"


@given(HISTORIES, st.data())
def test_a_fold_in_parts_is_the_fold_in_one_go_also_through_json(
    history: list[tuple[Event, int]], data: st.DataObject
) -> None:
    log = log_of(history).recorded
    cut = data.draw(st.integers(0, len(log)))
    before = fold(None, log[:cut])
    if before is not None:
        before = decode_as(encode_any(before), ContainerState)
    assert fold(before, log[cut:]) == fold(None, log)


@given(HISTORIES, st.data())
def test_a_replay_changes_nothing(history: list[tuple[Event, int]], data: st.DataObject) -> None:
    log = log_of(history)
    for one in data.draw(st.lists(st.sampled_from(log.recorded), max_size=10)) if log.recorded else []:
        assert evolve(log.state, one) is log.state


@given(HISTORIES, ANYTHING, st.integers(1, 5))
def test_an_anomaly_that_is_told_as_it_came_changes_nothing_but_for_a_late_exit(
    history: list[tuple[Event, int]], event: Event, time: int
) -> None:
    log = log_of(history)
    reason = anomaly(log.state, event, time=Nanos(time))
    if log.state is None or reason is None:
        return
    after = evolve(log.state, recorded(event, 99, time=Nanos(time), incarnation=log.state.incarnation))
    same = {"sequence", "position", "updated"} | (
        {"lost", "exit_status", "exited_at"} if reason == "late-exit" else set()
    )
    unlike = {name for name in after.__struct_fields__ if getattr(after, name) != getattr(log.state, name)}
    assert unlike <= same


@given(HISTORIES, st.data())
def test_a_log_with_holes_in_any_order_is_folded_too(history: list[tuple[Event, int]], data: st.DataObject) -> None:
    log = log_of(history).recorded
    arriving = data.draw(st.lists(st.sampled_from(log), max_size=30)) if log else []
    state = fold(None, arriving)
    assert state is None or state.sequence == max(one.sequence or 0 for one in arriving)


@given(st.lists(examples.recorded(), max_size=6))
def test_every_event_of_the_model_is_taken_whatever_it_holds(log: list[Recorded[Event]]) -> None:
    state = None
    for one in log:
        anomaly(state, one.data, time=one.time)
        state = evolve(state, one)
        assert decode_as(encode_any(state), ContainerState) == state


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.word)
def test_every_kind_of_event_moves_the_place_on(kind: type[Event]) -> None:
    @given(examples.structs(kind))
    @settings(max_examples=10)
    def moves(event: Event) -> None:
        state = fold(told(*RUNNING).state, [recorded(event, 9, time=Nanos(99))])
        assert state is not None
        assert (state.sequence, state.position, state.updated) == (9, "log:9", 99)

    moves()


def test_what_is_not_known_here_has_its_place_and_no_meaning() -> None:
    before = told(*RUNNING).state
    after = fold(before, [recorded(Unrecognized(json=b"{}"), 9)])
    assert before is not None
    assert after == msgspec.structs.replace(before, sequence=Sequence(9), position="log:9", updated=Nanos(9))
    assert fold(None, [recorded(Unrecognized(json=b"{}"), 9)]) is not None


def test_what_belongs_to_no_container_changes_nothing() -> None:
    before = told(*RUNNING).state
    assert fold(before, [recorded(NodeHeartbeat(probe_ns=1), None)]) is before


def test_an_event_from_elsewhere_is_folded_without_its_names() -> None:
    state = fold(None, [recorded(start(), 1, source="/docker/host1", subject=None)])
    assert state is not None
    assert (state.node, state.namespace, state.container, state.status) == ("", "", "", "running")


def test_an_event_without_envelope_gives_the_same_state() -> None:
    before = told(record(), create()).state
    assert before is not None
    advanced = advance(
        before, start(), time=Nanos(3), sequence=Sequence(3), position="log:3", incarnation=before.incarnation
    )
    assert advanced == told(*RUNNING).state
