"""Delivery: brings what the outbox holds into the log, in its order, until every entry is acknowledged.

Only committed entries are appended, one append at a time, and after any doubt the same entries are appended again under
the same ids. So the order in the log is the order in the outbox, whatever happens to the connection, and nothing is lost
however long the bus is away: what does not fit in memory is read back from the disk. A log that lacks what it has
acknowledged gets it again, as far as the outbox keeps it; what is lost for good is said in the log itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from bridge.capture.appends import Appends, DeliveryStatistics
from bridge.capture.haste import Haste
from bridge.capture.outbox import OutboxDamagedError, OutboxError
from bridge.capture.outbox_reader import OutboxReader
from bridge.capture.replay import Replay
from bridge.capture.tail import TAIL_BYTES, Tail
from bridge.errors import PASSING, BadEnvelope, LogConflict, LogError, LogRefused, LogUnavailable, LogWentBack
from bridge.model.codec import decode
from bridge.model.envelope import Position
from bridge.model.identity import ulid_time
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import NodeGap
from bridge.ports import Entry, EventLog, LogEnd

__all__ = ["Delivery"]

log = logging.getLogger(__name__)

APPEND = 2_000
"""Entries in one append: as many as were tried as one batch through cuts, kills and leader changes."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0

SURE_S = 2.0
"""A log that seems to have gone back is looked at again after this time: a new leader may not know all of it at once."""

READING_S = 60.0
"""A disk that cannot be read for longer ends the bridge."""


class Delivery:
    """Appends the outbox to the log. `run` is a task of the event loop; `committed` is called on the loop too."""

    def __init__(
        self,
        log_: EventLog,
        reader: OutboxReader,
        *,
        node: str,
        outbox_log: str,
        acknowledged: int,
        last_n: int,
        acknowledged_at: Nanos | None = None,
        tail_bytes: int = TAIL_BYTES,
    ) -> None:
        """Take where to go on.

        Args:
            log_: where to.
            reader: the outbox.
            node: this node's name.
            outbox_log: UUID of the outbox.
            acknowledged: position up to which the outbox knows that everything is in the log.
            last_n: position of the newest entry in the outbox.
            acknowledged_at: when the outbox learned of that; now unless given.
            tail_bytes: bytes of the newest entries to keep in memory.
        """
        self._log = log_
        self._reader = reader
        self._node = node
        self._outbox_log = outbox_log
        self._tail = Tail(tail_bytes)
        self._more = asyncio.Event()
        self._settled = asyncio.Event()
        self._moved = asyncio.Event()
        self._conflict = False
        self._haste = Haste()
        self.position = acknowledged
        """Everything up to here is in the log."""
        self.last_n = last_n
        """The newest committed entry."""
        self.refused: str | None = None
        """Why the log takes nothing at present, or never again; None when it does."""
        self._passing = True
        """Whether what `refused` says may pass by itself within seconds."""
        self._gaps: list[NodeGap] = []
        self._back: list[int] = []
        self._tell_back: Callable[[int], None] = self._back.append
        self._tried = last_n
        """Position up to which entries may have been sent; an earlier run may have sent all that it left."""
        self._tell_gap: Callable[[NodeGap], None] = self._gaps.append
        self._acknowledged_at = now() if acknowledged_at is None else acknowledged_at
        self._replay: Replay | None = None
        self._next_id = ""
        self._moved_at = time.monotonic()
        """When an event last reached the log, or the first of those that wait was committed."""
        self._appends = Appends()

    def committed(self, entries: Sequence[Entry]) -> None:
        """Take newly committed entries, in order."""
        if not self.behind:
            self._moved_at = time.monotonic()
        self._tail.extend(entries)
        self.last_n = entries[-1].n
        self._settled.clear()
        self._more.set()

    def tell_gaps(self, tell: Callable[[NodeGap], None]) -> None:
        """Call `tell` for events that the log has lost and the outbox keeps no longer; also for those of before the call."""
        self._tell_gap = tell
        while self._gaps:
            tell(self._gaps.pop(0))

    def tell_backs(self, tell: Callable[[int], None]) -> None:
        """Call `tell` with the position to which the log went back, whenever it does; also for what was found before the call."""
        self._tell_back = tell
        while self._back:
            tell(self._back.pop(0))

    @property
    def held_bytes(self) -> int:
        """Bytes of entries that are kept in memory."""
        return self._tail.bytes

    @property
    def behind(self) -> int:
        """Entries that are committed and not in the log yet."""
        return self.last_n - self.position

    @property
    def stalled_s(self) -> float:
        """Seconds for which events have waited and none has reached the log; 0 when none waits."""
        return time.monotonic() - self._moved_at if self.behind else 0.0

    async def resume(self) -> None:
        """Read from the log's own end how far this outbox has come: what is stored is not stored again, what is lost is.

        Needed wherever the duplicate window may have passed since the last append: at the start, and after an outage.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: it may not be read, or not be made.
            LogConflict: it is ahead of this outbox, which cannot be while nobody else writes as this node.
        """
        end = await self._log.end(self._node)
        n = self._reached(end)
        if n < self.position and (n or await self._log.keeps(self._acknowledged_at)):
            n = await self._look_closer(n)
        if n > self.last_n:
            raise LogConflict(
                f"the log has event {n} of the outbox {self._reader.path}, which has come to {self.last_n} only: "
                "it was restored from an older copy, and would give out the same numbers once more; "
                "move it away and start again, and a new one goes on where the log ends"
            )
        if n > self.position:
            log.info("the log already has %d events that the outbox did not know to be there", n - self.position)
            self._advance(n)

    async def run(self) -> None:
        """Append for ever.

        Raises:
            LogConflict: somebody else writes as this node.
        """
        try:
            while True:
                try:
                    await self._deliver()
                except (LogUnavailable, LogRefused, LogWentBack) as error:
                    await self._recover(error)
        except LogConflict as error:
            self.refused = str(error)
            self._conflict = True
            self._settled.set()
            raise

    async def _deliver(self) -> None:
        entries = await self._next()
        replay = self._replay
        needed = entries if replay is None else replay.of(entries)
        self._tried = max(self._tried, entries[-1].n)
        began = time.monotonic()
        try:
            repeated = await self._log.append(needed)
        except LogError as error:
            self._appends.failed(error.trouble)
            raise
        self._appends.succeeded(len(needed), repeated=repeated, seconds=time.monotonic() - began)
        if replay is not None:
            self._appends.replayed += sum(entry.n <= replay.upto for entry in needed)
            replay.displace(entries)
        self._advance(entries[-1].n)

    async def _recover(self, error: LogError) -> None:
        """Return when the log takes events again; say so when it begins, when the reason changes, and when it is over."""
        began = time.monotonic()
        pause = FIRST_PAUSE_S
        log.warning("events wait in the outbox: %s", error)
        while True:
            self.refused, self._passing = str(error), error.trouble in PASSING
            self._settled.set()  # whoever waits for the end has to know
            await self._haste.pause(pause, shortest=FIRST_PAUSE_S)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            try:
                await self.resume()
                if self.behind:
                    await self._deliver()
            except (LogUnavailable, LogRefused, LogWentBack) as again:
                if str(again) != str(error):
                    log.warning("events still wait in the outbox: %s", again)
                error = again
            else:
                break
        self.refused = None
        log.warning("the log takes events again after %.1f s; %d wait", time.monotonic() - began, self.behind)

    # -- a log that went back

    def _reached(self, end: LogEnd | None) -> int:
        """Return up to which position of this outbox the log has everything."""
        position = None if end is None else Position.parse(end.position)
        return 0 if position is None or position.log != self._outbox_log else position.n

    async def _look_closer(self, n: int) -> int:
        """See what a log has that seems to lack events behind `n`; return up to where it has everything that can be had.

        It may have gone back, or have lost something long ago that the outbox keeps no longer.
        """
        for _ in range(2):
            upto = self.position if self._replay is None else max(self.position, self._replay.upto)
            replay = Replay(self._outbox_log, upto)
            await replay.learn(self._log.newest(self._node), self._acknowledged_at)
            there = max(n, replay.highest) if self._log.in_one_order else n
            if replay.highest >= self.position and not await self._lacking(replay, n):
                # Of what comes next it may have some: that is not appended again.
                self._replay = replay if replay.end > self.position else None
                return there
            await asyncio.sleep(SURE_S)
            n = self._reached(await self._log.end(self._node))
            if n >= self.position:
                return n
        if replay.highest < self.position:
            n = there
        replay.from_the_first = n == 0 and replay.highest >= self.position
        log.error(
            "the log went back: it had acknowledged %d events of this outbox, and has all of them up to %d only; "
            "what the outbox keeps is appended again",
            upto,
            n,
        )
        replay.tried = max(upto, self._tried)
        self._replay, self.position = replay, n
        self._tell_back(n)
        return n

    async def _lacking(self, replay: Replay, n: int) -> bool:
        """Tell whether the log needs something behind `n` that it had acknowledged and the outbox keeps."""
        while n < self.position:
            entries = await self._read(n, min(APPEND, self.position - n))
            if replay.of([entry for entry in entries if entry.n <= self.position]):
                return True
            n = entries[-1].n if entries else self.position
        return False

    def _lose(self, last: int, entries: Sequence[Entry]) -> None:
        first = self.position + 1
        self._appends.lost += last - self.position
        self._say(
            f"the log went back: events {first} to {last} of outbox {self._outbox_log} are lost, "
            "and the outbox keeps them no longer",
            until=_recorded(entries[0]) if entries else now(),
        )
        self._advance(last)

    def _say(self, reason: str, *, until: Nanos) -> None:
        log.error("%s", reason)
        since = None if self._replay is None else self._replay.since
        self._tell_gap(NodeGap(since=since if since is None else min(since, until), until=until, reason=reason))

    def _end_replay(self, replay: Replay, n: int) -> None:
        log.warning("the log has again what it had lost, as far as the outbox kept it: up to event %d", n)
        if replay.displaced:
            first, last, count = replay.displaced
            self._appends.lost += count
            self._say(
                f"the log went back: up to {count} of the events {first} to {last} of outbox {self._outbox_log} are lost, "
                "since it had stored later ones of their containers already",
                until=now(),
            )
        self._replay = None

    # -- looking

    def statistics(self) -> DeliveryStatistics:
        """Return it in numbers."""
        return self._appends.statistics(behind=self.behind, oldest_s=self._oldest_s())

    def _oldest_s(self) -> float:
        # An event's id says when it was read. What is under way, or was last, is as old as the oldest that waits.
        if not self.behind:
            return 0.0
        oldest = self._tail.after(self.position, 1)
        first = oldest[0].id if oldest else self._next_id
        return max(0.0, time.time() - ulid_time(first)) if first else 0.0

    async def reached(self, n: int) -> None:
        """Wait until everything up to position `n` is in the log."""
        while self.position < n:
            self._moved.clear()
            await self._moved.wait()

    async def settled(self, worth: Callable[[], bool] | None = None) -> None:
        """Wait until everything committed so far is in the log, or until it is certain that it never will be.

        Args:
            worth: for whoever has little time: attempts follow one another quickly from now on, and the waiting ends early at a
                trouble that lasts, and where it is not worth it at one that may pass.
        """
        if worth is not None:
            self._haste.hurry()
        while self.behind and not self._conflict:
            if self.refused is not None and worth is not None and not (self._passing and worth()):
                return
            self._settled.clear()
            await self._settled.wait()

    # -- inside

    async def _next(self) -> Sequence[Entry]:
        while True:
            if newest := self._tail.after(self.position, APPEND):
                return newest
            if not self.behind:
                self._more.clear()
                await self._more.wait()
                continue
            entries = await self._read(self.position, min(APPEND, self.behind))
            first = entries[0].n if entries else self.last_n + 1
            if first == self.position + 1:
                self._next_id = entries[0].id
                return entries
            if self._replay is None or first - 1 > self._replay.upto:
                raise OutboxError(f"the outbox {self._reader.path} lacks entry {self.position + 1} of {self.last_n}")
            self._lose(first - 1, entries)

    async def _read(self, behind: int, limit: int) -> Sequence[Entry]:
        began = time.monotonic()
        while True:
            try:
                return await asyncio.to_thread(self._reader.after, behind, limit)
            except OutboxDamagedError:
                raise
            except OutboxError as error:
                if time.monotonic() - began > READING_S:
                    raise
                log.warning("%s; trying again", error)
                await asyncio.sleep(LONGEST_PAUSE_S)

    def _advance(self, n: int) -> None:
        self.position = n
        self._moved_at = time.monotonic()
        self._moved.set()
        self._acknowledged_at = now()
        self._tail.drop(n)
        if self._replay is not None and n >= self._replay.end:
            self._end_replay(self._replay, n)
        if not self.behind:
            self._settled.set()


def _recorded(entry: Entry) -> Nanos:
    try:
        return decode(entry.body).recordedtime
    except BadEnvelope:
        return now()
