"""The journal: every changing command on local disk before it takes effect, and its outcome before anybody is told.

It is what makes an id take effect once at the most. `started` stands on disk before a verb's coroutine runs, so after a crash
everything that may have had an effect is known, and is looked at instead of being done again (`bridge.control.recovery`).

One thread owns the file. It takes whatever has gathered since its last commit as one transaction (group commit), so that
commands of many containers share a sync of the disk. What has to be written before an effect fails at once where the disk
fails: then nothing is done. An outcome is what has happened, so the thread keeps it and tries again until the disk takes it;
a failure that lasts ends the bridge, and the next one finds the command started.

Rows are kept for `KEPT_S`, longer than any job can be delivered again. Where there are more than `MOST`, the oldest finished
ones go earlier, though not within an hour; then commands are refused.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from bridge.control.journal_file import PRUNED, JournalFile
from bridge.database import DatabaseDamagedError, DatabaseError
from bridge.errors import BridgeError, CommandFailed
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Outcome
from bridge.ports import JournalRow

__all__ = ["Journal", "JournalStatistics"]

log = logging.getLogger(__name__)

T = TypeVar("T")

KEPT_S: Final = 14 * 86_400.0
"""How long a finished command is remembered: twice as long as a job waits in its stream."""

MOST: Final = 250_000
"""Rows, some 150 MB."""

AT_LEAST_S: Final = 3_600.0
"""What is younger stays, however many there are."""

TIDY_S: Final = 10.0
IDLE_S: Final = 1.0
"""What nobody waits for is written after this long."""

PAUSE_S, LASTING_S = 0.2, 60.0
"""Between two attempts while the disk fails; a disk that fails for longer ends the bridge."""

STOP_S: Final = 2.0
"""How long a stop waits for the disk. What it does not take is started, and is looked at after the next start."""


class JournalStatistics(NamedTuple):
    """The journal in numbers."""

    rows: int
    commits: int
    commit_seconds: float


class _Ask(NamedTuple):
    """Something to do in the file. `insist` is for what has happened already; `future` is None where nobody waits."""

    work: Callable[[JournalFile], Any]
    future: asyncio.Future[Any] | None = None
    insist: bool = False


class Journal:
    """Implements `bridge.ports.CommandJournal` while its context lasts. One event loop uses it."""

    def __init__(
        self,
        path: Path,
        *,
        failed: Callable[[BaseException], None] = lambda _error: None,
        clock: Callable[[], int] = time.time_ns,
        kept_s: float = KEPT_S,
        most: int = MOST,
    ) -> None:
        """Take where it is.

        Args:
            path: the file; another process may not have it open.
            failed: told, from the thread, why it ended if it ended by itself.
            clock: wall clock, for what is old.
            kept_s: seconds that a finished command is remembered.
            most: rows at the most.
        """
        self.path = path
        self._failed = failed
        self._clock = clock
        self._kept_ns = int(kept_s * 1e9)
        self._most = most
        self._inbox: queue.SimpleQueue[_Ask | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._file: JournalFile | None = None
        self._loop: asyncio.AbstractEventLoop
        self._over: BaseException | None = None
        self._commits, self._commit_seconds = 0, 0.0
        self._tidied = 0.0
        self._forgetting = False
        self._told: list[str] = []
        self.damage: str | None = None
        """Why the file before this one was put aside, None where it was not."""

    def __enter__(self) -> Self:
        """Open the file and start the thread.

        Raises:
            ConfigError: the file cannot be used.
        """
        self._loop = asyncio.get_running_loop()
        self._file = JournalFile(self.path)
        self.damage = self._file.damage
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._inbox.put(None)
        self._thread.join(STOP_S)

    def statistics(self) -> JournalStatistics:
        """Return it in numbers. From any thread."""
        return JournalStatistics(self._file.rows if self._file is not None else 0, self._commits, self._commit_seconds)

    # -- CommandJournal

    @property
    def identity(self) -> str:
        """The file's UUID; see the port."""
        assert self._file is not None
        return self._file.identity

    async def look(self, command_id: str) -> JournalRow | None:
        """Return what stands there of a command; see the port."""
        return await self._ask(lambda file: file.look(command_id))

    async def accept(self, row: JournalRow) -> JournalRow | None:
        """Write down a command that waits; see the port."""
        self._demand_room()
        return await self._ask(lambda file: file.accept(row))

    async def start(self, row: JournalRow, at: Nanos) -> JournalRow | None:
        """Write down that a command is about to take effect; see the port."""
        self._demand_room()
        return await self._ask(lambda file: file.start(row, at))

    async def finish(self, row: JournalRow, outcome: Outcome) -> Outcome:
        """Write an outcome down; see the port."""
        return await self._ask(lambda file: file.finish(row, outcome), insist=True)

    async def reopen(self, command_id: str, delivery: int) -> None:
        """Take out a command that never started; see the port."""
        await self._ask(lambda file: file.reopen(command_id, delivery))

    async def withdraw(self, command_id: str) -> None:
        """Take out a command that was turned away; see the port."""
        await self._ask(lambda file: file.withdraw(command_id))

    def told(self, command_id: str) -> None:
        """Note that an outcome was told; see the port."""
        self._inbox.put(_Ask(lambda file: file.tell([command_id])))

    async def unfinished(self) -> Sequence[JournalRow]:
        """Return the commands without an outcome; see the port."""
        return await self._ask(lambda file: file.unfinished())

    async def untold(self) -> Sequence[JournalRow]:
        """Return the finished commands that were not told; see the port."""
        return await self._ask(lambda file: file.untold())

    async def attempt(self, stream: str, delivery: int) -> int:
        """Count that a job was received; see the port."""
        return await self._ask(lambda file: file.attempt(stream, delivery))

    async def drop_attempt(self, delivery: int) -> None:
        """Forget that it was; see the port."""
        await self._ask(lambda file: file.drop_attempt(delivery))

    # -- inside

    def _demand_room(self) -> None:
        if self.statistics().rows > self._most:
            raise CommandFailed(
                "exhausted", f"the journal {self.path} holds {self._most} commands of the last hour: try again later"
            )

    async def _ask(self, work: Callable[[JournalFile], T], *, insist: bool = False) -> T:
        if self._over is not None:
            raise _unusable(self._over)
        future: asyncio.Future[T] = self._loop.create_future()
        self._inbox.put(_Ask(work, future, insist))
        return await future

    # -- the thread

    def _run(self) -> None:
        assert self._file is not None
        try:
            going = True
            while going:
                batch, going = self._take()
                if batch:
                    self._settle(batch)
                self._tidy()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the daemon has to hear of it
            self._over = error
            self._abandon(error)
            self._failed(error)
        finally:
            self._file.close()

    def _take(self) -> tuple[list[_Ask], bool]:
        """Wait for something to do and return it with what else is there; false when it was told to stop.

        What nobody waits for goes along with the next thing that somebody does, or alone after a while.
        """
        batch: list[_Ask] = []
        waited, due = False, time.monotonic() + IDLE_S
        while True:
            try:
                patience = 0.0 if waited else max(0.0, due - time.monotonic())
                ask = self._inbox.get(block=patience > 0, timeout=patience or None)
            except queue.Empty:
                return batch, True
            if ask is None:
                return batch, False
            batch.append(ask)
            waited = waited or ask.future is not None

    def _arrived(self) -> list[_Ask]:
        arrived: list[_Ask] = []
        while True:
            try:
                ask = self._inbox.get_nowait()
            except queue.Empty:
                return arrived
            if ask is None:
                self._inbox.put(None)
                return arrived
            arrived.append(ask)

    def _settle(self, batch: list[_Ask]) -> None:
        assert self._file is not None
        since = time.monotonic()
        while batch:
            began = time.perf_counter()
            try:
                results = self._file.transact([ask.work for ask in batch])
            except DatabaseError as error:
                batch = self._refused(batch, error)
                if (
                    isinstance(error, DatabaseDamagedError)
                    or self._stopping.is_set()
                    or time.monotonic() - since > LASTING_S
                ):
                    self._hand_over(batch, [error] * len(batch))
                    raise
                self._stopping.wait(PAUSE_S)
                batch += self._arrived()  # they too hear that it cannot be written
            else:
                self._commits += 1
                self._commit_seconds += time.perf_counter() - began
                self._hand_over(batch, results)
                return

    def _refused(self, batch: list[_Ask], error: DatabaseError) -> list[_Ask]:
        """Say so to those who can still leave it, and return the others."""
        log.error("%s; commands are refused, and outcomes wait", error)
        leaving = [ask for ask in batch if not ask.insist]
        self._hand_over(leaving, [error] * len(leaving))
        return [ask for ask in batch if ask.insist]

    def _hand_over(self, batch: list[_Ask], results: Sequence[Any]) -> None:
        waiting = [(ask.future, result) for ask, result in zip(batch, results, strict=True) if ask.future is not None]
        if waiting:
            # In one step of the loop, so that who asked first goes on first.
            self._loop.call_soon_threadsafe(_resolve, waiting)

    def _abandon(self, error: BaseException) -> None:
        arrived = self._arrived()
        self._hand_over(arrived, [error] * len(arrived))

    def _tidy(self) -> None:
        """Take old rows out, a few at a time between two commits; while there are more of them, at every chance."""
        assert self._file is not None
        file, moment = self._file, time.monotonic()
        if moment - self._tidied < TIDY_S:
            return
        now, full = self._clock(), file.rows > self._most * 0.9
        before = now - int(AT_LEAST_S * 1e9) if full else now - self._kept_ns
        try:
            gone = file.transact([lambda each: each.prune(before)])[0]
        except DatabaseDamagedError:
            raise
        except DatabaseError as error:  # it can wait; a disk that fails shows at the next command
            log.debug("the journal is not tidied up: %s", error)
            gone = 0
        if full and gone and not self._forgetting:
            log.warning("the journal is full: finished commands are forgotten when they are an hour old")
        self._forgetting = full
        if gone < PRUNED:
            self._tidied = moment


def _resolve(waiting: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in waiting:
        if future.done():
            continue
        if isinstance(result, BaseException):
            future.set_exception(_unusable(result))
        else:
            future.set_result(result)


def _unusable(error: BaseException) -> CommandFailed:
    sentence = str(error) if isinstance(error, BridgeError) else "the journal has ended: see the bridge's log file"
    return CommandFailed("unavailable", f"{sentence}; nothing was done")
