"""One container of a containerd as a value: what can happen to it, what it tells of that, and what it lists then."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from bridge.model.envelope import Event
from bridge.model.events import ContainerCreate, ContainerDelete, ContainerUpdate
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo, TaskInfo, TaskStatus
from bridge.model.state import ContainerState
from bridge.ports import ContainerId, Inventory
from tests.unit.model.small_log import (
    ID,
    SHIM_DIED,
    SmallLog,
    create,
    deleted,
    exec_added,
    exec_exited,
    exec_started,
    exited,
    paused,
    restored,
    resumed,
    start,
)

NAMESPACE = "k8s.io"
KEY: ContainerId = (NAMESPACE, ID)
SECOND = 1_000_000_000


class SmallContainerd:
    """Follows the lifecycle; what is not possible at the moment does not happen."""

    ACTIONS = (
        *("add", "label", "remove", "create", "restore", "start", "pause", "resume", "exit", "delete"),
        *("exec", "exec_exit", "lose_shim", "lose_shim_unseen"),
    )

    def __init__(self) -> None:
        self.told: list[tuple[Event, Nanos]] = []
        """What it told, with the times."""
        self.pids: list[int] = []
        """The processes there were, one for each task."""
        self._record: ContainerInfo | None = None
        self._status: TaskStatus | None = None
        self._pid = 0
        self._exit: tuple[int, Nanos] | None = None
        self._execs: list[str] = []
        self._clock = 0
        self._numbers = itertools.count(100)

    def do(self, action: str) -> None:
        getattr(self, action)()

    def now(self) -> Nanos:
        # Minutes apart: a record that was made again is told from a late event of the old one.
        self._clock += 600 * SECOND
        return Nanos(self._clock)

    def inventory(self, *, unanswered: bool = False) -> Inventory:
        containers = {}
        if self._record is not None:
            task = None
            if self._status is not None:
                ended = self._exit if self._status == "stopped" else None
                task = TaskInfo(
                    status=self._status,
                    pid=self._pid,
                    exit_status=ended and ended[0],
                    exited_at=ended and ended[1],
                )
            if unanswered and task is not None:
                task = TaskInfo(status="unknown")
            record = self._record
            containers[KEY] = ContainerInfo(
                namespace=NAMESPACE,
                id=ID,
                image=record.image,
                labels=record.labels,
                created_at=record.created_at,
                updated_at=record.updated_at,
                task=task,
            )
        alive = self._status in {"running", "paused"}
        moment = self.now()
        return Inventory(
            before=moment, after=moment, containers=containers, execs={KEY: frozenset(self._execs)} if alive else {}
        )

    def _tell(self, event: Event, time: Nanos | None = None) -> None:
        self.told.append((event, self.now() if time is None else time))

    # -- what can happen

    def add(self) -> None:
        if self._record is None:
            made = self.now()
            self._record = ContainerInfo(
                namespace=NAMESPACE, id=ID, image=f"image {made}", created_at=made, updated_at=made
            )
            self._tell(ContainerCreate(id=ID, image=self._record.image), Nanos(made + 1_000_000))

    def label(self) -> None:
        if self._record is not None:
            moment = self.now()
            record = self._record
            self._record = ContainerInfo(
                namespace=NAMESPACE,
                id=ID,
                image=record.image,
                labels={"moment": str(int(moment))},
                created_at=record.created_at,
                updated_at=moment,
            )
            self._tell(ContainerUpdate(id=ID, image=record.image, labels=self._record.labels), moment)

    def remove(self) -> None:
        if self._record is not None and self._status is None:
            self._record = None
            self._tell(ContainerDelete(id=ID))

    def create(self) -> None:
        if self._record is not None and self._status is None:
            self._status, self._pid = "created", next(self._numbers)
            self.pids.append(self._pid)
            self._tell(create(self._pid))

    def restore(self) -> None:
        if self._record is not None and self._status is None:
            self._status, self._pid = "created", 0
            self._tell(restored())

    def start(self) -> None:
        if self._status == "created":
            if not self._pid:
                self._pid = next(self._numbers)
                self.pids.append(self._pid)
            self._status = "running"
            self._tell(start(self._pid))

    def pause(self) -> None:
        if self._status == "running":
            self._status = "paused"
            self._tell(paused())

    def resume(self) -> None:
        if self._status == "paused":
            self._status = "running"
            self._tell(resumed())

    def exec(self) -> None:
        if self._status == "running":
            name = f"exec{next(self._numbers)}"
            self._execs.append(name)
            self._tell(exec_added(name))
            self._tell(exec_started(name, next(self._numbers)))

    def exec_exit(self) -> None:
        if self._execs:
            self._tell(exec_exited(self._execs.pop(0)))

    def exit(self) -> None:
        if self._status in {"created", "running", "paused"} and self._pid:
            while self._execs:
                self.exec_exit()
            moment = self.now()
            self._status, self._exit = "stopped", (self._pid % 7, moment)
            self._tell(exited(self._exit[0], self._pid, moment), moment)

    def delete(self) -> None:
        if self._status == "stopped":
            assert self._exit is not None
            self._status = None
            self._tell(deleted(self._exit[0], self._pid, self._exit[1]))

    def lose_shim(self) -> None:
        if self._status in {"running", "paused"}:
            self._lose()
            self._tell(SHIM_DIED)
            self._tell(deleted(255, pid=0))

    def lose_shim_unseen(self) -> None:
        if self._status in {"created", "running", "paused"}:
            self._lose()

    def _lose(self) -> None:
        self._status = None
        self._execs.clear()


class LogOfOne:
    """`bridge.capture.reconcile.States` of a log with one container in it."""

    log = "log"

    def __init__(self, small: SmallLog) -> None:
        self.small = small

    def state(self, namespace: str, container: str) -> ContainerState:
        if self.small.state is not None and (namespace, container) == KEY:
            return self.small.state
        return ContainerState(node="host1", namespace=namespace, container=container)

    def states(self) -> Iterator[ContainerState]:
        if self.small.state is not None and self.small.state.status != "gone":
            yield self.small.state
