"""What the log does not know: the difference between the states folded from it and what containerd lists, as events.

Pure. Folding a difference's events, each of them `reconciled`, makes the container's state agree with the inventory, and then
there is no difference any more. They are few and in an order that the lifecycle allows, so a reader needs no rule for them.

Nothing is invented. What containerd tells is taken over with its times: the exit status of a task that has stopped, when a
record was made. That a task has ended without a trace is an exit without status, with the reason why nobody knows. What came
and went in between, pauses, execs, containers that lived and died unseen, is not told at all. A task that is found
stopped has no start, since it may never have run.

What the real events say later, if they still come, is held against the state as always (`bridge.model.anomalies`): an exit that
was told here already counts once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, Protocol

from msgspec import Struct

from bridge.model.anomalies import LOST_STATUS, anomaly, begins, is_known_task
from bridge.model.envelope import Event, Sequence
from bridge.model.events import (
    HOST_REBOOTED,
    SHIM_LOST,
    UNSEEN,
    ContainerCreate,
    ContainerDelete,
    ContainerUpdate,
    TaskCreate,
    TaskDelete,
    TaskExecExit,
    TaskExit,
    TaskPaused,
    TaskResumed,
    TaskStart,
)
from bridge.model.fold import advance
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo, TaskInfo
from bridge.model.state import ContainerState
from bridge.ports import ContainerId, Inventory, Observed

__all__ = ["ALIVE", "Difference", "States", "differences", "missed"]

ALIVE: Final = frozenset({"created", "running", "paused"})

STEP_NS: Final = 60 * 1_000_000_000
"""A record that is older than the event of its creation by no more than this is the same one. Both times are containerd's, and
milliseconds apart, unless its disk stalls between them."""

LABELS: Final = 256 * 1024
"""Characters of labels that are compared: with more of them, events are too big to hold them."""


class States(Protocol):
    """What the log tells of containers."""

    @property
    def log(self) -> str:
        """UUID of this log; states that were taken over from another one have their places in that."""
        ...

    def state(self, namespace: str, container: str) -> ContainerState:
        """Return what is known of a container, also of one that is gone."""
        ...

    def states(self) -> Iterator[ContainerState]:
        """Iterate over the states of all containers that are not gone."""
        ...


class Difference(Struct, frozen=True, kw_only=True):
    """One container of which the log and containerd say different things, and the events that put it right.

    `place` is the position of the last event that it is known by, 0 where that stands in another log than the present one.
    """

    container: ContainerId
    place: int
    known: str
    listed: str
    events: tuple[Observed, ...]
    described_only: bool = False
    """Whether it is only that containerd had not said yet what the container is when it was asked: no event was missed."""

    @property
    def lost(self) -> int:
        """Ends of tasks among them of which nobody knows how."""
        return sum(isinstance(one.event, TaskExit) and one.event.exit_status is None for one in self.events)


def differences(
    states: States,
    inventory: Inventory,
    *,
    only: Collection[ContainerId] | None = None,
    unseen: str = UNSEEN,
    ended_before: int | None = None,
) -> Iterator[Difference]:
    """Iterate over the containers that differ, in the order of their names, those of the other namespaces left out.

    Args:
        states: what the log tells.
        inventory: what containerd told.
        only: the containers to look at; all of them with None.
        unseen: why nobody knows how a task ended whose container is still there, a reason of `TaskExit`.
        ended_before: tasks whose last event stands up to this position in the log have ended, whatever is listed: the host was
            rebooted after it.
    """
    known = {(state.namespace, state.container): state for state in states.states()}
    for key in sorted(known.keys() | inventory.containers.keys()):
        if not inventory.covers(key[0]) or (only is not None and key not in only):
            continue
        state = known.get(key) or states.state(*key)
        info = inventory.containers.get(key)
        telling = _Telling(state, inventory.before, inventory.after)
        place = state.position_in(states.log)
        if ended_before is not None and place <= ended_before:
            telling.end(HOST_REBOOTED)
        if info is not None:
            telling.follow(info, inventory.execs.get(key), unseen, in_part=key in inventory.in_part)
        elif state.seen:
            telling.remove(bare=key in inventory.bare)
        if telling.events:
            yield Difference(
                container=key,
                place=place,
                known=_known(state),
                listed=_listed(info, bare=key in inventory.bare),
                events=tuple(telling.events),
                described_only=state.labels is None
                and all(isinstance(one.event, ContainerUpdate) for one in telling.events),
            )


def missed(state: ContainerState, observed: Observed) -> tuple[Observed, ...]:
    """Return what nobody told before this event: the end of the task, or of the record, whose successor it begins.

    For the first event of a container after a gap. A create that is older than what is known is a late one, and ends nothing.
    """
    event, time = observed.event, observed.time
    if state.updated is None or time <= state.updated:
        return ()
    telling = _Telling(state, time, observed.recorded)
    if isinstance(event, ContainerCreate):
        if state.created_at is not None and state.deleted_at is None:
            telling.remove(bare=False)
    elif anomaly(state, event, time=time) is None and begins(state, event, time=time):
        telling.end(UNSEEN)
    return tuple(telling.events)


class _Telling:
    """The events told of one container so far, and its state after them."""

    def __init__(self, state: ContainerState, at: Nanos, recorded: Nanos) -> None:
        self.state = state
        self.events: list[Observed] = []
        self._at = at
        self._recorded = recorded

    @property
    def _id(self) -> str:
        return self.state.container

    def tell(self, event: Event, time: Nanos | None = None) -> None:
        state = self.state
        time = self._at if time is None else time
        sequence = Sequence(state.sequence + 1)
        incarnation = state.incarnation
        if anomaly(state, event, time=time) is None and begins(state, event, time=time):
            incarnation = f"reconciled {sequence}"  # any that is new; the ledger names it
        self.events.append(Observed(event, state.namespace, state.container, time, self._recorded, "reconciled"))
        self.state = advance(
            state, event, time=time, sequence=sequence, position=state.position, incarnation=incarnation
        )

    # -- the record

    def follow(self, info: ContainerInfo, execs: frozenset[str] | None, unseen: str, *, in_part: bool = False) -> None:
        """Make the state that of a container that is there; with `in_part` not all that it is called is told."""
        state = self.state
        if _is_another(state, info):
            self.end(UNSEEN)
            self.tell(ContainerDelete(id=self._id))
            self._create(info)
        elif state.created_at is None or state.deleted_at is not None:
            self._create(info)
        elif not in_part and _has_changed(state, info):
            update = ContainerUpdate(
                id=self._id,
                snapshot_key=info.snapshot_key,
                image=info.image or None,
                labels=info.labels,
                name=info.name,
                runtime=info.runtime or None,
            )
            self.tell(update, info.updated_at)
        if info.task is None:
            self.end(unseen)
            if self.state.status == "unknown":
                self.tell(TaskDelete(container_id=self._id))
        elif info.task.status != "unknown":  # a shim that does not answer says nothing
            self._follow_task(info.task)
            self._end_execs(UNSEEN, alive=execs)

    def _create(self, info: ContainerInfo) -> None:
        create = ContainerCreate(
            id=self._id, image=info.image or None, labels=info.labels, name=info.name, runtime=info.runtime or None
        )
        self.tell(create, info.created_at)

    def remove(self, *, bare: bool) -> None:
        """Make the state that of a container that is not there; its task may be, `bare`."""
        if not bare:
            self.end(UNSEEN)
        if self.state.deleted_at is None:
            self.tell(ContainerDelete(id=self._id))

    # -- the task

    def end(self, unseen: str) -> None:
        """Tell that the last task is gone, where there is one."""
        state = self.state
        pid = state.pid or 0
        if state.status in ALIVE:
            self._exit(TaskExit(container_id=self._id, id=self._id, pid=pid, reason=unseen))
            self.tell(TaskDelete(container_id=self._id, pid=pid))
        elif state.status == "stopped":
            self.tell(
                TaskDelete(container_id=self._id, pid=pid, exit_status=state.exit_status, exited_at=state.exited_at),
            )
        elif state.status == "none" and pid and not state.exited and (state.started_at or state.exited_at):
            # Its deletion was told and its exit never was; how it ended, the deletion may have told. One that never ran has
            # no time of an end.
            reason = unseen if state.exit_status is None else None
            self._exit(
                TaskExit(
                    container_id=self._id,
                    id=self._id,
                    pid=pid,
                    exit_status=state.exit_status,
                    exited_at=state.exited_at,
                    reason=reason,
                )
            )

    def _follow_task(self, task: TaskInfo) -> None:
        create = TaskCreate(container_id=self._id, pid=task.pid)
        if not _is_same(self.state, task):
            self.end(UNSEEN)
            if is_known_task(self.state, create, self._at):
                # The process has the number of the last task's: without it, it is a task of its own.
                create = TaskCreate(container_id=self._id)
            self.tell(create)
        elif self.state.incarnation is None:
            self.tell(create)
        status, started = self.state.status, self.state.started_at is not None
        if task.status == "stopped":
            self._stop(task)
        elif task.status != "created":
            if status == "created" or (self.state.pid is None and not started):
                self.tell(TaskStart(container_id=self._id, pid=task.pid))
            if task.status == "paused" and status != "paused":
                self.tell(TaskPaused(container_id=self._id))
            elif task.status != "paused" and status == "paused":
                self.tell(TaskResumed(container_id=self._id))

    def _stop(self, task: TaskInfo) -> None:
        state = self.state
        lost = task.exit_status is None or (task.exit_status == LOST_STATUS and not task.pid)
        if state.status == "stopped" and (lost or state.exit_status is not None):
            return
        self._exit(
            TaskExit(
                container_id=self._id,
                id=self._id,
                pid=task.pid or state.pid or 0,
                exit_status=None if lost else task.exit_status,
                exited_at=None if lost else task.exited_at,
                reason=SHIM_LOST if lost else None,
            )
        )

    def _exit(self, event: TaskExit) -> None:
        self._end_execs(event.reason or UNSEEN, alive=frozenset())  # none of them outlives it
        self.tell(event, event.exited_at)

    def _end_execs(self, unseen: str, *, alive: frozenset[str] | None) -> None:
        for exec_id, one in self.state.execs.items():
            if alive is not None and exec_id not in alive:
                self.tell(TaskExecExit(container_id=self._id, id=exec_id, pid=one.pid or 0, reason=unseen))


def _is_another(state: ContainerState, info: ContainerInfo) -> bool:
    """Tell whether the record was deleted and made again under the same id.

    The state has the time of the event, which containerd makes when the record is there. Under a task that is still the same,
    the record is taken for the same too: what tells the contrary can only be a clock.
    """
    if state.created_at is None or state.deleted_at is not None or info.created_at is None:
        return False
    if state.created_at - STEP_NS <= info.created_at <= state.created_at:
        return False
    task = info.task
    same_task = task is not None and task.pid != 0 and task.pid == state.pid and state.status in ALIVE
    return not same_task


def _has_changed(state: ContainerState, info: ContainerInfo) -> bool:
    if (info.image and state.image != info.image) or (info.name and state.name != info.name):
        return True
    if (state.labels or {}) == info.labels:
        return False
    return sum(map(len, [*info.labels, *info.labels.values()])) < LABELS


def _is_same(state: ContainerState, task: TaskInfo) -> bool:
    """Tell whether the task that is listed is the one that the state tells of."""
    if state.status not in ALIVE and state.status != "stopped":
        return False
    if task.status == "created":
        # A task that has run does not go back. One that is restored gets its process at its start, and none before.
        process = state.pid if state.pid is not None or state.restored_from is not None else task.pid
        return state.status == "created" and (process or 0) == task.pid
    if task.status != "stopped" and state.status == "stopped":
        return False
    return not task.pid or state.pid is None or state.pid == task.pid


def _known(state: ContainerState) -> str:
    """Return in a few words what the log says of a container."""
    if not state.seen:
        return "nothing"
    process = f", process {state.pid}" if state.pid is not None and state.status in ALIVE else ""
    return f"{'no task' if state.status == 'none' else state.status}{process}"


def _listed(info: ContainerInfo | None, *, bare: bool) -> str:
    """Return in a few words what containerd says of a container."""
    if info is None:
        return "no record, but a task" if bare else "no such container"
    task = info.task
    if task is None:
        return "no task"
    return f"{task.status}{f', process {task.pid}' if task.pid and task.status in ALIVE else ''}"
