"""The end of a task or an exec, awaited for however long it takes, through restarts of containerd."""

from __future__ import annotations

import asyncio

from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model.outcomes import ExitInfo

__all__ = ["KILLED_WITHIN_S", "RECONNECT_S", "exit_of"]

KILLED_WITHIN_S = 10.0
"""From SIGKILL to the exit: dockerd's patience too. Longer only takes a process that hangs in the kernel."""

RECONNECT_S = 0.5
"""Pause before the exit is awaited again after containerd went away in the middle of it."""


async def exit_of(place: Place, exec_id: str | None = None) -> ExitInfo | None:
    """Wait until the task, or one exec of it, has ended; return how, None where containerd has no such process any more."""
    while True:
        try:
            return await place.runtime.tasks.wait(*place.target, exec_id=exec_id)
        except CommandFailed as error:
            if error.code == "not_found":
                return None
            if error.code != "unavailable":
                raise
        await asyncio.sleep(RECONNECT_S)  # containerd restarts; the container goes on
