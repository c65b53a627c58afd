"""What containerd has now, with what dockerd says of its containers: the log is compared with all that it ought to say."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from bridge.docker.lookup import with_docker
from bridge.ports import ContainerId, Inventory, InventorySource
from bridge.ports.engine import MOBY, Engine

__all__ = ["DockerInventory"]


class DockerInventory:
    """Implements `bridge.ports.InventorySource` over another one."""

    def __init__(self, inner: InventorySource, engine: Engine) -> None:
        """Take who answers for containerd, and dockerd."""
        self._inner = inner
        self._engine = engine

    async def take(
        self, namespaces: Collection[str] | None = None, *, execs_of: Collection[ContainerId] = ()
    ) -> Inventory:
        """List what there is. See `bridge.ports.InventorySource`; of whom dockerd does not tell is told in part only."""
        listed = await self._inner.take(namespaces, execs_of=execs_of)
        dockers = [key for key in listed.containers if key[0] == MOBY]
        known = self._engine.known([container for _, container in dockers])
        told = {
            (MOBY, container): with_docker(listed.containers[MOBY, container], one) for container, one in known.items()
        }
        return replace(
            listed,
            containers={**listed.containers, **told},
            in_part=frozenset(key for key in dockers if key not in told),
        )
