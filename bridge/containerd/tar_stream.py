"""A tar archive read as it comes, compressed or not, without a file of it anywhere.

Python reads archives with blocking calls, so one thread does, for as long as the context lasts; it gets its bytes from the
event loop and hands over what it finds, and neither runs ahead of the other.
"""

from __future__ import annotations

import asyncio
import tarfile
import threading
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from concurrent.futures import CancelledError as GivenUp
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from bridge.errors import CommandFailed
from bridge.ports import Archive

__all__ = ["Member", "TarStream"]

T = TypeVar("T")

PIECE: Final = 1 << 20
AHEAD: Final = 4
"""Pieces that may wait between the thread and us."""

MOST: Final = 1 << 40
"""Bytes of an archive, unpacked: what is more was packed to fill disks."""


class Member(NamedTuple):
    """One entry: a file, or a link with its target; everything else is passed over."""

    name: str
    size: int
    link: str | None


class _Over(Exception):
    """The context was left before the archive was at its end."""


class TarStream:
    """The entries of an archive: `async for member in stream`, and `stream.pieces()` for the bytes of the last one."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._queue: asyncio.Queue[Member | bytes | BaseException | None] = asyncio.Queue(AHEAD)
        self._lock = threading.Lock()
        self._waiting: Future[Any] | None = None
        self._over = False
        self._next: Member | None = None
        self._peeked = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._read, name="archive", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        with self._lock:
            self._over = True
            waiting = self._waiting
        if waiting is not None:
            waiting.cancel()
        await asyncio.to_thread(self._thread.join)
        if isinstance(self._archive, AsyncGenerator):
            await self._archive.aclose()

    def __aiter__(self) -> AsyncIterator[Member]:
        return self._members()

    async def _members(self) -> AsyncIterator[Member]:
        while True:
            async for _ in self.pieces():  # what nobody wanted of the last one
                pass
            found = self._next
            self._next, self._peeked = None, False
            if found is None:
                return
            yield found

    async def pieces(self) -> AsyncIterator[bytes]:
        """Return the bytes of the entry that came last, as far as nobody has taken them."""
        while not self._peeked:
            item = await self._queue.get()
            if isinstance(item, bytes):
                yield item
            elif isinstance(item, BaseException):
                raise item
            else:
                self._next, self._peeked = item, True

    # -- in the thread

    def _read(self) -> None:
        try:
            try:
                self._entries()
            except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
                sentence = f"this is no tar archive that can be read: {error}"
                self._hand_over(CommandFailed("invalid_argument", sentence))
            except CommandFailed as error:
                self._hand_over(error)
            else:
                self._hand_over(None)
        except (_Over, GivenUp, RuntimeError):  # nobody waits any more, or there is no loop any more
            return

    def _entries(self) -> None:
        total = 0
        with tarfile.open(fileobj=_Source(self), mode="r|*", bufsize=PIECE) as tar:  # type: ignore[call-overload]
            for info in tar:
                if info.issym() or info.islnk():
                    self._hand_over(Member(info.name, 0, info.linkname))
                    continue
                file = tar.extractfile(info) if info.isreg() else None
                if file is None:
                    continue
                self._hand_over(Member(info.name, info.size, None))
                while piece := file.read(PIECE):
                    total += len(piece)
                    if total > MOST:
                        raise CommandFailed("invalid_argument", f"the archive holds more than {MOST} bytes")
                    self._hand_over(piece)
        while self.more():  # its maker's digest is compared at its very end, behind what a tar needs
            pass

    def more(self) -> bytes:
        """Return the next bytes of the archive, none at its end."""

        async def piece() -> bytes:
            async for data in self._archive:
                if data:
                    return data
            return b""

        return self._wait_for(piece())

    def _hand_over(self, item: Member | bytes | BaseException | None) -> None:
        self._wait_for(self._queue.put(item))

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            if self._over:
                work.close()
                raise _Over
            future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._waiting = future
        return future.result()


class _Source:
    """What `tarfile` reads from."""

    def __init__(self, stream: TarStream) -> None:
        self._stream = stream
        self._rest = b""

    def read(self, size: int) -> bytes:
        parts = [self._rest]
        length = len(self._rest)
        while length < size and (piece := self._stream.more()):
            parts.append(piece)
            length += len(piece)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]
