"""Durable jobs: commands that wait in a stream until their node has carried them out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from bridge.errors import Code
from bridge.model.commands import is_command_id
from bridge.model.nanos import Nanos

__all__ = ["AGAIN", "ID", "Job", "JobBacklog", "JobSource", "JobStore", "Quarantined", "TO_BLAME"]

AGAIN: Final = "Bridge-Again"
"""Header of a job that never started under its id and is sent once more."""

ID: Final = "Bridge-Id"
"""Header with the command's id, which can be read where nothing else of a job can."""

TO_BLAME: Final[frozenset[Code]] = frozenset({"invalid_argument", "unimplemented"})
"""Codes of jobs that fail however often they are tried: these are put aside."""


class Job(Struct, frozen=True, kw_only=True):
    """A job as it came from its stream, which nobody has looked at yet.

    Attributes:
        subject: whatever it was sent to; `body` and `headers` are as they were sent.
        stream: where it waits.
        sequence: its place in the stream, the same however often it is delivered.
        stored_at: when the stream took it.
        receipt: what the source knows this delivery by.
    """

    subject: str
    body: bytes
    stream: str
    sequence: int
    stored_at: Nanos
    headers: Mapping[str, str] = {}
    receipt: str = ""

    @property
    def name(self) -> str:
        """What to call it where its body says no id: the same at every delivery, and for everybody who looks."""
        named = self.headers.get(ID, "")
        return named if is_command_id(named) else f"job-{self.stream}-{self.sequence}"


class Quarantined(Struct, frozen=True, kw_only=True):
    """A job that was put aside: nobody can carry it out as it is.

    Attributes:
        id: the command's, or what the bridge called it.
        node: who put it aside, and `at` when.
        subject: where it had been sent; `body` what it said.
        code: why, in a word of ours; `why` is the sentence.
        attempts: how often it was received.
        job: its place in the stream of jobs, `sequence` that among those put aside.
    """

    id: str
    node: str
    subject: str
    body: bytes
    code: str
    why: str
    at: Nanos
    attempts: int = 1
    job: int = 0
    sequence: int = 0


class JobBacklog(NamedTuple):
    """How many jobs of a node wait in the stream or are being carried out, and how many were put aside."""

    waiting: int
    quarantined: int


class JobSource(Protocol):
    """The jobs of one node, for its bridge. Who holds a job renews it (`progress`) more often than every `ack_wait_s`."""

    ack_wait_s: float

    @property
    def stream(self) -> str:
        """What tells the stream of now from another one of the same name."""
        ...

    def jobs(self) -> AsyncGenerator[Job, None]:
        """Iterate over the jobs in the order of the stream, for ever.

        After any doubt (a lost connection, a restart, a job that nobody renewed) it begins again with the oldest one that is
        not done, so a job may come more than once, and never after one that was sent behind it for the first time.
        """
        ...

    async def backlog(self) -> JobBacklog:
        """Return how many jobs there are.

        Raises:
            LogUnavailable: nobody can say at present.
            LogRefused: it may not be asked.
        """
        ...

    async def progress(self, jobs: Sequence[Job]) -> None:
        """Say of these that they are being carried out. Never raises."""
        ...

    async def done(self, job: Job) -> None:
        """Take the job out of the stream.

        Raises:
            LogUnavailable: it is open whether it is; it comes again.
        """
        ...

    async def put_aside(self, job: Job, found: Quarantined) -> None:
        """Keep a copy of the job in the quarantine; a second time does nothing.

        Raises:
            LogUnavailable: it is open whether there is one.
            LogRefused: the quarantine takes none.
        """
        ...


class JobStore(Protocol):
    """All jobs, for whoever sends them and looks after them."""

    async def submit(self, subject: str, body: bytes, *, command_id: str, name: str, again: bool = False) -> bool:
        """Store a job; return whether it is new. One of the same name that was sent a moment ago is not stored twice.

        Args:
            subject: where to, from `Subjects.job`.
            body: the command's options as JSON, with its id.
            command_id: that id.
            name: what tells it from others.
            again: it never started before, under this id, and may be carried out after all.

        Raises:
            CommandFailed: it is not stored: `unavailable`, `refused`, `exhausted`; or `deadline_exceeded`, and that is open.
        """
        ...

    async def waiting(self, *, node: str | None = None) -> Sequence[Job]:
        """Return the jobs that are not done, in their order; raises LogError."""
        ...

    async def quarantined(self, *, node: str | None = None) -> Sequence[Quarantined]:
        """Return the jobs that were put aside, in their order; raises LogError."""
        ...

    async def drop(self, found: Quarantined) -> None:
        """Take a job out of the quarantine; raises LogError."""
        ...
