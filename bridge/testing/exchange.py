"""containerd's exchange of events in memory: everything that is published goes to whoever is subscribed at that moment.

As the real one it keeps no history and numbers nothing. It delivers from a thread of its own for each subscription, so code
that only works on the event loop's thread fails here too. And it can do what containerd, now and then, does: end the stream,
fall silent, send an event twice, or two in the wrong order.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from bridge.errors import SourceLost
from bridge.ports import Deliver, Observed

__all__ = ["MemoryExchange", "MemorySubscription"]

log = logging.getLogger(__name__)

CLOSING_S = 2.0
"""How long the thread may take to end; it needs as long as the delivery of one event."""


class _Probe:
    """An event of a subscription's own, that comes back to it and is not delivered."""

    def __init__(self, came_back: asyncio.Future[None]) -> None:
        self.came_back = came_back


class MemoryExchange:
    """Passes events on. `publish` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: list[MemorySubscription] = []
        self._twice = 0
        self._held: list[Observed] | None = None
        self.silent = False
        """While true, subscriptions look alive, and nothing comes through them, probes included."""

    def publish(self, observed: Observed) -> None:
        """Pass an event on to every subscription that is interested in its namespace."""
        with self._lock:
            events = self._disturbed(observed)
            if self.silent:
                return
            for subscription in self._subscriptions:
                for event in events:
                    subscription.pass_on(event)

    def double(self, count: int = 1) -> None:
        """Send each of the next `count` events twice."""
        with self._lock:
            self._twice = count

    def swap(self) -> None:
        """Send the next two events in the wrong order."""
        with self._lock:
            self._held = []

    def end(self, reason: str) -> None:
        """End every subscription there is."""
        with self._lock:
            subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            subscription.end(reason)

    def subscribe(self, subscription: MemorySubscription) -> None:
        """Let a subscription have everything from now on."""
        with self._lock:
            self._subscriptions.append(subscription)

    def leave(self, subscription: MemorySubscription) -> None:
        """Let it have nothing any more."""
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

    def _disturbed(self, observed: Observed) -> Sequence[Observed]:
        if self._held is not None:
            self._held.insert(0, observed)
            if len(self._held) < 2:
                return []
            held, self._held = self._held, None
            return held
        if self._twice:
            self._twice -= 1
            return [observed, observed]
        return [observed]


class MemorySubscription:
    """Implements `bridge.ports.Subscription`; subscribed while its context lasts."""

    def __init__(
        self, exchange: MemoryExchange, namespaces: Sequence[str], deliver: Deliver, *, probe_timeout_s: float
    ) -> None:
        self._exchange = exchange
        self._namespaces = frozenset(namespaces)
        self._deliver = deliver
        self._probe_timeout_s = probe_timeout_s
        # Without bound: containerd's own queue has none either, and what fills it is the test itself.
        self._queue: queue.SimpleQueue[Observed | _Probe | SourceLost | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="memory-events", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._over: asyncio.Future[SourceLost]

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()
        self._exchange.subscribe(self)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exchange.leave(self)
        self._closed = True
        self._queue.put(None)
        self._thread.join(CLOSING_S)
        if self._thread.is_alive():
            log.error("the thread that delivers events does not end: a delivery hangs")
        self._settle(SourceLost("the subscription was closed"))

    async def probe(self) -> int:
        """Send a probe through and wait for it; see the port."""
        began = time.monotonic_ns()
        came_back: asyncio.Future[None] = self._loop.create_future()
        if not self._over.done():
            if not self._exchange.silent:
                self._queue.put(_Probe(came_back))
            ends: set[asyncio.Future[object]] = {came_back, self._over}  # type: ignore[arg-type]
            await asyncio.wait(ends, timeout=self._probe_timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if came_back.done() and not self._over.done():
                return time.monotonic_ns() - began
            self._exchange.leave(self)
            self._settle(SourceLost(f"a probe did not come back within {self._probe_timeout_s:g} s"))
        raise SourceLost(str(self._over.result()))

    async def ended(self) -> SourceLost:
        """Wait until the subscription has ended and return why."""
        return await asyncio.shield(self._over)

    # -- for the exchange

    def pass_on(self, observed: Observed) -> None:
        """Take an event, unless it is of a namespace that was not asked for."""
        if not self._namespaces or observed.namespace in self._namespaces:
            self._queue.put(observed)

    def end(self, reason: str) -> None:
        """End, from whichever thread, once everything that was passed on before is delivered."""
        self._queue.put(SourceLost(reason))

    def _settle(self, lost: SourceLost) -> None:
        if not self._over.done():
            self._over.set_result(lost)

    # -- the thread

    def _run(self) -> None:
        while (item := self._queue.get()) is not None and not self._closed:
            match item:
                case _Probe():
                    self._loop.call_soon_threadsafe(_came_back, item.came_back)
                case SourceLost():
                    self._loop.call_soon_threadsafe(self._settle, item)
                case Observed():
                    self._hand_over(item)

    def _hand_over(self, observed: Observed) -> None:
        try:
            self._deliver(observed)
        except Exception as error:  # a reader that died must not look like a quiet host
            log.exception("delivering an event failed unexpectedly")
            self._exchange.leave(self)
            self._loop.call_soon_threadsafe(self._settle, SourceLost(f"delivering an event failed: {error!r}"))


def _came_back(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
