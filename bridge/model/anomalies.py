"""Which events cannot be true, and which begin a new incarnation. Both are asked before an event is recorded.

containerd delivers events late, twice, out of order and not at all: its shims try a failed event again for most of a minute
while later ones pass by. So the rules are:

- What merely came out of order is true: an exit before its start, a start or a pause after the exit, an exit after the delete
  (the only order that a task has which was never started), whatever is told of an exec. So are two ooms.
- Where too little is known to contradict, an event is believed: the bridge may have come late.
- Of one incarnation one exit counts at the most, the first one. A create, a start or an exit told twice is an anomaly.
- Where statuses cannot decide, processes do. A process has one life, so what names another process than the task's own
  belongs to another task.

A pause or a resume names no process and is never an anomaly. Clocks decide nothing, since they step. Only the very same time
to the nanosecond tells that a create is the same one again, and not one whose process got the number of the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bridge.model.envelope import Event, Unrecognized
from bridge.model.events import TaskCreate, TaskDelete, TaskExit, TaskRestored, TaskStart
from bridge.model.lifecycle import Reason, contradiction
from bridge.model.nanos import Nanos
from bridge.model.state import ContainerState

__all__ = ["LOST_STATUS", "anomaly", "begins", "is_known_task", "is_lost", "is_other"]

LOST_STATUS: Final = 255
"""What containerd writes, with process 0, as the exit of a task whose shim died and cannot be asked."""


def begins(state: ContainerState | None, event: Event | Unrecognized, *, time: Nanos | None = None) -> bool:
    """Tell whether an event begins a new incarnation. Not to be asked of an anomaly.

    Every create and every restore does, but for the create that arrives after the start of the same process, where that
    has its incarnation already. A start does where the last task has ended and another process begins to run: the create
    is late or lost.

    Args:
        state: the container's before the event, None where nothing is known of it.
        event: any event.
        time: the event's own time.
    """
    if isinstance(event, TaskCreate | TaskRestored):
        return state is None or state.incarnation is None or not is_known_task(state, event, time)
    if isinstance(event, TaskStart) and state is not None:
        return state.status in {"stopped", "none", "gone"} and is_other(state, event.pid)
    return False


def anomaly(state: ContainerState | None, event: Event | Unrecognized, *, time: Nanos | None = None) -> Reason | None:
    """Return why an event cannot be true after this state, None where it may be.

    The fold keeps to it: such an event changes nothing, but for a late exit, which adds how the task ended.

    Args:
        state: the container's before the event, None where nothing is known of it.
        event: any event.
        time: the event's own time.
    """
    rule = _RULES.get(type(event))
    return None if rule is None or state is None else rule(state, event, time)


def is_lost(event: TaskExit | TaskDelete) -> bool:
    """Tell whether the event says that the task ended and not how."""
    return event.exit_status is None or (event.exit_status == LOST_STATUS and not event.pid)


def is_other(state: ContainerState, pid: int) -> bool:
    """Tell whether `pid` is known to be another process than the task's own."""
    return pid != 0 and state.pid is not None and pid != state.pid


def is_known_task(state: ContainerState, event: TaskCreate | TaskRestored, time: Nanos | None) -> bool:
    """Tell whether the task that is created is the one that the state tells of."""
    if is_other(state, event.pid):
        return False
    if state.task_created_at is not None and state.task_created_at == time:
        return True
    # A process has its number alone until its task is deleted; after that, only a late create still speaks of it.
    living = state.status not in {"none", "gone"} or state.task_created_at is None
    return living and event.pid != 0 and event.pid == state.pid


def _of_create(state: ContainerState, event: TaskCreate | TaskRestored, time: Nanos | None) -> Reason | None:
    seen = state.task_created_at is not None and is_known_task(state, event, time)
    return "second-create" if seen else None


def _of_start(state: ContainerState, event: TaskStart, _time: Nanos | None) -> Reason | None:
    if is_other(state, event.pid):
        return None if begins(state, event) else "other-incarnation"
    # The first start of a task is true wherever it arrives.
    return None if state.started_at is None else contradiction("start", state.row)


def _of_exit(state: ContainerState, event: TaskExit, _time: Nanos | None) -> Reason | None:
    if is_other(state, event.pid):
        return "other-incarnation"
    if not state.exited:
        # This one is still owed, also by a task that is deleted. But of a task that nobody ever saw, an exit that names no
        # process is only a guess.
        never = state.row != state.status
        return contradiction("exit", state.status) if never and not event.pid else None
    if state.lost and not is_lost(event):
        return "late-exit"
    return "second-exit" if event.pid else contradiction("exit", state.status) or "second-exit"


def _of_delete(state: ContainerState, event: TaskDelete, _time: Nanos | None) -> Reason | None:
    return "other-incarnation" if is_other(state, event.pid) else None


_RULES: Final[dict[type[Any], Callable[[ContainerState, Any, Nanos | None], Reason | None]]] = {
    TaskCreate: _of_create,
    TaskRestored: _of_create,
    TaskStart: _of_start,
    TaskExit: _of_exit,
    TaskDelete: _of_delete,
}
"""Events that can be anomalies. The others name nothing by which they could be wrong."""
