"""The commands about other commands."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from bridge.model import outcomes
from bridge.model.commands.command import Command, CommandId, Targets
from bridge.model.commands.groups import Group

__all__ = ["DESK", "Cancel"]


class Cancel(Command, frozen=True, kw_only=True):
    """Take back the command `command`: out of its queue, or out of what it waits for, where its verb can be interrupted.

    The command itself then ends as an `error` with the code `cancelled`. One that has ended, or that nobody knows, is not found.
    Sent for a namespace or for a container, it takes back commands for that alone; for the node, everybody's.
    """

    verb: ClassVar[str] = "cancel"
    group: ClassVar[Group] = "lifecycle"
    result: ClassVar[type[Struct]] = outcomes.Cancelled
    targets: ClassVar[Targets] = "any"
    repeatable: ClassVar[bool] = True

    command: CommandId = ""


DESK: tuple[type[Command], ...] = (Cancel,)
