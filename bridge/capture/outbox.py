"""The outbox: every event on local disk before it is on the bus.

SQLite in WAL mode with `synchronous=FULL`: what `commit` returned from survives a crash of the bridge and of the host, as
far as the disk is honest. Events and what they did to the counters of their containers go into one transaction, so
sequence numbers have no holes and repeat nothing, whatever happens in between.

One thread writes (the recorder's); reading is done through a connection of its own (`OutboxReader`), which never waits for
the writer. The events of a commit stand together in few rows, as they were encoded: each row costs SQLite, and the
interpreter's lock, as much as a dozen events.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
from msgspec import Struct

from bridge.errors import BridgeError, ConfigError
from bridge.model.nanos import Nanos
from bridge.ports import Entry

__all__ = ["ContainerRow", "Outbox", "OutboxError", "OutboxReader"]

log = logging.getLogger(__name__)

_FORMAT: Final = 1

_PAGE: Final = 8 * 1024
"""An event has a kilobyte, and pages of SQLite's default size would be half empty; bigger ones make a lone commit bigger."""

_CACHE: Final = 32 * 1024 * 1024
"""Bytes of WAL before it is folded back into the file, and of pages in memory. Under load most events are in the log by then,
so that their pages are used again and need not be written twice."""

_ROW: Final = 256
"""Most entries in a row: with the largest bodies (512 KiB) an eighth of what SQLite takes in a value."""

_READ_BYTES: Final = 8 * 1024 * 1024
"""What one read gives at the most, but for the last row: bounds the memory of catching up after an outage."""

_SCHEMA: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE entries (last_n INTEGER PRIMARY KEY, encoded BLOB NOT NULL)",
    """CREATE TABLE containers (
        namespace TEXT NOT NULL, container TEXT NOT NULL, sequence INTEGER NOT NULL, incarnation TEXT,
        description BLOB NOT NULL, deleted_at INTEGER, PRIMARY KEY (namespace, container)) WITHOUT ROWID""",
    "CREATE INDEX containers_deleted ON containers (deleted_at) WHERE deleted_at IS NOT NULL",
)

_META: Final = ("log", "last_n", "acknowledged", "proven")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Entry])


class OutboxError(BridgeError):
    """The disk under the outbox fails: full, read-only or damaged. Nothing may be taken in until it is mended."""


class ContainerRow(Struct, frozen=True, kw_only=True):
    """What the outbox remembers of a container between runs; `description` is the ledger's own, encoded."""

    namespace: str
    container: str
    sequence: int
    incarnation: str | None
    description: bytes
    deleted_at: int | None


class Outbox:
    """The writing side; belongs to one thread from `open` to `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = ""
        """UUID of this outbox: the first half of every position that it gives out."""
        self.last_n = 0
        """Position of the newest committed entry."""
        self.acknowledged = 0
        """Every entry up to this position is in the log, as far as was written down."""
        self.proven: Nanos | None = None
        """When the subscription to containerd was last known to be live."""
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, or make it; a file that was left half made by a crash is made anew.

        Raises:
            ConfigError: the file cannot be used: no permission, damaged, another program's, or made by a newer version.
        """
        try:
            # Events tell what runs on the host; only its owner may read them here.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"cannot use the outbox {self.path}: {error}") from error
        try:
            meta = self._prepare(db)
        except sqlite3.Error as error:
            db.close()
            raise ConfigError(f"cannot use the outbox {self.path}: {error}") from error
        except BaseException:
            db.close()
            raise
        self._db = db
        self.log, self.last_n, self.acknowledged = meta["log"], int(meta["last_n"]), int(meta["acknowledged"])
        self.proven = Nanos(meta["proven"]) if int(meta["proven"]) else None

    def _prepare(self, db: sqlite3.Connection) -> dict[str, str]:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > _FORMAT:
            raise ConfigError(f"{self.path} was made by a newer version (format {version}): upgrade containerd-bridge")
        db.execute(f"PRAGMA page_size = {_PAGE}")  # of a new file; another one keeps its own
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CACHE // _PAGE}")
        db.execute(f"PRAGMA cache_size = {-_CACHE // 1024}")
        db.execute("PRAGMA synchronous = FULL")
        if version < _FORMAT:
            # One transaction with the version in it: a crash leaves either nothing or all of it.
            db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                db.execute(statement)
            first = {"log": str(uuid.uuid4()), "last_n": "0", "acknowledged": "0", "proven": "0"}
            db.executemany("INSERT INTO meta VALUES (?, ?)", first.items())
            db.execute(f"PRAGMA user_version = {_FORMAT}")
            db.execute("COMMIT")
        db.execute("SELECT last_n, encoded FROM entries LIMIT 1").fetchone()  # another program's file fails here
        meta = dict(db.execute("SELECT key, value FROM meta"))
        missing = [key for key in _META if key not in meta]
        if missing:
            raise ConfigError(f"the outbox {self.path} is damaged, it lacks {', '.join(missing)}: move it away")
        return meta

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

    def commit(
        self, entries: Sequence[Entry], containers: Iterable[ContainerRow], acknowledged: int, proven: Nanos | None
    ) -> None:
        """Write down `entries`, what they made of their containers, and how far the log has them: all or nothing.

        When it returns, they survive a crash. Entries up to `acknowledged` are let go.

        Args:
            entries: in order and without holes, the first with position `last_n + 1`.
            containers: the rows that changed.
            acknowledged: position up to which everything is in the log.
            proven: when the subscription to containerd was last known to be live.

        Raises:
            OutboxError: the disk fails; nothing of this is written.
        """
        db = self._connected
        assert not entries or entries[0].n == self.last_n + 1, "positions have no holes"
        last = entries[-1].n if entries else self.last_n
        acknowledged = max(acknowledged, self.acknowledged)
        with _disk(self.path):
            db.execute("BEGIN IMMEDIATE")
            try:
                if acknowledged > self.acknowledged:
                    # First, so that on a full disk its pages can be used for what is new.
                    db.execute("DELETE FROM entries WHERE last_n <= ?", (acknowledged,))
                for start in range(0, len(entries), _ROW):
                    row = entries[start : start + _ROW]
                    db.execute("INSERT INTO entries VALUES (?, ?)", (row[-1].n, _encoder.encode(row)))
                db.executemany(
                    "INSERT OR REPLACE INTO containers VALUES (?, ?, ?, ?, ?, ?)",
                    map(msgspec.structs.astuple, containers),
                )
                db.executemany(
                    "UPDATE meta SET value = ? WHERE key = ?",
                    [(last, "last_n"), (acknowledged, "acknowledged"), (proven or 0, "proven")],
                )
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        self.last_n, self.acknowledged, self.proven = last, acknowledged, proven

    def container(self, namespace: str, container: str) -> ContainerRow | None:
        """Return what is remembered of a container."""
        with _disk(self.path):
            row = self._connected.execute(
                "SELECT * FROM containers WHERE namespace = ? AND container = ?", (namespace, container)
            ).fetchone()
        return None if row is None else ContainerRow(**dict(zip(ContainerRow.__struct_fields__, row, strict=True)))

    def containers(self) -> Iterator[ContainerRow]:
        """Iterate over what is remembered of those containers whose record was not deleted."""
        with _disk(self.path):
            for row in self._connected.execute("SELECT * FROM containers WHERE deleted_at IS NULL"):
                yield ContainerRow(**dict(zip(ContainerRow.__struct_fields__, row, strict=True)))

    def forget_deleted(self, before: int) -> int:
        """Drop the counters of containers that were deleted before this time (ns); return how many.

        Safe once their events have expired from the log: only then may a sequence begin at 1 again.
        """
        with _disk(self.path):
            return self._connected.execute("DELETE FROM containers WHERE deleted_at < ?", (before,)).rowcount

    @property
    def _connected(self) -> sqlite3.Connection:
        assert self._db is not None, "the outbox is not open"
        return self._db


class OutboxReader:
    """The reading side: what is not in the log yet. May be used from any thread, one call at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=5.0
        )

    def after(self, n: int, limit: int) -> list[Entry]:
        """Return entries behind position `n`, in order: up to `limit`, fewer where they are large.

        Raises:
            OutboxError: the disk fails.
        """
        found: list[Entry] = []
        size = 0
        with _disk(self.path):
            rows = self._db.execute("SELECT encoded FROM entries WHERE last_n > ? ORDER BY last_n", (n,))
            try:
                for (encoded,) in rows:
                    found += [entry for entry in _decoder.decode(encoded) if entry.n > n]
                    size += len(encoded)
                    if len(found) >= limit or size >= _READ_BYTES:
                        break
            finally:
                rows.close()
        return found[:limit]

    def containers(self) -> Iterator[bytes]:
        """Iterate over what is remembered of containers whose record was not deleted, as the ledger encoded it.

        Raises:
            OutboxError: the disk fails.
        """
        with _disk(self.path):
            for (encoded,) in self._db.execute("SELECT description FROM containers WHERE deleted_at IS NULL"):
                yield encoded

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, msgspec.DecodeError) as error:
        raise OutboxError(f"the outbox {path} cannot be written or read: {error}") from error
