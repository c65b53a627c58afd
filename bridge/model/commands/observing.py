"""The commands that only look."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from bridge.model import outcomes
from bridge.model.commands.command import Command, Seconds, Targets
from bridge.model.commands.groups import Group

__all__ = ["OBSERVING", "Inspect", "List", "Pids", "Stats", "Version", "Wait"]


class List(Command, frozen=True, kw_only=True):
    """The containers of a namespace, or of all of them, with the state of their tasks. `filters` are containerd's own."""

    verb: ClassVar[str] = "list"
    group: ClassVar[Group] = "observe"
    result: ClassVar[type[Struct]] = outcomes.ContainerList
    targets: ClassVar[Targets] = "namespace"

    filters: list[str] = []  # noqa: RUF012 - msgspec copies it for each


class Inspect(Command, frozen=True, kw_only=True):
    """Everything about one container: its record, its spec, its task, its processes and execs, its state as the log has it."""

    verb: ClassVar[str] = "inspect"
    group: ClassVar[Group] = "observe"
    result: ClassVar[type[Struct]] = outcomes.InspectResult


class Pids(Command, frozen=True, kw_only=True):
    """The processes of a running container."""

    verb: ClassVar[str] = "pids"
    group: ClassVar[Group] = "observe"
    result: ClassVar[type[Struct]] = outcomes.PidList


class Stats(Command, frozen=True, kw_only=True):
    """What running containers use: of one, of a namespace, or of all; `containers` are ids, all of them unless some are named.

    Percentages are made of two of these: `bridge.model.usage`.
    """

    verb: ClassVar[str] = "stats"
    group: ClassVar[Group] = "observe"
    result: ClassVar[type[Struct]] = outcomes.StatsList
    targets: ClassVar[Targets] = "any"

    containers: list[str] = []  # noqa: RUF012 - msgspec copies it for each


class Wait(Command, frozen=True, kw_only=True):
    """Wait until the container's task, or one exec, has ended, `timeout` seconds at the most; at once where it has.

    A wait does not outlive the bridge: ask again when it is answered with `unavailable`, or with `ended` false, and then give
    the `incarnation` of that answer, so that the end of the same task is meant.
    """

    verb: ClassVar[str] = "wait"
    group: ClassVar[Group] = "observe"
    result: ClassVar[type[Struct]] = outcomes.WaitResult
    lasting: ClassVar[bool] = True

    timeout: Seconds | None = None
    exec_id: str | None = None
    incarnation: str | None = None


class Version(Command, frozen=True, kw_only=True):
    """The versions of the bridge and of its containerd."""

    verb: ClassVar[str] = "version"
    group: ClassVar[Group] = "observe"
    result: ClassVar[type[Struct]] = outcomes.VersionInfo
    targets: ClassVar[Targets] = "node"


OBSERVING: tuple[type[Command], ...] = (List, Inspect, Pids, Stats, Wait, Version)
