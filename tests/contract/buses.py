"""A command plane to hold to its contract."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import msgspec

from bridge.model.outcomes import Done, Outcome
from bridge.model.subjects import Subjects
from bridge.ports import CommandHandler, CommandInbox, CommandRequest, CommandSender

VERBS = ("list", "pause", "resume", "stop")


class Bus(NamedTuple):
    """A sender, and what makes the inbox of a node."""

    sender: CommandSender
    inbox: Callable[..., CommandInbox]

    def serving(
        self, handle: CommandHandler, node: str = "web1", *, verbs: Sequence[str] = VERBS, **options: Any
    ) -> AbstractAsyncContextManager[None]:
        """A node that takes commands while the context lasts."""
        return self.inbox(node, **options).serve(verbs, handle)

    async def send(self, verb: str, body: bytes = b"{}", *, node: str = "web1", timeout: float = 10) -> Outcome:
        """Send a command for the container web.1."""
        subject = Subjects().command(node, "k8s.io", "web.1", verb)
        return await self.sender.send(subject, body, timeout=timeout)


def done(request: CommandRequest, **fields: Any) -> Outcome:
    """The outcome of a command that went well, with some fields changed."""
    where = request.subject
    outcome = Outcome(
        id="a-1",
        verb=where.verb,
        node=where.node,
        outcome="ok",
        namespace=where.namespace,
        container=where.container,
        result=Done(),
    )
    return msgspec.structs.replace(outcome, **fields)


async def succeed(request: CommandRequest) -> Outcome:
    """Handle every command by doing nothing."""
    return done(request)


class Gate:
    """A handler whose commands wait until they are let through."""

    def __init__(self) -> None:
        self.came: list[CommandRequest] = []
        self.left = 0
        self.interrupted = 0
        self.open = asyncio.Event()
        self._changed = asyncio.Condition()

    async def handle(self, request: CommandRequest) -> Outcome:
        async with self._changed:
            self.came.append(request)
            self._changed.notify_all()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.interrupted += 1
            raise
        self.left += 1
        return done(request)

    async def until(self, count: int) -> None:
        """Wait until so many commands have come."""
        async with asyncio.timeout(90), self._changed:
            await self._changed.wait_for(lambda: len(self.came) >= count)
