"""Calls that cannot be taken back half-way: what they have begun goes on behind containerd's back when they are cancelled.

So they are seen to their end, and whoever cancelled gets his cancellation after it. CRIU, for one, does not notice that nobody
waits for it any more: it goes on writing, and whoever removed the directory or thawed the container would be in its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["to_the_end"]

T = TypeVar("T")


async def to_the_end(doing: Coroutine[Any, Any, T]) -> T:
    """Return what comes of it. Cancelled, wait for its end first; cancelled once more, leave it to itself."""
    task = asyncio.ensure_future(doing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            try:
                await asyncio.wait({task})
            finally:
                task.add_done_callback(_unheard)
        raise


def _unheard(task: asyncio.Future[Any]) -> None:
    """Take note of a failure that nobody is there to hear of, else asyncio would complain."""
    if not task.cancelled():
        task.exception()
