"""Delivery: brings what the outbox holds into the log, in its order, until every entry is acknowledged.

Only committed entries are appended, one append at a time, and after any doubt the same entries are appended again under
the same ids. So the order in the log is the order in the outbox, whatever happens to the connection, and nothing is lost
however long the bus is away: what does not fit in memory is read back from the disk.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice

from bridge.capture.outbox import OutboxError, OutboxReader
from bridge.errors import LogConflict, LogError, LogRefused, LogUnavailable
from bridge.model.envelope import Position
from bridge.ports import Entry, EventLog

__all__ = ["Delivery"]

log = logging.getLogger(__name__)

APPEND = 2_000
"""Entries in one append: as many as were tried as one batch through cuts, kills and leader changes."""

TAIL_BYTES = 32 * 1024 * 1024
"""Newest entries that are kept in memory, so that a bus that keeps up never costs a read from disk."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0


class Delivery:
    """Appends the outbox to the log. `run` is a task of the event loop; `committed` is called on the loop too."""

    def __init__(
        self, log_: EventLog, reader: OutboxReader, *, node: str, outbox_log: str, acknowledged: int, last_n: int
    ) -> None:
        """Take where to go on.

        Args:
            log_: where to.
            reader: the outbox.
            node: this node's name.
            outbox_log: UUID of the outbox.
            acknowledged: position up to which the outbox knows that everything is in the log.
            last_n: position of the newest entry in the outbox.
        """
        self._log = log_
        self._reader = reader
        self._node = node
        self._outbox_log = outbox_log
        self._tail: deque[Entry] = deque()
        self._tail_bytes = 0
        self._more = asyncio.Event()
        self._settled = asyncio.Event()
        self._moved = asyncio.Event()
        self._conflict = False
        self.position = acknowledged
        """Everything up to here is in the log."""
        self.last_n = last_n
        """The newest committed entry."""
        self.refused: str | None = None
        """Why the log takes nothing at present, or never again; None when it does."""

    def committed(self, entries: Sequence[Entry]) -> None:
        """Take newly committed entries, in order."""
        self._tail.extend(entries)
        self._tail_bytes += sum(len(entry.body) for entry in entries)
        while self._tail_bytes > TAIL_BYTES:
            self._drop_oldest()
        self.last_n = entries[-1].n
        self._settled.clear()
        self._more.set()

    @property
    def held_bytes(self) -> int:
        """Bytes of entries that are kept in memory."""
        return self._tail_bytes

    @property
    def behind(self) -> int:
        """Entries that are committed and not in the log yet."""
        return self.last_n - self.position

    async def resume(self) -> None:
        """Read from the log's own end how far this outbox has come, so that what is stored already is not stored again.

        Needed wherever the duplicate window may have passed since the last append: at the start, and after an outage.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: it may not be read.
            LogConflict: it is ahead of this outbox, which cannot be while nobody else writes as this node.
        """
        end = await self._log.end(self._node)
        if end is None:
            return
        position = Position.parse(end.position)
        if position.log != self._outbox_log:
            return
        if position.n > self.last_n:
            raise LogConflict(
                f"the log has event {position.n} of the outbox {self._reader.path}, which has come to {self.last_n} only: "
                "it was restored from a copy; move it away, and a new one begins a log of its own"
            )
        if position.n > self.position:
            log.info(
                "the log already has %d events that the outbox did not know to be there", position.n - self.position
            )
            self._advance(position.n)

    async def run(self) -> None:
        """Append for ever.

        Raises:
            LogConflict: somebody else writes as this node.
        """
        try:
            while True:
                entries = await self._next()
                try:
                    await self._log.append(entries)
                except (LogUnavailable, LogRefused) as error:
                    await self._recover(error)
                else:
                    self._advance(entries[-1].n)
        except LogConflict as error:
            self.refused = str(error)
            self._conflict = True
            self._settled.set()
            raise

    async def _recover(self, error: LogError) -> None:
        """Return when the log takes events again; say so when it begins, when the reason changes, and when it is over."""
        began = time.monotonic()
        pause = FIRST_PAUSE_S
        log.warning("events wait in the outbox: %s", error)
        while True:
            self.refused = str(error)
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, no secret
            pause = min(pause * 2, LONGEST_PAUSE_S)
            try:
                await self.resume()
                if self.behind:
                    entries = await self._next()
                    await self._log.append(entries)
                    self._advance(entries[-1].n)
            except (LogUnavailable, LogRefused) as again:
                if str(again) != str(error):
                    log.warning("events still wait in the outbox: %s", again)
                error = again
            else:
                break
        self.refused = None
        log.warning("the log takes events again after %.1f s; %d wait", time.monotonic() - began, self.behind)

    async def reached(self, n: int) -> None:
        """Wait until everything up to position `n` is in the log."""
        while self.position < n:
            self._moved.clear()
            await self._moved.wait()

    async def settled(self) -> None:
        """Wait until everything committed so far is in the log, or until it is certain that it never will be."""
        while self.behind and not self._conflict:
            self._settled.clear()
            await self._settled.wait()

    # -- inside

    async def _next(self) -> Sequence[Entry]:
        while True:
            if self._tail and self._tail[0].n == self.position + 1:
                return list(islice(self._tail, APPEND))
            if self.behind:
                entries = await asyncio.to_thread(self._reader.after, self.position, min(APPEND, self.behind))
                if not entries or entries[0].n != self.position + 1:
                    raise OutboxError(
                        f"the outbox {self._reader.path} lacks entry {self.position + 1} of {self.last_n}"
                    )
                return entries
            self._more.clear()
            await self._more.wait()

    def _advance(self, n: int) -> None:
        self.position = n
        self._moved.set()
        while self._tail and self._tail[0].n <= n:
            self._drop_oldest()
        if not self.behind:
            self._settled.set()

    def _drop_oldest(self) -> None:
        self._tail_bytes -= len(self._tail.popleft().body)
