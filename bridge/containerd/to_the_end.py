"""Calls that cannot be taken back half-way: what they have begun goes on behind containerd's back when they are cancelled.

So they are seen to their end, and whoever cancelled gets his cancellation after it. CRIU, for one, does not notice that nobody
waits for it any more: it goes on writing, and whoever removed the directory or thawed the container would be in its way.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from bridge.errors import CommandFailed

__all__ = ["AWAY_S", "PAUSE_S", "is_open", "patiently", "to_the_end"]

T = TypeVar("T")

AWAY_S: Final = 60.0
"""How long is asked again while containerd is away: it is being restarted, or it is gone and nothing helps."""

PAUSE_S: Final = 0.2

_SHUT_DOWN: Final = re.compile(r"context canceled|shutting down|ttrpc: closed|transport is closing")
"""What containerd says of a call under way when it, or the shim, ends."""


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


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Return what comes of a question, asked again and again as long as containerd is away."""
    loop = asyncio.get_running_loop()
    until = loop.time() + AWAY_S
    while True:
        try:
            return await ask()
        except CommandFailed as error:
            if error.code != "unavailable" or loop.time() > until:
                raise
        await asyncio.sleep(PAUSE_S)


def is_open(error: CommandFailed) -> bool:
    """Tell whether a call failed without an answer: what it has begun may go on."""
    if error.containerd is None:
        return error.code in {"unavailable", "unknown", "deadline_exceeded"}
    return error.code == "unknown" and _SHUT_DOWN.search(error.containerd) is not None


def _unheard(task: asyncio.Future[Any]) -> None:
    """Take note of a failure that nobody is there to hear of, else asyncio would complain."""
    if not task.cancelled():
        task.exception()
