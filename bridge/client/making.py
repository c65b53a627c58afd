"""What a node makes containers of, and the making: images, create, run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from msgspec import Struct

from bridge.model import commands, outcomes
from bridge.model.commands import Command
from bridge.model.outcomes import ImageInfo

__all__ = ["MakesContainers"]

R = TypeVar("R", bound=Struct)


class MakesContainers(ABC):
    """The part of `bridge.client.Node` that is about images and the containers made of them."""

    @abstractmethod
    async def _ask(self, command: Command, kind: type[R], namespace: str | None, container: str | None) -> R: ...

    async def create(self, container: str, command: commands.Create, *, namespace: str = "default") -> outcomes.Created:
        """Make a container of this id, as `command` says."""
        return await self._ask(command, outcomes.Created, namespace, container)

    async def run(self, container: str, command: commands.Run, *, namespace: str = "default") -> outcomes.Ran:
        """Make a container of this id and start it, as `command` says; how it ends, the log of events tells."""
        return await self._ask(command, outcomes.Ran, namespace, container)

    async def images(
        self, *, namespace: str = "default", filters: Sequence[str] = (), sizes: bool = True
    ) -> list[ImageInfo]:
        """Return the images of a namespace."""
        command = commands.Images(filters=list(filters), sizes=sizes)
        return (await self._ask(command, outcomes.ImageList, namespace, None)).images

    async def pull(self, command: commands.Pull, *, namespace: str = "default") -> ImageInfo:
        """Fetch an image from its registry; `Bus.transport.progress` tells how far it has come, where `command` has an id."""
        return (await self._ask(command, outcomes.Pulled, namespace, None)).image

    async def import_archive(self, command: commands.Import, *, namespace: str = "default") -> list[ImageInfo]:
        """Take in the images of an archive that lies in an object store; `Bus.transport.archive` puts it there."""
        return (await self._ask(command, outcomes.Imported, namespace, None)).images

    async def rmi(
        self, image: str, *, namespace: str = "default", force: bool = False, sync: bool = False
    ) -> outcomes.ImageRemoved:
        """Remove an image's name."""
        command = commands.Rmi(image=image, force=force, sync=sync)
        return await self._ask(command, outcomes.ImageRemoved, namespace, None)
