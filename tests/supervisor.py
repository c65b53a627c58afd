"""A supervisor as systemd is one to a service: a socket that is told things, and what it was told, in order."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fix_bridge import WITHIN_S

END, MARK = "the end", "a mark "
"""What the supervisor sends to itself: messages on a socket keep their order."""


class Supervisor:
    """Listens on a datagram socket; `environ` is for the daemon."""

    def __init__(self, path: Path, *, watchdog_s: float = 2.0) -> None:
        self.path = path
        self.watchdog_s = watchdog_s
        self._marks: set[str] = set()
        self.told: list[str] = []
        """Every assignment so far, in the order in which they came: `READY=1`, `STATUS=...`, `WATCHDOG=1`."""

    def __enter__(self) -> Self:
        self._news = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        # All the time, as systemd does: a socket holds ten messages on some machines.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._say(END)
        self._reader.join()
        self._socket.close()

    @property
    def environ(self) -> Mapping[str, str]:
        watchdog = {"WATCHDOG_USEC": str(int(self.watchdog_s * 1e6))} if self.watchdog_s else {}
        return {**os.environ, "NOTIFY_SOCKET": str(self.path), **watchdog}

    def until(self, text: str, *, times: int = 1, after: int | None = None, but: str = "") -> int:
        """Wait until it was told something with `text` so often; return how much it had been told by then.

        Args:
            text: what to wait for.
            times: how often.
            after: behind which number of what it was told; all that was read before unless given.
            but: what does not count.
        """
        start = len(self.told) if after is None else after
        deadline = time.monotonic() + WITHIN_S
        with self._news:
            while True:
                told = enumerate(self.told[start:], start + 1)
                found = [number for number, line in told if text in line and line != but]
                if len(found) >= times:
                    return found[times - 1]
                left = deadline - time.monotonic()
                assert left > 0, f"{text!r} was not told {times} times, but: {self.told[start:]}"
                self._news.wait(left)

    def now(self) -> int:
        """Return how much it has been told by now: whatever was sent before is among it."""
        mark = f"{MARK}{len(self.told)}"
        self._say(mark)
        with self._news:
            assert self._news.wait_for(lambda: mark in self._marks, WITHIN_S)
            return len(self.told)

    def _say(self, text: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), str(self.path))

    def _read(self) -> None:
        while (message := self._socket.recv(65_536).decode()) != END:
            with self._news:
                if message.startswith(MARK):
                    self._marks.add(message)
                else:
                    self.told += message.splitlines()
                self._news.notify_all()
