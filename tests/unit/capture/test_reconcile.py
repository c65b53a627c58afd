"""The difference between log and lists, told as events, makes the two agree, whatever was lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bridge.capture.reconcile import Difference, differences
from bridge.model.envelope import Event
from bridge.model.events import (
    HOST_REBOOTED,
    SHIM_LOST,
    UNSEEN,
    Anomaly,
    CommandRecorded,
    ContainerCreate,
    ContainerUpdate,
    TaskCreate,
    TaskDelete,
    TaskExecExit,
    TaskExit,
    TaskStart,
)
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo, TaskInfo
from bridge.ports import Inventory
from tests.unit.capture.small_containerd import KEY, NAMESPACE, SECOND, LogOfOne, SmallContainerd
from tests.unit.model.small_log import (
    ID,
    LOST,
    SmallLog,
    create,
    deleted,
    exec_added,
    exec_started,
    exited,
    paused,
    record,
    removed,
    restored,
    start,
    told,
    update,
)

AT = Nanos(1000 * SECOND)
RUNNING = (record(), create(), start())


def listed(task: TaskInfo | None = None, *, execs: set[str] | None = None, **more: Any) -> Inventory:
    """What containerd lists where there is the container of `record()`, which was made at the time 1."""
    about: dict[str, Any] = {"image": "busybox", "runtime": "runc", "created_at": Nanos(1), **more}
    info = ContainerInfo(namespace=NAMESPACE, id=ID, task=task, **about)
    return Inventory(
        before=AT,
        after=Nanos(AT + 1),
        containers={KEY: info},
        execs={} if execs is None else {KEY: frozenset(execs)},
    )


NOBODY = Inventory(before=AT, after=AT)


def running(pid: int = 20) -> TaskInfo:
    return TaskInfo(status="running", pid=pid)


def stopped(pid: int = 20, status: int = 3) -> TaskInfo:
    return TaskInfo(status="stopped", pid=pid, exit_status=status, exited_at=Nanos(1000))


def differing(log: SmallLog, inventory: Inventory, **options: Any) -> list[Difference]:
    return list(differences(LogOfOne(log), inventory, **options))


def repaired(log: SmallLog, inventory: Inventory, **options: Any) -> list[Event]:
    """Tell the log the difference; return its events, after which there is none any more."""
    events: list[Event] = []
    for difference in differing(log, inventory, **options):
        for one in difference.events:
            assert (one.namespace, one.container, one.origin, one.recorded) == (*KEY, "reconciled", inventory.after)
            events.append(one.event)
            log.tell(one.event, time=one.time, origin="reconciled")
    assert differing(log, inventory) == []
    return events


def words(events: list[Event]) -> list[str]:
    return [event.word for event in events]


def reasons(events: list[Event]) -> list[str | None]:
    return [event.reason for event in events if isinstance(event, TaskExit | TaskExecExit)]


@pytest.mark.parametrize(
    ("log", "inventory", "expected"),
    [
        pytest.param((), listed(), ["container-create"], id="a record of which nothing was known"),
        pytest.param((), listed(TaskInfo(status="created", pid=20)), ["container-create", "create"], id="created"),
        pytest.param((), listed(TaskInfo(status="created")), ["container-create", "create"], id="restored"),
        pytest.param((), listed(running()), ["container-create", "create", "start"], id="running"),
        pytest.param(
            (), listed(TaskInfo(status="pausing", pid=20)), ["container-create", "create", "start"], id="pausing"
        ),
        pytest.param(
            (),
            listed(TaskInfo(status="paused", pid=20)),
            ["container-create", "create", "start", "paused"],
            id="paused",
        ),
        pytest.param((), listed(stopped()), ["container-create", "create", "exit"], id="stopped"),
        pytest.param((), listed(TaskInfo(status="unknown")), ["container-create"], id="a shim that does not answer"),
        pytest.param((record(),), listed(running()), ["create", "start"], id="a task began"),
        pytest.param((record(), create()), listed(running()), ["start"], id="it was started"),
        pytest.param((record(), restored()), listed(running()), ["start"], id="it was restored"),
        pytest.param((record(), create()), listed(stopped()), ["exit"], id="it ended, and may never have run"),
        pytest.param(RUNNING, listed(stopped()), ["exit"], id="it ended"),
        pytest.param(RUNNING, listed(TaskInfo(status="paused", pid=20)), ["paused"], id="it was paused"),
        pytest.param((*RUNNING, paused()), listed(running()), ["resumed"], id="it was resumed"),
        pytest.param((*RUNNING, paused()), listed(stopped()), ["exit"], id="it ended while it was paused"),
        pytest.param(RUNNING, listed(), ["exit", "delete"], id="the task is gone"),
        pytest.param(RUNNING, NOBODY, ["exit", "delete", "container-delete"], id="the container is gone"),
        pytest.param((*RUNNING, exited()), listed(), ["delete"], id="the ended task is gone"),
        pytest.param((*RUNNING, exited()), NOBODY, ["delete", "container-delete"], id="so is the container"),
        pytest.param((record(),), NOBODY, ["container-delete"], id="the record is gone"),
        pytest.param((*RUNNING, removed()), NOBODY, [], id="gone, as was known"),
        pytest.param((), NOBODY, [], id="nothing"),
        pytest.param(
            RUNNING, listed(running(30)), ["exit", "delete", "create", "start"], id="another process runs now"
        ),
        pytest.param(
            RUNNING, listed(stopped(30)), ["exit", "delete", "create", "exit"], id="another one ran and ended"
        ),
        pytest.param(
            RUNNING, listed(TaskInfo(status="created", pid=20)), ["exit", "delete", "create"], id="no way back"
        ),
        pytest.param(
            (*RUNNING, exited()), listed(running()), ["delete", "create", "start"], id="its number runs again"
        ),
        pytest.param((*RUNNING, exited(), deleted()), listed(running()), ["create", "start"], id="and once more"),
        pytest.param(RUNNING, listed(running()), [], id="nothing has changed"),
        pytest.param(RUNNING, listed(TaskInfo(status="unknown")), [], id="who does not answer changes nothing"),
        pytest.param((start(),), listed(running()), ["container-create", "create"], id="only the start was seen"),
        pytest.param((*RUNNING, exited(5)), listed(stopped()), [], id="of two exits the first one counts"),
        pytest.param((*RUNNING, deleted(3)), listed(), ["exit"], id="the exit was never told"),
        pytest.param(
            (*RUNNING, deleted(3)), listed(running(30)), ["exit", "create", "start"], id="nor that of the task before"
        ),
        pytest.param((record(), create(), deleted(0, at=None)), listed(), [], id="one that never ran owes no exit"),
        pytest.param(
            (record(),), listed(created_at=AT), ["container-delete", "container-create"], id="the record is another one"
        ),
        pytest.param(
            RUNNING,
            listed(running(30), created_at=AT),
            ["exit", "delete", "container-delete", "container-create", "create", "start"],
            id="so is its task",
        ),
        pytest.param(RUNNING, listed(running(), created_at=AT), [], id="a task has one record, whatever clocks say"),
        pytest.param(
            (*RUNNING, removed()),
            listed(created_at=AT),
            ["container-create", "exit"],
            id="made again, and its task ended",
        ),
    ],
)
def test_the_log_learns_what_is_listed(log: tuple[Event, ...], inventory: Inventory, expected: list[str]) -> None:
    history = told(*log) if log else SmallLog()
    assert words(repaired(history, inventory)) == expected
    assert all(count == 1 for count in history.exits.values())


def test_what_containerd_tells_is_taken_with_its_times_and_what_nobody_knows_is_null() -> None:
    events = {one.event.word: one for one in differing(SmallLog(), listed(stopped()))[0].events}
    assert events["container-create"].time == 1
    assert events["create"].time == AT
    assert events["exit"].time == 1000
    assert events["exit"].event == TaskExit(container_id=ID, id=ID, pid=20, exit_status=3, exited_at=Nanos(1000))
    log = told(*RUNNING)
    assert repaired(log, listed()) == [
        TaskExit(container_id=ID, id=ID, pid=20, reason=UNSEEN),
        TaskDelete(container_id=ID, pid=20),
    ]
    assert log.state is not None
    assert (log.state.lost, log.state.exit_status, log.state.exited_at) == (True, None, None)


def test_a_new_record_is_told_with_its_labels() -> None:
    inventory = listed(labels={"app": "shop"}, name="web")
    [event] = repaired(SmallLog(), inventory)
    assert event == ContainerCreate(id=ID, image="busybox", labels={"app": "shop"}, name="web", runtime="runc")


def test_changed_labels_and_a_changed_image_are_told_and_missing_labels_are_filled_in() -> None:
    for log in (told(record(), update(app="shop")), told(record("nginx"))):
        [event] = repaired(log, listed(labels={"app": "store"}, updated_at=Nanos(7)))
        assert isinstance(event, ContainerUpdate)
        assert (event.image, event.labels) == ("busybox", {"app": "store"})
        assert log.recorded[-1].time == 7
    assert repaired(told(record()), listed()) == []


def test_labels_that_no_event_could_hold_are_not_told_again_and_again() -> None:
    assert repaired(told(record()), listed(labels={f"label{n}": "x" * 4000 for n in range(100)})) == []


def test_why_nobody_knows_how_it_ended_is_said() -> None:
    assert reasons(repaired(told(*RUNNING), listed(), unseen=SHIM_LOST)) == [SHIM_LOST]
    asked_in_vain = TaskInfo(status="stopped", pid=0, exit_status=255, exited_at=Nanos(1000))
    [exit_event] = repaired(told(*RUNNING), listed(asked_in_vain))
    assert exit_event == TaskExit(container_id=ID, id=ID, pid=20, reason=SHIM_LOST)


def test_an_end_that_was_taken_for_lost_learns_how_it_was_and_counts_once() -> None:
    log = told(*RUNNING, LOST)
    repaired(log, listed(stopped()))
    assert log.state is not None
    assert (log.state.lost, log.state.exit_status) == (False, 3)
    assert (log.reasons, log.exits.total()) == (["late-exit"], 1)


def test_after_a_reboot_every_task_of_before_has_ended_whatever_its_number() -> None:
    log = told(*RUNNING)
    events = repaired(log, listed(running()), ended_before=3)
    assert words(events) == ["exit", "delete", "create", "start"]
    assert reasons(events) == [HOST_REBOOTED]
    assert repaired(told(*RUNNING), listed(running()), ended_before=2) == []


def test_what_is_known_from_another_log_has_its_place_before_this_one() -> None:
    log = told(*RUNNING)
    [difference] = differing(log, listed())
    assert difference.place == 3
    assert log.state is not None
    log.state = replace(log.state, position="another log:7")
    [difference] = differing(log, listed())
    assert difference.place == 0
    assert words(repaired(log, listed(running()), ended_before=0)) == ["exit", "delete", "create", "start"]


def test_a_task_whose_record_was_deleted_lives_on() -> None:
    bare = replace(NOBODY, bare=frozenset({KEY}))
    log = told(*RUNNING)
    assert words(repaired(log, bare)) == ["container-delete"]
    log.tell(exited(5))
    assert (log.reasons, log.exits.total()) == ([], 1)


def test_execs_that_are_not_there_any_more_have_ended() -> None:
    log = told(*RUNNING, exec_added("a"), exec_started("a", 21), exec_added("b"), exec_started("b", 22))
    assert repaired(log, listed(running(), execs={"b"})) == [
        TaskExecExit(container_id=ID, id="a", pid=21, reason=UNSEEN)
    ]
    assert repaired(log, listed(running())) == []  # nobody asked
    assert words(repaired(log, listed(stopped()))) == ["exec-exit", "exit"]


def test_other_namespaces_are_left_alone() -> None:
    assert repaired(told(*RUNNING), replace(NOBODY, namespaces=frozenset({"default"}))) == []
    assert repaired(SmallLog(), replace(listed(running()), namespaces=frozenset())) == []


def test_who_was_only_commanded_and_never_there_is_not_deleted() -> None:
    command = CommandRecorded(container_id=ID, command_id="1", verb="start", outcome="refused")
    assert repaired(told(command), NOBODY) == []


def test_a_difference_says_what_is_known_and_what_is_listed() -> None:
    def sentence(log: SmallLog, inventory: Inventory) -> tuple[str, str, int]:
        [difference] = differing(log, inventory)
        return difference.known, difference.listed, difference.lost

    assert sentence(SmallLog(), listed(running())) == ("nothing", "running, process 20", 0)
    assert sentence(told(*RUNNING), listed()) == ("running, process 20", "no task", 1)
    assert sentence(told(*RUNNING), NOBODY) == ("running, process 20", "no such container", 1)
    assert sentence(told(record()), listed(stopped())) == ("no task", "stopped", 0)


# -- whatever happens, and whatever of it is told

LIVES = st.lists(st.sampled_from(SmallContainerd.ACTIONS), max_size=30)
FATES = st.lists(st.sampled_from(["lost", "twice", "at once", 0, 0, 0, 1, 2, 5, 20]), min_size=1, max_size=40)
"""What becomes of an event on its way; a number is how many others overtake it."""


def lived(actions: list[str]) -> SmallContainerd:
    containerd = SmallContainerd()
    for action in actions:
        containerd.do(action)
    return containerd


def heard(containerd: SmallContainerd, fates: list[Any]) -> tuple[SmallLog, list[tuple[Event, Nanos]]]:
    """The log of somebody who hears part of it, in some order; and what did not arrive."""
    arriving, missing = [], []
    for n, one in enumerate(containerd.told):
        fate = fates[n % len(fates)]
        if fate == "lost":
            missing.append(one)
        else:
            arriving.append((n + (fate if isinstance(fate, int) else 0), one))
            if fate in {"twice", "at once"}:
                arriving.append((n + (3 if fate == "twice" else 0), one))
    log = SmallLog()
    for _, (event, time) in sorted(arriving, key=lambda one: one[0]):
        log.tell(event, time=time)
    return log, missing


def agree(log: SmallLog, inventory: Inventory) -> None:
    """The log says what is listed."""
    state, info = log.state, inventory.containers.get(KEY)
    if info is None:
        assert state is None or state.status == "gone" or (state.status, state.created_at) == ("unknown", None)
        return
    assert state is not None
    assert (state.deleted_at, state.image, state.labels or {}) == (None, info.image, info.labels)
    task = info.task
    if task is None:
        assert state.status == "none"
    elif task.status != "unknown":
        assert (state.status, state.pid) == (task.status, task.pid or None)
        assert (state.exit_status, state.exited_at) == (task.exit_status, task.exited_at)
        assert not state.lost
        assert state.execs.keys() <= inventory.execs.get(KEY, frozenset())
    assert all(count == 1 for count in log.exits.values())


@given(LIVES, FATES)
@settings(max_examples=400)
def test_whatever_was_lost_log_and_lists_agree_after_it(actions: list[str], fates: list[Any]) -> None:
    containerd = lived(actions)
    log, _ = heard(containerd, fates)
    inventory = containerd.inventory()
    repaired(log, inventory)
    agree(log, inventory)


@given(LIVES, st.booleans())
def test_while_nothing_is_lost_there_is_nothing_to_repair(actions: list[str], doubled: bool) -> None:
    containerd = lived([action for action in actions if action != "lose_shim_unseen"])
    log, _ = heard(containerd, ["at once" if doubled else 0])
    assert differing(log, containerd.inventory()) == []


@given(LIVES, FATES)
def test_a_shim_that_does_not_answer_ends_no_task(actions: list[str], fates: list[Any]) -> None:
    containerd = lived(actions)
    log, _ = heard(containerd, fates)
    before = log.exits.total()
    inventory = containerd.inventory(unanswered=True)
    events = repaired(log, inventory)
    if inventory.containers and inventory.containers[KEY].task is not None and "container-delete" not in words(events):
        assert log.exits.total() == before


@given(LIVES, FATES)
@settings(max_examples=300)
def test_late_truths_are_anomalies_and_change_only_how_it_ended(actions: list[str], fates: list[Any]) -> None:
    """A shim tries for most of a minute. Not among them: what names no process, and the create of a task before."""
    containerd = lived(actions)
    log, missing = heard(containerd, fates)
    inventory = containerd.inventory()
    repaired(log, inventory)
    repairs = len(log.recorded)
    if log.state is None or log.state.pid is None:
        return
    current = log.state.pid
    exits = log.exits.total()
    before = log.state
    for event, time in missing:
        of_the_current = isinstance(event, TaskCreate | TaskStart | TaskExit | TaskDelete) and event.pid == current
        of_one_before = isinstance(event, TaskExit | TaskDelete | TaskStart) and event.pid and event.pid < current
        if of_the_current or (of_one_before and before.status not in {"none", "gone"}):
            log.tell(event, time=time)
    after = log.state
    for name in ("status", "pid", "exited", "execs", "paused_at", "deleted_at", "labels", "image"):
        assert getattr(after, name) == getattr(before, name), name
    assert before.exit_status in {None, after.exit_status}
    assert before.incarnation in {None, after.incarnation}
    assert log.exits.total() == exits
    agree(log, inventory)
    assert all(isinstance(one.data, Anomaly | TaskStart | TaskCreate | TaskDelete) for one in log.recorded[repairs:])


@given(LIVES, FATES, LIVES, FATES)
@settings(max_examples=200)
def test_what_no_rule_can_tell_apart_the_next_list_puts_right(
    actions: list[str], fates: list[Any], more: list[str], other: list[Any]
) -> None:
    containerd = lived(actions)
    log, missing = heard(containerd, fates)
    repaired(log, containerd.inventory())
    for event, time in missing:
        log.tell(event, time=time)
    known = len(containerd.told)
    for action in more:
        containerd.do(action)
    for n, (event, time) in enumerate(containerd.told[known:]):
        if other[n % len(other)] != "lost":
            log.tell(event, time=time)
    inventory = containerd.inventory()
    repaired(log, inventory)
    state, info = log.state, inventory.containers.get(KEY)
    assert all(count == 1 for count in log.exits.values())
    if info is not None and info.task is not None:
        assert state is not None
        assert state.status == info.task.status
        assert state.pid in {None, info.task.pid or None}
