"""Being attached to a process: its output to ours, our input to its, our terminal's size to its terminal, signals on to it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Final

from bridge.cli.console import DetachKeys, raw_terminal, read_input, sizes, write_all
from bridge.cli.exits import complain, complaint
from bridge.client import CommandFailed, Process
from bridge.model.stdio import TRUNCATIONS, OutputStream

__all__ = ["attached"]

UNKNOWN_STATUS: Final = 125
"""How we end where nobody knows how the process did: as docker does when it is docker that failed."""

SIGNALLED: Final = 128
LEAVE_S: Final = 2.0


class _Detached(Exception):
    """The keys that leave it were typed."""


async def attached(
    process: Process, *, stdin: bool, owner: bool, since: Mapping[OutputStream, int] | None = None
) -> int:
    """Stay with a process to its end, or until the detach keys are typed; return the status to end with.

    Args:
        process: the process.
        stdin: whether our input is its input.
        owner: whether it is ours: if nobody reads our output any more, it is told so as a local process would be.
        since: offsets at which its output is shown.
    """
    terminal = process.started.terminal and stdin and sys.stdin.isatty()
    failures: list[str] = []
    async with AsyncExitStack() as stack:
        if terminal:
            stack.enter_context(raw_terminal(sys.stdin.fileno()))
        ending = await stack.enter_async_context(_signals(process, raw=terminal))
        showing = asyncio.create_task(_show(process, since))
        tasks: set[asyncio.Task[object]] = {showing, asyncio.ensure_future(ending.wait())}
        if stdin:
            tasks.add(asyncio.create_task(_feed(process, keys=terminal, failures=failures)))
        if process.started.terminal:
            tasks.add(asyncio.create_task(_resize(process)))
        try:
            left = await _until_over(showing, tasks, ending)
        except (BrokenPipeError, asyncio.CancelledError):
            if owner:
                with contextlib.suppress(CommandFailed, TimeoutError):
                    async with asyncio.timeout(LEAVE_S):
                        await process.kill(signal.SIGPIPE)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    if left is not None:
        return left
    for sentence in failures:
        complain(sentence)
    return await _status(process)


async def _until_over(showing: asyncio.Task[None], tasks: set[asyncio.Task[object]], ending: _Ending) -> int | None:
    """Wait until all is shown, and return None; or the status to end with where it is left before."""
    waiting = set(tasks)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task is showing:
                task.result()
                return None
            try:
                task.result()
            except _Detached:
                return 0
        if ending.status is not None:
            return ending.status


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


async def _feed(process: Process, *, keys: bool, failures: list[str]) -> None:
    """Send our input to its end. What it does not take is no end of it: it may have more to say.

    Raises:
        _Detached: the keys that leave it were typed.
    """
    detach = DetachKeys()
    try:
        async with aclosing(read_input(sys.stdin.fileno())) as pieces:
            async for data in pieces:
                sent, left = detach.feed(data) if keys else (data, False)
                if sent:
                    await process.write(sent)
                if left:
                    raise _Detached
        await process.close_stdin()
    except CommandFailed as error:
        if error.code not in {"not_found", "failed_precondition"}:  # it has ended, or does not read: as with any pipe
            failures.append(complaint(error))


async def _resize(process: Process) -> None:
    async for width, height in sizes():
        with contextlib.suppress(CommandFailed):  # it has ended, or is about to
            await process.resize(width=width, height=height)


async def _status(process: Process) -> int:
    ended = await process.wait()
    for stream, end in (("stdout", ended.stdout), ("stderr", ended.stderr)):
        if end is not None and end.truncated is not None:
            complain(f"{stream} may not be complete: {TRUNCATIONS[end.truncated]}")
    if ended.exit_status is None:
        complain("how the process ended is not known")
        return UNKNOWN_STATUS
    return ended.exit_status


# -- signals


class _Ending:
    """Whether a signal ended our own part, and with which status."""

    def __init__(self) -> None:
        self.status: int | None = None
        self._over = asyncio.Event()

    def end(self, number: int) -> None:
        self.status = SIGNALLED + number
        self._over.set()

    async def wait(self) -> None:
        await self._over.wait()


@asynccontextmanager
async def _signals(process: Process, *, raw: bool) -> AsyncIterator[_Ending]:
    """Send interrupts on to the process, the second time with force; be ended by what is meant for us.

    With a raw terminal Ctrl-C is a key like every other one, and what still comes as a signal is for us.
    """
    loop, ending = asyncio.get_running_loop(), _Ending()
    sending: set[asyncio.Task[None]] = set()
    interrupts = 0

    async def send(number: int) -> None:
        with contextlib.suppress(CommandFailed):
            await process.kill(number)

    def interrupted() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts > 2:
            ending.end(signal.SIGINT)
            return
        task = asyncio.create_task(send(signal.SIGINT if interrupts == 1 else signal.SIGKILL))
        sending.add(task)
        task.add_done_callback(sending.discard)

    ours = [signal.SIGTERM, signal.SIGHUP, *([signal.SIGINT] if raw else [])]
    for number in ours:
        loop.add_signal_handler(number, ending.end, number)
    if not raw:
        loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield ending
    finally:
        for number in {*ours, signal.SIGINT}:
            loop.remove_signal_handler(number)
        for task in sending:
            task.cancel()
