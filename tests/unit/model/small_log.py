"""A container's log as the capture path writes it, in a few lines: what cannot be true becomes an anomaly, what begins an
incarnation names it, and every event gets the next number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from bridge.model.anomalies import anomaly, begins
from bridge.model.codec import to_builtins
from bridge.model.envelope import Event, Origin, Position, Recorded, Sequence
from bridge.model.events import (
    Anomaly,
    ContainerCreate,
    ContainerDelete,
    ContainerHealth,
    ContainerUpdate,
    TaskCheckpointed,
    TaskCreate,
    TaskDelete,
    TaskExecAdded,
    TaskExecExit,
    TaskExecStarted,
    TaskExit,
    TaskOOM,
    TaskPaused,
    TaskRestored,
    TaskResumed,
    TaskStart,
)
from bridge.model.fold import evolve
from bridge.model.nanos import Nanos
from bridge.model.state import ContainerState

ID = "web.1"
PID = 20


class SmallLog:
    """One container's events, and its state after each of them."""

    def __init__(self) -> None:
        self.state: ContainerState | None = None
        self.recorded: list[Recorded[Event]] = []
        self.incarnation: str | None = None

    def tell(self, *events: Event, time: int | None = None, origin: Origin = "live") -> ContainerState:
        """Record events; return the state after the last one."""
        for event in events:
            n = len(self.recorded) + 1
            moment = Nanos(n if time is None else time)
            reason = anomaly(self.state, event, time=moment)
            if reason is None and begins(self.state, event, time=moment):
                self.incarnation = f"incarnation-{n}"
            told = event if reason is None else flagged(event, reason)
            self.recorded.append(
                recorded(told, n, time=moment, incarnation=self.incarnation, origin=origin),
            )
            self.state = evolve(self.state, self.recorded[-1])
        assert self.state is not None
        return self.state

    @property
    def reasons(self) -> list[str]:
        return [one.data.reason for one in self.recorded if isinstance(one.data, Anomaly)]

    @property
    def exits(self) -> Counter[str | None]:
        """How many exits count, by incarnation."""
        return Counter(one.incarnation for one in self.recorded if isinstance(one.data, TaskExit))


def told(*events: Event) -> SmallLog:
    log = SmallLog()
    log.tell(*events)
    return log


def flagged(event: Event, reason: str) -> Anomaly:
    return Anomaly(container_id=ID, reason=reason, event_type=event.type, event=to_builtins(event))


def recorded(event: Any, n: int | None, **attributes: Any) -> Recorded[Any]:
    given = {
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "id": f"id-{n}",
        "type": getattr(event, "type", "io.containerd.task.to-come.v9"),
        "source": "/containerd/host1/k8s.io",
        "subject": ID,
        "time": Nanos(n or 0),
        "recordedtime": Nanos(n or 0),
        "position": str(Position("log", n or 1)),
        "sequence": None if n is None else Sequence(n),
        "incarnation": None,
        "origin": "live",
        "data": event,
    }
    return Recorded(**{**given, **attributes})


def fold(state: ContainerState | None, log: Iterable[Recorded[Event]]) -> ContainerState | None:
    for one in log:
        state = evolve(state, one)
    return state


# -- events of one container, short


def record(image: str = "busybox") -> ContainerCreate:
    return ContainerCreate(id=ID, image=image, runtime="runc")


def update(**labels: str) -> ContainerUpdate:
    return ContainerUpdate(id=ID, image="busybox", labels=labels, name=labels.get("name"))


def removed() -> ContainerDelete:
    return ContainerDelete(id=ID)


def create(pid: int = PID) -> TaskCreate:
    return TaskCreate(container_id=ID, pid=pid)


def restored(checkpoint: str = "before", pid: int = 0) -> TaskRestored:
    return TaskRestored(container_id=ID, checkpoint=checkpoint, pid=pid)


def start(pid: int = PID) -> TaskStart:
    return TaskStart(container_id=ID, pid=pid)


def exited(status: int | None = 3, pid: int = PID, at: int | None = 1000) -> TaskExit:
    return TaskExit(container_id=ID, id=ID, pid=pid, exit_status=status, exited_at=None if at is None else Nanos(at))


def deleted(status: int | None = 3, pid: int = PID, at: int | None = 1000) -> TaskDelete:
    return TaskDelete(container_id=ID, pid=pid, exit_status=status, exited_at=None if at is None else Nanos(at))


def oom() -> TaskOOM:
    return TaskOOM(container_id=ID)


def paused() -> TaskPaused:
    return TaskPaused(container_id=ID)


def resumed() -> TaskResumed:
    return TaskResumed(container_id=ID)


def health(status: str = "healthy") -> ContainerHealth:
    return ContainerHealth(container_id=ID, status=status)


def checkpointed(checkpoint: str = "before") -> TaskCheckpointed:
    return TaskCheckpointed(container_id=ID, checkpoint=checkpoint)


def exec_added(exec_id: str = "probe") -> TaskExecAdded:
    return TaskExecAdded(container_id=ID, exec_id=exec_id)


def exec_started(exec_id: str = "probe", pid: int = 21) -> TaskExecStarted:
    return TaskExecStarted(container_id=ID, exec_id=exec_id, pid=pid)


def exec_exited(exec_id: str = "probe", pid: int = 21) -> TaskExecExit:
    return TaskExecExit(container_id=ID, id=exec_id, pid=pid, exit_status=0)


LOST = exited(None, pid=0, at=None)
"""The end of a task that was deduced after a gap."""
SHIM_DIED = exited(255, pid=0)
"""The end of a task as containerd tells it where nothing can be asked any more."""
