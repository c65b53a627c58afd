"""How long a reading goes on that gets nowhere.

A connection that is away, or a server that starts, is waited for by the clock. A consumer that counts messages as waiting and
delivers none is another matter: it has kept us for its own time already, and another one may say more; so those are counted.
"""

from __future__ import annotations

import time
from typing import Final

from bridge.jetstream.consumer import Silent

__all__ = ["SILENT_CONSUMERS", "Patience"]

SILENT_CONSUMERS: Final = 3
"""So many silent ones in a row, with no message between, are the end."""


class Patience:
    """The patience of one reading, which every message renews."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Something has come."""
        self._until = time.monotonic() + self._seconds
        self._silent = 0

    @property
    def left_s(self) -> float:
        """How long a connection may be waited for."""
        return max(0.0, self._until - time.monotonic())

    def over(self, reason: Exception) -> bool:
        """Tell whether this was one failure too many."""
        if isinstance(reason, Silent):
            self._silent += 1
            return self._silent >= SILENT_CONSUMERS
        return time.monotonic() > self._until
