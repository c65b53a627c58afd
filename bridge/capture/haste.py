"""Haste: the pauses between attempts that fail, which end early and stay short once somebody waits for the end.

At a stop there are seconds left, and a pause of five of them would use them up while the other side takes everything again.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

__all__ = ["Haste"]


class Haste:
    """Pauses of one loop that tries again and again."""

    def __init__(self) -> None:
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """End the pause under way, and let those to come be the shortest."""
        self._hurry.set()

    async def pause(self, seconds: float, *, shortest: float) -> None:
        """Wait for about `seconds`: with jitter, so that those who lost one server do not all come back to it at once."""
        if self._hurry.is_set():
            await asyncio.sleep(shortest)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(seconds / 2, seconds)):  # noqa: S311 - jitter, no secret
                await self._hurry.wait()
