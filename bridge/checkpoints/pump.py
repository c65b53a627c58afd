"""Bytes between the event loop and the one thread that packs or unpacks them; neither runs ahead of the other.

Compressing, hashing and writing to disks block, so they happen in a worker thread; what comes from the bus and goes to it
belongs to the loop. Whoever is cancelled here waits until the thread has ended, so that nothing is written any more when he
cleans up.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from concurrent.futures import CancelledError as GivenUp
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["consumed", "produced", "thread"]

T = TypeVar("T")


async def thread(work: Callable[[], T], *, stop: Callable[[], None] = lambda: None) -> T:
    """Do `work` in a worker thread. When cancelled, call `stop` and wait for the end of the work."""
    return await _to_its_end(asyncio.ensure_future(asyncio.to_thread(work)), stop)


async def _to_its_end(task: asyncio.Future[T], stop: Callable[[], None]) -> T:
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop()
        await _ended(task)
        raise


async def consumed(archive: AsyncIterator[bytes], work: Callable[[Callable[[], bytes]], T]) -> T:
    """Do `work` in a thread of its own; what it is given returns the archive's next bytes, none at their end.

    It waits for whoever brings the bytes, who may need one of the few worker threads, so it must not hold one.

    The archive's own errors reach the caller through the work.
    """
    feed = _Feed(archive, asyncio.get_running_loop())
    try:
        return await _to_its_end(_alone(lambda: work(feed.more)), feed.stop)
    finally:
        await _ended(feed.asking)
        if isinstance(archive, AsyncGenerator):
            await archive.aclose()


def _alone(work: Callable[[], T]) -> asyncio.Future[T]:
    done: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits for it
            done.set_exception(error)
        else:
            done.set_result(result)

    threading.Thread(target=run, name="checkpoint", daemon=True).start()
    return asyncio.wrap_future(done)


async def produced(pieces: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
    """Return what a blocking generator gives, made in a worker thread, one piece ahead of whoever takes it."""

    def next_piece() -> bytes | None:
        return next(pieces, None)

    ahead = asyncio.ensure_future(thread(next_piece))
    try:
        while (piece := await ahead) is not None:
            ahead = asyncio.ensure_future(thread(next_piece))
            yield piece
    finally:
        ahead.cancel()
        await _ended(ahead)
        pieces.close()


async def _ended(task: asyncio.Future[Any] | None) -> None:
    """Wait for the end of a task, however impatient our own caller is."""
    while task is not None and not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if task is not None and not task.cancelled():
        task.exception()  # it has been seen


class _Feed:
    """What the thread takes its bytes from."""

    def __init__(self, archive: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._archive = archive
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting: Future[Any] | None = None
        self._over = False
        self.asking: asyncio.Task[Any] | None = None

    def more(self) -> bytes:
        """Return the next bytes, none at the end; called by the thread."""

        async def piece() -> bytes:
            self.asking = asyncio.current_task()
            async for data in self._archive:
                if data:
                    return data
            return b""

        with self._lock:
            if self._over:
                raise GivenUp
            future = asyncio.run_coroutine_threadsafe(piece(), self._loop)
            self._waiting = future
        return future.result()

    def stop(self) -> None:
        """Let the thread end at its next byte; called by the loop."""
        with self._lock:
            self._over = True
            waiting = self._waiting
        if waiting is not None:
            waiting.cancel()
