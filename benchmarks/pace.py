"""An even pace: so many a second, one after the other, each at its own moment.

The timers of an event loop are kept to whole milliseconds, in which a fast stream would come in lumps. Here a thread sleeps
by the kernel's clock and wakes the loop up for each event, or once a millisecond where there are more. A loop that was held
up catches up at once.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final

__all__ = ["keep"]

TICK_S: Final = 0.001


async def keep(rate: float, total: int, due: Callable[[int, int], None]) -> None:
    """Call `due` with the first and behind the last of those whose moment has come, until `total` are through."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    began = time.monotonic()
    done = 0

    def tick() -> None:
        nonlocal done
        upto = min(total, int((time.monotonic() - began) * rate))
        if upto > done:
            first, done = done, upto
            due(first, upto)
        if done == total and not over.done():
            over.set_result(None)

    def run() -> None:
        number = 0
        while not over.done():
            number += 1
            time.sleep(max(0.0, began + number * max(TICK_S, 1 / rate) - time.monotonic()))
            try:
                loop.call_soon_threadsafe(tick)
            except RuntimeError:  # the loop is closed: nobody waits for anything any more
                return

    thread = threading.Thread(target=run, name="pace", daemon=True)
    thread.start()
    try:
        await over
    finally:
        over.cancel()
        await asyncio.to_thread(thread.join)
