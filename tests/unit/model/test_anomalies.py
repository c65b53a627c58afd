"""What cannot be true is told from what merely came late, and one exit counts for each incarnation."""

import pytest

from bridge.model.anomalies import anomaly, begins
from bridge.model.envelope import Event
from bridge.model.fold import evolve
from bridge.model.lifecycle import Reason
from bridge.model.nanos import Nanos
from tests.unit.model.small_log import (
    LOST,
    SHIM_DIED,
    SmallLog,
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
    restored,
    resumed,
    start,
    told,
)

RUNNING = (record(), create(), start())
ENDED = (*RUNNING, exited())
DELETED = (*ENDED, deleted())
GONE = (*DELETED, removed())
PLACE = {"sequence", "position", "updated"}


@pytest.mark.parametrize(
    ("before", "event"),
    [
        pytest.param((), exited(), id="an exit when nothing is known"),
        pytest.param((), SHIM_DIED, id="a lost exit when nothing is known"),
        pytest.param((), start(), id="a start when nothing is known"),
        pytest.param((oom(),), exited(), id="an exit when little is known"),
        pytest.param((record(), create()), exited(), id="an exit before its start"),
        pytest.param((record(), create(), exited()), start(), id="a start after its exit"),
        pytest.param((record(), create(), exited(), deleted()), start(), id="a start after the delete"),
        pytest.param((record(), create(), deleted(0, at=None)), exited(137), id="the exit of a task that never ran"),
        pytest.param((*RUNNING, deleted()), exited(), id="an exit after the delete"),
        pytest.param((*RUNNING, removed()), exited(), id="an exit after the record"),
        pytest.param((record(), start()), create(), id="a create after its start"),
        pytest.param((record(), start(), exited()), create(), id="a create after its exit"),
        pytest.param((record(), start(), exited(), deleted()), create(), id="a create after the delete"),
        pytest.param((record(),), exited(), id="an exit of a task whose beginning was missed"),
        pytest.param((record(),), start(), id="a start of a task whose create was missed"),
        pytest.param(DELETED, start(30), id="a start of the next task, whose create is late"),
        pytest.param(ENDED, start(30), id="a start of the next task, whose create and delete are late"),
        pytest.param(DELETED, create(), id="the next task, whose process got the number of the last"),
        pytest.param((restored(),), start(30), id="a restored task gets its process at its start"),
        pytest.param((restored(), start(30)), exited(pid=30), id="and ends like any other"),
        pytest.param(ENDED, paused(), id="a pause after the exit"),
        pytest.param(DELETED, resumed(), id="a resume after the delete"),
        pytest.param((record(), create()), paused(), id="a pause before the start"),
        pytest.param((*RUNNING, paused()), paused(), id="two pauses"),
        pytest.param((*RUNNING, oom()), oom(), id="two ooms"),
        pytest.param(ENDED, oom(), id="an oom after the exit"),
        pytest.param(ENDED, exec_exited(), id="an exec's exit after the exit"),
        pytest.param(ENDED, exec_added(), id="an exec after the exit"),
        pytest.param(RUNNING, exec_started(), id="an exec's start before it was added"),
        pytest.param(RUNNING, SHIM_DIED, id="the shim died"),
        pytest.param(RUNNING, deleted(255, pid=0), id="the shim died and the task is deleted"),
        pytest.param(DELETED, deleted(), id="two deletes"),
        pytest.param(RUNNING, create(30), id="a task while the last one's end was missed"),
        pytest.param(RUNNING, record(), id="a record while the last one's end was missed"),
    ],
)
def test_what_is_late_or_believable_is_no_anomaly(before: tuple[Event, ...], event: Event) -> None:
    log = SmallLog()
    if before:
        log.tell(*before)
    assert log.reasons == []
    assert anomaly(log.state, event) is None


@pytest.mark.parametrize(
    ("before", "event", "reason"),
    [
        pytest.param(ENDED, exited(), "second-exit", id="an exit twice"),
        pytest.param(ENDED, exited(137), "second-exit", id="a second exit that says something else"),
        pytest.param(ENDED, SHIM_DIED, "second-exit", id="an exit, and then the shim died"),
        pytest.param(ENDED, LOST, "second-exit", id="an exit, and then one was deduced"),
        pytest.param((*RUNNING, exited(137), deleted(137)), exited(), "second-exit", id="what a dead shim still told"),
        pytest.param((*RUNNING, LOST), SHIM_DIED, "second-exit", id="lost twice"),
        pytest.param((*DELETED, record()), exited(), "second-exit", id="late, and the id has a new record"),
        pytest.param((*RUNNING, LOST), exited(), "late-exit", id="the exit that was thought lost"),
        pytest.param((*RUNNING, SHIM_DIED, deleted(255, pid=0)), exited(), "late-exit", id="the same after the delete"),
        pytest.param((*RUNNING, LOST), exited(pid=0), "late-exit", id="the same without a process"),
        pytest.param((*RUNNING, LOST), exited(pid=30), "other-incarnation", id="an exit of another while one is lost"),
        pytest.param(RUNNING, exited(pid=19), "other-incarnation", id="an exit of another process"),
        pytest.param(ENDED, exited(pid=19), "other-incarnation", id="the same after the exit"),
        pytest.param(DELETED, exited(pid=19), "other-incarnation", id="the same after the delete"),
        pytest.param(RUNNING, start(19), "other-incarnation", id="a start of another process while one runs"),
        pytest.param((record(), create()), start(19), "other-incarnation", id="the same while one is created"),
        pytest.param(RUNNING, deleted(pid=19), "other-incarnation", id="a delete of another process's task"),
        pytest.param(DELETED, SHIM_DIED, "exit-without-task", id="a lost exit of a task that is deleted"),
        pytest.param(GONE, exited(pid=0), "exit-without-task", id="an exit of nobody after the record"),
        pytest.param((record(),), SHIM_DIED, "exit-without-task", id="a lost exit of a task that never was"),
        pytest.param(RUNNING, start(), "second-start", id="a start twice"),
        pytest.param((*RUNNING, paused()), start(), "second-start", id="a start while it is paused"),
        pytest.param(DELETED, start(), "second-start", id="a start twice, the second one late"),
        pytest.param(RUNNING, create(), "second-create", id="a create twice"),
        pytest.param(ENDED, create(), "second-create", id="a create twice, the second one late"),
    ],
)
def test_what_cannot_be_true_is_told_with_its_reason(before: tuple[Event, ...], event: Event, reason: Reason) -> None:
    log = told(*before)
    assert log.reasons == []
    assert anomaly(log.state, event) == reason
    assert log.state is not None
    # An older bridge recorded it as it came: the fold lets it change nothing but the place, and what a late exit adds.
    after = evolve(log.state, recorded(event, 99, incarnation=log.incarnation))
    unlike = {name for name in after.__struct_fields__ if getattr(after, name) != getattr(log.state, name)}
    assert unlike - {"exited_at"} == PLACE | ({"lost", "exit_status"} if reason == "late-exit" else set())


@pytest.mark.parametrize("event", [create(), restored(pid=0)])
def test_after_a_delete_a_create_is_the_same_again_where_it_has_the_very_same_time(event: Event) -> None:
    log = SmallLog()
    log.tell(event, time=7)
    state = log.tell(start(), exited(), deleted())
    assert anomaly(state, event, time=Nanos(7)) == "second-create"
    assert anomaly(state, event, time=Nanos(8)) is None


@pytest.mark.parametrize(
    ("before", "event", "new"),
    [
        pytest.param((), create(), True, id="the first create"),
        pytest.param(DELETED, create(30), True, id="the next create"),
        pytest.param(DELETED, create(), True, id="the next create, of a process with the same number"),
        pytest.param(DELETED, restored(), True, id="a restore"),
        pytest.param(RUNNING, create(30), True, id="a create while the end of the last was missed"),
        pytest.param(RUNNING, start(), False, id="a start"),
        pytest.param((), start(), False, id="a start when nothing is known"),
        pytest.param((record(),), start(), False, id="a start of the first task"),
        pytest.param((record(), start()), create(), True, id="the create that comes after it, for it has no name yet"),
        pytest.param(DELETED, start(30), True, id="a start of the next task, whose create is late"),
        pytest.param((*DELETED, start(30)), create(30), False, id="the create that comes after it"),
        pytest.param(DELETED, exited(), False, id="an exit"),
        pytest.param(DELETED, record(), False, id="a record"),
    ],
)
def test_an_incarnation_begins_with_its_task(before: tuple[Event, ...], event: Event, new: bool) -> None:
    log = SmallLog()
    if before:
        log.tell(*before)
    assert begins(log.state, event) is new
