"""The journal's tables, and what is done in them. One thread at a time; see `bridge.control.journal`."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from bridge.database import Database, check_file, disk, open_file
from bridge.errors import BadEnvelope
from bridge.model.codec import decode_as, encode_any
from bridge.model.events import Failure, Who
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Outcome
from bridge.ports import JournalRow

__all__ = ["PRUNED", "JournalFile", "check_journal"]

S = TypeVar("S", bound=Struct)

log = logging.getLogger(__name__)

JOURNAL: Final = Database(
    name="journal",
    application=0x636F6E6A,
    format=1,
    schema=(
        """CREATE TABLE commands (
            id TEXT PRIMARY KEY, digest TEXT NOT NULL, verb TEXT NOT NULL, namespace TEXT, container TEXT,
            body BLOB NOT NULL, reply TEXT NOT NULL, via TEXT NOT NULL, delivery INTEGER NOT NULL, who BLOB, rule TEXT,
            received_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER, outcome BLOB,
            told INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID""",
        "CREATE INDEX commands_finished ON commands (finished_at) WHERE finished_at IS NOT NULL",
        "CREATE INDEX commands_open ON commands (received_at) WHERE finished_at IS NULL",
        "CREATE INDEX commands_untold ON commands (finished_at) WHERE told = 0 AND finished_at IS NOT NULL",
        "CREATE TABLE attempts (delivery INTEGER PRIMARY KEY, count INTEGER NOT NULL)",
    ),
    look="SELECT id, digest, told FROM commands LIMIT 1",
    meta={"jobs": ""},
    page=4 * 1024,
    lost="what it knew of commands",
    older="move it away, and a new one begins",
)

_FIELDS: Final = (
    "id, digest, verb, namespace, container, body, reply, via, delivery, who, rule, received_at, started_at, outcome"
)

PRUNED: Final = 500
"""Rows that go at once: some milliseconds."""


def check_journal(path: Path) -> None:
    """Find out whether the journal can be used as it is, while another bridge works with it.

    Raises:
        ConfigError: it cannot.
    """
    check_file(JOURNAL, path)


class JournalFile:
    """One open file; `execute` the methods between `begin` and `commit`, or `rollback`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db, self._meta, self.damage = open_file(JOURNAL, path)
        self.identity = self._meta["log"]
        """Its UUID."""
        with disk(JOURNAL, path):
            rows = int(self._db.execute("SELECT count(*) FROM commands").fetchone()[0])
        self.rows = rows
        """Commands in it."""

    def close(self) -> None:
        """Fold the write-ahead log back and close the file."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:  # what is committed is as safe in the write-ahead log
            log.warning("the journal %s keeps its write-ahead log: %s", self.path, error)
        finally:
            self._db.close()

    # -- transactions

    def transact(self, work: Iterable[Any]) -> list[Any]:
        """Call every one of `work` in one transaction; return what they returned.

        Raises:
            DatabaseError: the disk fails; nothing of it is written.
        """
        rows = self.rows
        with disk(JOURNAL, self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                done = [each(self) for each in work]
                self._db.execute("COMMIT")
            except BaseException:
                self.rows = rows
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        return done

    # -- what is done inside

    def look(self, command_id: str) -> JournalRow | None:
        """Return what stands there."""
        found = self._db.execute(f"SELECT {_FIELDS} FROM commands WHERE id = ?", (command_id,)).fetchone()  # noqa: S608
        return None if found is None else _row(found)

    def accept(self, row: JournalRow) -> JournalRow | None:
        """Write it down unless it is there; return what stood there."""
        before = self.look(row.id)
        if before is None:
            self._insert(row)
        self.drop_attempt(row.delivery)
        return before

    def start(self, row: JournalRow, at: Nanos) -> JournalRow | None:
        """Write down when it starts, unless it had started or was finished; return what stood there."""
        before = self.accept(row)
        self._db.execute(
            "UPDATE commands SET started_at = ?, rule = ? WHERE id = ? AND started_at IS NULL AND finished_at IS NULL",
            (at, row.rule, row.id),
        )
        return before

    def finish(self, row: JournalRow, outcome: Outcome) -> Outcome:
        """Write the outcome down unless one is there; return the one that is."""
        before = self.accept(row)
        if before is not None and before.outcome is not None:
            return before.outcome
        self._db.execute(
            "UPDATE commands SET finished_at = ?, outcome = ? WHERE id = ?",
            (outcome.finished_at or time.time_ns(), encode_any(outcome), row.id),
        )
        return outcome

    def reopen(self, command_id: str, delivery: int) -> None:
        """Take out what never started and came with another delivery."""
        self.rows -= self._db.execute(
            "DELETE FROM commands WHERE id = ? AND started_at IS NULL AND finished_at IS NOT NULL AND delivery != ?",
            (command_id, delivery),
        ).rowcount

    def withdraw(self, command_id: str) -> None:
        """Take out what was accepted only."""
        self.rows -= self._db.execute(
            "DELETE FROM commands WHERE id = ? AND started_at IS NULL AND finished_at IS NULL", (command_id,)
        ).rowcount

    def tell(self, ids: Iterable[str]) -> None:
        """Note that these were told."""
        self._db.executemany("UPDATE commands SET told = 1, body = x'' WHERE id = ?", [(each,) for each in ids])

    def unfinished(self) -> list[JournalRow]:
        """Return what has no outcome."""
        return self._rows("finished_at IS NULL ORDER BY received_at")

    def untold(self) -> list[JournalRow]:
        """Return what has one that was not told."""
        return self._rows("told = 0 AND finished_at IS NOT NULL ORDER BY finished_at")

    def attempt(self, stream: str, delivery: int) -> int:
        """Count one more."""
        if self._meta["jobs"] != stream:
            self._db.execute("DELETE FROM attempts")
            self._db.execute("UPDATE meta SET value = ? WHERE key = 'jobs'", (stream,))
            self._meta["jobs"] = stream
        self._db.execute(
            "INSERT INTO attempts VALUES (?, 1) ON CONFLICT (delivery) DO UPDATE SET count = count + 1", (delivery,)
        )
        return int(self._db.execute("SELECT count FROM attempts WHERE delivery = ?", (delivery,)).fetchone()[0])

    def drop_attempt(self, delivery: int) -> None:
        """Forget them."""
        if delivery:
            self._db.execute("DELETE FROM attempts WHERE delivery = ?", (delivery,))

    def prune(self, before: int, *, at_once: int = PRUNED) -> int:
        """Take out commands that were finished before that time (ns) and told; return how many, `at_once` at the most."""
        gone = self._db.execute(
            "DELETE FROM commands WHERE id IN (SELECT id FROM commands WHERE finished_at < ? AND told = 1 LIMIT ?)",
            (before, at_once),
        ).rowcount
        # Jobs that were taken out of their stream before they had begun.
        gone += self._db.execute(
            "DELETE FROM commands WHERE finished_at IS NULL AND started_at IS NULL AND received_at < ?", (before,)
        ).rowcount
        self.rows -= gone
        return gone

    # -- inside

    def _insert(self, row: JournalRow) -> None:
        values = (row.id, row.digest, row.verb, row.namespace, row.container, row.body, row.reply, row.via)
        self._db.execute(
            "INSERT INTO commands (id, digest, verb, namespace, container, body, reply, via, delivery, who, rule, received_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, row.delivery, None if row.who is None else encode_any(row.who), row.rule, row.received_at),
        )
        self.rows += 1

    def _rows(self, where: str) -> list[JournalRow]:
        return [_row(each) for each in self._db.execute(f"SELECT {_FIELDS} FROM commands WHERE {where}")]  # noqa: S608


def _row(fields: tuple[Any, ...]) -> JournalRow:
    values = dict(zip(_FIELDS.split(", "), fields, strict=True))
    outcome, started, who = values.pop("outcome"), values.pop("started_at"), values.pop("who")
    row = JournalRow(
        **values | {"received_at": Nanos(values["received_at"])},
        who=None if who is None else _decoded(who, Who, values["id"]),
        started_at=None if started is None else Nanos(started),
    )
    return row if outcome is None else replace(row, outcome=_decoded(outcome, Outcome, row.id) or _unreadable(row))


def _decoded(encoded: bytes, kind: type[S], command_id: str) -> S | None:
    """Return what stands there; None where another version of the bridge wrote it and this one cannot read it."""
    try:
        return decode_as(encoded, kind)
    except BadEnvelope as error:
        log.warning("what the journal has of command %s cannot be read: %s", command_id, error)
        return None


def _unreadable(row: JournalRow) -> Outcome:
    """Return what is known of the end of a command whose outcome cannot be read: that it has ended."""
    sentence = "it has ended, but how was written down by another version of the bridge: look at what it was to change"
    return Outcome(
        id=row.id,
        verb=row.verb,
        node="",
        outcome="unknown",
        namespace=row.namespace,
        container=row.container,
        error=Failure(code="unknown", message=sentence),
        received_at=row.received_at,
    )
