"""What a node does about checkpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeVar

from msgspec import Struct

from bridge.model import outcomes
from bridge.model.commands import Command
from bridge.model.commands.checkpointing import Checkpoint, CheckpointRemove, Migrate, MigrateAbandon, Restore

__all__ = ["MakesCheckpoints"]

R = TypeVar("R", bound=Struct)


class MakesCheckpoints(ABC):
    """The part of `bridge.client.Node` that is about checkpoints."""

    name: str

    @abstractmethod
    async def _ask(self, command: Command, kind: type[R], namespace: str | None, container: str | None) -> R: ...

    async def checkpoint_remove(
        self, container: str, name: str, *, namespace: str = "default", of: str = ""
    ) -> outcomes.CheckpointRemoved:
        """Remove a checkpoint of this container, made by the node `of`, or by this one."""
        command = CheckpointRemove(name=name, of="" if of == self.name else of)
        return await self._ask(command, outcomes.CheckpointRemoved, namespace, container)

    async def checkpoint(
        self, container: str, command: Checkpoint | None = None, *, namespace: str = "default"
    ) -> outcomes.Checkpointed:
        """Make a checkpoint of a running container; it stands afterwards as before, unless `command` says `exit`.

        `Bus.transport.progress` tells how far it has come, where `command` has an id.
        """
        return await self._ask(command or Checkpoint(), outcomes.Checkpointed, namespace, container)

    async def restore(self, container: str, command: Restore, *, namespace: str = "default") -> outcomes.Restored:
        """Make this container, whose task goes on where a checkpoint was made; progress is told as of `checkpoint`."""
        return await self._ask(command, outcomes.Restored, namespace, container)

    async def migrate(
        self, container: str, command: Migrate | None = None, *, namespace: str = "default", **options: Any
    ) -> outcomes.Migrated:
        """Move a running container to another node: `migrate("web.1", to="n2")`, or with the command whole.

        Takes the options of `bridge.model.commands.Migrate`.
        """
        return await self._ask(command or Migrate(**options), outcomes.Migrated, namespace, container)

    async def migrate_abandon(
        self, container: str, *, namespace: str = "default", migration: str | None = None, force: bool = False
    ) -> outcomes.Done:
        """Take back a migration of this container that hangs; with `force` you know that it runs nowhere else, and never will."""
        return await self._ask(MigrateAbandon(migration=migration, force=force), outcomes.Done, namespace, container)
