"""The recorder: one thread that gives events their place and commits them to the outbox, in the order they came in.

Whoever has an event calls `submit`, which never waits and never fails: the reader's thread for what containerd sends, the
event loop for what the bridge itself has to say. The thread takes whatever has gathered since its last commit as one
transaction (group commit): alone an event is committed within milliseconds, and under load the batches grow by themselves.

When the disk fails, it keeps the batch that it has in hand and tries again until the disk takes it; a failure that lasts ends
it, and damage does at once. Meanwhile nobody may go on reading events: `refusal` says so to whoever asks.

Who wants to know what the log says of containers, and perhaps add to it, has the thread ask: `consult`.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias, TypeVar

from bridge.capture.ledger import Ledger
from bridge.capture.outbox import Outbox, OutboxDamagedError, OutboxError, OutboxStatistics
from bridge.model.nanos import Nanos
from bridge.model.state import ContainerState
from bridge.model.subjects import Subjects
from bridge.ports import ContainerLookup, Entry, Observed

__all__ = ["Committed", "Question", "Recorder"]

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH = 4096
"""Most events in one transaction: bounds the time of a commit and what a crash in the middle of it can take along."""

INBOX = 100_000
"""Events that may wait for the thread: some 50 MB of ordinary ones. Reached only when the disk stalls for seconds."""

IDLE_S = 1.0
"""Acknowledgements that nothing else carries along are written down after this long."""

TIDY_S = 1.0
"""Between two times that the outbox is tidied up."""

FORGET_S = 3600.0
"""Between two times that containers are forgotten whose events have expired."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
"""Between two attempts while the disk fails."""

PATIENCE_S = 2.0
"""A disk that fails for longer costs the subscription to containerd; what comes until then is held in the inbox."""

LASTING_S = 60.0
"""A disk that fails for longer ends the bridge."""

Committed: TypeAlias = Callable[[Sequence[Entry], Sequence[ContainerState]], None]
"""Told of every committed batch, in order, from the recorder's thread: its entries, and the states of containers that follow
from them. Must return at once."""


class _WentBack(NamedTuple):
    """The log has everything up to here, and had more."""

    position: int


Question: TypeAlias = Callable[[Ledger], Iterable[Observed]]
"""Looks at the ledger, in the recorder's thread; returns the events that are to be recorded at once. May not raise."""


class Recorder:
    """Owns the outbox and the ledger; `start`, any number of `submit`, `stop`."""

    def __init__(
        self,
        outbox: Outbox,
        node: str,
        subjects: Subjects,
        lookup: ContainerLookup,
        *,
        committed: Committed,
        acknowledged: Callable[[], int],
        failed: Callable[[BaseException], None],
        kept_ns: int = 0,
    ) -> None:
        """Take what the thread needs.

        Args:
            outbox: open; belongs to the thread from `start` to `stop`.
            node: this node's name.
            subjects: the subjects to give out.
            lookup: says what containers are.
            committed: told of every committed batch.
            acknowledged: tells the position up to which everything is in the log; written down with the next commit, or soon.
            failed: told, from the thread, why it ended if it ended by itself; nothing is taken in any more then.
            kept_ns: how long the log keeps an event (ns), 0 for ever: after that, containers that are gone are forgotten.
        """
        self._outbox = outbox
        self._ledger = Ledger(node, subjects, outbox.log, outbox.last_n, outbox)
        self._lookup = lookup
        self._committed = committed
        self._failed = failed
        self._inbox: queue.SimpleQueue[Observed | Nanos | _WentBack | Question | None] = queue.SimpleQueue()
        self._acknowledged = acknowledged
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._proven = outbox.proven
        self._kept_ns = kept_ns
        self._forgot = time.monotonic()
        self._failing_since = 0.0
        self._stopping = threading.Event()
        self._working = False
        self._moved = 0.0
        """When the thread last began something, ended it, or had an answer of its disk, by the monotonic clock."""
        self.failure: str | None = None
        """Why the disk takes nothing at present, or took nothing when the thread ended; None when it does."""
        self.recorded = 0
        """Events committed since the start."""

    def start(self) -> None:
        """Begin to take events in."""
        self._thread.start()

    def submit(self, observed: Observed) -> None:
        """Hand over an event. From any thread; events of one thread keep their order."""
        self._inbox.put(observed)

    def prove(self, moment: Nanos) -> None:
        """Note that everything published before `moment` has been submitted; the outbox keeps it with what it proves."""
        self._inbox.put(moment)

    def went_back(self, position: int) -> None:
        """Note that the log went back to this position: what the outbox keeps behind it is kept for its whole time again."""
        self._inbox.put(_WentBack(position))

    def consult(self, question: Question) -> None:
        """Have the thread ask a question: after everything that was submitted before is recorded, and before anything else is.

        What has been consulted when the thread is told to stop is never asked.
        """
        self._inbox.put(question)

    @property
    def alive(self) -> bool:
        """Whether the thread runs: what is submitted to one that has ended is never written down."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Events that wait for the thread."""
        return self._inbox.qsize()

    @property
    def silent_s(self) -> float:
        """Seconds for which the thread has been at one thing without an answer, not even a failure; 0 while it waits."""
        if not self._working:  # asked first: the thread sets it last
            return 0.0
        return max(0.0, time.monotonic() - self._moved)

    @property
    def overflowing(self) -> bool:
        """Whether so many events wait that reading has to stop until the disk has caught up."""
        return self._inbox.qsize() > INBOX

    @property
    def refusal(self) -> str | None:
        """Why nothing more may be read from containerd, None while it may."""
        if self.failure is not None and time.monotonic() - self._failing_since > PATIENCE_S:
            return self.failure
        if self.overflowing:
            return f"{self.waiting} events wait to be written down: the disk does not keep up"
        return self._outbox.shortage()

    @property
    def anomalies(self) -> int:
        """Events since the start that could not be true."""
        return self._ledger.anomalies

    def statistics(self) -> OutboxStatistics:
        """Return the outbox in numbers."""
        return self._outbox.statistics()

    def stop(self, timeout: float) -> bool:
        """Commit what was submitted, then end the thread; tell whether all of it was within `timeout` seconds."""
        self._stopping.set()
        self._inbox.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive() and self.failure is None

    # -- the thread

    def _run(self) -> None:
        try:
            going, tidied = True, time.monotonic()
            while going:
                batch, question, going = self._take()
                self._moved, self._working = time.monotonic(), True
                if batch or self._acknowledged() > self._outbox.acknowledged:
                    self._commit(batch)
                if question is not None:
                    self._answer(question)
                if time.monotonic() - tidied > TIDY_S and self._inbox.empty():
                    self._tidy()
                    tidied = time.monotonic()
                self._working = False
        except BaseException as error:  # noqa: BLE001 - whatever it is, the daemon has to hear of it
            self._failed(error)

    def _take(self) -> tuple[list[Observed], Question | None, bool]:
        """Wait for an event and return it with what else is there, up to a question; false when it was told to stop."""
        batch: list[Observed] = []
        try:
            item = self._inbox.get(timeout=IDLE_S)
            while item is not None:
                if isinstance(item, Nanos):
                    self._proven = item
                elif isinstance(item, Observed):
                    batch.append(item)
                elif isinstance(item, _WentBack):
                    self._outbox.went_back(item.position)
                else:
                    return batch, item, True
                if len(batch) >= BATCH:
                    return batch, None, True
                item = self._inbox.get_nowait()
        except queue.Empty:
            return batch, None, True
        return batch, None, False

    def _answer(self, question: Question) -> None:
        events = iter(question(self._ledger))
        while batch := list(islice(events, BATCH)):
            self._commit(batch)

    def _commit(self, batch: Sequence[Observed]) -> None:
        # Placing is done once; only what needs the disk, before and behind it, may be repeated.
        accounts = self._insist(lambda: self._ledger.open(batch))
        entries = self._ledger.place(batch, accounts, self._lookup.describe)
        states = self._ledger.changed()
        began = time.monotonic()
        changed = self._ledger.settle()
        self._insist(lambda: self._outbox.commit(entries, changed, self._acknowledged(), self._proven))
        took = time.monotonic() - began
        if took > 1.0:
            log.warning("the outbox took %.1f s to commit %d events: the disk is slow", took, len(entries))
        self.recorded += len(entries)
        self._moved = time.monotonic()
        if entries:
            self._committed(entries, states)

    def _insist(self, work: Callable[[], T]) -> T:
        """Do what needs the disk, again and again until it lets us or it is over."""
        pause = FIRST_PAUSE_S
        while True:
            last_try = self._stopping.is_set()
            try:
                done = work()
            except OutboxError as error:
                self._fail(error, last_try=last_try)
            else:
                break
            self._stopping.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
        if self.failure is not None:
            log.warning("the outbox can be written again after %.1f s", time.monotonic() - self._failing_since)
            self.failure = None
        return done

    def _fail(self, error: OutboxError, *, last_try: bool) -> None:
        """Note that the disk fails; raise when there is no more point in trying."""
        self._moved = now = time.monotonic()
        if self.failure is None:
            self._failing_since = now
        if str(error) != self.failure:
            log.error("%s; trying again for %.0f s, events are not read meanwhile", error, LASTING_S)
        self.failure = str(error)
        if isinstance(error, OutboxDamagedError) or last_try:
            raise error
        if now - self._failing_since > LASTING_S:
            raise OutboxError(f"{error}, for {now - self._failing_since:.0f} s now: mend the disk") from error

    def _tidy(self) -> None:
        try:
            self._outbox.tidy(self._acknowledged())
            if time.monotonic() - self._forgot > FORGET_S:
                self._forgot = time.monotonic()
                self._outbox.forget_deleted(self._kept_ns)
        except OutboxDamagedError:
            raise
        except OutboxError as error:  # it can wait; a disk that fails shows at the next commit
            log.debug("the outbox is not tidied up: %s", error)
