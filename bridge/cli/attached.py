"""Being attached to a process: its output to ours, our input to its, our terminal's size to its terminal, signals on to it.

Whatever happens to the process, to its bridge or to the bus, the keys that leave it work, and the terminal is afterwards as it
was. Nothing is given up because nobody answers: who is attached is told, and decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Final

from msgspec import Struct

from bridge.cli.caught import Caught, Rule, catching
from bridge.cli.console import DetachKeys, raw_terminal, read_input, sizes, write_all
from bridge.cli.exits import PROGRAM, complain, complaint
from bridge.cli.printable import printable
from bridge.client import CommandFailed, Process
from bridge.model.stdio import TRUNCATIONS, OutputStream

__all__ = ["UNKNOWN_STATUS", "Manner", "attached"]

UNKNOWN_STATUS: Final = 125
"""How we end where nobody knows how the process did: as docker does when it is docker that failed."""

LEAVE_S: Final = 2.0

UNHEARD_S: Final = 3.0
"""How long nobody answers before whoever types is told: a bridge that is started anew is back sooner."""

TYPED: Final = 4096
"""Keys that wait for somebody to take them. With a pipe it is one piece: its own writer waits then."""


class _Detached(Exception):
    """The keys that leave it were typed."""


class Manner(Struct, frozen=True, kw_only=True):
    """How somebody is attached.

    Attributes:
        name: what the process is called to the person.
        stdin: whether our input is its input.
        rule: what becomes of signals, unless our terminal sends keys.
        owner: whether the process is ours: if nobody reads our output any more, it is told so as a local process would be.
        since: offsets at which its output is shown.
        keys: the keys that leave it.
        back: how one comes back to it after that; nothing is said where this is empty.
        redraw: whether its terminal is to be drawn anew, because somebody comes to it later.
        otherwise: asked for its exit status where its own end does not tell it.
    """

    name: str
    stdin: bool
    rule: Rule
    owner: bool = False
    since: Mapping[OutputStream, int] | None = None
    keys: bytes = DetachKeys.USUAL
    back: str = ""
    redraw: bool = False
    otherwise: Callable[[], Awaitable[int | None]] | None = None


async def attached(coming: Awaitable[Process], manner: Manner) -> int:
    """Stay with a process to its end, or until it is left; return the status to end with, that of the process where it ended.

    Raises:
        CommandFailed: what `coming` raises.
    """
    talk = _Talk()
    async with AsyncExitStack() as stack:
        caught = stack.enter_context(catching(manner.rule, talk.say))
        process = await _unless_left(coming, caught)
        if process is None:
            talk.say(f"left {manner.name} before it ran, and it may still come to run")
            return caught.status or UNKNOWN_STATUS
        caught.send_to(process)
        terminal = process.started.terminal and manner.stdin and sys.stdin.isatty()
        if terminal:
            caught.rule = "leave"
            stack.enter_context(raw_terminal(sys.stdin.fileno()))
            stack.enter_context(talk.raw(manner.keys))
        left = await _together(process, manner, caught, talk, keys=terminal)
    if left is not None:
        if sys.stderr.isatty():  # behind its prompt, or ours of ^C
            sys.stderr.write("\n")
        if manner.back:
            complain(f"left {manner.name}, which goes on: '{manner.back}' comes back to it")
        return left
    for sentence in talk.failures:
        complain(sentence)
    return await _status(process, manner)


async def _unless_left(coming: Awaitable[Process], caught: Caught) -> Process | None:
    obtaining, leaving = asyncio.ensure_future(coming), asyncio.create_task(caught.left())
    try:
        await asyncio.wait({obtaining, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return obtaining.result() if obtaining.done() else None
    finally:
        for task in (obtaining, leaving):
            task.cancel()
        await asyncio.gather(obtaining, leaving, return_exceptions=True)


async def _together(process: Process, manner: Manner, caught: Caught, talk: _Talk, *, keys: bool) -> int | None:
    """Do everything at the same time until all is shown, and return None; or the status to end with where it is left before."""
    showing = asyncio.create_task(_show(process, manner.since))
    leaving = asyncio.create_task(caught.left())
    tasks: set[asyncio.Task[None]] = {showing, leaving}
    if manner.stdin:
        typed: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=TYPED if keys else 1)
        tasks.add(asyncio.create_task(_read(typed, DetachKeys(manner.keys) if keys else None)))
        tasks.add(asyncio.create_task(_feed(process, typed, talk)))
    if process.started.terminal:
        tasks.add(asyncio.create_task(_resize(process, redraw=manner.redraw)))
    try:
        return await _until_over(showing, tasks, caught)
    except (BrokenPipeError, asyncio.CancelledError):
        if manner.owner:
            with contextlib.suppress(CommandFailed, TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await process.kill(signal.SIGPIPE)
        if process.exec_id is None:  # as the first process it may take no notice
            complain(f"nobody reads the output of {manner.name} any more; it goes on unless SIGPIPE ends it")
        raise
    except Exception:
        if manner.owner:
            await _abandoned(process, manner, talk)
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _abandoned(process: Process, manner: Manner, talk: _Talk) -> None:
    """End a process that nobody will look after: whoever started it for himself cannot be with it."""
    try:
        async with asyncio.timeout(LEAVE_S):
            await process.kill(signal.SIGKILL)
    except (CommandFailed, TimeoutError) as error:
        talk.say(f"{manner.name} goes on without us: it cannot be killed: {str(error) or 'no answer'}")
    else:
        talk.say(f"{manner.name} is killed: we cannot be with it")


async def _until_over(showing: asyncio.Task[None], tasks: set[asyncio.Task[None]], caught: Caught) -> int | None:
    waiting = set(tasks)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if showing in done:
            showing.result()
            return None
        for task in done:
            try:
                task.result()
            except _Detached:
                return 0
        if caught.status is not None:
            return caught.status


async def _show(process: Process, since: Mapping[OutputStream, int] | None) -> None:
    sys.stdout.flush()
    descriptors = {"stdout": sys.stdout.fileno(), "stderr": sys.stderr.fileno()}
    async with aclosing(process.output(since=since)) as pieces:
        async for piece in pieces:
            if piece.missing:
                complain(
                    f"{piece.missing} bytes of {piece.stream} have expired from the stream: it goes on behind them"
                )
            await write_all(descriptors[piece.stream], piece.data)


async def _read(typed: asyncio.Queue[bytes | None], keys: DetachKeys | None) -> None:
    """Hand our input on to its end, and behind that None.

    Raises:
        _Detached: the keys that leave the process were typed; what was typed before them has reached it, if it can.
    """
    async with aclosing(read_input(sys.stdin.fileno())) as pieces:
        async for data in pieces:
            sent, left = (data, False) if keys is None else keys.feed(data)
            if sent:
                await typed.put(sent)
            if left:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LEAVE_S):
                        await typed.join()
                raise _Detached
    await typed.put(None)


async def _feed(process: Process, typed: asyncio.Queue[bytes | None], talk: _Talk) -> None:
    """Send what was typed. What the process does not take is no end of it: it may have more to say."""
    try:
        while (data := await typed.get()) is not None:
            await process.write(data, patience=None, unheard=talk.unheard)
            talk.heard()
            typed.task_done()
        await process.close_stdin(patience=None, unheard=talk.unheard)
    except CommandFailed as error:
        if error.code not in {"not_found", "failed_precondition"}:  # it has ended, or does not read: as with any pipe
            talk.failures.append(complaint(error))


async def _resize(process: Process, *, redraw: bool) -> None:
    async for width, height in sizes():
        with contextlib.suppress(CommandFailed):  # it has ended, or is about to
            if redraw:  # a size that changes is what lets programs draw everything again
                redraw = False
                await process.resize(width=width, height=height + 1)
            await process.resize(width=width, height=height)


async def _status(process: Process, manner: Manner) -> int:
    ended = await process.wait()
    for stream, end in (("stdout", ended.stdout), ("stderr", ended.stderr)):
        if end is not None and end.truncated is not None:
            complain(f"{stream} may not be complete: {TRUNCATIONS[end.truncated]}")
    if ended.timed_out:
        complain(f"{manner.name} was killed: its time was up")
    status = ended.exit_status
    if status is None and manner.otherwise is not None:
        status = await manner.otherwise()
    if status is None:
        complain("how the process ended is not known")
        return UNKNOWN_STATUS
    return status


class _Talk:
    """What is said to the person meanwhile, and what is kept for the end."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self._raw = False
        self._unheard_since: float | None = None
        self._said = False
        self._waits = "what is sent to it waits"

    @contextlib.contextmanager
    def raw(self, keys: bytes) -> Iterator[None]:
        """Mind that the terminal does not move to the beginning of a line by itself; these keys leave the process."""
        self._raw = True
        if keys:
            self._waits += f", and {DetachKeys.written(keys)} leaves"
        logs = [each for each in logging.root.handlers if isinstance(each, logging.StreamHandler)]
        for each in logs:
            each.terminator = "\r\n"
        try:
            yield
        finally:
            self._raw = False
            for each in logs:
                each.terminator = "\n"

    def say(self, sentence: str) -> None:
        """Say it now."""
        if not self._raw:
            complain(sentence)
            return
        sys.stderr.write(f"\r\n{PROGRAM}: {printable(sentence)}\r\n")
        sys.stderr.flush()

    def unheard(self, _error: CommandFailed) -> None:
        """Note that nobody took what was typed; after a while it is said, once."""
        now = asyncio.get_running_loop().time()
        if self._unheard_since is None:
            self._unheard_since = now
        if not self._said and now - self._unheard_since > UNHEARD_S:
            self._said = True
            self.say(f"its node does not answer: {self._waits}")

    def heard(self) -> None:
        """Note that somebody did."""
        self._unheard_since, self._said = None, False
