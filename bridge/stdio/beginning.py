"""How a process begins: whether it has, which a bridge that comes back has to tell, and where its output does.

That a process is not there says nothing by itself: it may have run, and be gone. So its session notes `starting`, on disk, right
before containerd is asked to start it. What is only `made` has never run. What was about to be started, and is gone, may have:
that is what is said of it then, and nobody is told to send it again.

That containerd calls an exec `created` says little more. Its start may be under way: the process runs before its shim has opened
its FIFOs, and in a frozen container the shim waits until that goes on. While it does, nobody can remove the exec; so removing it
decides. And where nobody has the FIFOs open for too long, the start fails, the process runs, and the shim knows nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from bridge.model.outcomes import TaskInfo
from bridge.stdio.awaited import Awaited
from bridge.stdio.journal import SessionRecord
from bridge.stdio.output import Output

__all__ = ["UNREAD_S", "after", "find_out", "has_run", "is_begun", "located"]

LOCATED_S: Final = 2.0
"""Patience with the bus, before a start is answered without saying where the session's messages begin."""

UNREAD_S: Final = 30.0
"""A shim tries for so long to open the FIFOs of an exec that it has run (containerd 1.6 to 2.1, runc's shim, process/exec.go)."""

FROZEN: Final = frozenset({"paused", "pausing"})
ALIVE: Final = frozenset({"running", *FROZEN})


def is_begun(there: TaskInfo) -> bool:
    """Tell whether what containerd has there was started.

    In a paused container every exec is `paused`, also one that is only registered; that one has no pid.
    """
    return there.status != "created" and (there.status not in FROZEN or there.pid > 0)


async def find_out(
    process: Awaited | None, record: SessionRecord, outputs: Collection[Output], *, unread_s: float = 0.0
) -> tuple[bool | None, TaskInfo | None]:
    """Return whether a session's process has ever run, None where nobody can say, and how containerd has it.

    Args:
        process: it; None where it was on a host before its reboot.
        record: how far the session has come.
        outputs: what it may have written.
        unread_s: how long its FIFOs may have been without a reader behind its start.
    """
    while True:
        there = None if process is None else await process.look()
        ran = has_run(record, there, outputs)
        if process is None or ran is not False or record.stage != "starting" or record.exec_id is None:
            return ran, there
        if unread_s > UNREAD_S:
            return None, there
        if await process.removed():
            return False, None


def has_run(record: SessionRecord, there: TaskInfo | None, outputs: Collection[Output]) -> bool | None:
    """Return whether a session's process has ever run, as far as this tells; None where nobody can say.

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
