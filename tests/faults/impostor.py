"""What stands at a NATS server's address and is none: it greets with garbage, with nothing, or with a refusal."""

from __future__ import annotations

import random
import socket
import threading
from types import TracebackType
from typing import Final, Self

__all__ = ["Impostor"]

GREETINGS: Final = (
    b"INFO {oops\r\n",
    b"INFO {}\r\n",
    b"INFO []\r\n",
    b'INFO {"server_id":"x","version":"2.15.1","max_payload":"many","port":-1,"headers":"yes"}\r\n',
    b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"tls_required":true}\r\n',
    b"-ERR 'Authorization Violation'\r\n",
    b"-ERR 'User Authentication Expired'\r\n",
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    b"\x15\x03\x01\x00\x02\x02\x46",
    b"MSG a 1 5\r\nhello\r\n",
    b"",
)
"""First words that are none of NATS's, or not well-formed."""


class Impostor:
    """A listener; a context manager. Every connection gets one of the greetings, or noise, and then nothing or its end."""

    def __init__(self, lot: random.Random) -> None:
        self._lot = random.Random(lot.random())
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self._open: list[socket.socket] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="impostor", daemon=True)
        self.fooled = 0
        """Connections so far."""

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        for one in (*self._open, self._listener):
            one.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                caller, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.fooled += 1
            greeting = self._lot.choice([*GREETINGS, self._lot.randbytes(self._lot.randint(1, 5_000))])
            try:
                caller.sendall(greeting)
            except OSError:
                greeting = b""
            if self._lot.random() < 0.5:
                caller.close()
            else:
                self._open.append(caller)  # and says nothing more
