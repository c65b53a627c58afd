"""How much is sent, or asked for, at once: what the line has just carried in a moment, and never much more.

What has been handed to the connection cannot be taken back, and neither can what the server was asked for. Whatever comes
behind it waits until the line has carried it, the renewal of the node's lease too, and an acknowledgement that waits too long
is a doubt, after which the same is sent once more. On a slow line megabytes at once would so end with nothing getting through
at all. So a portion begins small, doubles while it is carried quickly, and is halved when it is not; on a quick one it is as
large as it may be after a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

from bridge.ports import Entry

__all__ = ["BATCH", "Pace"]

BATCH: Final = 2_000
"""Entries in a portion at the most."""

FIRST: Final = 32 * 1024
"""Bytes of the first portion: a second of a line that carries 32 KiB in one."""

LEAST: Final = 8 * 1024
MOST: Final = 8 * 1024 * 1024

OVERHEAD: Final = 300
"""Bytes that a message has besides its body: subject, headers, the protocol's own."""

QUICK_S, SLOW_S = 0.5, 1.5
"""What a portion takes beyond the quickest one, which tells the line's latency."""


class Pace:
    """The portions of what is sent over one line; whoever doubts that it is the same line makes another."""

    def __init__(self, first: int | None = None) -> None:
        """Take the bytes of the first portion, `FIRST` unless given; it is by that one that the others are quick or slow."""
        self.bytes = FIRST if first is None else first
        """What a portion may hold."""
        self._quickest_s = inf

    def end(self, entries: Sequence[Entry], start: int) -> int:
        """Return where the portion ends that begins at `start`: there is at least one entry in it."""
        end = min(len(entries), start + BATCH)
        if self.bytes >= MOST:
            return end
        size = 0
        for number in range(start, end):
            size += len(entries[number].body) + OVERHEAD
            if size > self.bytes:
                return max(number, start + 1)
        return end

    def carried(self, entries: Sequence[Entry], seconds: float) -> None:
        """Learn from a portion that was acknowledged after this time."""
        size = sum(len(entry.body) + OVERHEAD for entry in entries)
        self.took(seconds, full=2 * size > self.bytes or len(entries) == BATCH)

    def took(self, seconds: float, *, full: bool = True) -> None:
        """Learn from a portion that the line has carried in this time; one that is not `full` says less of the line."""
        self._quickest_s = min(self._quickest_s, seconds)
        beyond_s = seconds - self._quickest_s
        if beyond_s > SLOW_S:
            self.bytes = max(LEAST, self.bytes // 2)
        elif beyond_s < QUICK_S and full:
            self.bytes = min(MOST, self.bytes * 2)
