"""The tail: the newest committed entries in memory, so that a bus that keeps up never costs a read from disk.

Entries come and go by the batch, as they were committed: an entry of its own is touched only when it is handed out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from bridge.ports import Entry

__all__ = ["TAIL_BYTES", "Tail"]

TAIL_BYTES: Final = 32 * 1024 * 1024
"""Most bytes that are kept. What does not fit is read back from the outbox."""


class _Batch(NamedTuple):
    """Entries that were committed together; they follow one another."""

    first: int
    last: int
    entries: Sequence[Entry]
    size: int


class Tail:
    """Holds entries without holes: the newest, and as many before it as fit."""

    def __init__(self, limit: int = TAIL_BYTES) -> None:
        """Take how many bytes it may hold; a batch that is larger alone is not held at all."""
        self._limit = limit
        self._batches: deque[_Batch] = deque()
        self.bytes = 0
        """Bytes of the bodies that it holds."""

    def extend(self, entries: Sequence[Entry]) -> None:
        """Take newly committed entries, in order and behind those before; let the oldest go where there are too many."""
        size = sum([len(entry.body) for entry in entries])
        self._batches.append(_Batch(entries[0].n, entries[-1].n, entries, size))
        self.bytes += size
        while self.bytes > self._limit:
            self._let_go()

    def after(self, n: int, limit: int) -> Sequence[Entry]:
        """Return up to `limit` entries behind position `n`, in order; none where it does not reach back to there."""
        found: list[Entry] = []
        for first, last, entries, _ in self._batches:
            if last <= n:
                continue
            if not found and first > n + 1:
                break
            # The positions of a batch have no holes.
            found += entries[max(0, n + 1 - first) : max(0, n + 1 - first) + limit - len(found)]
            if len(found) >= limit:
                break
        return found

    def drop(self, n: int) -> None:
        """Let go what stands up to position `n`, but for entries that were committed together with later ones."""
        while self._batches and self._batches[0].last <= n:
            self._let_go()

    def _let_go(self) -> None:
        self.bytes -= self._batches.popleft().size
