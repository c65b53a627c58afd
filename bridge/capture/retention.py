"""Which acknowledged entries the outbox may let go: those whose time is over, and the oldest where they take too much room.

A server acknowledges what it has written, not what its disk has (nats-server flushes every two minutes unless told otherwise),
so for some time after its acknowledgement the outbox's copy may be the only one that survives. The time counts from the
acknowledgement, by a clock that does not step, and from the start again for what an earlier run left. What had to be appended
again, because the log went back, counts from its new acknowledgement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["Retention"]


class Retention:
    """Remembers when what was acknowledged, to the second."""

    def __init__(self, seconds: float, acknowledged: int, clock: Callable[[], float]) -> None:
        """Take how long entries are kept, and the position up to which they were acknowledged before."""
        self._seconds = seconds
        self._clock = clock
        self._marks: deque[tuple[int, int]] = deque()
        """Second -> position up to which entries were acknowledged in it; the positions rise."""
        self._over = 0
        self._newest = 0
        self.acknowledge(acknowledged)

    def acknowledge(self, position: int) -> None:
        """Note that everything up to `position` is acknowledged now."""
        if position <= self._newest:
            return
        self._newest = position
        second = int(self._clock())
        if self._marks and self._marks[-1][0] == second:
            self._marks.pop()
        self._marks.append((second, position))

    def went_back(self, position: int) -> None:
        """Note that nothing behind `position` is acknowledged any more: its time begins when it is again."""
        if position >= self._newest:
            return
        second = int(self._clock())
        while self._marks and self._marks[-1][1] > position:
            second = self._marks.pop()[0]
        if position > (self._marks[-1][1] if self._marks else self._over):
            self._marks.append((second, position))
        self._newest, self._over = position, min(self._over, position)

    @property
    def over(self) -> int:
        """Position up to which the time of all entries is over."""
        limit = self._clock() - self._seconds
        while self._marks and self._marks[0][0] + 1 <= limit:
            self._over = self._marks.popleft()[1]
        return self._over
