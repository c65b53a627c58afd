"""The outbox's file: its tables, and what `bridge.database` does for it under the outbox's own names."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from bridge import database
from bridge.database import Database, OpenedFile
from bridge.database import DatabaseDamagedError as OutboxDamagedError
from bridge.database import DatabaseError as OutboxError
from bridge.database import DatabaseFullError as OutboxFullError

__all__ = ["OpenedFile", "OutboxDamagedError", "OutboxError", "OutboxFullError", "check_file", "disk", "open_file"]

OUTBOX: Final = Database(
    name="outbox",
    application=0x636F7562,
    format=2,
    schema=(
        "CREATE TABLE entries (last_n INTEGER PRIMARY KEY, encoded BLOB NOT NULL)",
        """CREATE TABLE containers (
            namespace TEXT NOT NULL, container TEXT NOT NULL, state BLOB NOT NULL, deleted_at INTEGER,
            PRIMARY KEY (namespace, container)) WITHOUT ROWID""",
        "CREATE INDEX containers_deleted ON containers (deleted_at) WHERE deleted_at IS NOT NULL",
    ),
    look="SELECT last_n, encoded FROM entries LIMIT 1",
    meta={"last_n": "0", "acknowledged": "0", "acknowledged_at": "0", "proven": "0"},
    # An event has a kilobyte, and pages of SQLite's default size would be half empty; bigger ones make a lone commit bigger.
    page=8 * 1024,
    lost="all that was not in the log yet",
    older="move it away, and a new one goes on where the log ends",
)


def disk(path: Path) -> AbstractContextManager[None]:
    """Raise what goes wrong with the outbox inside as an `OutboxError`."""
    return database.disk(OUTBOX, path)


def check_file(path: Path) -> None:
    """Find out whether `open_file` would refuse the outbox as it is, while another bridge works with it.

    Raises:
        ConfigError: it would.
    """
    database.check_file(OUTBOX, path)


def open_file(path: Path) -> OpenedFile:
    """Open the outbox, or make it; a damaged one of ours is put aside first.

    Raises:
        ConfigError: the file cannot be used: no permission, another program's, or made by a newer version.
    """
    return database.open_file(OUTBOX, path)
