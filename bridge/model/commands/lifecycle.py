"""The commands that change how containers run."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from bridge.model import outcomes
from bridge.model.commands.command import Command, Seconds
from bridge.model.commands.groups import Group

__all__ = ["LIFECYCLE", "Delete", "Kill", "Pause", "Resume", "Start", "Stop"]


class Start(Command, frozen=True, kw_only=True):
    """Run the container: starts its created task, or makes a new one where there is none or the last one has ended.

    A task made here has no stdio (`/dev/null`).
    """

    verb: ClassVar[str] = "start"
    group: ClassVar[Group] = "lifecycle"
    result: ClassVar[type[Struct]] = outcomes.TaskStarted


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


class Delete(Command, frozen=True, kw_only=True):
    """Remove the container: its task if that has ended, its snapshot unless `keep_snapshot`, its record.

    With `force` a task that still runs is killed first; without, that is a failed precondition.
    """

    verb: ClassVar[str] = "delete"
    group: ClassVar[Group] = "lifecycle"
    result: ClassVar[type[Struct]] = outcomes.ExitInfo

    force: bool = False
    keep_snapshot: bool = False


LIFECYCLE: tuple[type[Command], ...] = (Start, Pause, Resume, Kill, Stop, Delete)
