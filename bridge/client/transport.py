"""What goes beside a command: how far it has come, and what is too large for a message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import BinaryIO

from bridge.errors import CommandFailed
from bridge.model.commands import Import
from bridge.model.identity import new_ulid
from bridge.model.outcomes import Progress
from bridge.model.subjects import Subjects
from bridge.ports import ObjectShelf, ProgressFeed, Tell

__all__ = ["Transport"]


class Transport:
    """The ways beside commands; a `Bus` has one."""

    def __init__(self, subjects: Subjects, feed: ProgressFeed | None = None, shelf: ObjectShelf | None = None) -> None:
        """Take what carries it.

        Args:
            subjects: the subjects of the bus.
            feed: what nodes tell of long commands; without, nothing is heard of their progress.
            shelf: the bus's object stores; without, no archive can be handed to a node.
        """
        self._subjects = subjects
        self._feed = feed
        self._shelf = shelf

    @asynccontextmanager
    async def progress(self, node: str, command_id: str, tell: Tell) -> AsyncIterator[None]:
        """Hand over how far a command of this id comes on a node, from its beginning on if it is sent inside of the context.

        That nobody can listen, for want of a permission say, is no reason not to send it.
        """
        async with AsyncExitStack() as listening:
            if self._feed is not None:
                with suppress(CommandFailed):
                    await listening.enter_async_context(self._feed.listen(node, command_id, tell))
            yield

    @asynccontextmanager
    async def archive(self, file: BinaryIO, tell: Tell) -> AsyncIterator[Import]:
        """Put an archive into an object store of the bus, yield the command that takes it in, and remove it in the end.

        Raises:
            CommandFailed: it cannot be put there.
        """
        if self._shelf is None:
            raise CommandFailed("unimplemented", "this bus has no object stores")
        bucket, name = self._subjects.archive_bucket, new_ulid()

        def read(total: int) -> None:
            tell(Progress(id=name, name="archive", event="uploading", done=total))

        await self._shelf.put(bucket, name, file, read)
        try:
            yield Import(id=new_ulid(), bucket=bucket, object=name)
        finally:
            await self._shelf.remove(bucket, name)
