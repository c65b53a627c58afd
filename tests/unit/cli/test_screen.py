"""A real terminal, a pseudo one, is drawn on and left as it was; its keys come one by one."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest

PROGRAM = """
import asyncio
from bridge.cli.screen import screen

async def main():
    async with screen(whole=True) as drawn:
        drawn.draw(["first line", "second line"])
        while (key := await drawn.key(within=90)) not in {"q", None}:
            drawn.draw([f"pressed {key!r}", f"{drawn.height} lines"])

asyncio.run(main())
"""


class Terminal:
    """The other side of the terminal that the program runs on."""

    def __init__(self) -> None:
        self.here, there = pty.openpty()
        termios.tcsetwinsize(there, (24, 80))
        self.before = termios.tcgetattr(self.here)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
            env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "200", "LINES": "50"},  # of another time
        )
        os.close(there)
        self.written = ""

    def until(self, text: str) -> None:
        """Read until this stands there."""
        deadline = time.monotonic() + 90
        while text not in self.written:
            assert time.monotonic() < deadline, f"{text!r} was not drawn, but {self.written!r}"
            if select.select([self.here], [], [], 0.5)[0]:
                self.written += os.read(self.here, 65536).decode()

    def press(self, keys: str) -> None:
        os.write(self.here, keys.encode())

    def ended(self) -> int:
        """Wait for its end; what it writes meanwhile is read."""
        deadline = time.monotonic() + 90
        while (status := self.process.poll()) is None:
            assert time.monotonic() < deadline
            with contextlib.suppress(OSError):
                if select.select([self.here], [], [], 0.1)[0]:
                    self.written += os.read(self.here, 65536).decode()
        with contextlib.suppress(OSError):  # what it wrote last; nobody holds the other side any more
            while more := os.read(self.here, 65536):
                self.written += more.decode()
        return status


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    try:
        yield terminal
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.here)


ALTERNATE, BACK, HIDDEN, SHOWN = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25l", "\x1b[?25h"


def is_in_order(terminal: Terminal) -> bool:
    """Whether the last word on each was to put it back, and the mode is that of before."""
    said = terminal.written
    screens = said.rindex(BACK) > said.rindex(ALTERNATE) and said.rindex(SHOWN) > said.rindex(HIDDEN)
    return screens and termios.tcgetattr(terminal.here) == terminal.before


def test_keys_come_as_they_are_pressed_and_the_terminal_is_left_as_it_was(terminal: Terminal) -> None:
    terminal.until("second line")
    assert termios.tcgetattr(terminal.here) != terminal.before
    terminal.press("x")
    terminal.until("pressed 'x'")
    terminal.until("24 lines")
    terminal.press("q")
    assert terminal.ended() == 0
    assert is_in_order(terminal)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_it_in_order_too(terminal: Terminal, number: signal.Signals) -> None:
    terminal.until("second line")
    terminal.process.send_signal(number)
    status = terminal.ended()
    assert status == (1 if number == signal.SIGINT and status == 1 else -number)
    assert is_in_order(terminal)
