"""The commands that only look."""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import Struct

from bridge.model import outcomes
from bridge.model.commands.command import Command
from bridge.model.commands.groups import Group

__all__ = ["OBSERVING", "Inspect", "List", "Pids", "Version"]


class List(Command, frozen=True, kw_only=True):
    """The containers of a namespace, or of all of them, with the state of their tasks. `filters` are containerd's own."""

    verb: ClassVar[str] = "list"
    group: ClassVar[Group] = "observe"
    result: ClassVar[type[Struct]] = outcomes.ContainerList
    targets: ClassVar[Literal["node", "namespace", "container"]] = "namespace"

    filters: list[str] = []  # noqa: RUF012 - msgspec copies it for each


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


OBSERVING: tuple[type[Command], ...] = (List, Inspect, Pids, Version)
