"""The log of events in memory, read under names whose places are kept.

    durable = MemoryDurable(log)
    async with durable.resume("audit", [], Start(sequence=1), lambda event: True) as reading:
        async for event in reading.events():
            await reading.acknowledge(event)

A restart of whoever reads is another `resume` of the same object. Use it from one event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bridge.errors import LogUnavailable
from bridge.ports import Start, StoredEvent, Wanted
from bridge.testing.log import MemoryLog

__all__ = ["MemoryDurable"]


class MemoryDurable:
    """Implements `bridge.ports.DurableReader`."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.places: dict[str, int] = {}
        """The stream sequence up to which each name has acknowledged."""
        self.lost = 0
        """So many acknowledgements, of those to come, do not arrive."""

    @asynccontextmanager
    async def resume(
        self, name: str, filters: Sequence[str], start: Start, wanted: Wanted
    ) -> AsyncIterator[MemoryReading]:
        """Read on where this name has come to; see the port."""
        extent = await self._log.extent()
        place = self.places.get(name)
        if place is None:
            place = self._log.first(start) - 1
        self.places[name] = min(place, extent.last_sequence)
        reading = MemoryReading(self, self._log, name, filters, wanted)
        try:
            yield reading
        finally:
            reading.settle()

    async def forget(self, name: str) -> bool:
        """Forget a name; see the port."""
        await self._log.extent()
        return self.places.pop(name, None) is not None


class MemoryReading:
    """Implements `bridge.ports.DurableReading`. Made by `MemoryDurable`."""

    def __init__(
        self, durable: MemoryDurable, log: MemoryLog, name: str, filters: Sequence[str], wanted: Wanted
    ) -> None:
        self._durable = durable
        self._log = log
        self._name = name
        self._filters = filters
        self._wanted = wanted
        self._done = durable.places[name]

    async def events(self) -> AsyncIterator[StoredEvent]:
        """Iterate over what is not acknowledged and over what comes; see the port."""
        async for event in self._log.read(self._filters, Start(sequence=self._done + 1), follow=True):
            if self._wanted(event):
                yield event

    async def acknowledge(self, event: StoredEvent) -> None:
        """Take note that this event and all before it are done with; see the port."""
        self._done = max(self._done, event.stream_sequence)
        if self._durable.lost:
            self._durable.lost -= 1
            return
        self.settle()

    def settle(self) -> None:
        """Tell what has not arrived, as leaving does; nothing while the log is down."""
        try:
            self._log.demand_up()
        except LogUnavailable:
            return
        if self._name in self._durable.places:
            self._durable.places[self._name] = min(self._done, len(self._log.messages))
