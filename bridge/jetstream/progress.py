"""How far long commands have come, as plain messages beside the log: who listens sees it, and nobody has to.

A node tells of a command on `<root>.progress.<node>.<command id>`. Nothing is kept: the outcome says how it ended, and what
was told too quickly for the connection is dropped, the older first.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

from nats.aio.msg import Msg

from bridge.errors import BadEnvelope, CommandFailed
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, explain
from bridge.model.codec import decode_as, encode_any
from bridge.model.outcomes import Progress
from bridge.model.subjects import Subjects
from bridge.ports import Tell

__all__ = ["NatsProgress", "ProgressTeller"]

log = logging.getLogger(__name__)

MOST_WAITING: Final = 1_000


class ProgressTeller:
    """Tells of one node's commands while its context lasts; `tell` returns at once."""

    def __init__(self, connection: Connection, subjects: Subjects, node: str) -> None:
        self._connection = connection
        self._subjects = subjects
        self._node = node
        self._waiting: deque[Progress] = deque(maxlen=MOST_WAITING)
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="progress")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def tell(self, progress: Progress) -> None:
        """Tell how far a command has come."""
        self._waiting.append(progress)
        self._news.set()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                progress = self._waiting.popleft()
                subject = self._subjects.progress(self._node, progress.id)
                try:
                    await self._connection.client.publish(subject, encode_any(progress))
                except NATS_ERRORS as error:
                    log.debug("progress of %s is not told: %s", progress.id, explain(error))


class NatsProgress:
    """Listens to the progress of commands. See `bridge.ports.ProgressFeed`."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects

    @asynccontextmanager
    async def listen(self, node: str, command_id: str, tell: Tell) -> AsyncIterator[None]:
        """Hand over what is told of a command; see the port."""

        async def on_message(message: Msg) -> None:
            try:
                tell(decode_as(message.data, Progress))
            except BadEnvelope as error:
                log.debug("what came on %s is no progress: %s", message.subject, error)

        client = self._connection.client
        try:
            subscription = await client.subscribe(self._subjects.progress(node, command_id), cb=on_message)
            await client.flush()  # a command that is sent after this is heard from its beginning
        except NATS_ERRORS as error:
            raise CommandFailed("unavailable", f"cannot listen for progress: {explain(error)}") from error
        try:
            yield
        finally:
            try:
                await subscription.unsubscribe()
            except NATS_ERRORS as error:
                log.debug("progress of %s cannot be left: %s", command_id, explain(error))
