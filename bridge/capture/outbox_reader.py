"""The outbox's reading side: a connection of its own, so that it never waits for the writer, nor the writer for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from bridge.capture.outbox_file import disk
from bridge.ports import Entry

__all__ = ["OutboxReader"]

READ_BYTES: Final = 8 * 1024 * 1024
"""What one read gives at the most, but for the last row: bounds the memory of catching up after an outage."""

_decoder = msgspec.msgpack.Decoder(list[Entry])


class OutboxReader:
    """The reading side: what is not in the log yet, and what is kept. May be used from any thread, one call at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk(path):
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=5.0,
            )

    def after(self, n: int, limit: int) -> list[Entry]:
        """Return entries behind position `n`, in order: up to `limit`, fewer where they are large.

        Raises:
            OutboxError: the disk fails.
        """
        found: list[Entry] = []
        size = 0
        with disk(self.path):
            rows = self._db.execute("SELECT encoded FROM entries WHERE last_n > ? ORDER BY last_n", (n,))
            try:
                for (encoded,) in rows:
                    found += [entry for entry in _decoder.decode(encoded) if entry.n > n]
                    size += len(encoded)
                    if len(found) >= limit or size >= READ_BYTES:
                        break
            finally:
                rows.close()
        return found[:limit]

    def containers(self, gone_since: int) -> Iterator[bytes]:
        """Iterate over what is remembered of containers, as the ledger encoded it; not of those deleted up to this time (ns).

        Raises:
            OutboxError: the disk fails.
        """
        with disk(self.path):
            rows = self._db.execute(
                "SELECT state FROM containers WHERE deleted_at IS NULL OR deleted_at > ?", (gone_since,)
            )
            for (encoded,) in rows:
                yield encoded

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
