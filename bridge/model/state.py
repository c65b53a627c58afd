"""The state of one container, as far as its events tell it.

A state is a value: `bridge.model.fold` makes the next one from the last one and an event, and nothing else changes it. It
crosses the bus as JSON. Null is what nobody has told; a known "no" is false, zero or an empty object. New fields have
defaults and readers pass over those they do not know, so old readers survive new states and new readers old ones.

What is told of a task is told of the last one: it stays after the task is deleted, and also after the record is, until the
next task begins.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct, field

from bridge.model.envelope import Sequence
from bridge.model.lifecycle import Status
from bridge.model.nanos import Nanos

__all__ = ["MAX_EXECS", "CheckpointMade", "ContainerState", "ExecState"]

MAX_EXECS: Final = 64
"""Execs that a state holds. An exec whose start failed never tells of its end, so the oldest has to give way to a new one."""


class ExecState(Struct, frozen=True, kw_only=True, gc=False):
    """An additional process that is alive, as far as is known; `pid` and `started_at` are null until it was started."""

    status: Literal["added", "running"]
    pid: int | None = None
    added_at: Nanos | None = None
    started_at: Nanos | None = None


class CheckpointMade(Struct, frozen=True, kw_only=True, gc=False):
    """A checkpoint that was made of the container: its name where one was told, when, and of which incarnation."""

    checkpoint: str | None = None
    made_at: Nanos | None = None
    incarnation: str | None = None


class ContainerState(Struct, frozen=True, kw_only=True, gc=False):
    """What is known of a container after the event `sequence`.

    With the three names alone it is the state of a container of which nothing is known yet.

    Attributes:
        status: of the task in containerd's words; `none` is a record without task, `gone` a record that was deleted.
        incarnation: the task's; null before the first one that was told.
        pid: of the task's init process; null where it was not told, and until a restored task is started.
        exited: the end of the init process was told, as an exit of this incarnation. Never true twice in one incarnation.
        exit_status: how it ended, `exited_at` when; null until then, and where nobody knows.
        lost: it ended and nobody knows how.
        oom: the kernel killed a process of this task for want of memory, once or more. False proves nothing: containerd
            may miss it. `ooms` is how often it was told.
        execs: the additional processes that are alive, by their ids, the oldest first; `MAX_EXECS` at the most.
        restored_from: the checkpoint that this task was created from, as containerd names it.
        parent: the incarnation that checkpoint was made of, where the events tell it.
        health: what dockerd's check of it last said: `starting`, `healthy` or `unhealthy`. Null where nobody checks or tells.
        last_checkpoint: the last checkpoint that was made, of whichever incarnation; `checkpoints` counts them.
        created_at: when the container's record was made, `deleted_at` when it was deleted.
        task_created_at: when the task was, `started_at` when its process began to run.
        paused_at: since when it is paused, null while it is not.
        updated: time of the last event folded, `sequence` its number, `position` its place in the node's log.
        incarnations: how many were seen under this id. Restarts are one less.
        anomalies: how many events contradicted the state at their time.
    """

    node: str
    namespace: str
    container: str

    status: Status = "unknown"
    incarnation: str | None = None
    pid: int | None = None
    exited: bool = False
    exit_status: int | None = None
    exited_at: Nanos | None = None
    lost: bool = False
    oom: bool = False
    ooms: int = 0
    execs: dict[str, ExecState] = {}

    restored_from: str | None = None
    parent: str | None = None
    health: str | None = None
    last_checkpoint: CheckpointMade | None = None
    checkpoints: int = 0

    created_at: Nanos | None = None
    deleted_at: Nanos | None = None
    task_created_at: Nanos | None = None
    started_at: Nanos | None = None
    paused_at: Nanos | None = None
    updated: Nanos | None = None

    image: str | None = None
    labels: dict[str, str] | None = None
    name: str | None = None
    runtime: str | None = None

    sequence: Sequence = field(default_factory=lambda: Sequence(0))  # a schema can name no default of such a type
    position: str = ""
    incarnations: int = 0
    anomalies: int = 0

    @property
    def row(self) -> Status:
        """The status whose column of the table holds for the next event of a task.

        It is the state's own, but where no task was ever seen under this id: that there was none is then only deduced
        from a record that was made, and the bridge may have missed the task's beginning.
        """
        if self.status in {"none", "gone"} and not self._task_was_seen:
            return "unknown"
        return self.status

    def position_in(self, log: str) -> int:
        """Return the position of the last event folded, 0 where that stands in the log of another outbox than this one."""
        where, _, n = self.position.rpartition(":")
        return int(n) if where == log else 0

    @property
    def seen(self) -> bool:
        """Whether anybody ever told of a record or a task. Who commands a container that is not there does not."""
        return self.status != "unknown" or self.created_at is not None or self.pid is not None

    @property
    def _task_was_seen(self) -> bool:
        return self.exited or self.pid is not None or self.task_created_at is not None
