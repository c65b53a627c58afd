"""What can happen to a container: one frozen struct per event, named letter for letter after containerd.

A struct holds containerd's own fields under containerd's own names, plus `image`, `labels`, `name` and `runtime`, which
are still there after the container is gone. What cannot be known is `null`, never invented. Each struct carries its
CloudEvents `type`, by which the union `Event` is told apart, and the `word` that ends its subject.

New fields have defaults and no field ever changes its name or type, so old readers survive new events and new readers old ones.

None of them can be part of a reference cycle, so the garbage collector need not look at them (`gc=False`): in a burst a hundred
thousand wait, and walking over them again and again took a seventh of the bridge's time.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from msgspec import Struct

from bridge.model.nanos import Nanos

__all__ = [
    "Anomaly",
    "CommandRecorded",
    "ContainerCreate",
    "ContainerDelete",
    "ContainerEvent",
    "ContainerHealth",
    "ContainerUpdate",
    "Failure",
    "HOST_REBOOTED",
    "Mount",
    "RawEvent",
    "RuntimeOptions",
    "SHIM_LOST",
    "TaskCheckpointed",
    "TaskCreate",
    "TaskDelete",
    "TaskExecAdded",
    "TaskExecExit",
    "TaskExecStarted",
    "TaskExit",
    "TaskIO",
    "TaskOOM",
    "TaskPaused",
    "TaskRestored",
    "TaskResumed",
    "TaskStart",
    "UNSEEN",
    "Who",
]


UNSEEN: Final = "unseen"
"""Reason of an end without status: it came in a time without subscription, and containerd does not know the task any more."""

SHIM_LOST: Final = "shim-lost"
"""Reason of an end without status: containerd was started again, and knows nothing more of a task that was alive before, though
its container is still there. Its shim died; or all its processes ended, and containerd (from 1.7 on) cleared it away then."""

HOST_REBOOTED: Final = "host-rebooted"
"""Reason of an end without status: the host went down with the task."""


class Mount(Struct, frozen=True, kw_only=True, gc=False):
    """One mount of a task's root file system."""

    type: str = ""
    source: str = ""
    target: str = ""
    options: list[str] = []


class TaskIO(Struct, frozen=True, kw_only=True, gc=False):
    """Where a task's stdio goes: paths or URIs on the host; empty where there is none."""

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False


class RuntimeOptions(Struct, frozen=True, kw_only=True, gc=False):
    """A runtime's own options as containerd holds them: a type and its encoded bytes."""

    type_url: str
    value: bytes


class Failure(Struct, frozen=True, kw_only=True):
    """Why a command did not do what it says.

    `code` is ours and stable (see `bridge.model.outcomes.CODES`), `message` a sentence for people, `containerd` what
    containerd itself said, where it said something.
    """

    code: str
    message: str
    containerd: str | None = None


class ContainerEvent(Struct, frozen=True, kw_only=True, gc=False):
    """What every event of a container carries besides containerd's own fields.

    `image`, `labels`, `name` and `runtime` are the container's at that time; null where they were never seen.
    """

    type: ClassVar[str]
    word: ClassVar[str]

    image: str | None = None
    labels: dict[str, str] | None = None
    name: str | None = None
    runtime: str | None = None


class TaskCreate(ContainerEvent, frozen=True, kw_only=True):
    """A task was created: the container's process exists and has not begun. Begins a new incarnation."""

    type: ClassVar[str] = "io.containerd.task.create.v1"
    word: ClassVar[str] = "create"

    container_id: str
    bundle: str = ""
    rootfs: list[Mount] = []
    io: TaskIO | None = None
    checkpoint: str = ""
    pid: int = 0


class TaskRestored(ContainerEvent, frozen=True, kw_only=True):
    """A task was created from a checkpoint. Begins a new incarnation.

    In containerd a TaskCreate whose `checkpoint` is not empty; `pid` is 0 because the restore itself happens at the start
    that follows. Of what a bridge restored, `checkpoint` is the key in the catalogue, or where else it lay, and `parent` the
    incarnation that it was made of.
    """

    type: ClassVar[str] = "io.containerd.task.restored.v1"
    word: ClassVar[str] = "restored"

    container_id: str
    bundle: str = ""
    rootfs: list[Mount] = []
    io: TaskIO | None = None
    checkpoint: str = ""
    pid: int = 0
    parent: str | None = None


class TaskStart(ContainerEvent, frozen=True, kw_only=True):
    """The container's process began to run."""

    type: ClassVar[str] = "io.containerd.task.start.v1"
    word: ClassVar[str] = "start"

    container_id: str
    pid: int = 0


class TaskExit(ContainerEvent, frozen=True, kw_only=True):
    """The container's own (init) process ended. `exit_status` is 128 + n after signal n.

    `reason` is ours, set where the status is null after a gap: why nobody knows it (`UNSEEN`, `SHIM_LOST`, `HOST_REBOOTED`).
    So is `cause`, where it was no crash but a command's doing: `checkpoint` for one with `exit`; its id is the correlation id.
    """

    type: ClassVar[str] = "io.containerd.task.exit.v1"
    word: ClassVar[str] = "exit"

    container_id: str
    id: str
    pid: int = 0
    exit_status: int | None = None
    exited_at: Nanos | None = None
    reason: str | None = None
    cause: str | None = None


class TaskExecExit(ContainerEvent, frozen=True, kw_only=True):
    """An additional process ended: a TaskExit of containerd whose `id` is an exec and not the container.

    `reason` is ours, as that of a `TaskExit`.
    """

    type: ClassVar[str] = "io.containerd.task.exec-exit.v1"
    word: ClassVar[str] = "exec-exit"

    container_id: str
    id: str
    pid: int = 0
    exit_status: int | None = None
    exited_at: Nanos | None = None
    reason: str | None = None


class TaskOOM(ContainerEvent, frozen=True, kw_only=True):
    """The kernel killed a process of the container for want of memory. containerd may send it twice, or not at all."""

    type: ClassVar[str] = "io.containerd.task.oom.v1"
    word: ClassVar[str] = "oom"

    container_id: str


class TaskExecAdded(ContainerEvent, frozen=True, kw_only=True):
    """An additional process was registered."""

    type: ClassVar[str] = "io.containerd.task.exec-added.v1"
    word: ClassVar[str] = "exec-added"

    container_id: str
    exec_id: str


class TaskExecStarted(ContainerEvent, frozen=True, kw_only=True):
    """An additional process began to run."""

    type: ClassVar[str] = "io.containerd.task.exec-started.v1"
    word: ClassVar[str] = "exec-started"

    container_id: str
    exec_id: str
    pid: int = 0


class TaskPaused(ContainerEvent, frozen=True, kw_only=True):
    """The container's processes were frozen."""

    type: ClassVar[str] = "io.containerd.task.paused.v1"
    word: ClassVar[str] = "paused"

    container_id: str


class TaskResumed(ContainerEvent, frozen=True, kw_only=True):
    """The container's processes run on after a pause."""

    type: ClassVar[str] = "io.containerd.task.resumed.v1"
    word: ClassVar[str] = "resumed"

    container_id: str


class TaskCheckpointed(ContainerEvent, frozen=True, kw_only=True):
    """The container was checkpointed. containerd 2.x never says so itself; of what a bridge made, `checkpoint` is the key."""

    type: ClassVar[str] = "io.containerd.task.checkpointed.v1"
    word: ClassVar[str] = "checkpointed"

    container_id: str
    checkpoint: str = ""


class TaskDelete(ContainerEvent, frozen=True, kw_only=True):
    """The task is gone; the container stays. `id` is empty where containerd leaves it so."""

    type: ClassVar[str] = "io.containerd.task.delete.v1"
    word: ClassVar[str] = "delete"

    container_id: str
    id: str = ""
    pid: int = 0
    exit_status: int | None = None
    exited_at: Nanos | None = None


class ContainerCreate(ContainerEvent, frozen=True, kw_only=True):
    """A container's record was made; there is no process yet. `runtime` is the runtime's name."""

    type: ClassVar[str] = "io.containerd.container.create.v1"
    word: ClassVar[str] = "container-create"

    id: str
    runtime_options: RuntimeOptions | None = None


class ContainerUpdate(ContainerEvent, frozen=True, kw_only=True):
    """A container's record changed; `image` and `labels` are the new ones."""

    type: ClassVar[str] = "io.containerd.container.update.v1"
    word: ClassVar[str] = "container-update"

    id: str
    snapshot_key: str = ""


class ContainerDelete(ContainerEvent, frozen=True, kw_only=True):
    """A container's record is gone."""

    type: ClassVar[str] = "io.containerd.container.delete.v1"
    word: ClassVar[str] = "container-delete"

    id: str


class ContainerHealth(ContainerEvent, frozen=True, kw_only=True):
    """What the health check of a container says from now on, as dockerd tells it: `starting`, `healthy` or `unhealthy`.

    containerd knows nothing of it. It is there of dockerd's containers, where the bridge was told its socket.
    """

    type: ClassVar[str] = "io.containerd.docker.health.v1"
    word: ClassVar[str] = "health"

    container_id: str
    status: str


class Who(Struct, frozen=True, kw_only=True):
    """Who asked, as nats-server itself says it: the account, the user's name or public key in it, and from where."""

    account: str
    user: str
    host: str | None = None


class CommandRecorded(ContainerEvent, frozen=True, kw_only=True):
    """A command: `phase` is `started` right before it could have an effect, and `finished` with its one outcome.

    What is refused, or fails before its turn, is only `finished`; there is one such event of every command, so outcomes are
    counted by it alone. Of a `started` one the outcome is null.

    So is told who writes to a process: with the verb `stdin` and the session's id, `started` at the first bytes of each user and
    `finished` when no more can come, with how many it were and their `sha256`.

    Attributes:
        container_id: null where the command is for no single container.
        options: as they were sent, without what may be secret unless the node's `record` is `full`.
        who: who asked, where nats-server says so and the node may believe it; `claimed` is what the sender says of itself.
        purpose: why, in the sender's words.
        rule: what decided whether it is allowed, by its name in the node's policy.
        dry_run: it was judged only.
        sha256: of the whole body as it was sent, which proves what was asked; null where that was not kept.
        duration_ns: from its arrival to its end, by a clock that nobody sets.
    """

    type: ClassVar[str] = "io.containerd.bridge.command.v1"
    word: ClassVar[str] = "command"

    container_id: str | None
    command_id: str
    verb: str
    outcome: str | None = None
    phase: Literal["started", "finished"] = "finished"
    options: dict[str, Any] = {}
    error: Failure | None = None
    who: Who | None = None
    claimed: str | None = None
    purpose: str | None = None
    rule: str | None = None
    dry_run: bool = False
    sha256: str | None = None
    received_at: Nanos | None = None
    finished_at: Nanos | None = None
    duration_ns: int | None = None


class Anomaly(ContainerEvent, frozen=True, kw_only=True):
    """Something that containerd sent and that cannot be true, with the reason; a state counts it and does not follow it.

    Of a `late-exit` it takes the exit status, where it has none.
    """

    type: ClassVar[str] = "io.containerd.bridge.anomaly.v1"
    word: ClassVar[str] = "anomaly"

    container_id: str
    reason: str
    event_type: str
    event: dict[str, Any] = {}


class RawEvent(ContainerEvent, frozen=True, kw_only=True):
    """What could not be told as one of the other events, with its bytes, so that nothing is dropped.

    `reason` is one of `unknown-topic`, `unknown-type`, `undecodable`, `invalid-id`, `invalid-namespace`, `no-payload` and
    `oversize`. `size` and `sha256` are of the whole payload; where it does not fit one message, `value` is part number
    `part` of `parts`, and the parts follow one another in the log.
    """

    type: ClassVar[str] = "io.containerd.bridge.raw.v1"
    word: ClassVar[str] = "raw"

    topic: str
    type_url: str
    value: bytes
    reason: str
    size: int
    sha256: str
    part: int = 1
    parts: int = 1
