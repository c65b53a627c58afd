"""A breakable network for tests that wait in threads: `tests.testbed.Proxy` in an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.testbed import Proxy
from tests.testbed.proxy import Direction

T = TypeVar("T")


class Network:
    """The way to one server; a context manager. What is done to it has happened when the call returns."""

    def __init__(self, target: str | Path) -> None:
        self._proxy = Proxy(target)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._proxy.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._do(self._proxy.__aexit__(kind, error, at))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        """Where clients have to go."""
        return self._proxy.address

    @property
    def connections(self) -> int:
        """How many connections stand now."""
        return self._proxy.connections

    @property
    def accepted(self) -> int:
        """How many connections there have been."""
        return self._proxy.accepted

    @property
    def to_server(self) -> int:
        """Bytes that have reached the server."""
        return self._proxy.relayed["to_server"]

    def cut(self) -> None:
        """Reset every connection that stands; new ones are welcome."""
        self._do(self._proxy.cut())

    def cut_after(self, bytes_more: int, direction: Direction) -> None:
        """Cut, once, when so many further bytes have passed: in the midst of a message, say."""
        self._now(self._proxy.cut_after, bytes_more, direction)

    def hold(self, *directions: Direction) -> None:
        """Let nothing pass until `release`; both directions if none is named. What is held at a `cut` is lost."""
        self._now(self._proxy.hold, *directions)

    def release(self) -> None:
        """Let pass what was held."""
        self._now(self._proxy.release)

    def slow(self, *, latency_s: float = 0.0, bytes_per_s: float | None = None) -> None:
        """From now on everything takes so long, in both directions."""

        def apply() -> None:
            self._proxy.slow(latency_s=latency_s, bytes_per_s=bytes_per_s)

        self._now(apply)

    @contextmanager
    def impersonated(self, address: str) -> Iterator[None]:
        """Lead every new connection to somebody else for the length of the block; those that stand are cut, both times."""
        before = self._proxy.target
        self._proxy.target = address
        self.cut()
        try:
            yield
        finally:
            self._proxy.target = before
            self.cut()

    def refuse(self) -> None:
        """Cut, and refuse new connections until `accept`."""
        self._do(self._proxy.refuse())

    def accept(self) -> None:
        """Listen again, at the same address."""
        self._do(self._proxy.accept())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)

    def _now(self, work: Any, *arguments: Any) -> None:
        async def call() -> None:
            work(*arguments)

        self._do(call())
