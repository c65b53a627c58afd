"""How a command ends: one sentence on standard error and a status that scripts can rely on, never a traceback."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import io
import json
import logging
import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Self

from bridge.cli.printable import printable
from bridge.cli.remedies import suggestion
from bridge.errors import BridgeError, CommandFailed, ConfigError, LogRefused, LogUnavailable, SourceLost

__all__ = ["PROGRAM", "USAGE", "Complaint", "Exit", "as_json", "complain", "complaint", "exits", "while_read"]

PROGRAM = "containerd-bridge"

USAGE = 2
INTERNAL = 70
"""EX_SOFTWARE of sysexits.h."""
INTERRUPTED = 130
PIPE = 141

log = logging.getLogger(__name__)


class Complaint(str):
    """A sentence about what went wrong, with the word for its kind and what to do, where that is known."""

    __slots__ = ("code", "suggestion")

    code: str
    suggestion: str

    def __new__(cls, sentence: str, *, code: str = "failed", suggestion: str = "") -> Self:
        """Take the sentence, its kind, and what to do."""
        made = super().__new__(cls, sentence)
        made.code, made.suggestion = code, suggestion
        return made


as_json: ContextVar[bool] = ContextVar("as_json", default=False)
"""Whether complaints are JSON: the command was asked for that."""


def complain(sentence: str, *, hint: str = "", code: str = "") -> None:
    """Say on standard error what went wrong, in one line, and in another what to do; with --json as one object in a line."""
    sys.stdout.flush()
    hint = hint or getattr(sentence, "suggestion", "")
    if as_json.get():
        told = {
            "error": code or getattr(sentence, "code", "note"),
            "message": str(sentence),
            "suggestion": hint or None,
        }
        print(json.dumps(told, ensure_ascii=False), file=sys.stderr)  # noqa: T201 - this is where errors are printed
        return
    print(f"{PROGRAM}: {printable(sentence)}", file=sys.stderr)  # noqa: T201
    if hint:
        print(printable(hint), file=sys.stderr)  # noqa: T201


def complaint(error: BridgeError | ValueError) -> Complaint:
    """Return the sentence for an error, with containerd's own words where they say more, and with what to do about it."""
    words = error.containerd if isinstance(error, CommandFailed) else None
    sentence = f"{error} (containerd: {words})" if words and words not in str(error) else str(error)
    return Complaint(sentence, code=_code(error), suggestion=suggestion(error))


def _code(error: BridgeError | ValueError) -> str:
    match error:
        case CommandFailed(code=code):
            return code
        case ConfigError():
            return "configuration"
        case LogUnavailable() | SourceLost():
            return "unavailable"
        case LogRefused():
            return "refused"
        case ValueError():
            return "invalid_argument"
    return "failed"


class Exit(Exception):
    """The command has ended, and everything is said; `status` is the process's."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@contextmanager
def exits(*passing: type[Exception]) -> Iterator[None]:
    """Turn whatever ends a command into its exit status, but for what is passed on as it is.

    Raises:
        Exit: with that status.
    """
    try:
        yield
        sys.stdout.flush()
    except passing:
        raise
    except BrokenPipeError as error:
        # Whoever read our output has what they wanted. The interpreter's own flush at the end must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Exit(PIPE) from error
    except KeyboardInterrupt as error:
        raise Exit(INTERRUPTED) from error
    except BridgeError as error:
        log.debug("details", exc_info=error)
        complain(complaint(error))
        raise Exit(USAGE if isinstance(error, ConfigError) else 1) from error
    except Exception as error:
        log.debug("details", exc_info=error)
        complain(f"unexpected {type(error).__name__}: {error}; run with --log-level debug for details", code="internal")
        raise Exit(INTERNAL) from error


@asynccontextmanager
async def while_read() -> AsyncIterator[None]:
    """Go on only while somebody reads our output; without this `events | head` would stay until the next event.

    Raises:
        BrokenPipeError: nobody does any more.
    """
    output = _pipe()
    if output is None:
        yield
        return
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    gone = False

    def on_gone() -> None:
        nonlocal gone
        gone = True
        loop.remove_reader(output)
        if task is not None:
            task.cancel()

    # The write end of a pipe never has anything to read; what wakes us is the error state that it gets with its last reader.
    loop.add_reader(output, on_gone)
    try:
        yield
    except asyncio.CancelledError as error:
        if gone:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
        raise
    finally:
        loop.remove_reader(output)


def _pipe() -> int | None:
    """Return the descriptor of standard output where that is the write end of a pipe."""
    try:
        output = sys.stdout.fileno()
    except io.UnsupportedOperation:
        return None
    pipe = stat.S_ISFIFO(os.fstat(output).st_mode)
    return output if pipe and fcntl.fcntl(output, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY else None
