"""What control needs of the bus, and what whoever sends commands needs of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from msgspec import Struct

from bridge.model.events import Who
from bridge.model.outcomes import Outcome, Via
from bridge.model.subjects import CommandSubject

__all__ = ["AnsweredLater", "CommandHandler", "CommandInbox", "CommandRequest", "CommandSender", "NodePresence"]


class CommandRequest(Struct, frozen=True, kw_only=True):
    """A command as it came from the bus: what its subject says, and its body, which nobody has looked at yet.

    Attributes:
        subject: who it is for and what it asks; `body` are the options, `headers` what came with them.
        who: who sent it, where the bus itself says so and nobody else can; None where that is not known, as of every job.
        reply: where its sender waits, empty where nobody does.
        via: how it came.
        delivery: its place in the stream of jobs, 0 for a request.
        again: it is a job that never started and is tried once more.
        name: its id where the body gives none: of a job, which may come more than once.
    """

    subject: CommandSubject
    body: bytes
    headers: Mapping[str, str] = {}
    who: Who | None = None
    reply: str = ""
    via: Via = "request"
    delivery: int = 0
    again: bool = False
    name: str = ""


class AnsweredLater(Exception):
    """A command has no outcome yet, and the next bridge will send it to the same `reply`."""


CommandHandler: TypeAlias = Callable[[CommandRequest], Awaitable[Outcome]]
"""Carries out one command and returns its outcome; never raises but AnsweredLater and CancelledError."""


class CommandInbox(Protocol):
    """Where commands come from."""

    def serve(self, verbs: Sequence[str], handle: CommandHandler) -> AbstractAsyncContextManager[None]:
        """Take commands of these verbs for this node until the context is left; then let those under way finish.

        Requests reach `handle` in the order of arrival, and each is handled on its own: a slow one holds up no other. Its
        outcome goes back to who asked, a failed one with its code and sentence in the headers too.

        What does not come to `handle` has an outcome as well: another verb is `unimplemented`, a subject that cannot be
        read an `invalid_argument`, too many at the same time are `exhausted`. So has what does not come to its end: an
        exception is `internal`, what is still under way some time after the context was left is cancelled and `unknown`.
        Nothing is sent where it is answered later.
        """
        ...


class NodePresence(Struct, frozen=True, kw_only=True):
    """A node that answers on the bus now, as its micro service tells it."""

    node: str
    version: str
    groups: list[str] = []


class CommandSender(Protocol):
    """Sends commands and finds the nodes that take them."""

    async def send(self, subject: str, body: bytes, *, timeout: float) -> Outcome:
        """Send one command and return its outcome, whatever it is.

        Args:
            subject: where to, from `Subjects.command`.
            body: the options as JSON.
            timeout: seconds to wait for the outcome.

        Raises:
            CommandFailed: no outcome came: `unavailable` when nobody takes such commands, `deadline_exceeded` when it is open
                whether there was an effect, `refused` when NATS does not permit the subject.
        """
        ...

    async def nodes(self, *, wait: float = 0.5) -> Sequence[NodePresence]:
        """Return the nodes that answer within `wait` seconds, sorted by name; where none does, the first that answers later."""
        ...
