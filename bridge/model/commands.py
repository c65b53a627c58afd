"""What can be asked of a node: one frozen struct per verb, holding the verb's options.

The verb and the container stand in the subject, so NATS's own permissions are the access control; the body is the options
as a JSON object, and an empty body is an object without members. An option that the verb does not have is refused: a
misspelt `signal` must not silently become the default one.
"""

from __future__ import annotations

import signal as _signal
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

from bridge.model import outcomes

__all__ = [
    "COMMANDS",
    "Command",
    "Delete",
    "GROUPS",
    "Group",
    "Inspect",
    "Kill",
    "List",
    "Pause",
    "Pids",
    "Resume",
    "Start",
    "Stop",
    "Version",
    "groups_from",
    "signal_number",
]

Group: TypeAlias = Literal["observe", "lifecycle"]
GROUPS: tuple[Group, ...] = ("observe", "lifecycle")

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=86400)]
# `$` alone would let a newline pass at the end, and an id goes into headers and keys.
CommandId: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*(?!\n)$")
]


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every command. `id` names it for ever; the bridge makes one (a ULID) where the sender gave none."""

    verb: ClassVar[str]
    group: ClassVar[Group]
    result: ClassVar[type[Struct]]
    targets: ClassVar[Literal["node", "namespace", "container"]] = "container"

    id: CommandId | None = None


class List(Command, frozen=True, kw_only=True):
    """The containers of a namespace, or of all of them, with the state of their tasks. `filters` are containerd's own."""

    verb: ClassVar[str] = "list"
    group: ClassVar[Group] = "observe"
    result: ClassVar[type[Struct]] = outcomes.ContainerList
    targets: ClassVar[Literal["node", "namespace", "container"]] = "namespace"

    filters: list[str] = []


class Inspect(Command, frozen=True, kw_only=True):
    """Everything about one container: its record, its spec, its task, its processes."""

    verb: ClassVar[str] = "inspect"
    group: ClassVar[Group] = "observe"
    result: ClassVar[type[Struct]] = outcomes.InspectResult


class Pids(Command, frozen=True, kw_only=True):
    """The processes of a running container."""

    verb: ClassVar[str] = "pids"
    group: ClassVar[Group] = "observe"
    result: ClassVar[type[Struct]] = outcomes.PidList


class Version(Command, frozen=True, kw_only=True):
    """The versions of the bridge and of its containerd."""

    verb: ClassVar[str] = "version"
    group: ClassVar[Group] = "observe"
    result: ClassVar[type[Struct]] = outcomes.VersionInfo
    targets: ClassVar[Literal["node", "namespace", "container"]] = "node"


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


COMMANDS: dict[str, type[Command]] = {
    command.verb: command for command in (List, Inspect, Pids, Version, Start, Pause, Resume, Kill, Stop, Delete)
}
"""Verb -> struct."""


def groups_from(text: str) -> frozenset[Group]:
    """Read the value of `--commands`: group names separated by commas, or `all`, or `none`.

    Raises:
        ValueError: a name is no group; the sentence gives the choices.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return frozenset(GROUPS)
    if names in ([], ["none"]):
        return frozenset()
    chosen: set[Group] = set()
    for name in names:
        if name in {"all", "none"}:
            raise ValueError(f"command group {name!r} stands alone: give it without {', '.join(GROUPS)}")
        group = next((group for group in GROUPS if group == name), None)
        if group is None:
            raise ValueError(f"command group {name!r} does not exist: choose from {', '.join(GROUPS)}, all, none")
        chosen.add(group)
    return frozenset(chosen)


def signal_number(signal: str | int) -> int:
    """Return the number of a signal given by name (with or without SIG, any case) or number.

    Raises:
        ValueError: there is no such signal on Linux.
    """
    number: Any = signal
    if isinstance(signal, str) and signal.isascii():
        text = signal.strip().upper()
        if text.isdigit():
            number = int(text) if len(text) <= 2 else None
        else:
            name = text if text.startswith("SIG") else f"SIG{text}"
            number = _realtime(name) or getattr(_signal, name if not name.startswith("SIG_") else "", None)
    if isinstance(number, int) and 1 <= number <= 64:
        return int(number)
    raise ValueError(f"signal {signal!r} does not exist: give a name such as SIGTERM or a number from 1 to 64")


def _realtime(name: str) -> int | None:
    # RTMIN+3 and RTMAX-2 as kill(1) and docker take them.
    for base, sign, start in (("SIGRTMIN", "+", 34), ("SIGRTMAX", "-", 64)):
        offset = name.removeprefix(base + sign)
        if offset != name and offset.isascii() and offset.isdigit() and int(offset) <= 30:
            return start + int(sign + offset)
    return None
