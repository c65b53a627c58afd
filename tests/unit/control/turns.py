"""Waiting in tests without servers: everything runs in one loop, so whatever can happen happens within its next turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["settle", "until"]


async def settle(turns: int = 100) -> None:
    """Let everything run that can run."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0)
