"""What is sent to a process before it is there: kept in a file, and written to its pipe when it has been started.

It is on disk before its sender hears that it was taken, and it is little: whoever sends more has to wait for the process, as
he would with a pipe that nobody reads.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

__all__ = ["MOST", "Ahead"]

MOST: Final = 256 * 1024
"""Bytes that are kept: what fits into a pipe of ours."""


class Ahead:
    """One process's. Calls that are no coroutines take and give what the page cache has."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size if path.exists() else 0
        self.ready = asyncio.Event()
        """Set once there is a process that what comes can go to."""

    def add(self, data: bytes) -> int:
        """Keep as much of it as there is room for; return how much that is.

        Raises:
            OSError: the disk does not take it.
        """
        data = data[: max(0, MOST - self.size)]
        if data:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(descriptor, self.size)  # a write that failed half-way has left more
                count = os.write(descriptor, data)
            finally:
                os.close(descriptor)
            self.size += count
            return count
        return 0

    def read(self, offset: int) -> bytes:
        """Return what is kept from `offset` on."""
        if offset >= self.size:
            return b""
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(self.size - offset)

    async def sync(self) -> None:
        """Have all of it on disk, and beside it the note that nothing follows, where there is one.

        Raises:
            OSError: the disk does not take it.
        """
        await asyncio.to_thread(self._sync)

    def _sync(self) -> None:
        for path in (self._path, self._path.parent):
            if path.exists():
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
