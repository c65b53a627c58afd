"""A containerd in memory as a source of events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from bridge.model.identity import check_identifier
from bridge.ports import Deliver, RuntimeVersion, Subscription
from bridge.testing.exchange import MemorySubscription

if TYPE_CHECKING:
    from bridge.testing.containerd import MemoryContainerd

__all__ = ["MemorySource"]


class MemorySource:
    """Implements `bridge.ports.EventSource`. Made by `MemoryContainerd.source`."""

    def __init__(self, containerd: MemoryContainerd, namespaces: Sequence[str], *, probe_timeout_s: float) -> None:
        self._containerd = containerd
        self._namespaces = [check_identifier(namespace, "namespace") for namespace in namespaces]
        self._probe_timeout_s = probe_timeout_s

    def subscribe(self, deliver: Deliver) -> AbstractAsyncContextManager[Subscription]:
        """Open a subscription; see the port."""
        return self._subscribed(deliver)

    @asynccontextmanager
    async def _subscribed(self, deliver: Deliver) -> AsyncIterator[Subscription]:
        self._containerd.demand_up()
        async with MemorySubscription(
            self._containerd.exchange, self._namespaces, deliver, probe_timeout_s=self._probe_timeout_s
        ) as subscription:
            yield subscription

    async def version(self) -> RuntimeVersion:
        """Return the version that it says it has; see the port."""
        self._containerd.demand_up()
        return self._containerd.about

    async def instance(self) -> str | None:
        """Return its run: another one each time that it has been down; see the port."""
        self._containerd.demand_up()
        return str(self._containerd.starts)
