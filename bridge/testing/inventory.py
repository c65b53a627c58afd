"""A containerd in memory, asked what there is now."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

from msgspec import structs

from bridge.errors import InventoryFailed
from bridge.model.nanos import now
from bridge.ports import ContainerId, Inventory

if TYPE_CHECKING:
    from bridge.testing.containerd import MemoryContainerd

__all__ = ["MemoryInventory"]


class MemoryInventory:
    """Implements `bridge.ports.InventorySource`. Made by `MemoryContainerd`."""

    def __init__(self, containerd: MemoryContainerd) -> None:
        self._containerd = containerd
        self.failing = ""
        """Why it does not answer although containerd is up; empty while it does."""

    async def take(
        self, namespaces: Collection[str] | None = None, *, execs_of: Collection[ContainerId] = ()
    ) -> Inventory:
        """List containers and tasks; see the port."""
        await asyncio.sleep(0)
        if not self._containerd.up:
            raise InventoryFailed("cannot list the namespaces: containerd cannot be reached")
        if self.failing:
            raise InventoryFailed(f"cannot list the namespaces: {self.failing}")
        before = now()
        found = {
            (namespace, container): one
            for (namespace, container), one in sorted(self._containerd.containers.items())
            if namespaces is None or namespace in namespaces
        }
        tasks = {key: one.task for key, one in found.items() if one.task is not None}
        return Inventory(
            before=before,
            after=now(),
            namespaces=None if namespaces is None else frozenset(namespaces),
            containers={
                key: structs.replace(one.record, spec=None, task=one.task and one.task.info)
                for key, one in found.items()
            },
            execs={
                key: frozenset(process.exec_id for process in tasks[key].processes if process.exec_id is not None)
                for key in execs_of
                if key in tasks
            },
        )
