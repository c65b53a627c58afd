"""A terminal of the tests' own, with the command line in it: what a person would type, and what would be shown."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

__all__ = ["PROGRAM", "WITHIN_S", "Screen", "screen"]

PROGRAM = [sys.executable, "-m", "bridge"]
WITHIN_S = 90.0


class Screen:
    """A program in a terminal of ours."""

    def __init__(self, *arguments: str, columns: int = 90, lines: int = 30) -> None:
        self.master, slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(slave)
        self.shown = b""
        self._slave = slave
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def until(self, pattern: str) -> str:
        """Wait until what is shown matches."""
        deadline = time.monotonic() + WITHIN_S
        while not (found := re.search(pattern.encode(), self.shown)):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern} is not shown, but {self.shown!r}"
            if select.select([self.master], [], [], min(left, 0.5))[0]:
                with contextlib.suppress(OSError):
                    self.shown += os.read(self.master, 65_536)
        return found[0].decode()

    def ends(self) -> int:
        return self.process.wait(WITHIN_S)

    @property
    def settings(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self._slave)


@contextlib.contextmanager
def screen(*arguments: str) -> Iterator[Screen]:
    one = Screen(*arguments)
    try:
        yield one
    finally:
        one.close()
