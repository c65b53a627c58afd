"""What commands that change something need around them: who decides on them and gives them turns, and what the bus knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from bridge.control.lanes import Rest
from bridge.control.order import Order
from bridge.control.policy import Permit
from bridge.control.verb import Permission, Place
from bridge.model.commands import Command
from bridge.model.outcomes import CommandState
from bridge.model.subjects import CommandSubject

__all__ = ["Bus", "Desk"]


class Desk(Protocol):
    """What decides on commands and gives them their turns: the dispatcher."""

    def accepted(self, order: Order) -> Command:
        """Judge the order."""
        ...

    def permit(self, order: Order, begin: Callable[[], Awaitable[None]]) -> Permit:
        """Return what asks the policy in its turn, and awaits `begin` with the last answer."""
        ...

    def place(self, order: Order, permit: Permission) -> Place:
        """Return where it works."""
        ...

    def turn(self, order: Order, queued: Callable[[], None]) -> AbstractAsyncContextManager[Rest]:
        """Wait for its turn; `queued` is called where it has to wait. What it gives lets others pass."""
        ...

    def breakable(self, order: Order) -> AbstractAsyncContextManager[None]:
        """Let what is inside be broken off when the bridge stops; raises BrokenOff then."""
        ...


class Bus(Protocol):
    """What the bus knows of commands, once it answers: for jobs, which may have come to another bridge of this node before."""

    async def seen(self, command_id: str, subject: CommandSubject) -> CommandState | None:
        """Return how the command of this id for this subject stands there."""
        ...

    async def told(self, command_id: str) -> None:
        """Wait until what was told of the command stands there."""
        ...

    async def taken_back(self, command_id: str, subject: CommandSubject) -> bool:
        """Tell whether somebody took the job back while no bridge of this node could be asked to."""
        ...

    async def ours(self) -> None:
        """Wait until this bridge is the one of its node, if it is not."""
        ...
