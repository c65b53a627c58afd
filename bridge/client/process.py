"""A process whose stdio is on the bus: its output as it comes, from any point on; its input, its terminal, its end.

    process = await node.exec("web.1", ["sh", "-c", "cat; exit 3"], stdin=True)
    await process.write(b"hello")
    await process.close_stdin()
    async for piece in process.output():
        print(piece.stream, piece.data)
    print((await process.wait()).exit_status)

Reading takes nothing away: as many as like read the same output, at the same time or later, for as long as the stream keeps it.
Whoever started the process owns it: it waits once so much of its output is stored that he has not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Final

from msgspec import Struct

from bridge.errors import CODES, CommandFailed
from bridge.model.identity import new_ulid
from bridge.model.outcomes import ExecResult
from bridge.model.stdio import OUTPUTS, WINDOW, Chunk, Credit, InputPiece, OutputStream, StreamEnd
from bridge.model.subjects import StdioSubject
from bridge.ports import StdioClient, StoredPiece

__all__ = ["Ended", "Piece", "Process"]

PIECE: Final = 128 * 1024
"""Bytes of input in one request: twice what a pipe holds."""

ANSWER_S: Final = 5.0
PAUSE_S: Final = 0.1
PATIENCE_S: Final = 60.0
"""How long input is tried for a bridge that does not answer: it may be coming back."""

CREDIT_S: Final = 2.0
"""How often an owner says what he has read, also if that is nothing: who says nothing is gone."""


class Piece(Struct, frozen=True, kw_only=True):
    """A piece of output.

    Attributes:
        stream: which one.
        offset: where it begins in the process's output.
        data: the bytes, as they were written.
        missing: how many bytes before it the stream on the bus has not any more.
    """

    stream: OutputStream
    offset: int
    data: bytes
    missing: int = 0


class Ended(Struct, frozen=True, kw_only=True):
    """How a process ended, and how each of its outputs did; a terminal has no stderr."""

    exit_status: int | None
    stdout: StreamEnd
    stderr: StreamEnd | None = None

    @property
    def timed_out(self) -> bool:
        """Whether it was killed because its time was up."""
        return self.stdout.timed_out

    @property
    def truncated(self) -> bool:
        """Whether there may have been more output than was stored."""
        return self.stdout.truncated is not None or (self.stderr is not None and self.stderr.truncated is not None)


class Process:
    """One process. Made by `Node.exec`, `Node.attach` and `Node.process`."""

    def __init__(
        self,
        subject: StdioSubject,
        started: ExecResult,
        stdio: StdioClient,
        *,
        resize: Callable[[int, int], Awaitable[object]],
        signal: Callable[[str | int], Awaitable[object]],
        owned: bool,
        window: int = WINDOW,
        joined: bool = False,
        attach: Callable[[], Awaitable[ExecResult]] | None = None,
    ) -> None:
        self.started = started
        """What the node said of it at the beginning."""
        self._subject = subject
        self._stdio = stdio
        self._resize = resize
        self._signal = signal
        self._owned = owned
        self._window = window
        self._owner = new_ulid()
        self._read: dict[OutputStream, int] = {"stdout": 0, "stderr": 0}
        self._ends: dict[OutputStream, StreamEnd] = {}
        self._written = 0
        self._joining = joined  # somebody may have written before us, and how far that came is to be asked
        self._writing = asyncio.Lock()
        self._closed = False
        self._key = started.key
        self._attach = attach

    @property
    def exec_id(self) -> str | None:
        """Its name; None for the container's own process."""
        return self.started.exec_id

    @property
    def streams(self) -> tuple[OutputStream, ...]:
        """The outputs that it has."""
        return OUTPUTS[:1] if self.started.terminal else OUTPUTS

    # -- output

    async def output(self, *, since: Mapping[OutputStream, int] | None = None) -> AsyncGenerator[Piece, None]:
        """Iterate over its output to its end; each stream's pieces in their order, nothing twice.

        Close the iterator when leaving it early (`contextlib.aclosing`).

        Args:
            since: for each stream the offset to begin at; its beginning unless given.

        Raises:
            LogUnavailable: the stream does not answer at the beginning.
            LogRefused: there is no such stream, or reading it is not allowed.
        """
        read: dict[OutputStream, int] = {"stdout": 0, "stderr": 0, **(since or {})}
        ends: dict[OutputStream, StreamEnd] = {}
        saying = asyncio.create_task(self._say(read)) if self._owned else None
        said = sum(read.values())
        try:
            async with aclosing(self._messages()) as messages:
                async for stored in messages:
                    stream, piece = stored.stream, stored.piece
                    match piece:
                        case StreamEnd():
                            ends[stream] = self._ends[stream] = piece
                            if len(ends) == len(self.streams):
                                return
                        case Chunk():
                            shown = _from(piece, stream, read[stream])
                            if shown is None:
                                continue
                            yield shown
                            read[stream] = shown.offset + len(shown.data)
                            if saying is not None and sum(read.values()) - said >= self._window // 4:
                                said = sum(read.values())
                                await self._credit(read)
        finally:
            if saying is not None:
                saying.cancel()
                await self._credit(read, window=0)

    async def wait(self) -> Ended:
        """Wait until it has ended and all its output is stored, without regard to what is read of it.

        Raises:
            LogUnavailable: the stream does not answer at the beginning.
            LogRefused: there is no such stream, or reading it is not allowed.
        """
        if len(self._ends) < len(self.streams):
            async with aclosing(self.output()) as pieces:
                async for _ in pieces:
                    pass
        stdout, stderr = self._ends.get("stdout"), self._ends.get("stderr")
        if stdout is None:  # the marks have expired: what the node knows is left
            report = self.started
            stdout = StreamEnd(
                session=report.session,
                size=report.stdout.size,
                sha256=report.stdout.sha256,
                timed_out=report.timed_out,
            )
            return Ended(exit_status=report.exit_status, stdout=stdout)
        return Ended(exit_status=stdout.exit_status, stdout=stdout, stderr=stderr)

    # -- input

    async def write(
        self, data: bytes, *, patience: float | None = PATIENCE_S, unheard: Callable[[CommandFailed], object] = repr
    ) -> None:
        """Write to its standard input; returns when all of it has reached the process's pipe.

        So a process that does not read holds up whoever writes. A bridge that restarts meanwhile is waited for.

        Args:
            data: the bytes.
            patience: seconds for which nobody may answer; None for ever.
            unheard: called each time that nobody answered, and it is tried again.

        Raises:
            CommandFailed: it takes no input, or no more: `failed_precondition`, `not_found` when it has ended.
        """
        async with self._writing:
            await self._send(data, end=False, patience=patience, unheard=unheard)

    async def close_stdin(
        self, *, patience: float | None = PATIENCE_S, unheard: Callable[[CommandFailed], object] = repr
    ) -> None:
        """End its standard input; at any moment, once more does nothing. The rest is as with `write`.

        Raises:
            CommandFailed: it takes no input.
        """
        async with self._writing:
            if not self._closed:
                await self._send(b"", end=True, patience=patience, unheard=unheard)
                self._closed = True

    async def _send(
        self, data: bytes, *, end: bool, patience: float | None, unheard: Callable[[CommandFailed], object]
    ) -> None:
        rest, doubtful, key = data, False, await self._keyed()
        loop = asyncio.get_running_loop()
        progress = loop.time()
        while True:
            last = end and len(rest) <= PIECE and not self._joining
            piece = InputPiece(
                session=self.started.session,
                offset=0 if self._joining else self._written,
                data=b"" if self._joining else rest[:PIECE],
                end=last,
                writer=self._owner,
                key=key,
            )
            try:
                reply = await self._stdio.write(self._subject, piece, timeout=ANSWER_S)
            except CommandFailed as error:
                over = patience is not None and loop.time() - progress > patience
                if error.code not in {"unavailable", "deadline_exceeded"} or over:
                    raise
                unheard(error)
                doubtful = doubtful or (error.code == "deadline_exceeded" and not self._joining)
                await asyncio.sleep(PAUSE_S)
                continue
            progress = loop.time()
            if self._joining or reply.moved:
                if doubtful:
                    sentence = "somebody else wrote input too, and whether all of ours has come is open"
                    raise CommandFailed("unknown", sentence)
                self._written, self._joining = reply.accepted, False
                continue
            accepted = min(max(0, reply.accepted - self._written), len(rest))
            self._written, rest = self._written + accepted, rest[accepted:]
            if reply.error is not None:
                if reply.error.code == "exhausted":
                    await asyncio.sleep(PAUSE_S)
                    continue
                code = next((code for code in CODES if code == reply.error.code), "unknown")
                raise CommandFailed(code, reply.error.message)  # type: ignore[arg-type]
            doubtful = False
            if not rest and (not end or reply.closed):
                return

    # -- the rest

    async def resize(self, *, width: int, height: int) -> None:
        """Give its terminal another size.

        Raises:
            CommandFailed: it has none, or has ended.
        """
        await self._resize(width, height)

    async def kill(self, signal: str | int = "SIGTERM") -> None:
        """Send it a signal.

        Raises:
            CommandFailed: `not_found` where it has ended.
        """
        await self._signal(signal)

    # -- inside

    def _messages(self) -> AsyncGenerator[StoredPiece, None]:
        running = self.started.running
        return self._stdio.read(self._subject, self.started.session, after=self.started.after, follow=running)

    async def _say(self, read: Mapping[OutputStream, int]) -> None:
        while True:
            await self._credit(read)
            await asyncio.sleep(CREDIT_S)

    async def _credit(self, read: Mapping[OutputStream, int], *, window: int | None = None) -> None:
        with suppress(CommandFailed):
            credit = Credit(
                session=self.started.session,
                key=await self._keyed(),
                owner=self._owner,
                stdout=read["stdout"],
                stderr=read["stderr"],
                window=self._window if window is None else window,
            )
            await self._stdio.credit(self._subject, credit)

    async def _keyed(self) -> str:
        # An outcome that was kept for us has no key in it: it is for who asks.
        if self._key is None and self._attach is not None:
            self._key = (await self._attach()).key
        return self._key or ""


def _from(chunk: Chunk, stream: OutputStream, offset: int) -> Piece | None:
    """Return what of a chunk lies at or behind `offset`, None where nothing does."""
    end = chunk.offset + len(chunk.data)
    if end <= offset:
        return None
    if chunk.offset >= offset:
        return Piece(stream=stream, offset=chunk.offset, data=chunk.data, missing=chunk.offset - offset)
    return Piece(stream=stream, offset=offset, data=chunk.data[offset - chunk.offset :])
