"""The outbox: every event on local disk before it is on the bus, and for some time after.

SQLite in WAL mode with `synchronous=FULL`: what `commit` returned from survives a crash of the bridge and of the host, as
far as the disk is honest. Events and what they did to the counters of their containers go into one transaction, so
sequence numbers have no holes and repeat nothing, whatever happens in between. Entries that are in the log are kept until
their time is over (`bridge.capture.retention`), for a log that goes backwards.

One thread writes (the recorder's); reading is done through a connection of its own (`OutboxReader`), which never waits for
the writer. The events of a commit stand together in few rows, as they were encoded: each row costs SQLite, and the
interpreter's lock, as much as a dozen events.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec
from msgspec import Struct

from bridge.capture.outbox_file import OutboxDamagedError, OutboxError, OutboxFullError, disk, open_file
from bridge.capture.retention import Retention
from bridge.capture.room import Limits, Room
from bridge.model.nanos import Nanos
from bridge.ports import Entry

__all__ = ["ContainerRow", "Outbox", "OutboxDamagedError", "OutboxError", "OutboxStatistics"]

log = logging.getLogger(__name__)

_ROW: Final = 256
"""Most entries in a row: with the largest bodies (512 KiB) an eighth of what SQLite takes in a value."""

LATE_NS: Final = 86_400 * 10**9
"""How much later than it was read an event may be stored and still be counted on to expire in time."""

_LET_GO: Final = 32
"""Rows that a commit lets go at the most: twice what the largest adds, so that it catches up and never stalls for it."""

_TIDY_ROWS, _TIDY_BYTES, _TIDY_PAGES = 1_000, 8 * 1024 * 1024, 512
"""What one `tidy` does at the most: some 10 ms of work."""

_SPARE_PAGES: Final = 1024
"""Free pages that stay in the file, to be used again."""

_encoder = msgspec.msgpack.Encoder()


class ContainerRow(Struct, frozen=True, kw_only=True):
    """What the outbox remembers of a container between runs.

    Attributes:
        namespace: its namespace, `container` its id.
        state: the ledger's own, encoded.
        deleted_at: when the newest event of a container was read whose record is deleted, or never was there (ns); None while
            there is one.
    """

    namespace: str
    container: str
    state: bytes
    deleted_at: int | None


class OutboxStatistics(Struct, frozen=True, kw_only=True):
    """The outbox in numbers. `waiting` is what is not in the log yet, `kept` what is; rows hold up to 256 events."""

    waiting_rows: int
    waiting_bytes: int
    kept_rows: int
    kept_bytes: int
    file_bytes: int
    """With the write-ahead log."""
    free_disk_bytes: int
    max_bytes: int
    commits: int
    commit_seconds: float
    """Time that all commits since the start took together."""


class _Amount(NamedTuple):
    """Rows and their bytes."""

    rows: int = 0
    bytes: int = 0

    def plus(self, other: _Amount) -> _Amount:
        return _Amount(self.rows + other.rows, self.bytes + other.bytes)

    def minus(self, other: _Amount) -> _Amount:
        return _Amount(self.rows - other.rows, self.bytes - other.bytes)


_REMEMBER: Final = """INSERT INTO containers VALUES (?, ?, ?, ?) ON CONFLICT (namespace, container)
    DO UPDATE SET state = excluded.state, deleted_at = excluded.deleted_at"""
"""Not INSERT OR REPLACE: that takes the old row out and puts the new one in, for half as much again."""


class Outbox:
    """The writing side; belongs to one thread from `open` to `close`, but for what says otherwise."""

    def __init__(
        self, path: Path, limits: Limits | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take where it is, what it may take of the disk, and what tells the time that entries are kept."""
        self.path = path
        self.limits: Final = limits or Limits()
        self.log = ""
        """UUID of this outbox: the first half of every position that it gives out."""
        self.last_n = 0
        """Position of the newest committed entry."""
        self.acknowledged = 0
        """Every entry up to this position was in the log once, as far as was written down."""
        self.acknowledged_at = Nanos(0)
        """When that was written down."""
        self.proven: Nanos | None = None
        """When the subscription to containerd was last known to be live."""
        self.damage: str | None = None
        """Why the file before this one was put aside when this was opened, None where it was not."""
        self._clock = clock
        self._room = Room(path.parent, self.limits)
        self._retention = Retention(self.limits.retention_s, 0, clock)
        self._waiting = self._kept = _Amount()
        self._doubtful = self._went_back = False
        self._commits, self._commit_seconds = 0, 0.0
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, or make it; a damaged one is put aside, and one left half made by a crash is made anew.

        Raises:
            ConfigError: the file cannot be used: no permission, another program's, or made by a newer version.
        """
        db, meta, self.damage = open_file(self.path)
        self._db = db
        self.log, self.last_n, self.acknowledged = meta["log"], int(meta["last_n"]), int(meta["acknowledged"])
        self.acknowledged_at = Nanos(meta["acknowledged_at"])
        self.proven = Nanos(meta["proven"]) if int(meta["proven"]) else None
        self._retention = Retention(self.limits.retention_s, self.acknowledged, self._clock)
        with disk(self.path):
            self._kept = self._amount(0, self.acknowledged)
            self._waiting = self._amount(self.acknowledged, self.last_n)

    def close(self) -> None:
        """Fold the WAL back into the file and close it; without effect when closed already."""
        if self._db is None:
            return
        db, self._db = self._db, None
        try:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:  # what is committed is as safe in the WAL
            log.warning("the outbox %s keeps its write-ahead log: %s", self.path, error)
        finally:
            db.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- writing

    def commit(
        self, entries: Sequence[Entry], containers: Iterable[ContainerRow], acknowledged: int, proven: Nanos | None
    ) -> None:
        """Write down `entries`, what they made of their containers, and how far the log has them: all or nothing.

        When it returns, they survive a crash. After an error the same may be committed again, and is never there twice.

        Args:
            entries: in order and without holes, the first with position `last_n + 1`.
            containers: the rows that changed.
            acknowledged: position up to which everything is in the log. What is beyond it stays; what was acknowledged stays
                until its time is over. It may go back.
            proven: when the subscription to containerd was last known to be live.

        Raises:
            OutboxError: the disk fails; nothing of this is written.
        """
        assert not entries or entries[0].n == self.last_n + 1, "positions have no holes"
        rows = [
            (part[-1].n, _encoder.encode(part))
            for part in (entries[start : start + _ROW] for start in range(0, len(entries), _ROW))
        ]
        changed = [msgspec.structs.astuple(row) for row in containers]
        began = time.perf_counter()
        try:
            self._write(rows, changed, acknowledged, proven, spares=True)
        except OutboxFullError:
            # Better without the copies of what the log has than without what is new.
            self._write(rows, changed, acknowledged, proven, spares=False)
        self._commits += 1
        self._commit_seconds += time.perf_counter() - began

    def _write(
        self,
        rows: Sequence[tuple[int, bytes]],
        containers: Sequence[tuple[object, ...]],
        acknowledged: int,
        proven: Nanos | None,
        *,
        spares: bool,
    ) -> None:
        db = self._connected
        last = rows[-1][0] if rows else self.last_n
        upto = max(acknowledged, self.acknowledged)
        caught_up = acknowledged > self.acknowledged or (self._went_back and acknowledged == self.acknowledged)
        at = Nanos(time.time_ns()) if caught_up else self.acknowledged_at
        waiting, kept = self._waiting, self._kept
        added = _Amount(len(rows), sum(len(encoded) for _, encoded in rows))
        with disk(self.path):
            db.execute("BEGIN IMMEDIATE")
            try:
                if self._doubtful and self._on_disk() == last > self.last_n:
                    rows = ()  # the failure before was one of telling us only
                if upto > self.acknowledged:
                    moved = self._amount(self.acknowledged, upto)
                    waiting, kept = waiting.minus(moved), kept.plus(moved)
                # First, so that its pages can be used for what is new.
                gone = self._let_go(kept, acknowledged, _LET_GO if spares else -1, spares=spares)
                kept = kept.minus(gone)
                db.executemany("INSERT INTO entries VALUES (?, ?)", rows)
                db.executemany(_REMEMBER, containers)
                db.executemany(
                    "UPDATE meta SET value = ? WHERE key = ?",
                    [(last, "last_n"), (upto, "acknowledged"), (at, "acknowledged_at"), (proven or 0, "proven")],
                )
                db.execute("COMMIT")
            except BaseException:
                self._doubtful = True
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        self._doubtful = False
        self._waiting, self._kept = waiting.plus(added), kept
        self.last_n, self.acknowledged, self.acknowledged_at, self.proven = last, upto, at, proven
        self._retention.acknowledge(acknowledged)
        self._went_back = self._went_back and not caught_up

    def went_back(self, acknowledged: int) -> None:
        """Note that the log went back: what is behind this position is kept for its whole time again, once it is acknowledged."""
        self._retention.went_back(acknowledged)
        self._went_back = True

    def seed(self, containers: Iterable[ContainerRow], proven: Nanos | None) -> None:
        """Begin with these containers and this proof; for an outbox that has given out nothing yet.

        Raises:
            OutboxError: the disk fails; nothing of this is written.
        """
        assert self.last_n == 0, "counters go on from what was given out"
        self.commit([], containers, self.acknowledged, proven)

    def tidy(self, acknowledged: int) -> None:
        """Let go what has been kept long enough, and give room that is free back to the disk: a bounded part of it.

        For times when nothing waits to be written.

        Args:
            acknowledged: as for `commit`: nothing beyond it is let go.

        Raises:
            OutboxError: the disk fails; nothing is lost for it.
        """
        db = self._connected
        with disk(self.path):
            if self._kept.rows and (self._excess(self._kept) > 0 or self._retention.over >= self._oldest()):
                db.execute("BEGIN IMMEDIATE")
                try:
                    gone = self._let_go(self._kept, acknowledged, _TIDY_ROWS, spares=True)
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
                self._kept = self._kept.minus(gone)
            spare = int(db.execute("PRAGMA freelist_count").fetchone()[0]) - _SPARE_PAGES
            if spare > 0:
                # Each step gives back one page, and only a script is stepped to its end.
                db.executescript(f"PRAGMA incremental_vacuum({min(spare, _TIDY_PAGES)})")

    def forget_deleted(self, kept_ns: int) -> int:
        """Drop the counters of containers that are gone and whose events have all expired from the log; return how many.

        Only then may a sequence begin at 1 again. An event may be stored much later than it was read: a day is left for that.

        Args:
            kept_ns: how long the log keeps an event, in nanoseconds; 0 for ever.

        Raises:
            OutboxError: the disk fails.
        """
        if not kept_ns:
            return 0
        before = time.time_ns() - kept_ns - LATE_NS
        with disk(self.path):
            return self._connected.execute("DELETE FROM containers WHERE deleted_at < ?", (before,)).rowcount

    # -- looking

    def container(self, namespace: str, container: str) -> ContainerRow | None:
        """Return what is remembered of a container."""
        with disk(self.path):
            row = self._connected.execute(
                "SELECT * FROM containers WHERE namespace = ? AND container = ?", (namespace, container)
            ).fetchone()
        return None if row is None else ContainerRow(**dict(zip(ContainerRow.__struct_fields__, row, strict=True)))

    def containers(self) -> Iterator[ContainerRow]:
        """Iterate over what is remembered of those containers that are not gone."""
        with disk(self.path):
            for row in self._connected.execute("SELECT * FROM containers WHERE deleted_at IS NULL"):
                yield ContainerRow(**dict(zip(ContainerRow.__struct_fields__, row, strict=True)))

    def shortage(self) -> str | None:
        """Return why it may take in nothing more, None while it may. From one thread, any one."""
        return self._room.shortage(self._waiting.bytes)

    def statistics(self) -> OutboxStatistics:
        """Return it in numbers. From any thread."""
        waiting, kept = self._waiting, self._kept
        return OutboxStatistics(
            waiting_rows=waiting.rows,
            waiting_bytes=waiting.bytes,
            kept_rows=kept.rows,
            kept_bytes=kept.bytes,
            file_bytes=sum(_size(self.path.with_name(self.path.name + end)) for end in ("", "-wal")),
            free_disk_bytes=self._room.free_bytes,
            max_bytes=self.limits.max_bytes,
            commits=self._commits,
            commit_seconds=self._commit_seconds,
        )

    # -- inside

    @property
    def _connected(self) -> sqlite3.Connection:
        assert self._db is not None, "the outbox is not open"
        return self._db

    def _on_disk(self) -> int:
        return int(self._connected.execute("SELECT value FROM meta WHERE key = 'last_n'").fetchone()[0])

    def _oldest(self) -> int:
        found = self._connected.execute("SELECT min(last_n) FROM entries").fetchone()[0]
        return self.last_n + 1 if found is None else int(found)

    def _amount(self, behind: int, upto: int) -> _Amount:
        # Of the rows that end there; a blob's length stands in front of it, so its pages are not read.
        rows, size = self._connected.execute(
            "SELECT count(*), total(length(encoded)) FROM entries WHERE last_n > ? AND last_n <= ?", (behind, upto)
        ).fetchone()
        return _Amount(rows, int(size))

    def _excess(self, kept: _Amount) -> int:
        return kept.bytes - self.limits.kept_bytes

    def _let_go(self, kept: _Amount, acknowledged: int, rows: int, *, spares: bool) -> _Amount:
        """Delete the oldest rows that are all acknowledged and need not be kept; return how much that is."""
        excess, over = self._excess(kept), self._retention.over
        if not kept.rows or (spares and excess <= 0 and not over):
            return _Amount()
        gone, upto = _Amount(), 0
        for last_n, size in self._connected.execute(
            "SELECT last_n, length(encoded) FROM entries WHERE last_n <= ? ORDER BY last_n LIMIT ?",
            (acknowledged, rows),
        ):
            if spares and (gone.bytes >= _TIDY_BYTES or not (last_n <= over or gone.bytes < excess)):
                break
            gone, upto = _Amount(gone.rows + 1, gone.bytes + size), last_n
        if gone.rows:
            self._connected.execute("DELETE FROM entries WHERE last_n <= ?", (upto,))
        return gone


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
