"""The daemon with a part that stands still while told to: `python -m tests.stalled PART serve ...`.

SIGUSR1 makes the part stand still, SIGUSR2 lets it go on; both are said on standard error when they hold. Waiting is shortened,
so that what takes minutes to be taken for a hang takes a second here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from bridge import vitals
from bridge.capture.outbox import Outbox
from bridge.cli import main
from bridge.jetstream.fast_ingest import FastIngest
from tests.faults.broken import impatient, set_constant

STILL, ON = "it stands still", "it goes on"

held = threading.Event()
"""Set while the part has to stand still."""

free = threading.Event()
free.set()


def nothing() -> None:
    """Nothing stands still."""


def loop() -> None:
    """The event loop hangs: a signal handler of Python runs in its thread and does not return."""

    def hold(*_: object) -> None:
        say(STILL)
        signal.sigwait({signal.SIGUSR2})
        say(ON)

    signal.signal(signal.SIGUSR1, hold)


def disk() -> None:
    """A commit does not return: neither done nor failed."""
    commit: Any = Outbox.commit

    def slow(self: Any, *arguments: Any) -> None:
        if held.is_set():
            say(STILL)
            free.wait()
            say(ON)
        commit(self, *arguments)

    Outbox.commit = slow  # type: ignore[method-assign, assignment]


def log() -> None:
    """An append does not return, and NATS is well."""
    append: Any = FastIngest.append

    async def slow(self: Any, *arguments: Any) -> Any:
        if held.is_set():
            say(STILL)
            while held.is_set():
                await asyncio.sleep(0.05)
            say(ON)
        return await append(self, *arguments)

    FastIngest.append = slow  # type: ignore[method-assign, assignment]


def say(what: str) -> None:
    os.write(2, f"{what}\n".encode())


def turn(number: int, _frame: object) -> None:
    if number == signal.SIGUSR1:
        free.clear()
        held.set()
    else:
        held.clear()
        free.set()


PARTS: Final[dict[str, Callable[[], None]]] = {"nothing": nothing, "loop": loop, "disk": disk, "log": log}

if __name__ == "__main__":
    impatient()
    set_constant(vitals, "SLOW_S", 0.5)
    set_constant(vitals, "HANGS_S", 2.0)
    set_constant(vitals, "STALLED_S", 1.0)
    for _number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(_number, turn)
    PARTS[sys.argv.pop(1)]()
    sys.exit(main())
