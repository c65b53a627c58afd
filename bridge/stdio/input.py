"""A process's input: from the bus into the FIFO, and the end of it.

Nothing waits here: a piece is answered once its bytes are in the pipe, and a process that does not read makes the answer say
that fewer have come. Who sends goes on from what the answer says, so a piece that is sent twice is written once. Several may
write by turns: whoever finds that another one has written since goes on behind that.

Around each write a note of a few bytes says how far the input has come, and how far it may have come. A bridge that was killed
in the middle of one cannot know which; then it takes no more input for that process and says so, rather than write twice.

What comes before an expected process is there is kept in a file (`bridge.stdio.ahead`), and follows it into the pipe.

The end needs two things: our writer closed, and the shim's own one, by `close_stdin`. Either is lost before the shim has opened
the FIFO to read, so the end waits for that. That it has, the kernel tells: our writer has no reader but ours until then.
"""

from __future__ import annotations

import asyncio
import os
import select
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from bridge.errors import Code, CommandFailed
from bridge.model.events import Failure, Who
from bridge.model.stdio import InputPiece, InputReply
from bridge.stdio.ahead import Ahead
from bridge.stdio.fifos import Fifos
from bridge.stdio.traffic import Traffic
from bridge.stdio.witness import Witness

__all__ = ["Input"]

ANSWER_S: Final = 2.0
"""A piece is answered after this time even if only a part of it, or nothing, has reached the pipe."""

READER_S: Final = 30.0
"""The shim opens its end at about the time at which its answer to the start reaches us; on a busy host it may be much later."""

CLOSE_S: Final = 5.0
"""Patience with a containerd that does not know of the process yet. One that is away is waited for."""

CLOSE_PAUSE_S: Final = 0.05
POLL_S: Final = 0.005

_NOTE: Final = struct.Struct("<QQ")


class Input:
    """The input of one session."""

    def __init__(
        self,
        fifos: Fifos,
        directory: Path,
        *,
        container: str,
        close_stdin: Callable[[], Awaitable[None]],
        traffic: Traffic,
        witness: Witness,
    ) -> None:
        """Take where things are.

        Args:
            fifos: where its FIFO is.
            directory: the session's, for the notes.
            container: for the sentences.
            close_stdin: lets the shim close its end.
            traffic: counts what reaches the pipe.
            witness: hears what is taken.
        """
        self._traffic = traffic
        self._fifos = fifos
        self._note = directory / "stdin"
        self._ahead_file = directory / "stdin.ahead"
        self._ahead: Ahead | None = None
        self._end_note = directory / "stdin.end"
        self._container = container
        self._close_stdin = close_stdin
        self._witness = witness
        self._reader: int | None = None
        self._writer: int | None = None
        self._notes: int | None = None
        self._offset = 0
        self._written = 0  # how far the pipe has it; behind that the rest is kept
        self._writing: str | None = None  # whose bytes were the last ones; the bridge before may have known
        self._unsure = False
        self._ended = False
        self._over = ""
        self._lock = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._running = False
        self._handed = asyncio.Event()  # not set while the pipe has no reader: ours is closed, the shim's not open yet
        self._handed.set()

    @property
    def ended(self) -> bool:
        """Whether its end was asked for."""
        return self._ended

    def expect(self) -> None:
        """Keep what comes until there is a process, behind what is kept already.

        Raises:
            OSError: the disk does not let us.
        """
        self._ahead_file.touch(mode=0o600)
        self._ahead = Ahead(self._ahead_file)
        self._offset = self._ahead.size
        self._ended = self._end_note.exists()

    def open(self) -> None:
        """Open the FIFO before there is a process.

        Raises:
            OSError: it cannot be opened.
        """
        self._notes = os.open(self._note, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.pwrite(self._notes, _NOTE.pack(0, 0), 0)
        self._reader = self._fifos.open("stdin", os.O_RDONLY)
        self._writer = self._fifos.open("stdin", os.O_WRONLY)

    def reopen(self) -> None:
        """Open it again where another process of ours was; `started` says that there is somebody to read."""
        self._ended = self._end_note.exists()
        try:
            self._notes = os.open(self._note, os.O_RDWR | os.O_CLOEXEC)
            sure, perhaps = _NOTE.unpack(os.pread(self._notes, _NOTE.size, 0))
            self._offset = self._written = sure
            self._unsure = sure != perhaps
            if self._ahead_file.exists() and sure <= (ahead := Ahead(self._ahead_file)).size:
                self._come_back(ahead)
            # In this order: the pipe must not be without a reader at any moment, nor the writer without one when it opens.
            self._reader = self._fifos.open("stdin", os.O_RDONLY)
            self._writer = self._fifos.open("stdin", os.O_WRONLY)
        except (OSError, struct.error):
            self._over = "its pipe is gone"

    def started(self) -> None:
        """Say that the process runs."""
        self._running = True
        self._closing = asyncio.create_task(self._after_start(), name="stdin")

    async def write(self, piece: InputPiece, who: Who | None) -> InputReply:
        """Take a piece from this user; see `bridge.ports.stdio.OnInput`."""
        if self._lock.locked():
            return self._refusal("exhausted", "a piece of its input is under way already: send one at a time")
        async with self._lock:
            untaken = self._untaken(piece)
            if untaken is not None:
                return untaken
            self._writing = piece.writer
            data = piece.data[self._offset - piece.offset :]
            if data and (self._ended or self._over):
                return self._refusal("failed_precondition", self._over or "its input has ended")
            before = self._offset
            try:
                refusal = await self._write(data) if data else None
            finally:
                if self._offset > before or not data:
                    self._witness.wrote(who, data[: self._offset - before])
            if refusal is not None:
                return refusal
            if piece.end and piece.offset + len(piece.data) <= self._offset:
                await self.end_kept()
            return InputReply(accepted=self._offset, closed=self._ended)

    def _untaken(self, piece: InputPiece) -> InputReply | None:
        """Return the answer to a piece that is a question only, or of which nothing can be taken; None for any other one."""
        if not piece.data and not piece.end:
            return InputReply(accepted=self._offset, closed=self._ended)
        if piece.offset != self._offset and self._writing not in {None, piece.writer}:
            return InputReply(accepted=self._offset, closed=self._ended, moved=True)
        if piece.offset > self._offset:
            return self._refusal("invalid_argument", f"its input goes on at {self._offset}, not at {piece.offset}")
        if self._unsure and not (piece.end and piece.offset + len(piece.data) <= self._offset):
            return self._refusal("unknown", "the bridge was killed while it wrote input: how far it came is open")
        return None

    def end(self) -> bool:
        """End the input, now or when the process has been started; return whether that was new."""
        if self._ended:
            return False
        self._ended = True
        self._witness.ended(self._offset)
        with suppress(OSError):
            self._end_note.touch()
        if self._running and (self._closing is None or self._closing.done()):
            self._closing = asyncio.create_task(self._after_start(), name="stdin")
        return True

    async def end_kept(self) -> bool:
        """End the input, with that on disk where its process is not there yet; return whether that was new."""
        new = self.end()
        if self._ahead is not None:
            with suppress(OSError):  # it holds all the same, unless the host's power fails now
                await self._ahead.sync()
        return new

    def close(self, why: str = "") -> None:
        """Let go of everything but what is on disk: the process has ended, unless something else is `why`."""
        if not why:
            self._witness.ended(self._offset)
        self._over = self._over or why or "the process has ended"
        if self._closing is not None:
            self._closing.cancel()
        self._close_writer()
        if self._notes is not None:
            os.close(self._notes)
            self._notes = None

    # -- inside

    def _come_back(self, ahead: Ahead) -> None:
        """Go on with what was kept for a process that was started and has not all of it."""
        if not self._unsure:
            self._ahead, self._offset = ahead, ahead.size
        elif self._ended:
            # It would take a part for the whole of it. Whoever asks is told, and may end it all the same.
            self._ended = False
            self._end_note.unlink(missing_ok=True)

    async def _write(self, data: bytes) -> InputReply | None:
        deadline = asyncio.get_running_loop().time() + ANSWER_S
        if self._ahead is not None:
            try:
                data = await self._keep(self._ahead, data, deadline)
            except OSError as error:
                return self._refusal("exhausted", f"the disk of its node does not take it: {error.strerror}")
            if self._ahead is not None:
                return InputReply(accepted=self._offset) if data else None
        return await self._to_the_pipe(data, deadline)

    async def _keep(self, ahead: Ahead, data: bytes, deadline: float) -> bytes:
        """Keep what there is room for; return the rest, once it can go to the process or it is time to answer."""
        count = ahead.add(data)
        self._offset += count
        await ahead.sync()
        data = data[count:]
        if data:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await ahead.ready.wait()
        return data

    async def _to_the_pipe(self, data: bytes, deadline: float | None) -> InputReply | None:
        view = memoryview(data)
        while view:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._handed.wait()
            except TimeoutError:
                return InputReply(accepted=self._offset)
            if self._writer is None or self._notes is None:
                return self._refusal("failed_precondition", self._over)
            os.pwrite(self._notes, _NOTE.pack(self._written, self._written + len(view)), 0)
            try:
                count = os.write(self._writer, view)
            except BlockingIOError:
                count = 0
            except OSError:
                self._over = "it does not read any more"
                self._close_writer()
                count = 0
            self._written += count
            self._offset = max(self._offset, self._written)
            self._traffic.passed["stdin"] += count
            os.pwrite(self._notes, _NOTE.pack(self._written, self._written), 0)
            view = view[count:]
            if view and not self._over and not await self._writable(deadline):
                return InputReply(accepted=self._offset)
        return None

    async def _writable(self, deadline: float | None) -> bool:
        loop, writer, ready = asyncio.get_running_loop(), self._writer, asyncio.Event()
        assert writer is not None
        loop.add_writer(writer, ready.set)
        try:
            async with asyncio.timeout_at(deadline):
                await ready.wait()
        except TimeoutError:
            return False
        finally:
            if self._writer == writer:
                loop.remove_writer(writer)
        return True

    async def _after_start(self) -> None:
        """Let the shim be the only reader; then end the input, if that is asked for."""
        if self._reader is not None and self._writer is not None:
            self._handed.clear()
            os.close(self._reader)
            self._reader = None
            try:
                async with asyncio.timeout(READER_S):
                    while not _has_reader(self._writer):  # noqa: ASYNC110 - nobody tells of it
                        await asyncio.sleep(POLL_S)
            except TimeoutError:
                pass  # then it reads no input, and whoever writes is told
            finally:
                self._handed.set()
        await self._hand_over()
        if not self._ended:
            return
        async with self._lock:
            self._close_writer()
        self._over = self._over or "its input has ended"
        until = asyncio.get_running_loop().time() + CLOSE_S
        while True:
            try:
                await self._close_stdin()
            except CommandFailed as error:
                away = error.code in {"unavailable", "deadline_exceeded"}
                passing = error.code in {"not_found", "failed_precondition", "unknown"}
                if not away and (not passing or asyncio.get_running_loop().time() >= until):
                    return
                await asyncio.sleep(CLOSE_PAUSE_S)
            else:
                return

    async def _hand_over(self) -> None:
        """Let what was kept follow the process into its pipe; what comes then goes there at once."""
        ahead = self._ahead
        while ahead is not None and (data := ahead.read(self._written)):
            if await self._to_the_pipe(data, None) is not None or self._over:
                break
        self._ahead = None
        if ahead is not None:
            ahead.ready.set()

    def _close_writer(self) -> None:
        for descriptor in (self._writer, self._reader):
            if descriptor is not None:
                asyncio.get_running_loop().remove_writer(descriptor)
                os.close(descriptor)
        self._writer = self._reader = None

    def _refusal(self, code: Code, why: str) -> InputReply:
        sentence = f"input for a process of container {self._container} is not taken: {why}"
        return InputReply(accepted=self._offset, closed=self._ended, error=Failure(code=code, message=sentence))


def _has_reader(writer: int) -> bool:
    """Tell whether anybody has the FIFO open to read: a writer without a reader is in error (Linux, pipe_poll)."""
    look = select.poll()
    look.register(writer, 0)
    return not any(event & select.POLLERR for _, event in look.poll(0))
