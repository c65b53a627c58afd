"""Waiting for what may not come."""

from __future__ import annotations

import asyncio
from contextlib import suppress

__all__ = ["set_within"]


async def set_within(event: asyncio.Event, *, within: float | None) -> None:
    """Wait until it is set, for so many seconds at the most; None for ever."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await event.wait()
