"""What control remembers of commands across a crash, and where it tells how they stand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from msgspec import Struct

from bridge.model.events import Who
from bridge.model.nanos import Nanos
from bridge.model.outcomes import CommandState, Outcome, Via
from bridge.model.subjects import CommandSubject

__all__ = ["CommandJournal", "CommandStates", "JournalRow"]


class JournalRow(Struct, frozen=True, kw_only=True):
    """One changing command as the journal has it.

    Attributes:
        id: the command's; the journal has one row for each.
        digest: of verb, target and options: tells the same command from another one under its id.
        verb: the command's; `namespace` and `container` are what it is for.
        body: the options as they came; empty once its end was told.
        reply: where the sender waits, empty where nobody does.
        via: how it came.
        delivery: place in the stream of jobs, 0 for a request.
        received_at: when it came.
        who: who sent it, where the bus said so.
        rule: what allowed it, from its start on.
        started_at: when it was about to take effect; None where it never was.
        outcome: what came of it; None until then.
    """

    id: str
    digest: str
    verb: str
    received_at: Nanos
    namespace: str | None = None
    container: str | None = None
    body: bytes = b""
    reply: str = ""
    via: Via = "request"
    delivery: int = 0
    who: Who | None = None
    rule: str | None = None
    started_at: Nanos | None = None
    outcome: Outcome | None = None


class CommandJournal(Protocol):
    """Every changing command that was accepted: on disk when the coroutine returns, whatever crashes afterwards.

    What is asked of it is done in the order in which it was asked, and answered in that order. Every method raises
    CommandFailed (`unavailable`) where the disk fails; then nothing was written, but for `finish`, which insists.
    """

    @property
    def identity(self) -> str:
        """What tells this journal from every other one."""
        ...

    async def look(self, command_id: str) -> JournalRow | None:
        """Return what stands there of a command."""
        ...

    async def accept(self, row: JournalRow) -> JournalRow | None:
        """Write a command down that waits for its turn; return what stood there before, which then stays."""
        ...

    async def start(self, row: JournalRow, at: Nanos) -> JournalRow | None:
        """Write down that the command is about to take effect; return what stood there before.

        Where that had started or was finished it stays, and the command may not be carried out.
        """
        ...

    async def finish(self, row: JournalRow, outcome: Outcome) -> Outcome:
        """Write the outcome down, and return the one that stands there: an outcome never changes.

        A disk that fails is waited for: until it takes the outcome nobody may be told of it.
        """
        ...

    async def reopen(self, command_id: str, delivery: int) -> None:
        """Take out a command that never started, so that it can be carried out after all; of another delivery only."""
        ...

    async def withdraw(self, command_id: str) -> None:
        """Take out a command that was accepted and turned away before it started: nothing stands under its id then."""
        ...

    def told(self, command_id: str) -> None:
        """Note, soon, that the outcome stands in the bucket of commands."""
        ...

    async def unfinished(self) -> Sequence[JournalRow]:
        """Return the commands without an outcome, the oldest first."""
        ...

    async def untold(self) -> Sequence[JournalRow]:
        """Return the finished commands of which it was not noted that their outcome was told."""
        ...

    async def attempt(self, stream: str, delivery: int) -> int:
        """Count that a job was received and return how often it was, this time included.

        The count goes when the job is accepted or started, and with `drop_attempt`. So it says how often the bridge died
        over a job before it understood it.

        Args:
            stream: tells this stream of jobs from another one of the same name: its counts are gone.
            delivery: the job's place in it.
        """
        ...

    async def drop_attempt(self, delivery: int) -> None:
        """Forget that the job was received."""
        ...


class CommandStates(Protocol):
    """How each command stands: under its node, what it is for, and its id; and beside it that a job was taken back.

    With a `namespace`, and a `container`, only commands for that are looked at, by whoever may read no others.
    """

    async def write(self, states: Sequence[CommandState]) -> None:
        """Let these states stand there; return when every one is stored.

        Raises:
            LogUnavailable: unknown which are stored; write them again.
            LogRefused: the store answers and refuses.
        """
        ...

    async def get(
        self, command_id: str, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> Sequence[CommandState]:
        """Return how the commands of this id stand: one on each node that was given it, mostly one.

        Raises:
            LogUnavailable: the store does not answer.
            LogRefused: there is no such store, or reading it is not allowed.
        """
        ...

    def list(
        self, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> AsyncIterator[CommandState]:
        """Iterate over all of them as they stand now, in the order in which they were written; raises as `get` does."""
        ...

    async def wait(
        self,
        command_id: str,
        node: str,
        *,
        namespace: str | None = None,
        container: str | None = None,
        timeout: float | None,
        after: Outcome | None = None,
    ) -> Outcome:
        """Wait for a command's outcome, or another one than `after`; for ever without `timeout`.

        Raises:
            CommandFailed: `deadline_exceeded`: it has none yet.
            LogRefused: there is no such store, or reading it is not allowed.
        """
        ...

    async def take_back(self, command_id: str, subject: CommandSubject) -> None:
        """Write down that a job is not to begin any more. Who looks after this and finds it not started, is sure to be heard.

        Raises:
            LogUnavailable: it is open whether that stands there; write it again.
            LogRefused: there is no such bucket, or writing it is not allowed.
        """
        ...

    async def taken_back(self, command_id: str, subject: CommandSubject) -> bool:
        """Tell whether that stands there: asked once it stands there that the job is started, and before it begins.

        Raises:
            LogUnavailable: the store does not answer.
            LogRefused: there is no such store, or reading it is not allowed.
        """
        ...
