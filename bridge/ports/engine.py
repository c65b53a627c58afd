"""What dockerd says of the containers that it made: containerd has neither their names nor their labels, nor their health.

It is asked and listened to, and never told anything. All of this is optional: without dockerd, or while it is away, the
events are those of containerd.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from typing import NamedTuple, Protocol

from msgspec import Struct

from bridge.model.nanos import Nanos

__all__ = ["Engine", "EngineContainer", "EngineNews", "MOBY"]

MOBY = "moby"
"""The namespace of dockerd's containers in containerd."""


class EngineContainer(Struct, frozen=True, kw_only=True):
    """A container as dockerd knows it.

    Attributes:
        id: the same as in containerd.
        name: as people write it, without a slash.
        image: the image as it was asked for.
        labels: those of the container and of its image; compose keeps project, service and number there.
        health: what its check said last; null where it has none, and while it does not run.
    """

    id: str
    name: str
    image: str
    labels: dict[str, str] = {}
    health: str | None = None


class EngineNews(NamedTuple):
    """Containers that are new, or are told of otherwise than before, and when that was."""

    containers: Collection[EngineContainer]
    time: Nanos


class Engine(Protocol):
    """A dockerd."""

    def known(self, containers: Collection[str]) -> Mapping[str, EngineContainer]:
        """Return those of these ids that are known, without asking. From any thread."""
        ...

    def describe(self, containers: Collection[str], within_s: float) -> Mapping[str, EngineContainer]:
        """Return those of these ids that are known, or that dockerd tells when it is asked, in so many seconds at the most.

        Blocks its thread, which is not the event loop's; never raises. A dockerd that was silent is not asked for a while.
        """
        ...

    def news(self) -> AsyncIterator[EngineNews]:
        """Iterate over all containers that there are, and then over what changes of them, each time with all that is known.

        What happens while it begins is not lost. Which fields have changed is for the reader to compare.

        Raises:
            EngineLost: dockerd cannot be reached, or its stream has ended.
        """
        ...
