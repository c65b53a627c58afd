"""What comes of changing how a container runs."""

from __future__ import annotations

from msgspec import Struct

from bridge.model.nanos import Nanos

__all__ = ["Done", "ExitInfo", "TaskStarted"]


class TaskStarted(Struct, frozen=True, kw_only=True):
    """Result of `start`."""

    pid: int


class ExitInfo(Struct, frozen=True, kw_only=True):
    """How a task ended: result of `stop`, and of `delete` where there was a task. Null is what nobody knows."""

    exit_status: int | None = None
    exited_at: Nanos | None = None
    killed: bool = False


class Done(Struct, frozen=True, kw_only=True):
    """Result of a command that has nothing to tell. `already` says that it was so before: nothing had to be done."""

    already: bool = False
