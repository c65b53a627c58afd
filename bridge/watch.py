"""The watch over the daemon: when it has to stop, why, and by when.

It stops when a signal asks for it, or when a part of it has ended that should not have. From then on there is one deadline for
everything; what hangs beyond it is cut off with the process, and what is committed reaches the log after the next start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, NoReturn

from bridge.errors import BridgeError

__all__ = ["GRACE_S", "STOP_S", "Watch"]

log = logging.getLogger(__name__)

STOP_S: Final = 8.0
"""Seconds for a clean stop; with `GRACE_S` below the 10 s after which `docker stop` kills."""

GRACE_S: Final = 1.5
"""What closing the connections may take on top of it, before the process ends without."""


class Watch:
    """Sees to it that the daemon stops when it is asked to, or when a part of it has ended; keeps the one deadline."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._deadline: float | None = None
        self._end: threading.Timer | None = None
        self._breakable: asyncio.Task[Any] | None = None
        self.failure: str | None = None
        """Why the daemon stops by itself; None while it does not."""
        self.parting = "asked to stop"
        """Why it stops where nothing is wrong."""
        self._hangup: Callable[[], None] | None = None

    def on_hangup(self, do: Callable[[], None]) -> None:
        """Call this on SIGHUP, which asks for settings to be read again; before there is anybody to do so it is left alone."""
        self._hangup = do

    async def stopped(self) -> None:
        """Wait until the daemon has to stop."""
        await self._stop.wait()

    @contextmanager
    def unless_stopped(self) -> Iterator[None]:
        """Break off what is inside when the daemon has to stop before it is done."""
        self._breakable = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if self._breakable is None or not self._stop.is_set():
                raise
            self._breakable.uncancel()
        finally:
            self._breakable = None

    def time_left(self) -> float:
        """Return the seconds until the deadline, a tenth at least; a start that failed asks first, and so sets it."""
        return max(0.1, self._limit() - time.monotonic())

    def fail(self, reason: str) -> None:
        """Stop the daemon for this reason."""
        if self.failure is None and not self._stop.is_set():
            log.error("stopping: %s", reason)
            self.failure = reason
        self._begin_to_stop()

    def leave(self, reason: str) -> None:
        """Stop the daemon for this reason, with which nothing is wrong."""
        if not self._stop.is_set():
            log.info("stopping: %s", reason)
            self.parting = reason
        self._begin_to_stop()

    def give_up(self, reason: str) -> NoReturn:
        """End the process at once; what is committed reaches the log after the next start."""
        log.error("giving up: %s; what is committed reaches the log after the next start", reason)
        logging.shutdown()
        os._exit(1)

    def _begin_to_stop(self) -> None:
        self._limit()
        self._stop.set()
        if self._breakable is not None:
            self._breakable.cancel()

    def _limit(self) -> float:
        """Return the deadline; the first time set it, and see to it that the process ends soon after it whatever hangs."""
        if self._deadline is None:
            self._deadline = time.monotonic() + STOP_S
            seconds = STOP_S + GRACE_S
            self._end = threading.Timer(seconds, self.give_up, (f"it took more than {seconds:.1f} s to stop",))
            self._end.daemon = True
            self._end.start()
        return self._deadline

    @asynccontextmanager
    async def task(self, work: Coroutine[Any, Any, object], name: str) -> AsyncIterator[None]:
        """Run `work` while the context lasts; when it ends by itself, the daemon stops."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        try:
            yield
        finally:
            task.remove_done_callback(self._ended)
            task.cancel()
            await asyncio.wait((task,), timeout=self.time_left())

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT as a request to stop while the context lasts; a second one stops at once. SIGHUP is no end."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self._signalled, number)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        try:
            yield
        finally:
            for number in (*numbers, signal.SIGHUP):
                loop.remove_signal_handler(number)
            if self._end is not None:
                self._end.cancel()

    def _hung_up(self) -> None:
        if self._hangup is not None:
            self._hangup()

    def _signalled(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            log.warning(
                "%s again: stopping at once; what is committed reaches the log after the next start", number.name
            )
            os._exit(128 + number)
        log.info("%s: stopping", number.name)
        self._begin_to_stop()

    def _ended(self, task: asyncio.Task[object]) -> None:
        error = asyncio.CancelledError("it was cancelled") if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, BridgeError):
            log.error("%s failed unexpectedly", task.get_name(), exc_info=error)
        self.fail(f"{task.get_name()}: {str(error) or repr(error) if error is not None else task.result() or 'ended'}")
