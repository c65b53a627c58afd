"""What systemd is told of the daemon: that it is ready, how it stands, that it lives, that it stops (sd_notify(3)).

`READY=1` means that events flow, not that a process runs: what is ordered behind the unit finds a bridge that follows
containerd. `WATCHDOG=1` is sent while `alive` says that a restart would not help, from the event loop itself, so that it stops
when that hangs too. Who else is away, containerd or NATS, is told in `STATUS=` and does not stop it
(docs/decisions/0042-alive-and-ready.md). Without a socket in the environment nothing happens.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

__all__ = ["Notifier"]

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""How often it is looked at how the daemon stands. systemd is told when that has changed, and of the watchdog each time."""


class Notifier:
    """Tells the supervisor; without one every call does nothing."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Take where the supervisor listens, and whether it waits for signs of life, from the environment."""
        environ = os.environ if environ is None else environ
        self._address = environ.get("NOTIFY_SOCKET", "")
        pid = environ.get("WATCHDOG_PID", "")
        usec = environ.get("WATCHDOG_USEC", "")
        for_us = pid in ("", str(os.getpid()))
        self._watchdog_s = int(usec) / 1e6 if for_us and usec.isascii() and usec.isdigit() else 0.0
        self._status = ""
        self._told_ready = False
        self._warned = False

    @property
    def listens(self) -> bool:
        """Whether anybody wants to know."""
        return self._address.startswith(("/", "@"))

    async def run(self, *, alive: Callable[[], str | None], ready: Callable[[], str | None]) -> NoReturn:
        """Tell for ever how the daemon stands.

        Args:
            alive: returns None while a restart would not help; the watchdog is told so only then.
            ready: returns None while events flow, else the sentence that says why not; the first None is `READY=1`.
        """
        pause = min(LOOK_S, self._watchdog_s / 4 or LOOK_S)
        while True:
            dead, unready = alive(), ready()
            if dead is None and self._watchdog_s:
                self._send("WATCHDOG=1")
            if dead is None and unready is None and not self._told_ready:
                self._told_ready = self._send("READY=1")
            self._tell_status(dead or unready or "events flow")
            await asyncio.sleep(pause)

    def starting(self, what: str) -> None:
        """Say what the start waits for."""
        self._tell_status(what)

    def stopping(self, why: str) -> None:
        """Say that the daemon stops, and why."""
        self._send(f"STOPPING=1\nSTATUS={_line(why)}")

    def _tell_status(self, status: str) -> None:
        if status != self._status and self._send(f"STATUS={_line(status)}"):
            self._status = status

    def _send(self, state: str) -> bool:
        """Send it; return whether the supervisor has it, else it is tried again when it is next looked."""
        if not self.listens:
            return False
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(0)  # a supervisor that does not read must not hold up events
                sender.sendto(state.encode(), address)
        except OSError as error:
            if not self._warned:
                log.warning("the supervisor at %s cannot be told how the bridge stands: %s", self._address, error)
                self._warned = True
            return False
        self._warned = False
        return True


def _line(text: str) -> str:
    return " ".join(text.split())
