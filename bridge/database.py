"""A SQLite file of ours: opened, checked, and put aside where it is damaged.

A file of ours that SQLite finds damaged must not stop a host from being followed, and must not be thrown away: it is moved
aside under a name that tells the time, and a new one begins. A file that is not ours is never touched. Whatever SQLite
raises becomes a `DatabaseError` here that says what is wrong with the disk. WAL mode with `synchronous=FULL`: what was
committed survives a crash of the bridge and of the host, as far as the disk is honest.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bridge.errors import BridgeError, ConfigError

__all__ = [
    "Database",
    "DatabaseDamagedError",
    "DatabaseError",
    "DatabaseFullError",
    "OpenedFile",
    "check_file",
    "disk",
    "open_file",
]

log = logging.getLogger(__name__)

WAL: Final = 32 * 1024 * 1024
"""Bytes of write-ahead log before it is folded back into the file. That rewrites each page once, however often it was
changed, and stops the writer meanwhile."""

CACHE: Final = 4 * 1024 * 1024
"""Bytes of pages in memory. What is kept for a while is hardly ever read; more would be filled with that."""

WAL_LEFT: Final = 2 * WAL
"""A write-ahead log that was longer once is cut to this."""

BUSY_S: Final = 5.0
"""How long one attempt waits for another program that has locked the file."""

CHECK_S: Final = 10.0
"""The check of a file that is larger than can be read in this time is broken off; what it has not seen counts as good."""

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


class DatabaseError(BridgeError):
    """The disk under a file of ours fails: full, read-only, locked or broken. Nothing is written; the same may be tried again."""


class DatabaseFullError(DatabaseError):
    """The disk is full."""


class DatabaseDamagedError(DatabaseError):
    """What is in the file is not what was written. Nothing repairs it; the next start puts it aside."""


class Database(NamedTuple):
    """What a file is.

    Attributes:
        name: what sentences call it: "outbox".
        application: in the header of the file; tells ours from every other program's, and one of ours from the other.
        format: the version of its tables. `schema` makes them.
        look: a query that fails on a file which has the version and is not ours all the same.
        meta: what the table `meta` begins with, beside `log`, a UUID.
        page: bytes of a page.
        lost: what is in a file that is put aside: "all that was not in the log yet".
        older: what to do about a file of an older format.
    """

    name: str
    application: int
    format: int
    schema: tuple[str, ...]
    look: str
    meta: Mapping[str, str]
    page: int
    lost: str
    older: str


class OpenedFile(NamedTuple):
    """A file that is open, what its `meta` says, and why the one before it was put aside, if one was."""

    db: sqlite3.Connection
    meta: dict[str, str]
    damage: str | None


@contextmanager
def disk(kind: Database, path: Path) -> Iterator[None]:
    """Raise what goes wrong with the file inside as a `DatabaseError`."""
    try:
        yield
    except msgspec.DecodeError as error:
        _condemn(path, str(error))
        raise DatabaseDamagedError(f"the {kind.name} {path} is damaged: {error}") from error
    except sqlite3.Error as error:
        code = _code(error)
        if code in _DAMAGED:
            _condemn(path, str(error))
            raise DatabaseDamagedError(f"the {kind.name} {path} is damaged: {error}") from error
        reason = _REASONS.get(code)
        sentence = str(error) if reason is None else f"{reason} ({error})"
        failure = DatabaseFullError if code == sqlite3.SQLITE_FULL else DatabaseError
        raise failure(f"the {kind.name} {path} cannot be written or read: {sentence}") from error


def open_file(kind: Database, path: Path) -> OpenedFile:
    """Open the file, or make it; a damaged one of ours is put aside first.

    Raises:
        ConfigError: the file cannot be used: no permission, another program's, or made by a newer version.
    """
    damage: str | None = None
    try:
        # It tells what runs on the host; only its owner may read that here.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if (damage := _damage(kind, path)) is not None:
            aside = _put_aside(path)
            log.error(
                "the %s %s is damaged (%s): it is kept as %s, with %s, and a new one begins",
                kind.name,
                path,
                damage,
                aside,
                kind.lost,
            )
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = _connect(path)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"cannot use the {kind.name} {path}: {error}") from error
    try:
        return OpenedFile(db, _prepare(kind, db, path), damage)
    except sqlite3.Error as error:
        db.close()
        raise ConfigError(f"cannot use the {kind.name} {path}: {error}") from error
    except BaseException:
        db.close()
        raise


def check_file(kind: Database, path: Path) -> None:
    """Find out whether `open_file` would refuse the file as it is; nothing is changed, and another process may have it open.

    Raises:
        ConfigError: it would. A damaged file is no reason: it would be put aside.
    """
    try:
        if path.exists():
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as db:
                _known(kind, db, path)
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, OSError) or _code(error) not in _DAMAGED:
            raise ConfigError(f"cannot use the {kind.name} {path}: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)


def _known(kind: Database, db: sqlite3.Connection, path: Path) -> int:
    """Return the version of a file that is ours and that we know, 0 of an empty one.

    Raises:
        ConfigError: it is not.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > kind.format:
        raise ConfigError(f"{path} was made by a newer version (format {version}): upgrade containerd-bridge")
    if db.execute("PRAGMA application_id").fetchone()[0] not in {0, kind.application}:
        raise ConfigError(f"cannot use the {kind.name} {path}: it is another program's file; give another --state-dir")
    if version:
        db.execute(kind.look).fetchone()  # another program's file fails here too
    if 0 < version < kind.format:
        raise ConfigError(f"the {kind.name} {path} was made before the first release (format {version}): {kind.older}")
    return version


def _prepare(kind: Database, db: sqlite3.Connection, path: Path) -> dict[str, str]:
    version = _known(kind, db, path)
    db.execute(f"PRAGMA page_size = {kind.page}")  # of a new file; another one keeps its own
    if version == 0:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file too: what an outage took is given back
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {WAL // kind.page}")
    db.execute(f"PRAGMA journal_size_limit = {WAL_LEFT}")
    db.execute(f"PRAGMA cache_size = {-CACHE // 1024}")
    db.execute("PRAGMA synchronous = FULL")
    if version == 0:
        # One transaction with the version in it: a crash leaves either nothing or all of it.
        db.execute("BEGIN IMMEDIATE")
        for statement in ("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID", *kind.schema):
            db.execute(statement)
        db.execute("INSERT INTO meta VALUES ('log', ?)", (str(uuid.uuid4()),))
        db.executemany("INSERT INTO meta VALUES (?, ?)", kind.meta.items())
        db.execute(f"PRAGMA application_id = {kind.application}")
        db.execute(f"PRAGMA user_version = {kind.format}")
        db.execute("COMMIT")
    return dict(db.execute("SELECT key, value FROM meta"))


# -- damage


def _damage(kind: Database, path: Path) -> str | None:
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
        return "its beginning is no SQLite file's" if whose == kind.application else None
    return _damage_inside(kind, path) if whose in {0, kind.application} else None


def _damage_inside(kind: Database, path: Path) -> str | None:
    db = _connect(path)
    try:
        return _checked(kind, db)
    except sqlite3.DatabaseError as error:
        if _code(error) == sqlite3.SQLITE_INTERRUPT:
            log.warning("the %s %s was not checked to its end within %.0f s", kind.name, path, CHECK_S)
            return None
        if _code(error) in _DAMAGED:
            return str(error)
        raise
    finally:
        db.close()


def _checked(kind: Database, db: sqlite3.Connection) -> str | None:
    if db.execute("PRAGMA application_id").fetchone()[0] != kind.application:
        return None
    began = time.monotonic()
    db.set_progress_handler(lambda: time.monotonic() - began > CHECK_S, 10_000)
    said = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    if said != "ok":
        return said.replace("\n", " ")
    known = {key for (key,) in db.execute("SELECT key FROM meta")}
    missing = [key for key in ("log", *kind.meta) if key not in known]
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
