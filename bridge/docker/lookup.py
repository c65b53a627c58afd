"""What containers are, for events that do not say it themselves: containerd's answer, and what dockerd adds to it.

dockerd's labels stand among containerd's, where everybody looks for labels, and its name and image in their fields. A container
that is gone from containerd when it is asked may still be known to dockerd.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Final

from msgspec.structs import replace

from bridge.model.outcomes import ContainerInfo
from bridge.ports import ContainerLookup
from bridge.ports.engine import MOBY, Engine, EngineContainer

__all__ = ["DockerLookup", "described", "with_docker"]

WITHIN_S: Final = 0.25
"""For containerd's answer and dockerd's together, as far as containerd keeps to its own limit."""

LEAST_S: Final = 0.05
"""What dockerd gets of it at the least: ten times what it takes."""


class DockerLookup:
    """Implements `bridge.ports.ContainerLookup` over another one."""

    def __init__(self, inner: ContainerLookup, engine: Engine) -> None:
        """Take who answers for containerd, and dockerd."""
        self._inner = inner
        self._engine = engine

    def describe(self, containers: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], ContainerInfo]:
        """Return what these are. See `bridge.ports.ContainerLookup`."""
        began = time.monotonic()
        found = dict(self._inner.describe(containers))
        dockers = [container for namespace, container in containers if namespace == MOBY]
        if dockers:
            left = max(LEAST_S, WITHIN_S - (time.monotonic() - began))
            for container, one in self._engine.describe(dockers, left).items():
                info = found.get((MOBY, container)) or ContainerInfo(namespace=MOBY, id=container)
                found[MOBY, container] = with_docker(info, one)
        return found


def described(engine: Engine, info: ContainerInfo) -> ContainerInfo | None:
    """Return a record of containerd's with what dockerd says of it; None for one of its own of which it says nothing."""
    if info.namespace != MOBY:
        return info
    one = engine.known([info.id]).get(info.id)
    return None if one is None else with_docker(info, one)


def with_docker(info: ContainerInfo, one: EngineContainer) -> ContainerInfo:
    """Return a container's record with what dockerd says of it."""
    return replace(
        info, name=one.name or info.name, image=one.image or info.image, labels={**info.labels, **one.labels}
    )
