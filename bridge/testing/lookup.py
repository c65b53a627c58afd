"""A containerd in memory, asked what containers are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from msgspec import structs

from bridge.model.outcomes import ContainerInfo

if TYPE_CHECKING:
    from bridge.testing.containerd import MemoryContainerd

__all__ = ["MemoryLookup"]


class MemoryLookup:
    """Implements `bridge.ports.ContainerLookup`. May be called from any thread."""

    def __init__(self, containerd: MemoryContainerd) -> None:
        self._containerd = containerd

    def describe(self, containers: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], ContainerInfo]:
        """Return the records of these (namespace, container) as far as there are such; nothing while containerd is down."""
        if not self._containerd.up:
            return {}
        found = {key: self._containerd.containers.get(key) for key in containers}
        return {
            key: structs.replace(container.record, spec=None)
            for key, container in found.items()
            if container is not None
        }
