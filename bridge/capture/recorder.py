"""The recorder: one thread that gives events their place and commits them to the outbox, in the order they came in.

Whoever has an event calls `submit`, which never waits and never fails: the reader's thread for what containerd sends, the
event loop for what the bridge itself has to say. The thread takes whatever has gathered since its last commit as one
transaction (group commit): alone an event is committed within milliseconds, and under load the batches grow by themselves.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from bridge.capture.ledger import Ledger
from bridge.capture.outbox import Outbox
from bridge.model.nanos import Nanos
from bridge.model.state import ContainerState
from bridge.model.subjects import Subjects
from bridge.ports import ContainerLookup, Entry, Observed

__all__ = ["Committed", "Recorder"]

log = logging.getLogger(__name__)

BATCH = 4096
"""Most events in one transaction: bounds the time of a commit and what a crash in the middle of it can take along."""

INBOX = 100_000
"""Events that may wait for the thread: some 50 MB of ordinary ones. Reached only when the disk stalls for seconds."""

IDLE_S = 1.0
"""Acknowledgements that nothing else carries along are written down after this long."""

Committed: TypeAlias = Callable[[Sequence[Entry], Sequence[ContainerState]], None]
"""Told of every committed batch, in order, from the recorder's thread: its entries, and the states of containers that follow
from them. Must return at once."""


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
        """
        self._outbox = outbox
        self._ledger = Ledger(node, subjects, outbox.log, outbox.last_n, outbox)
        self._lookup = lookup
        self._committed = committed
        self._failed = failed
        self._inbox: queue.SimpleQueue[Observed | Nanos | None] = queue.SimpleQueue()
        self._acknowledged = acknowledged
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._proven = outbox.proven
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

    @property
    def alive(self) -> bool:
        """Whether the thread runs: what is submitted to one that has ended is never written down."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Events that wait for the thread."""
        return self._inbox.qsize()

    @property
    def overflowing(self) -> bool:
        """Whether so many events wait that reading has to stop until the disk has caught up."""
        return self._inbox.qsize() > INBOX

    def stop(self, timeout: float) -> bool:
        """Commit what was submitted, then end the thread; tell whether it ended within `timeout` seconds."""
        self._inbox.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # -- the thread

    def _run(self) -> None:
        try:
            going = True
            while going:
                batch, going = self._take()
                if batch or self._acknowledged() > self._outbox.acknowledged:
                    self._commit(batch)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the daemon has to hear of it
            self._failed(error)

    def _take(self) -> tuple[list[Observed], bool]:
        """Wait for an event and return it with what else is there; false as second when it was told to stop."""
        batch: list[Observed] = []
        try:
            item = self._inbox.get(timeout=IDLE_S)
            while item is not None:
                if isinstance(item, Nanos):
                    self._proven = item
                else:
                    batch.append(item)
                if len(batch) >= BATCH:
                    return batch, True
                item = self._inbox.get_nowait()
        except queue.Empty:
            return batch, True
        return batch, False

    def _commit(self, batch: Sequence[Observed]) -> None:
        entries = self._ledger.place(batch, self._lookup.describe)
        changed = self._ledger.changed()
        began = time.monotonic()
        self._outbox.commit(entries, self._ledger.settle(), self._acknowledged(), self._proven)
        took = time.monotonic() - began
        if took > 1.0:
            log.warning("the outbox took %.1f s to commit %d events: the disk is slow", took, len(entries))
        self.recorded += len(entries)
        if entries:
            self._committed(entries, changed)
