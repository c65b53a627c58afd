"""The fold: from a container's state and its next event to its next state.

Pure and total: every event in any order, twice or with others missing gives a state, and nothing raises. An event whose
number is not beyond the state's changes nothing, so a replay is harmless. Folding a history in one go or in parts is the same.

What contradicts the state (`bridge.model.anomalies`) changes nothing, whether it was recorded as an `Anomaly` or, by an older
bridge, as it came. There is one exception: a `late-exit` fills in how the task ended, where the state says that nobody knows.
It adds knowledge and takes none away; that the task has ended it does not tell again.

An incarnation that differs from the state's begins another task, also where the event that began it is missing.

It runs for every event on the capture path: one look into a dict by type, one new struct; under a microsecond and a half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from bridge.model import events
from bridge.model.anomalies import anomaly, begins, is_known_task, is_lost, is_other
from bridge.model.envelope import WORDS, Event, Recorded, Sequence, Unrecognized, parse_source
from bridge.model.lifecycle import FOLLOWING, LIFECYCLE
from bridge.model.nanos import Nanos, parse_rfc3339
from bridge.model.state import MAX_EXECS, CheckpointMade, ContainerState, ExecState

__all__ = ["advance", "evolve"]

Changes: TypeAlias = dict[str, Any]
Fold: TypeAlias = Callable[[ContainerState, Any, Nanos], Changes]


def evolve(state: ContainerState | None, recorded: Recorded[Event] | Recorded[Unrecognized]) -> ContainerState:
    """Return the state after an event of the log.

    Args:
        state: what the events before it gave, None where it is the first one known.
        recorded: the event. One without `sequence` belongs to no container and changes nothing.
    """
    if state is None:
        state = _nothing_known(recorded)
    sequence = recorded.sequence
    if sequence is None:
        return state
    return advance(
        state,
        recorded.data,
        time=recorded.time,
        sequence=sequence,
        position=recorded.position or "",
        incarnation=recorded.incarnation,
    )


def advance(
    state: ContainerState,
    event: Event | Unrecognized,
    *,
    time: Nanos,
    sequence: Sequence,
    position: str,
    incarnation: str | None,
) -> ContainerState:
    """Return the state after an event that has its place and no envelope yet. The arguments are those of `Recorded`."""
    if sequence <= state.sequence:
        return state
    kind = type(event)
    fold = _FOLDS.get(kind)
    if fold is None:
        # An event of a version to come, or of a node: it has a place, and what it means is not known here.
        return replace(state, sequence=sequence, position=position, updated=time)
    if incarnation is None:
        incarnation = state.incarnation
    elif incarnation != state.incarnation and kind not in _CREATES:
        state = replace(state, **_ANOTHER_TASK, incarnation=incarnation, incarnations=state.incarnations + 1)
    changes = fold(state, event, time)
    image, labels, name, runtime = event.image, event.labels, event.name, event.runtime  # type: ignore[union-attr]
    if kind is not events.ContainerCreate:  # another record: nothing of the old one's holds for it
        image = state.image if image is None else image
        labels = state.labels if labels is None else labels
        name = state.name if name is None else name
        runtime = state.runtime if runtime is None else runtime
    return replace(
        state,
        sequence=sequence,
        position=position,
        updated=time,
        incarnation=incarnation,
        image=image,
        labels=labels,
        name=name,
        runtime=runtime,
        **changes,
    )


def _nothing_known(recorded: Recorded[Any]) -> ContainerState:
    try:
        node, namespace = parse_source(recorded.source)
    except ValueError:  # written by somebody else; the fold takes it all the same
        node, namespace = "", None
    return ContainerState(node=node, namespace=namespace or "", container=recorded.container or "")


# -- one function for each kind of event that means something; returns what changes

_NOTHING: Final[Changes] = {}
_NO_EXECS: Final[dict[str, ExecState]] = {}
_ENDED: Final[Changes] = {"execs": _NO_EXECS, "paused_at": None}
_ANOTHER_TASK: Final[Changes] = {
    "status": "unknown",
    "pid": None,
    "exited": False,
    "exit_status": None,
    "exited_at": None,
    "lost": False,
    "oom": False,
    "ooms": 0,
    "execs": _NO_EXECS,
    "restored_from": None,
    "parent": None,
    "health": None,
    "task_created_at": None,
    "started_at": None,
    "paused_at": None,
}
_CREATES: Final = frozenset({events.TaskCreate, events.TaskRestored})

_create_from = FOLLOWING["create"]
_start_from = FOLLOWING["start"]
_paused_from = FOLLOWING["paused"]
_resumed_from = FOLLOWING["resumed"]
_exit_from = FOLLOWING["exit"]
_delete_from = FOLLOWING["delete"]
_record_created_from = FOLLOWING["container-create"]
_record_deleted_from = FOLLOWING["container-delete"]


def _create(state: ContainerState, event: events.TaskCreate | events.TaskRestored, time: Nanos) -> Changes:
    if not is_known_task(state, event, time):
        return {
            **_ANOTHER_TASK,
            "status": _create_from[state.status],
            "pid": event.pid or None,
            "task_created_at": time,
            "incarnations": state.incarnations + 1,
        }
    if state.task_created_at is not None:
        return _NOTHING
    # It comes after what it began. That stays as it is.
    return {
        "task_created_at": time,
        "incarnations": state.incarnations + (state.incarnation is None),
    }


def _restored(state: ContainerState, event: events.TaskRestored, time: Nanos) -> Changes:
    changes = _create(state, event, time)
    if not changes:
        return changes
    made = state.last_checkpoint
    of_its_own = made.incarnation if made is not None and event.checkpoint == made.checkpoint else None
    return {**changes, "restored_from": event.checkpoint or None, "parent": event.parent or of_its_own}


def _start(state: ContainerState, event: events.TaskStart, time: Nanos) -> Changes:
    if anomaly(state, event) is not None:
        return _NOTHING
    if begins(state, event):
        return {
            **_ANOTHER_TASK,
            "status": _start_from["unknown"],
            "pid": event.pid,
            "started_at": time,
            "incarnations": state.incarnations + 1,
        }
    return {"status": _start_from[state.row], "pid": event.pid or state.pid, "started_at": time}


def _paused(state: ContainerState, _event: events.TaskPaused, time: Nanos) -> Changes:
    following = _paused_from[state.row]
    return {"status": following, "paused_at": time} if following == "paused" != state.status else _NOTHING


def _resumed(state: ContainerState, _event: events.TaskResumed, _time: Nanos) -> Changes:
    following = _resumed_from[state.row]
    return {"status": following, "paused_at": None} if following == "running" else _NOTHING


def _exit(state: ContainerState, event: events.TaskExit, _time: Nanos) -> Changes:
    reason = anomaly(state, event)
    if reason == "late-exit":
        return {"exit_status": event.exit_status, "exited_at": event.exited_at, "lost": False}
    if reason is not None:
        return _NOTHING
    lost = is_lost(event)
    # A delete that came before it may have told how the task ended.
    exit_status, exited_at = (state.exit_status, state.exited_at) if lost else (event.exit_status, event.exited_at)
    return {
        "status": _exit_from[state.row],
        "pid": event.pid or state.pid,
        "exited": True,
        "exit_status": exit_status,
        "exited_at": exited_at,
        "lost": exit_status is None,
        "execs": _NO_EXECS,
        "paused_at": None,
    }


def _delete(state: ContainerState, event: events.TaskDelete, _time: Nanos) -> Changes:
    if is_other(state, event.pid):
        return _NOTHING
    # A task may outlive its record, or its events the record's.
    following = _delete_from[state.status if state.deleted_at is None else "gone"]
    changes = {**_ENDED, "status": following, "pid": event.pid or state.pid}
    if state.exit_status is None and event.exited_at is not None and not is_lost(event):
        # It repeats the exit, which may be late or lost. Of a task that never ran it says 0, and no time.
        changes |= {"exit_status": event.exit_status, "exited_at": event.exited_at, "lost": False}
    return changes


def _oom(state: ContainerState, _event: events.TaskOOM, _time: Nanos) -> Changes:
    return {"oom": True, "ooms": state.ooms + 1}


def _exec_added(state: ContainerState, event: events.TaskExecAdded, time: Nanos) -> Changes:
    if event.exec_id in state.execs:
        return _NOTHING
    return _with_exec(state, event.exec_id, ExecState(status="added", added_at=time))


def _exec_started(state: ContainerState, event: events.TaskExecStarted, time: Nanos) -> Changes:
    added = state.execs.get(event.exec_id)
    running = ExecState(
        status="running", pid=event.pid or None, added_at=added.added_at if added else None, started_at=time
    )
    return _with_exec(state, event.exec_id, running)


def _with_exec(state: ContainerState, exec_id: str, one: ExecState) -> Changes:
    if state.row in {"stopped", "none", "gone"}:
        return _NOTHING  # it is told late; no exec outlives the init process
    execs = {**state.execs, exec_id: one}
    while len(execs) > MAX_EXECS:
        del execs[next(iter(execs))]
    return {"execs": execs}


def _exec_exit(state: ContainerState, event: events.TaskExecExit, _time: Nanos) -> Changes:
    if event.id not in state.execs:
        return _NOTHING
    return {"execs": {exec_id: one for exec_id, one in state.execs.items() if exec_id != event.id}}


def _checkpointed(state: ContainerState, event: events.TaskCheckpointed, time: Nanos) -> Changes:
    made = CheckpointMade(checkpoint=event.checkpoint or None, made_at=time, incarnation=state.incarnation)
    return {"last_checkpoint": made, "checkpoints": state.checkpoints + 1}


def _health(_state: ContainerState, event: events.ContainerHealth, _time: Nanos) -> Changes:
    return {"health": event.status}


def _container_create(state: ContainerState, _event: events.ContainerCreate, time: Nanos) -> Changes:
    if state.created_at is None and state.deleted_at is None and state.row != "unknown":
        # The first word of a record whose task is known already: what is known stays.
        return {"created_at": time}
    return {**_ENDED, "status": _record_created_from[state.status], "created_at": time, "deleted_at": None}


def _container_delete(state: ContainerState, _event: events.ContainerDelete, time: Nanos) -> Changes:
    return {**_ENDED, "status": _record_deleted_from[state.status], "deleted_at": time}


def _anomaly(state: ContainerState, event: events.Anomaly, _time: Nanos) -> Changes:
    changes: Changes = {"anomalies": state.anomalies + 1}
    told = event.event
    if event.reason == "late-exit" and event.event_type == events.TaskExit.type and state.lost:
        pid, exit_status, exited_at = told.get("pid"), told.get("exit_status"), told.get("exited_at")
        if type(exit_status) is int and not (type(pid) is int and is_other(state, pid)):
            changes |= {"exit_status": exit_status, "exited_at": _moment(exited_at), "lost": False}
    return changes


def _moment(text: Any) -> Nanos | None:
    try:
        return parse_rfc3339(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _unchanged(_state: ContainerState, _event: Any, _time: Nanos) -> Changes:
    return _NOTHING


_MEANING: Final[dict[str, Fold]] = {
    "create": _create,
    "restored": _restored,
    "start": _start,
    "paused": _paused,
    "resumed": _resumed,
    "exit": _exit,
    "delete": _delete,
    "oom": _oom,
    "exec-added": _exec_added,
    "exec-started": _exec_started,
    "exec-exit": _exec_exit,
    "checkpointed": _checkpointed,
    "health": _health,
    "container-create": _container_create,
    "container-delete": _container_delete,
    "anomaly": _anomaly,
}
_FOLDS: Final[dict[type[Any], Fold]] = {WORDS[word]: _MEANING.get(word, _unchanged) for word in LIFECYCLE}
