"""A containerd in memory as the commands need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.ports import Privileges, RuntimeVersion
from bridge.testing.calls import Calls
from bridge.testing.checkpointer import MemoryCheckpointer
from bridge.testing.containers import MemoryContainers
from bridge.testing.images import MemoryImages, MemoryLeases, MemorySnapshots
from bridge.testing.tasks import MemoryTasks

if TYPE_CHECKING:
    from bridge.testing.containerd import MemoryContainerd

__all__ = ["MemoryRuntime"]


class MemoryRuntime:
    """Implements `bridge.ports.ContainerRuntime`. Made by `MemoryContainerd`."""

    def __init__(self, containerd: MemoryContainerd) -> None:
        self._containerd = containerd
        self._calls = Calls(containerd)
        self.containers = MemoryContainers(containerd, self._calls)
        self.tasks = MemoryTasks(containerd, self._calls)
        self.images = MemoryImages(containerd, self._calls)
        self.snapshots = MemorySnapshots(containerd, self._calls)
        self.leases = MemoryLeases(containerd, self._calls)
        self.checkpoints = MemoryCheckpointer(containerd, self._calls)

    async def privileges(self) -> Privileges:
        """Return what root is said to be allowed on its host."""
        return await self._calls.call("look at the privileges of the host", lambda: self._containerd.privileges)

    async def version(self) -> RuntimeVersion:
        """Return the version that it says it has."""
        return await self._calls.call("ask containerd for its version", lambda: self._containerd.about)

    def break_off(self, reason: str) -> None:
        """Break off the calls that are under way, because containerd goes down."""
        self.tasks.break_off(reason)
