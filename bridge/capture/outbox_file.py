"""The outbox's file: opened, checked, and put aside where it is damaged.

A file of ours that SQLite finds damaged must not stop a host from being followed, and must not be thrown away: it is moved
aside under a name that tells the time, and a new one begins. A file that is not ours is never touched. Whatever SQLite
raises becomes an `OutboxError` here that says what is wrong with the disk.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bridge.errors import BridgeError, ConfigError

__all__ = ["OpenedFile", "OutboxDamagedError", "OutboxError", "OutboxFullError", "disk", "open_file"]

log = logging.getLogger(__name__)

FORMAT: Final = 2
APPLICATION: Final = 0x636F7562
"""In the header of the file: tells ours from every other program's."""

PAGE: Final = 8 * 1024
"""An event has a kilobyte, and pages of SQLite's default size would be half empty; bigger ones make a lone commit bigger."""

WAL: Final = 32 * 1024 * 1024
"""Bytes of write-ahead log before it is folded back into the file. That rewrites each page once, however often it was
changed, and stops the writer meanwhile."""

CACHE: Final = 4 * 1024 * 1024
"""Bytes of pages in memory. What is acknowledged is kept for minutes and hardly ever read; more would be filled with that."""

WAL_LEFT: Final = 2 * WAL
"""A write-ahead log that was longer once is cut to this."""

BUSY_S: Final = 5.0
"""How long one attempt waits for another program that has locked the file."""

CHECK_S: Final = 10.0
"""The check of a file that is larger than can be read in this time is broken off; what it has not seen counts as good."""

SCHEMA: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE entries (last_n INTEGER PRIMARY KEY, encoded BLOB NOT NULL)",
    """CREATE TABLE containers (
        namespace TEXT NOT NULL, container TEXT NOT NULL, state BLOB NOT NULL, deleted_at INTEGER,
        PRIMARY KEY (namespace, container)) WITHOUT ROWID""",
    "CREATE INDEX containers_deleted ON containers (deleted_at) WHERE deleted_at IS NOT NULL",
)
FIRST_META: Final = {"last_n": "0", "acknowledged": "0", "acknowledged_at": "0", "proven": "0"}

_MAGIC: Final = b"SQLite format 3\0"
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_REASONS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the disk, or the file, is read-only",
    sqlite3.SQLITE_BUSY: f"another program has held its lock for more than {BUSY_S:g} s",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_CANTOPEN: "its files cannot be opened",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged",
}


class OutboxError(BridgeError):
    """The disk under the outbox fails: full, read-only, locked or broken. Nothing is written; the same may be tried again."""


class OutboxFullError(OutboxError):
    """The disk is full."""


class OutboxDamagedError(OutboxError):
    """What is in the file is not what was written. Nothing repairs it; the next start puts it aside."""


class OpenedFile(NamedTuple):
    """An outbox's file that is open, what its `meta` says, and why the one before it was put aside, if one was."""

    db: sqlite3.Connection
    meta: dict[str, str]
    damage: str | None


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Raise what goes wrong with the outbox inside as an `OutboxError`."""
    try:
        yield
    except msgspec.DecodeError as error:
        _condemn(path, str(error))
        raise OutboxDamagedError(f"the outbox {path} is damaged: {error}") from error
    except sqlite3.Error as error:
        code = _code(error)
        if code in _DAMAGED:
            _condemn(path, str(error))
            raise OutboxDamagedError(f"the outbox {path} is damaged: {error}") from error
        reason = _REASONS.get(code)
        sentence = str(error) if reason is None else f"{reason} ({error})"
        kind = OutboxFullError if code == sqlite3.SQLITE_FULL else OutboxError
        raise kind(f"the outbox {path} cannot be written or read: {sentence}") from error


def open_file(path: Path) -> OpenedFile:
    """Open the file, or make it; a damaged one of ours is put aside first.

    Raises:
        ConfigError: the file cannot be used: no permission, another program's, or made by a newer version.
    """
    damage: str | None = None
    try:
        # Events tell what runs on the host; only its owner may read them here.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if (damage := _damage(path)) is not None:
            aside = _put_aside(path)
            log.error(
                "the outbox %s is damaged (%s): it is kept as %s, with all that was not in the log yet, and a new one begins",
                path,
                damage,
                aside,
            )
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = _connect(path)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"cannot use the outbox {path}: {error}") from error
    try:
        return OpenedFile(db, _prepare(db, path), damage)
    except sqlite3.Error as error:
        db.close()
        raise ConfigError(f"cannot use the outbox {path}: {error}") from error
    except BaseException:
        db.close()
        raise


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)


def _prepare(db: sqlite3.Connection, path: Path) -> dict[str, str]:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        raise ConfigError(f"{path} was made by a newer version (format {version}): upgrade containerd-bridge")
    if db.execute("PRAGMA application_id").fetchone()[0] not in {0, APPLICATION}:
        raise ConfigError(f"cannot use the outbox {path}: it is another program's file; give another --state-dir")
    if version:
        db.execute("SELECT last_n, encoded FROM entries LIMIT 1").fetchone()  # another program's file fails here too
    if 0 < version < FORMAT:
        raise ConfigError(
            f"the outbox {path} was made before the first release (format {version}): move it away, "
            "and a new one goes on where the log ends"
        )
    db.execute(f"PRAGMA page_size = {PAGE}")  # of a new file; another one keeps its own
    if version == 0:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file too: what an outage took is given back
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {WAL // PAGE}")
    db.execute(f"PRAGMA journal_size_limit = {WAL_LEFT}")
    db.execute(f"PRAGMA cache_size = {-CACHE // 1024}")
    db.execute("PRAGMA synchronous = FULL")
    if version == 0:
        # One transaction with the version in it: a crash leaves either nothing or all of it.
        db.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA:
            db.execute(statement)
        db.execute("INSERT INTO meta VALUES ('log', ?)", (str(uuid.uuid4()),))
        db.executemany("INSERT INTO meta VALUES (?, ?)", FIRST_META.items())
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {FORMAT}")
        db.execute("COMMIT")
    return dict(db.execute("SELECT key, value FROM meta"))


# -- damage


def _damage(path: Path) -> str | None:
    """Return what is wrong with a file of ours, None where nothing is, or where it is not ours."""
    mark = _mark(path)
    if mark.exists():
        return mark.read_text(errors="replace").strip() or "found while it was in use"
    with path.open("rb") as file:
        head = file.read(100)
    if not any(head):
        return "its beginning is empty" if head else None
    whose = int.from_bytes(head[68:72], "big")
    if not head.startswith(_MAGIC):
        return "its beginning is no SQLite file's" if whose == APPLICATION else None
    return _damage_inside(path) if whose in {0, APPLICATION} else None


def _damage_inside(path: Path) -> str | None:
    db = _connect(path)
    try:
        return _checked(db)
    except sqlite3.DatabaseError as error:
        if _code(error) == sqlite3.SQLITE_INTERRUPT:
            log.warning("the outbox %s was not checked to its end within %.0f s", path, CHECK_S)
            return None
        if _code(error) in _DAMAGED:
            return str(error)
        raise
    finally:
        db.close()


def _checked(db: sqlite3.Connection) -> str | None:
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        return None
    began = time.monotonic()
    db.set_progress_handler(lambda: time.monotonic() - began > CHECK_S, 10_000)
    said = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    if said != "ok":
        return said.replace("\n", " ")
    known = {key for (key,) in db.execute("SELECT key FROM meta")}
    missing = [key for key in ("log", *FIRST_META) if key not in known]
    return f"it lacks {', '.join(missing)}" if missing else None


def _put_aside(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    # The main file last: until then a crash leaves what will be found damaged again.
    for end in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(aside.with_name(aside.name + end))
    _mark(path).unlink(missing_ok=True)
    return aside


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.is-damaged")


def _condemn(path: Path, reason: str) -> None:
    # Damage inside a row is not found by SQLite's own check; without this the next start would end like this one.
    with suppress(OSError):
        _mark(path).write_text(reason)


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary code; 0 where the error is not SQLite's."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
