"""What comes of changing how a container runs."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bridge.model.nanos import Nanos
from bridge.model.outcomes.execution import ExecResult

__all__ = ["Deleted", "Done", "ExitInfo", "Restarted", "TaskStarted", "Updated"]


class TaskStarted(Struct, frozen=True, kw_only=True):
    """Result of `start`. Where its stdio is on the bus, `session` is that, and `process` all of it, as `attach` tells."""

    pid: int
    session: str | None = None
    process: ExecResult | None = None


class ExitInfo(Struct, frozen=True, kw_only=True):
    """How a task ended: result of `stop`, and of `delete` where there was a task. Null is what nobody knows."""

    exit_status: int | None = None
    exited_at: Nanos | None = None
    killed: bool = False


class Deleted(ExitInfo, frozen=True, kw_only=True):
    """Result of `delete`: how the task ended, and a sentence for each thing that was left behind and not asked to stay."""

    left: list[str] = []


class Restarted(Struct, frozen=True, kw_only=True):
    """Result of `restart`: the new task, and how the one before it ended; null where none ran."""

    pid: int
    ended: ExitInfo | None = None


class Updated(Struct, frozen=True, kw_only=True):
    """Result of `update`: whether there was a task that has the limits now, whether the record has, and what was set (OCI)."""

    task: bool
    record: bool
    resources: dict[str, Any]


class Done(Struct, frozen=True, kw_only=True):
    """Result of a command that has nothing to tell.

    `already` says that it was so before, so nothing had to be done; null where nobody knows that any more, since the bridge
    crashed in the middle of it.
    """

    already: bool | None = False
