"""One stream of a process's output: from the FIFO into the spool, from the spool to the bus.

Everything that is taken from the FIFO is stored, in order, each byte once. At most `HELD` bytes are taken and not stored: beyond
that the FIFO fills and the process waits, so a slow or absent bus holds up this process and nothing else, and costs no
memory. What a process leaves behind at its end is taken beyond that: its shim keeps it no longer than its task is there.

A portion of pieces is under way at a time; what comes meanwhile makes the next one larger. After any doubt the bus is
asked how far it has come, and a piece is only stored behind the one that ends where it begins: nothing can get in between.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from typing import Final

from bridge.errors import LogError
from bridge.model.outcomes import StreamReport
from bridge.model.stdio import Chunk, OutputStream, StreamEnd, Truncation
from bridge.model.subjects import StdioSubject
from bridge.ports import OutputLog
from bridge.stdio.fifos import had_writer
from bridge.stdio.spool import Spool
from bridge.stdio.tally import Tally
from bridge.stdio.traffic import Traffic
from bridge.stdio.waiting import set_within
from bridge.stdio.window import Window

__all__ = ["DRAIN_S", "HELD", "Output"]

log = logging.getLogger(__name__)

HELD: Final = 4 << 20
"""Bytes that are taken and not stored."""

TAKE: Final = 1 << 20
LOOK: Final = 4096

DRAIN_S: Final = 3.0
"""Patience with a stream that is still held by somebody when the process has ended. What the process itself wrote has come by
then: it is in pipes, and its shim copies as fast as we take."""

AFTERWARDS: Final = 4 << 20
"""More than that a process cannot have left in pipes, so there is always room for it: what comes beyond is from somebody else."""

FULL_DISK_S: Final = 1.0
POLL_S: Final = 0.05
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
REPEAT_S: Final = 30.0


class Output:
    """One stream. `open` it, `run` it, and when the process has ended `drain` and `finish` it."""

    def __init__(
        self,
        subject: StdioSubject,
        session: str,
        *,
        stream: OutputStream,
        spool: Spool,
        bus: OutputLog,
        window: Window,
        traffic: Traffic,
        capture: int = 0,
    ) -> None:
        self._subject = subject
        self._session = session
        self._stream: OutputStream = stream
        self._spool = spool
        self._bus = bus
        self._window = window
        self._traffic = traffic
        self._tally = Tally(capture=capture)
        self._fifo: int | None = None
        self._watching = False
        self._news = asyncio.Event()
        self._ended = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._place = 0
        self._stored = 0
        self._mark: StreamEnd | None = None  # its end, once that is stored
        self._resumed = self._awaited = False
        self._truncated: Truncation | None = None
        self._leaving = self._finished = self._timed_out = False
        self._status: int | None = None
        self._complained = -REPEAT_S
        self.located = asyncio.Event()
        """Set once the bus has said where the session's messages begin."""
        self.first_place: int | None = None
        """Behind this place of the bus they stand; None as long as nobody knows."""
        window.watch(self._news.set)

    # -- from the FIFO

    def open(self, fifo: int | None, *, resumed: bool = False, awaited: bool = False) -> None:
        """Begin to take what comes.

        Args:
            fifo: the open FIFO; None where it is gone.
            resumed: whether another process of ours did so before.
            awaited: whether the writer may yet come, until `begin`: that there is none is no end then.
        """
        self._spool.open()
        self._stored = self._spool.start
        if self._stored:
            self._tally.miss()
        if self._spool.complete:
            self._ended.set()
        self._resumed, self._awaited = resumed, awaited
        self._fifo = fifo
        if fifo is not None and not self._spool.complete:
            self._watch()
            if resumed:
                # Only now can be seen whether somebody is there to write; and it has to be, whatever waits in the spool.
                self._take(at_least=LOOK)

    def begin(self) -> None:
        """Take it from here on that the writer has come, if one ever does."""
        self._awaited = False
        self._take(at_least=LOOK)

    def truncate(self, why: Truncation) -> None:
        """Note that there may have been more; the first reason counts."""
        self._truncated = self._truncated or why
        self.close_fifo()

    def cut(self) -> None:
        """Give it up where its end was not seen: what comes from here on, and that nothing comes, says nothing."""
        if not self._ended.is_set():
            self.truncate("deleted")

    def close_fifo(self) -> None:
        """Take no more."""
        self._unwatch()
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._fifo is not None:
            os.close(self._fifo)
            self._fifo = None
        self._ended.set()

    def leave(self) -> None:
        """Take what the process leaves behind, though the bus does not keep up: nobody else keeps that for us."""
        self._leaving = True
        self._watch()

    async def taken(self) -> None:
        """Wait until the stream's end was seen, or it was given up."""
        await self._ended.wait()

    async def drain(self) -> None:
        """Take what the process has left behind; return when its stream has ended, or somebody else holds it for too long.

        The patience does not pass while it is us who do not take.
        """
        began, patience, looked = self._spool.end, DRAIN_S, time.monotonic()
        while self._fifo is not None and not self._spool.complete:
            blocked = self._room() <= 0 or self._later is not None
            came = 0 if blocked else self._take()
            now = time.monotonic()
            if not blocked:
                patience -= now - looked
            looked = now
            if patience <= 0 and (came == 0 or self._spool.end - began > AFTERWARDS):
                self.truncate("held")
            else:
                # The kernel tells of an end only to those who were there before it; so this looks as well.
                await set_within(self._ended, within=0 if came else POLL_S)
        if not self._spool.complete and self._truncated is None:
            self.truncate("away")

    def _watch(self) -> None:
        if not self._watching and self._fifo is not None:
            asyncio.get_running_loop().add_reader(self._fifo, self._take)
            self._watching = True

    def _unwatch(self) -> None:
        if self._watching and self._fifo is not None:
            asyncio.get_running_loop().remove_reader(self._fifo)
        self._watching = False

    def _room(self) -> int:
        return HELD + (AFTERWARDS if self._leaving else 0) - (self._spool.end - self._stored)

    def _take(self, *, at_least: int = 0) -> int:
        """Take what there is, once; return how much came. There is room for `at_least` bytes, even if there is none."""
        if self._fifo is None or self._spool.complete:
            return 0
        room = max(self._room(), at_least)
        if room <= 0:
            self._unwatch()
            return 0
        try:
            count = self._spool.take(self._fifo, min(room, TAKE))
        except BlockingIOError:
            self._resumed = False  # somebody is there to write, so the next end is the true one
            return 0
        except OSError as error:
            self._complain(f"the spool does not take it: {error.strerror}")
            self._unwatch()
            self._later = asyncio.get_running_loop().call_later(FULL_DISK_S, self._again)
            return 0
        if count == 0:
            self._end_of_file()
        else:
            self._resumed = False
        self._news.set()
        return count

    def _end_of_file(self) -> None:
        # The kernel says so when the last writer has gone. One that had gone before we opened has taken along what was unread.
        assert self._fifo is not None
        if not self._resumed or had_writer(self._fifo):
            self._spool.finish()
            self.close_fifo()
        elif not self._awaited:
            self.truncate("away")

    def _again(self) -> None:
        self._later = None
        self._watch()

    # -- to the bus

    def finish(self, exit_status: int | None, *, timed_out: bool = False) -> None:
        """Let `run` come to its end, with the mark that says how the process ended."""
        self.close_fifo()
        self._status, self._timed_out = exit_status, timed_out
        self._finished = True
        self._news.set()

    async def run(self) -> None:
        """Store what comes, and the end; returns when all of it is stored."""
        await self._locate(first=True)
        while self._mark is None:
            pieces: Sequence[Chunk | StreamEnd] = self._portion()
            if not pieces:
                if self._allowed() > 0:
                    self._lose()
                    continue
                if not self._finished or self._spool.end > self._stored:
                    await self._wait()
                    continue
                while not self._tally.settled:
                    await self._settle()
                pieces = [self._end()]
            try:
                places = await self._bus.append(self._subject, *pieces, after=self._place)
            except LogError as error:
                self._complain(f"its output waits: {error}")
                await self._locate()
                continue
            self._place = places[-1]
            for piece in pieces[: len(places)]:
                if isinstance(piece, StreamEnd):
                    self._mark = piece
                else:
                    self._advance(piece.offset + len(piece.data), piece.data)
        while self._tally.wanted:
            await self._settle()  # another process of ours stored the end: its first bytes are there only

    def report(self) -> StreamReport:
        """Return how much is stored."""
        # What was stored is what was said, also where another process of ours said it.
        mark = self._mark or self._end()
        return StreamReport(
            size=mark.size,
            ended=self._mark is not None,
            sha256=mark.sha256,
            truncated=mark.truncated,
            captured=self._tally.captured,
        )

    @property
    def spooled(self) -> int:
        """Bytes that were taken and are not stored."""
        return max(0, self._spool.end - self._stored)

    @property
    def waits(self) -> bool:
        """Whether nothing more may be stored until its owners have read more."""
        return self.spooled > 0 >= self._allowed()

    def close(self) -> None:
        """Let go of everything but what is on disk."""
        self.close_fifo()
        self._spool.close()

    def remove(self) -> None:
        """Let go of everything."""
        self.close_fifo()
        self._spool.remove()

    def _allowed(self) -> int:
        """Return how many bytes are taken, and may be stored now."""
        limit = self._window.limit(self._stream)
        end = self._spool.end if limit is None else min(limit, self._spool.end)
        return end - self._stored

    def _portion(self) -> list[Chunk]:
        """Return what is to be stored next."""
        found: list[Chunk] = []
        at, largest = self._stored, self._bus.largest
        end = at + min(self._allowed(), self._bus.portion)
        while at < end and (data := self._spool.read(at, min(largest, end - at))):
            found.append(Chunk(session=self._session, offset=at, data=data))
            at += len(data)
        return found

    def _lose(self) -> None:
        # The disk has not what we took: somebody took it away there.
        self._truncated = self._truncated or "lost"
        self._tally.miss()
        self._stored = self._spool.end

    def _end(self) -> StreamEnd:
        return StreamEnd(
            session=self._session,
            size=self._stored,
            sha256=self._tally.sha256,
            truncated=self._truncated,
            exit_status=self._status,
            timed_out=self._timed_out,
        )

    async def _wait(self) -> None:
        # What waits for a reader goes on by itself when he has been silent for too long.
        self._news.clear()
        if self._allowed() > 0 or (self._finished and self._spool.end <= self._stored):
            return
        await set_within(self._news, within=1.0 if self._spool.end > self._stored else None)

    def _advance(self, to: int, data: bytes) -> None:
        if to <= self._stored:
            return
        self._tally.add(data)
        self._traffic.passed[self._stream] += to - self._stored
        self._stored = to
        self._spool.release(to)
        if self._room() > 0:
            self._watch()

    async def _locate(self, *, first: bool = False) -> None:
        """Ask the bus how far it has come, for as long as it takes, and go on from there."""
        pause = FIRST_PAUSE_S
        while True:
            if not first:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
            first = False
            try:
                there = await self._bus.end(self._subject, self._session)
            except LogError as error:
                self._complain(f"its output waits: {error}")
                continue
            break
        self._place, self._mark = there.place, there.mark
        if there.offset > self._spool.end:
            # The spool was lost, and not the bus: what was in the spool beyond it cannot be known.
            self._truncated = self._truncated or "lost"
            self._tally.miss()
            self._spool.skip_to(there.offset)
            self._stored = there.offset
        elif there.offset < self._stored and there.mark is None:
            # The bus has lost what it had, and so have we: it goes on behind that, and says so.
            self._truncated = self._truncated or "lost"
            self.first_place = there.place
        if self.first_place is None:
            self.first_place = there.place if not there.offset and there.mark is None else 0
        self.located.set()
        while there.offset > self._stored:
            # It was stored, and we did not hear of it.
            data = self._spool.read(self._stored, there.offset - self._stored)
            if data:
                self._advance(self._stored + len(data), data)
            else:
                self._tally.miss()
                self._stored = there.offset

    async def _settle(self) -> None:
        trouble = await self._tally.settle(
            self._bus, self._subject, self._session, size=self._stored, after=self.first_place or 0
        )
        if trouble is not None:
            self._complain(trouble)
            if not self._tally.settled:
                await asyncio.sleep(FIRST_PAUSE_S)

    def _complain(self, sentence: str) -> None:
        now = time.monotonic()
        if now - self._complained >= REPEAT_S:
            self._complained = now
            where = self._subject
            process = "" if where.process is None else f" exec {where.process},"
            log.warning("container %s,%s %s: %s", where.container, process, self._stream, sentence)
