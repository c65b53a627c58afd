"""The commands that change how containers run."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

from bridge.model import outcomes
from bridge.model.commands.command import Cells, Command, Seconds, WindowSize
from bridge.model.commands.groups import Group

__all__ = ["LIFECYCLE", "Delete", "Kill", "Pause", "Restart", "Resume", "Start", "Stop", "Update"]

# The bounds are the kernel's (Documentation/admin-guide/cgroup-v1, cgroup-v2, scheduler/sched-bwc); -1 is no limit.
Shares: TypeAlias = Annotated[int, Meta(ge=2, le=262_144)]
Quota: TypeAlias = Annotated[int, Meta(ge=-1, le=1 << 53)]
Period: TypeAlias = Annotated[int, Meta(ge=1_000, le=1_000_000)]
Processors: TypeAlias = Annotated[float, Meta(ge=0.01, le=4096)]
Cpuset: TypeAlias = Annotated[
    str,
    Meta(max_length=1024, pattern=r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*(?!\n)$", description="numbers such as 0-3,7"),
]
Processes: TypeAlias = Annotated[int, Meta(ge=-1, lt=1 << 31)]
Weight: TypeAlias = Annotated[int, Meta(ge=10, le=1000)]
Device: TypeAlias = Annotated[
    str, Meta(pattern=r"^(0|[1-9][0-9]{0,3}):(0|[1-9][0-9]{0,6})(?!\n)$", description="a device's numbers such as 8:0")
]
Rates: TypeAlias = dict[Device, Annotated[int, Meta(ge=0, le=1 << 53)]]


class Start(Command, frozen=True, kw_only=True):
    """Run the container: starts its created task, or makes a new one where there is none or the last one has ended.

    A task made here has its stdio where the container was created to have it, which is nowhere (`/dev/null`) unless that was
    said, or with `stdio` on the `bus`: then its output goes to `containerd.stdio.<node>.<namespace>.<container>.-.stdout`
    and `.stderr`, and with `stdin` its input comes from there. Whether there is a terminal, the container's spec says.

    Attributes:
        window: bytes of output that may be stored before somebody has read them, for an owner who tells what he has read;
            without it output is stored as it comes.
        width: its terminal's columns, 0 for as it is.
        height: its lines.
    """

    verb: ClassVar[str] = "start"
    group: ClassVar[Group] = "lifecycle"
    result: ClassVar[type[Struct]] = outcomes.TaskStarted

    stdio: Literal["none", "bus"] = "none"
    stdin: bool = False
    window: WindowSize | None = None
    width: Cells = 0
    height: Cells = 0


class Pause(Command, frozen=True, kw_only=True):
    """Freeze the container's processes; paused already is success."""

    verb: ClassVar[str] = "pause"
    group: ClassVar[Group] = "lifecycle"
    result: ClassVar[type[Struct]] = outcomes.Done


class Resume(Command, frozen=True, kw_only=True):
    """Let the container's processes run on; running already is success."""

    verb: ClassVar[str] = "resume"
    group: ClassVar[Group] = "lifecycle"
    result: ClassVar[type[Struct]] = outcomes.Done


class Kill(Command, frozen=True, kw_only=True):
    """Send a signal: to the init process, with `all` to every process of the container, with `exec_id` to one exec.

    `signal` is a name with or without SIG in any case, or a number. `all` and `exec_id` exclude each other.
    """

    verb: ClassVar[str] = "kill"
    group: ClassVar[Group] = "lifecycle"
    result: ClassVar[type[Struct]] = outcomes.Done

    signal: str | int = "SIGTERM"
    all: bool = False
    exec_id: str | None = None


class Stop(Command, frozen=True, kw_only=True):
    """Ask the container to end, wait `grace` seconds, then kill it; stopped already is success.

    Without `signal` the image's stop signal is sent, which containerd's clients keep in a label, else SIGTERM.
    """

    verb: ClassVar[str] = "stop"
    group: ClassVar[Group] = "lifecycle"
    result: ClassVar[type[Struct]] = outcomes.ExitInfo

    grace: Seconds = 10.0
    signal: str | int | None = None


class Restart(Command, frozen=True, kw_only=True):
    """`stop` and `start`: end the container's task as `stop` does, and run a new one; what does not run is only started.

    The new task has its stdio where the one before had it: on the bus, or where the container was created to have it.
    """

    verb: ClassVar[str] = "restart"
    group: ClassVar[Group] = "lifecycle"
    result: ClassVar[type[Struct]] = outcomes.Restarted

    grace: Seconds = 10.0
    signal: str | int | None = None


class Update(Command, frozen=True, kw_only=True):
    """Change limits of a container, of its task at once and in its record for the tasks to come; what is not given stays.

    Attributes:
        memory: most memory, in bytes or as `512m`; -1 for no limit. So are the next two.
        memory_swap: most memory and swap together.
        memory_reservation: what it is held to while memory is short.
        cpus: processors' worth of time; stands for `cpu_quota` and `cpu_period`.
        cpu_shares: share of time where processors are short; 1024 is usual.
        cpu_quota: microseconds of processor time in each period, from 1000 on; -1 for no limit.
        cpu_period: that period in microseconds.
        cpuset_cpus: the only processors it runs on: `0-2,4`.
        cpuset_mems: the only memory nodes it uses.
        pids_limit: most processes and threads; -1 for no limit.
        blkio_weight: share of disk time where it is short, where the kernel's scheduler has such.
        device_read_bps: most bytes a second that are read of a block device of the host, `{"8:0": 1048576}`: by its two numbers,
            as `lsblk` shows them; 0 for no limit. So are the next three, the last two in operations a second.
        device_write_bps: most bytes a second that are written.
        device_read_iops: most reads.
        device_write_iops: most writes.
        annotations: added to those of the spec, an empty value takes one away; runtimes other than runc may act on them.
        task_only: leave the record as it is: the next task has the limits of before.
    """

    verb: ClassVar[str] = "update"
    group: ClassVar[Group] = "lifecycle"
    result: ClassVar[type[Struct]] = outcomes.Updated

    memory: str | int | None = None
    memory_swap: str | int | None = None
    memory_reservation: str | int | None = None
    cpus: Processors | None = None
    cpu_shares: Shares | None = None
    cpu_quota: Quota | None = None
    cpu_period: Period | None = None
    cpuset_cpus: Cpuset | None = None
    cpuset_mems: Cpuset | None = None
    pids_limit: Processes | None = None
    blkio_weight: Weight | None = None
    device_read_bps: Rates | None = None
    device_write_bps: Rates | None = None
    device_read_iops: Rates | None = None
    device_write_iops: Rates | None = None
    annotations: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it for each
    task_only: bool = False


class Delete(Command, frozen=True, kw_only=True):
    """Remove the container: its task if that has ended, its snapshot unless `keep_snapshot`, its record, its bundle.

    With `force` a task that still runs is killed first; without, that is a failed precondition. A snapshot that others use too
    stays, and so does a bundle outside the directory that this node allows; the result says so.
    """

    verb: ClassVar[str] = "delete"
    group: ClassVar[Group] = "lifecycle"
    result: ClassVar[type[Struct]] = outcomes.Deleted

    force: bool = False
    keep_snapshot: bool = False


LIFECYCLE: tuple[type[Command], ...] = (Start, Restart, Pause, Resume, Update, Kill, Stop, Delete)
