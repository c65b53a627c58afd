"""What stdio needs of the bus and gives to control, and what whoever reads or writes it needs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Literal, NamedTuple, Protocol, TypeAlias

from msgspec import Struct

from bridge.model.events import Who
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ExecResult
from bridge.model.stdio import Chunk, Credit, InputPiece, InputReply, OutputStream, StreamEnd
from bridge.model.subjects import StdioSubject
from bridge.ports.processes import Stdio

__all__ = [
    "Digest",
    "ExpectedSession",
    "InputTold",
    "OnCredit",
    "OnInput",
    "OnInputTold",
    "OutputEnd",
    "OutputLog",
    "SessionOrder",
    "StdioClient",
    "StdioLines",
    "StdioSession",
    "StdioSessions",
    "StdioStatistics",
    "StoredPiece",
]


# -- the bus, as the bridge needs it


class OutputEnd(NamedTuple):
    """How far a session's output is stored on a subject.

    Attributes:
        place: of the subject's last message, whoever's it is; 0 where there is none. `append` wants it.
        offset: where the session's stored bytes end; 0 where none are stored any more, or yet.
        mark: its end, where that is stored too.
    """

    place: int
    offset: int
    mark: StreamEnd | None = None


class Digest(NamedTuple):
    """What is stored of a session's output: the SHA-256 of all of it, and its first bytes."""

    sha256: str
    head: bytes


class OutputLog(Protocol):
    """Where the output of processes is stored, each stream on its subject, in order."""

    @property
    def largest(self) -> int:
        """Bytes that one chunk can hold."""
        ...

    @property
    def portion(self) -> int:
        """Bytes that had better be given to `append` at once now: those of one chunk or more."""
        ...

    async def end(self, subject: StdioSubject, session: str) -> OutputEnd:
        """Return how far the session is stored. The answer is never behind what `append` has acknowledged.

        Raises:
            LogUnavailable: nobody can say at present.
            LogRefused: it may not be asked.
        """
        ...

    async def append(self, subject: StdioSubject, *pieces: Chunk | StreamEnd, after: int) -> list[int]:
        """Store pieces, the first behind the message at place `after` of its subject, each other behind the one before it.

        No piece is ever stored anywhere else, now or later. The last ones may be left out: give them again, behind the others.

        Returns:
            The places of the first pieces, as many as are stored; at least one.

        Raises:
            LogUnavailable: unknown how many are stored: ask for the end before the next ones.
            LogConflict: another message stands behind `after`; nothing was stored.
            LogRefused: nothing was stored; the sentence says why.
        """
        ...

    async def digest(self, subject: StdioSubject, session: str, *, size: int, after: int, head: int) -> Digest | None:
        """Return the SHA-256 of the session's first `size` bytes as they are stored; None unless all of them are.

        Args:
            subject: where they are.
            session: whose they are.
            size: how many.
            after: place behind which to look for them.
            head: how many of the first bytes to return.

        Raises:
            LogError: they cannot be read.
        """
        ...


OnInput: TypeAlias = Callable[[StdioSubject, InputPiece, Who | None], Awaitable[InputReply]]
"""Takes a piece of input, and who sent it where that is known, and returns how far it came, within a few seconds.

Never raises but CancelledError.
"""

OnCredit: TypeAlias = Callable[[StdioSubject, Credit], None]
"""Takes what an owner has read. Returns at once."""


class StdioLines(Protocol):
    """What comes from the bus for the processes of this node."""

    def serve(self, on_input: OnInput, on_credit: OnCredit) -> AbstractAsyncContextManager[None]:
        """Hand on what comes until the context is left. What cannot be read is answered, and not handed on.

        Raises:
            ConfigError: on entering, when NATS does not permit this login to take it.
        """
        ...


# -- the sessions, as control needs them


class InputTold(Struct, frozen=True, kw_only=True):
    """Something about the input of a process that is to be recorded.

    Attributes:
        phase: `started` when the first bytes of a user have been taken, `finished` when none will come any more.
        command_id: whose command the process is.
        who: who wrote, where that is known.
        size: how many bytes it was, at the end.
        sha256: of all of them; None where not all of them came to this bridge.
    """

    namespace: str
    container: str
    exec_id: str | None
    session: str
    command_id: str
    phase: Literal["started", "finished"]
    who: Who | None = None
    size: int | None = None
    sha256: str | None = None


OnInputTold: TypeAlias = Callable[[InputTold], None]
"""Takes what is to be recorded. Returns at once."""


class SessionOrder(Struct, frozen=True, kw_only=True):
    """A process that is to run with its stdio on the bus.

    Attributes:
        exec_id: None for the container's own process.
        command_id: whose command it is.
        window: bytes that may be stored before they are read; None for as many as come.
        capture: first bytes of each stream that its result has.
        timeout: seconds after which it is killed.
        made_at: when the container was made, for its own process: another one of that name is another container.
    """

    namespace: str
    container: str
    exec_id: str | None
    command_id: str
    terminal: bool = False
    stdin: bool = False
    window: int | None = None
    capture: int = 0
    timeout: float | None = None
    made_at: Nanos | None = None


class ExpectedSession(Protocol):
    """The session of a container's own process that is not there yet: its input is kept, and follows the process."""

    @property
    def id(self) -> str:
        """What the process's session will be called."""
        ...

    @property
    def secret(self) -> str:
        """What input for it has to carry."""
        ...

    def result(self) -> ExecResult:
        """Return how it stands now."""
        ...

    async def close_stdin(self) -> bool:
        """End its input; return whether that was new."""
        ...


class StdioSession(Protocol):
    """One run of one process."""

    @property
    def id(self) -> str:
        """Tells it from every other one, of this process and of all others."""
        ...

    @property
    def command_id(self) -> str:
        """Whose command it is."""
        ...

    @property
    def made_at(self) -> Nanos | None:
        """When the container was made whose own process it is; None of an exec, and where nobody wrote that down."""
        ...

    @property
    def secret(self) -> str:
        """What input and credits for it have to carry: nobody can guess it, and it is for those who may write."""
        ...

    @property
    def stdio(self) -> Stdio:
        """The paths of its FIFOs, for whoever registers or creates the process."""
        ...

    async def start(self, *, width: int = 0, height: int = 0) -> int:
        """Run the process, which is registered or created, and look after it from here on; return its pid.

        Raises:
            CommandFailed: it does not run. Unless the code is `unknown`, nothing of the session is left.
        """
        ...

    async def abandon(self, *, keep_exec: bool = False) -> None:
        """Leave nothing of a session whose process has never run. An exec that is registered is removed too, unless kept."""
        ...

    async def ran(self) -> bool | None:
        """Wait until it is known whether the process has ever run, which after a restart takes containerd; return that.

        None where nobody can say any more: it was about to be started, and then it was gone.
        """
        ...

    async def ended(self) -> ExecResult:
        """Wait until the process has ended and all its output is stored; return the whole of it."""
        ...

    def result(self) -> ExecResult:
        """Return how it stands now."""
        ...

    async def close_stdin(self) -> bool:
        """End its input; return whether that was new."""
        ...


class StdioStatistics(NamedTuple):
    """The sessions of a node in numbers.

    Attributes:
        open: sessions that have not ended.
        waiting: outputs that wait until their owners have read more.
        spooled: bytes that were taken from processes and that the bus has not acknowledged.
        passed: bytes that have come through since the beginning, by `stdin`, `stdout` and `stderr`.
        truncated: outputs that may have had more than was stored, since the beginning, by why.
    """

    open: int
    waiting: int
    spooled: int
    passed: Mapping[str, int]
    truncated: Mapping[str, int]


class StdioSessions(Protocol):
    """The sessions of this node."""

    async def open(self, order: SessionOrder) -> StdioSession:
        """Write a new session down and make its FIFOs, with their readers open.

        Raises:
            CommandFailed: `failed_precondition` where that cannot be done here; `exhausted` where there are too many.
        """
        ...

    async def expect(self, order: SessionOrder) -> ExpectedSession | None:
        """Keep what is sent for the container's own process from now on; the one that is opened next takes it over.

        It outlives bridge and host. Asked for again it is the same. None where there is a process, or one is about to be.

        Raises:
            CommandFailed: `exhausted`: there are too many, or the disk does not take it.
        """
        ...

    def expected(self, namespace: str, container: str) -> ExpectedSession | None:
        """Return what is kept for the container's next process, None where nothing is."""
        ...

    def all_expected(self) -> Collection[tuple[str, str, Nanos | None]]:
        """Return the namespace, the id and the time of making of every container whose next process is expected."""
        ...

    async def forget(self, namespace: str, container: str) -> None:
        """Give up what is kept for a container's next process, for the container is gone; whoever reads it is told."""
        ...

    async def drain(self, namespace: str, container: str) -> None:
        """Take everything that the processes of a container have left behind, since it is lost when its task is deleted.

        Whoever deletes one awaits this before. It takes some seconds at most; what has not come by then is said to be missing.
        """
        ...

    def find(self, namespace: str, container: str, exec_id: str | None) -> StdioSession | None:
        """Return the newest session of a process, also a while after its end."""
        ...

    def made(self, path: str) -> bool:
        """Tell whether a FIFO of this path is, or was, one of a session of this node."""
        ...

    def statistics(self) -> StdioStatistics:
        """Return them in numbers."""
        ...


# -- the bus, as whoever attaches needs it


class StoredPiece(NamedTuple):
    """A message of a session: its place, which of the streams it is of, and what it says."""

    place: int
    stream: OutputStream
    piece: Chunk | StreamEnd


class StdioClient(Protocol):
    """Reads the output of processes and writes their input."""

    def read(
        self, subject: StdioSubject, session: str, *, after: int, follow: bool
    ) -> AsyncGenerator[StoredPiece, None]:
        """Iterate over the session's messages on both of its outputs, in their order; with `follow` for ever.

        Args:
            subject: the process's; its line is of no account.
            session: whose messages.
            after: place behind which they stand.
            follow: wait for what comes; else it ends with what is stored now.

        Raises:
            LogUnavailable: the stream does not answer (with `follow` only at the beginning).
            LogRefused: there is no such stream, or reading is not allowed.
        """
        ...

    async def check(self, subject: StdioSubject) -> None:
        """See that this process's output can be read, before there is one.

        Raises:
            LogUnavailable: the stream does not answer.
            LogRefused: there is no such stream, or reading is not allowed.
        """
        ...

    async def write(self, subject: StdioSubject, piece: InputPiece, *, timeout: float) -> InputReply:
        """Send a piece of input; return how far the input has come.

        Raises:
            CommandFailed: no reply came: `unavailable` or `deadline_exceeded` (the same piece may be sent again), `refused`.
        """
        ...

    async def credit(self, subject: StdioSubject, credit: Credit) -> None:
        """Say what has been read. Lost without a word while there is no connection: say it again."""
        ...
