"""What a process leaves behind at its end: bytes that its shim still has, or that stand in pipes.

The shim keeps them until somebody takes them, and no longer than its task is there: whoever deletes the task waits for `drain`
before. What a process has left is little and gets no more, so it is taken whatever the bus and its readers do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress

from bridge.stdio.awaited import Awaited
from bridge.stdio.beginning import is_begun
from bridge.stdio.output import Output
from bridge.stdio.window import Window

__all__ = ["Leaving"]

log = logging.getLogger(__name__)


class Leaving:
    """One process's."""

    def __init__(self, process: Awaited, window: Window, outputs: Collection[Output]) -> None:
        self._process = process
        self._window = window
        self._outputs = outputs
        self._exited = asyncio.Event()

    def exited(self) -> None:
        """Note that it has ended, and that this is written down."""
        self._exited.set()
        self._begin()

    async def drain(self, *, within: float) -> None:
        """Take all of it, before its container's task is deleted.

        The end of a stream says nothing any more after that. So what has not come to its end when `within` seconds are over is
        marked as cut off now.
        """
        self._begin()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                there = await self._process.look()
                if there is None or not is_begun(there):
                    return  # gone before us, or never run
                await self._exited.wait()
                for output in self._outputs:
                    await output.taken()
                return
        log.warning("%s: its task is deleted before all of its output was taken", self._process)
        for output in self._outputs:
            output.cut()

    def _begin(self) -> None:
        self._window.open()
        for output in self._outputs:
            output.leave()
