"""Tasks that nobody awaits, and whose failure does not go by unseen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

__all__ = ["watched"]

log = logging.getLogger(__name__)


def watched(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run it as a task; the log file says so where it ends by a mistake."""
    task = asyncio.create_task(work, name=name)

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended by a mistake of the bridge itself", name, exc_info=error)

    task.add_done_callback(ended)
    return task
