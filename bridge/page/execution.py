"""A command line in a container, run from the page: its output as it comes, how it ended, and its end before that if need be.

Output goes to the browser as lines of JSON. The process waits when its output is not taken: what a browser does not read is kept
nowhere. Who goes away ends it, so that nothing is left running that nobody sees.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import shlex
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from msgspec import Struct

from bridge.client import BridgeError, CommandFailed, Container, Process, Sending
from bridge.model.codec import encode_any
from bridge.model.stdio import WINDOW

__all__ = ["Executions", "Wanted"]

log = logging.getLogger(__name__)

MOST: Final = 32
"""Processes of the page at a time."""


class Wanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be run: a command line, as a shell would read its words; no shell is in between."""

    id: str
    command: str
    incarnation: str | None = None

    def words(self) -> list[str]:
        """Return its words.

        Raises:
            ValueError: there are none, or a quote is not closed.
        """
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise ValueError(f"this command line cannot be read: {str(error).lower()}") from error
        if not words:
            raise ValueError("there is no command: give one such as: sh -c 'ls -l'")
        return words


class Executions:
    """The processes that browsers have started and are with."""

    def __init__(self) -> None:
        self._running: dict[str, Process] = {}

    async def run(self, target: Container, wanted: Wanted) -> AsyncGenerator[bytes, None]:
        """Run it and iterate over lines of JSON: `started`, then output as `stream` and `text`, then `ended` or `error`."""
        if len(self._running) >= MOST:
            yield _line({"error": f"{MOST} commands of this page run already: end one first", "code": "exhausted"})
            return
        sending = Sending(id=wanted.id, if_incarnation=wanted.incarnation)
        starting = asyncio.create_task(target.sending(sending).exec(wanted.words(), window=WINDOW), name="exec")
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # It may run already while its answer is on the way.
            _hold(starting)
            starting.add_done_callback(_end_started)
            raise
        except CommandFailed as error:
            yield _line({"error": str(error), "code": error.code})
            return
        except BridgeError as error:
            yield _line({"error": str(error), "code": "unavailable"})
            return
        self._running[wanted.id] = process
        ended = False
        try:
            yield _line({"started": process.exec_id, "pid": process.started.pid})
            async with aclosing(_output(process)) as lines:
                async for line in lines:
                    yield line
            end = await process.wait()
            ended = True
            yield _line({"ended": end.exit_status, "truncated": end.truncated})
        except BridgeError as error:
            yield _line({"error": str(error), "code": "unavailable"})
        finally:
            if self._running.get(wanted.id) is process:  # an id that was used twice has one process here, the later one
                del self._running[wanted.id]
            if not ended:
                _end(process)

    async def cancel(self, identity: str, *, force: bool) -> None:
        """Ask a process to end, or end it.

        Raises:
            CommandFailed: it has ended already (`not_found`), or cannot be told.
        """
        process = self._running.get(identity)
        if process is None:
            raise CommandFailed("not_found", "it has ended already")
        await process.kill("SIGKILL" if force else "SIGTERM")


_ENDING: set[asyncio.Task[Any]] = set()
"""Held here, since the loop alone would let go of them."""


def _hold(task: asyncio.Task[Any]) -> None:
    _ENDING.add(task)
    task.add_done_callback(_ENDING.discard)


def _end_started(starting: asyncio.Task[Process]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        _end(starting.result())


def _end(process: Process) -> None:
    # Not awaited: who goes away may be cancelling us.
    _hold(asyncio.create_task(_kill(process), name="end of an exec"))


async def _kill(process: Process) -> None:
    try:
        await process.kill("SIGKILL")
    except BridgeError as error:
        if not (isinstance(error, CommandFailed) and error.code == "not_found"):
            log.warning("process %s, whose browser is gone, may run on: %s", process.exec_id, error)


async def _output(process: Process) -> AsyncGenerator[bytes, None]:
    decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in ("stdout", "stderr")}
    async with aclosing(process.output()) as pieces:
        async for piece in pieces:
            text = decoders[piece.stream].decode(piece.data)
            if text or piece.missing:
                yield _line({"stream": piece.stream, "text": text, "missing": piece.missing})
    for stream, decoder in decoders.items():
        rest = decoder.decode(b"", final=True)
        if rest:
            yield _line({"stream": stream, "text": rest, "missing": 0})


def _line(message: dict[str, Any]) -> bytes:
    return encode_any(message) + b"\n"
