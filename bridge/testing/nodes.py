"""The records and leases of nodes in memory, for tests of whoever holds one.

    nodes = MemoryNodes()
    lease = nodes.lease(record)
    await lease.acquire()

Leases go by the real clock: give the records a short `lease_s`. The bucket can go down. Use it from one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import msgspec

from bridge.errors import ConfigError, LogConflict, LogUnavailable
from bridge.model.codec import decode_as, encode_any
from bridge.model.nanos import now
from bridge.model.nodes import NodeRecord

__all__ = ["MemoryLease", "MemoryNodes"]

_MARGIN = 0.1


class MemoryNodes:
    """Implements `bridge.ports.NodeRecords`, and makes leases."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        """The record of each node as it would stand in the bucket."""
        self._up = True

    def lease(self, record: NodeRecord, *, ended: Callable[[NodeRecord], bool] = lambda _record: False) -> MemoryLease:
        """Return a lease that is not acquired yet; `ended` tells whether the holder of another record has provably ended."""
        return MemoryLease(self, record, ended)

    async def records(self) -> Sequence[NodeRecord]:
        """Return the records of all nodes; see the port."""
        await asyncio.sleep(0)
        self.demand_up()
        return [decode_as(body, NodeRecord) for _, body in sorted(self.bodies.items())]

    @contextmanager
    def down(self) -> Iterator[None]:
        """Be down for the length of the block: nothing is written or read."""
        self._up = False
        try:
            yield
        finally:
            self._up = True

    def demand_up(self) -> None:
        """Raise `LogUnavailable` while it is down."""
        if not self._up:
            raise LogUnavailable("the bucket does not answer: it is down")


class MemoryLease:
    """Implements `bridge.ports.NodeLease`."""

    def __init__(self, nodes: MemoryNodes, record: NodeRecord, ended: Callable[[NodeRecord], bool]) -> None:
        self._nodes = nodes
        self._ended = ended
        self._until = 0.0
        self.record = record
        """What we write."""
        self.lost: LogConflict | None = None
        """See `NodeLease.lost`."""

    @property
    def held(self) -> bool:
        """Whether we may write now; see the port."""
        return self.lost is None and time.monotonic() < self._until

    async def acquire(self) -> None:
        """Take the lease; see the port."""
        self.record = msgspec.structs.replace(self.record, since=now())
        first = await self._standing()
        began = time.monotonic()
        while first is not None:
            there = await self._standing()
            if there is None:
                break
            holder = decode_as(there, NodeRecord)
            if there != first:
                raise ConfigError(
                    f"node {self.record.node} has another bridge, {holder}: stop that one, or give this one another --node"
                )
            if self._ended(holder) or time.monotonic() - began > holder.lease_s:
                break
            await asyncio.sleep(holder.lease_s / 20)
        self._put()

    async def keep(self) -> NoReturn:
        """Renew it for ever; see the port."""
        while True:
            await asyncio.sleep(self.record.lease_s / 4)
            try:
                await self.renew()
            except LogUnavailable:
                continue

    async def renew(self) -> None:
        """Renew it now; see the port."""
        there = await self._standing()
        holder = None if there is None else decode_as(there, NodeRecord)
        if holder is None or holder.holder != self.record.holder:
            self.lost = self.lost or LogConflict(
                f"node {self.record.node} now has another bridge, {holder or 'which has ended since'}"
            )
            raise self.lost
        self._put()

    async def release(self) -> None:
        """Give it back; see the port."""
        if self.held:
            self._until = 0.0
            self._nodes.bodies.pop(self.record.node, None)

    async def _standing(self) -> bytes | None:
        await asyncio.sleep(0)
        self._nodes.demand_up()
        return self._nodes.bodies.get(self.record.node)

    def _put(self) -> None:
        self.record = msgspec.structs.replace(self.record, renewed=now())
        self._nodes.bodies[self.record.node] = encode_any(self.record)
        self._until = time.monotonic() + self.record.lease_s * (1 - _MARGIN)
