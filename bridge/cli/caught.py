"""The signals that we get while we are with a process: whether they are for it or for us, and when enough is enough.

    forward     each is sent on to it, as docker does for `run`, `start` and `attach`; the third interrupt leaves it alone
    interrupt   the first interrupt is sent on, the second kills it, the third leaves it: for an exec, which is ours alone
    leave       each ends our own part and nothing of the process: a raw terminal sends keys, no signals

Those that come before the process is there wait for it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias

from bridge.cli.exits import complaint
from bridge.client import CommandFailed, Process

__all__ = ["SIGNALLED", "Caught", "Rule", "catching"]

Rule: TypeAlias = Literal["forward", "interrupt", "leave"]

SIGNALLED: Final = 128
ENOUGH: Final = 3

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FORWARDED: Final = (*ENDING, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""docker sends on whatever can be caught; the others mean something to our own process or to its terminal."""


class Caught:
    """The signals that came. Made by `catching`."""

    def __init__(self, rule: Rule, say: Callable[[str], None]) -> None:
        self.rule = rule
        self.status: int | None = None
        """The exit status with which a signal ends our own part; None while none does."""
        self._say = say
        self._left = asyncio.Event()
        self._process: Process | None = None
        self._early: list[int] = []
        self._interrupts = 0
        self._sending: set[asyncio.Task[None]] = set()

    def send_to(self, process: Process) -> None:
        """Take the process that they are for."""
        self._process = process
        for number in self._early:
            self._send(number)

    async def left(self) -> None:
        """Wait until a signal ends our own part."""
        await self._left.wait()

    def catch(self, number: int) -> None:
        """Take one that came."""
        match self.rule:
            case "leave":
                self._leave(number)
            case "interrupt" if number != signal.SIGINT or self._process is None:
                self._leave(number)
            case "interrupt":
                self._interrupts += 1
                if self._interrupts == ENOUGH:
                    self._leave(number)
                else:
                    self._send(signal.SIGINT if self._interrupts == 1 else signal.SIGKILL)
            case "forward":
                self._interrupts += number in {signal.SIGINT, signal.SIGTERM}
                if self._interrupts == ENOUGH:
                    self._leave(number)
                elif self._process is None:
                    self._early.append(number)
                else:
                    self._send(number)

    def cancel(self) -> None:
        """Send nothing more."""
        for task in self._sending:
            task.cancel()

    def _leave(self, number: int) -> None:
        self.status = SIGNALLED + number
        self._left.set()

    def _send(self, number: int) -> None:
        task = asyncio.create_task(self._sent(number))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _sent(self, number: int) -> None:
        assert self._process is not None
        try:
            await self._process.kill(number)
        except CommandFailed as error:
            if error.code != "not_found":  # it has ended, or is about to
                self._say(f"{signal.Signals(number).name} did not reach it: {complaint(error)}")


@contextmanager
def catching(rule: Rule, say: Callable[[str], None]) -> Iterator[Caught]:
    """Catch signals while the context lasts; `say` tells the person what became of them."""
    loop, caught = asyncio.get_running_loop(), Caught(rule, say)
    numbers = FORWARDED if rule == "forward" else ENDING
    for number in numbers:
        loop.add_signal_handler(number, caught.catch, number)
    try:
        yield caught
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
        caught.cancel()
