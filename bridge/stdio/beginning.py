"""How a process begins: whether it has, which a bridge that comes back has to tell, and where its output does.

That a process is not there says nothing by itself: it may have run, and be gone. So its session notes `starting`, on disk, right
before containerd is asked to start it. What is only `made` has never run. What was about to be started, and is gone, may have:
that is what is said of it then, and nobody is told to send it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from bridge.model.outcomes import TaskInfo
from bridge.stdio.journal import SessionRecord
from bridge.stdio.output import Output

__all__ = ["after", "has_run", "is_begun", "located"]

LOCATED_S: Final = 2.0
"""Patience with the bus, before a start is answered without saying where the session's messages begin."""

FROZEN: Final = frozenset({"paused", "pausing"})
ALIVE: Final = frozenset({"running", *FROZEN})


def is_begun(there: TaskInfo) -> bool:
    """Tell whether what containerd has there was started.

    In a paused container every exec is `paused`, also one that is only registered; that one has no pid.
    """
    return there.status != "created" and (there.status not in FROZEN or there.pid > 0)


def has_run(record: SessionRecord, there: TaskInfo | None, outputs: Collection[Output]) -> bool | None:
    """Return whether a session's process has ever run; None where nobody can say.

    Args:
        record: how far the session has come.
        there: the process as containerd has it now; None where it is gone, or was on a host before its reboot.
        outputs: what it may have written.
    """
    if record.stage not in {"made", "starting"}:
        return None if record.doubtful else True
    if any(output.report().size or output.spooled for output in outputs):
        return True
    if record.stage == "made":
        return there is not None and there.status in ALIVE and is_begun(there)
    if there is None:
        return None
    return is_begun(there)


async def located(outputs: Collection[Output]) -> bool:
    """Wait a while until the bus has said where the messages begin; return whether it has."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LOCATED_S):
            for output in outputs:
                await output.located.wait()
            return True
    return False


def after(outputs: Collection[Output]) -> int | None:
    """Return the place behind which all the messages stand; None as long as nobody knows."""
    places = [output.first_place for output in outputs]
    known = [place for place in places if place is not None]
    return min(known) if len(known) == len(places) else None
