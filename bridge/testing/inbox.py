"""The inbox of a node on the bus in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bridge.errors import Code
from bridge.model.codec import encode_any
from bridge.model.commands import id_in
from bridge.model.events import Failure
from bridge.model.identity import new_ulid
from bridge.model.nanos import now
from bridge.model.outcomes import Outcome
from bridge.model.subjects import CommandSubject, Subjects
from bridge.ports import AnsweredLater, CommandHandler, CommandRequest, NodePresence

__all__ = ["MemoryInbox"]

log = logging.getLogger(__name__)


class MemoryInbox:
    """Implements `bridge.ports.CommandInbox`. Made by `MemoryBus.inbox`."""

    def __init__(self, subjects: Subjects, presence: NodePresence, *, under_way: int, finish: float) -> None:
        self.presence = presence
        self._subjects = subjects
        self._pattern = subjects.command_filter(presence.node).split(".")
        self._most = under_way
        self._finish = finish
        self._verbs: Sequence[str] = ()
        self._handle: CommandHandler | None = None
        self._tasks: set[asyncio.Task[bytes]] = set()

    @property
    def open(self) -> bool:
        """Whether it takes commands now."""
        return self._handle is not None

    @asynccontextmanager
    async def serve(self, verbs: Sequence[str], handle: CommandHandler) -> AsyncIterator[None]:
        """Take commands until the context is left; see the port."""
        self._verbs, self._handle = verbs, handle
        try:
            yield
        finally:
            self._handle = None
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=self._finish)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)

    # -- for the bus

    def hears(self, subject: str) -> bool:
        """Tell whether a message on `subject` comes here now."""
        tokens = subject.split(".")
        return (
            self.open
            and len(tokens) == len(self._pattern)
            and all(want in ("*", token) for want, token in zip(self._pattern, tokens, strict=True))
        )

    def take(self, subject: str, body: bytes) -> asyncio.Task[bytes]:
        """Take a message; the reply is the task's result."""
        exhausted = len(self._tasks) >= self._most
        task = asyncio.create_task(self._reply(subject, body, exhausted=exhausted))
        if not exhausted:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return task

    # -- inside

    async def _reply(self, subject: str, body: bytes, *, exhausted: bool) -> bytes:
        try:
            outcome = await self._outcome(subject, body, exhausted=exhausted)
            return encode_any(outcome)
        except asyncio.CancelledError:
            # The handler has been told; what is left is to tell the sender.
            sentence = "the bridge stopped in the middle: inspect the container to see how far it came"
            return encode_any(self._refusal(subject, body, "unknown", sentence))

    async def _outcome(self, subject: str, body: bytes, *, exhausted: bool) -> Outcome:
        node = self.presence.node
        if exhausted:
            sentence = f"{self._most} requests are under way on node {node}: try again later"
            return self._refusal(subject, body, "exhausted", sentence)
        try:
            parsed = self._subjects.parse_command(subject)
        except ValueError as error:
            return self._refusal(subject, body, "invalid_argument", str(error))
        if parsed.verb not in self._verbs:
            sentence = f"node {node} takes no command {parsed.verb!r}: choose from {', '.join(sorted(self._verbs))}"
            return self._refusal(subject, body, "unimplemented", sentence)
        assert self._handle is not None
        try:
            return await self._handle(CommandRequest(subject=parsed, body=body))
        except AnsweredLater:
            never: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            return await never  # whoever asked hears nothing
        except Exception:
            log.exception("the handler of command %s failed", subject)
            return self._refusal(subject, body, "internal", f"{parsed.verb} failed by a mistake of the bridge itself")

    def _refusal(self, subject: str, body: bytes, code: Code, sentence: str) -> Outcome:
        place: CommandSubject | None
        try:
            place = self._subjects.parse_command(subject)
        except ValueError:
            place = None
        moment = now()
        return Outcome(
            id=id_in(body) or new_ulid(),
            verb=subject.rpartition(".")[2],
            node=self.presence.node,
            outcome="unknown" if code == "unknown" else "error",
            namespace=place.namespace if place else None,
            container=place.container if place else None,
            error=Failure(code=code, message=sentence),
            received_at=moment,
            finished_at=moment,
        )
