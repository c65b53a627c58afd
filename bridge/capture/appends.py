"""What delivery counts of its appends, for whoever watches it."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from msgspec import Struct

from bridge.errors import Trouble

__all__ = ["Appends", "DeliveryStatistics", "LATENCY_S"]

LATENCY_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the classes that appends are counted in by their time; one more is for those that took longer."""


class DeliveryStatistics(Struct, frozen=True, kw_only=True):
    """Delivery in numbers."""

    behind: int
    """Events that are not in the log yet."""
    oldest_s: float
    """How long ago the oldest of them was read; 0 where there is none."""
    appends: int
    """Appends that succeeded."""
    appended: int
    """Events in them."""
    repeated: int
    """Events that the log had already and skipped, as far as it says so (see `bridge.jetstream.publisher.Receipt`)."""
    replayed: int
    """Events that were appended again because the log had lost them."""
    lost: int
    """Positions that the log has lost and the outbox keeps no longer."""
    troubles: dict[Trouble, int]
    """Attempts that failed, by what was wrong."""
    last_append_s: float
    append_seconds: float
    """Time that all of them took together."""
    latency: tuple[int, ...]
    """How many took no longer than each of `LATENCY_S`, and longer than the one before; and the rest."""


class Appends:
    """The count of the appends of one delivery."""

    def __init__(self) -> None:
        self.replayed = self.lost = 0
        self._appends = self._appended = self._repeated = 0
        self._troubles: dict[Trouble, int] = {}
        self._last_s = self._seconds = 0.0
        self._latency = [0] * (len(LATENCY_S) + 1)

    def failed(self, trouble: Trouble) -> None:
        """Count one that failed."""
        self._troubles[trouble] = self._troubles.get(trouble, 0) + 1

    def succeeded(self, count: int, *, repeated: int, seconds: float) -> None:
        """Count one that succeeded."""
        self._latency[bisect_left(LATENCY_S, seconds)] += 1
        self._last_s, self._seconds = seconds, self._seconds + seconds
        self._appends, self._appended = self._appends + 1, self._appended + count
        self._repeated += repeated

    def statistics(self, *, behind: int, oldest_s: float) -> DeliveryStatistics:
        """Return it in numbers, with how far delivery is behind."""
        return DeliveryStatistics(
            behind=behind,
            oldest_s=oldest_s,
            appends=self._appends,
            appended=self._appended,
            repeated=self._repeated,
            replayed=self.replayed,
            lost=self.lost,
            troubles=dict(self._troubles),
            last_append_s=self._last_s,
            append_seconds=self._seconds,
            latency=tuple(self._latency),
        )
