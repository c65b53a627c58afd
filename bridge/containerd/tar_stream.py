"""A tar archive read as it comes, compressed or not, without a file of it anywhere.

Python reads archives with blocking calls, so one thread does, for as long as the context lasts; it gets its bytes from the
event loop and hands over what it finds, and neither runs ahead of the other. The archive is hostile input: how many entries there
are, how long their headers and names, and how much comes out of it, is bounded here.
"""

from __future__ import annotations

import asyncio
import tarfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from concurrent.futures import CancelledError as GivenUp
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from bridge.containerd.packing import PACKING_ERRORS, Unpacked
from bridge.errors import CommandFailed
from bridge.ports import Archive

__all__ = ["Member", "TarStream"]

T = TypeVar("T")

PIECE: Final = 1 << 20
AHEAD: Final = 4
"""Pieces that may wait between the thread and us."""

MOST: Final = 1 << 40
"""Bytes of an archive, unpacked: what is more was packed to fill disks."""

MOST_ENTRIES: Final = 100_000
LONGEST_NAME: Final = 4096
LARGEST_HEADER: Final = 1 << 20
"""Bytes before an entry's content: its header, its long names, and what else is said of it."""


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
            # Headers can be nested so deeply that reading them ends in a RecursionError.
            except (tarfile.TarError, *PACKING_ERRORS, ValueError, OverflowError, RecursionError) as error:
                sentence = f"this is no tar archive that can be read: {error}"
                self._hand_over(CommandFailed("invalid_argument", sentence))
            except CommandFailed as error:
                self._hand_over(error)
            else:
                self._hand_over(None)
        except (_Over, GivenUp, RuntimeError):  # nobody waits any more, or there is no loop any more
            return

    def _entries(self) -> None:
        source = _Source(Unpacked(self.more))
        total = entries = 0
        with tarfile.TarFile(fileobj=source, mode="r") as tar:  # type: ignore[arg-type]
            while (info := source.next(tar)) is not None:
                entries += 1
                _check(info, entries)
                if info.issym() or info.islnk():
                    self._hand_over(Member(info.name, 0, info.linkname))
                elif info.isreg():
                    total += info.size
                    if total > MOST:
                        raise CommandFailed("invalid_argument", f"the archive holds more than {MOST} bytes")
                    self._hand_over(Member(info.name, info.size, None))
                    for piece in source.content(info.offset_data, info.size):
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
    """What `tarfile` reads from: a file that goes forward only, and of which one header takes no more than it needs.

    `tarfile` reads a header's parts, such as a long name, at once and whole, however long they say that they are.
    """

    def __init__(self, file: Unpacked) -> None:
        self._file = file
        self._position = 0
        self._left = LARGEST_HEADER

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        """Pass over what nobody wants."""
        while self._position < position and self._take(min(PIECE, position - self._position)):
            pass

    def next(self, tar: Any) -> tarfile.TarInfo | None:
        """Return the next entry, None at the end."""
        self._left = LARGEST_HEADER
        found: tarfile.TarInfo | None = tar.next()
        tar.members.clear()  # else it remembers every entry, and what is said for all of them
        tar.pax_headers.clear()
        return found

    def read(self, size: int) -> bytes:
        """Return a piece of a header."""
        self._left -= size
        if size < 0 or self._left < 0:
            raise CommandFailed(
                "invalid_argument", f"an entry of the archive has a header of more than {LARGEST_HEADER} bytes"
            )
        return self._take(size)

    def content(self, begin: int, size: int) -> Iterator[bytes]:
        """Return the content of an entry."""
        self.seek(begin)
        while self._position < begin + size:
            piece = self._take(min(PIECE, begin + size - self._position))
            if not piece:
                raise EOFError("it ends in the middle of an entry")
            yield piece

    def _take(self, size: int) -> bytes:
        data = self._file.read(size)
        self._position += len(data)
        return data


def _check(info: tarfile.TarInfo, entries: int) -> None:
    if entries > MOST_ENTRIES:
        raise CommandFailed("invalid_argument", f"the archive has more than {MOST_ENTRIES} entries")
    if max(len(info.name), len(info.linkname)) > LONGEST_NAME:
        raise CommandFailed("invalid_argument", f"a name in the archive has more than {LONGEST_NAME} characters")
    if info.sparse is not None:
        raise CommandFailed("invalid_argument", f"entry {info.name[:100]!r} of the archive is a file with holes")
