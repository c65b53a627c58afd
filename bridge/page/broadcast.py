"""One stream of numbered messages for all browsers, as server-sent events, of which only the last part is kept.

Each message is encoded once and kept once, whoever reads it; a browser has a number and nothing else. One that comes back says
which number it had, and gets what followed. One that is so slow, or was away for so long, that what it needs is not kept any more
is told to begin anew: it costs itself a snapshot, and the page no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from bridge.model.codec import encode_any
from bridge.model.identity import new_ulid

__all__ = ["Broadcast"]

MESSAGES: Final = 600
"""Messages that are kept: a minute at ten a second."""

BYTES: Final = 8 << 20
"""And so many bytes of them."""

ALIVE_S: Final = 15.0
"""A line that says nothing goes out so often, so that a connection that is gone is noticed on both ends."""


class Broadcast:
    """Messages of one run; another run has other numbers."""

    def __init__(self, snapshot: Callable[[], Any], *, messages: int = MESSAGES, size: int = BYTES) -> None:
        """Take what tells everything that the messages so far have come to, and how much is kept."""
        self._snapshot = snapshot
        self._run = new_ulid()
        self._kept: dict[int, bytes] = {}
        self._most, self._size = messages, size
        self._held = 0
        self._last = 0
        self._ended = False
        self._news = asyncio.Event()
        self._whole: tuple[int, bytes] | None = None

    def tell(self, message: Any) -> None:
        """Send a message to everybody."""
        self._last += 1
        frame = self._frame("change", message)
        self._kept[self._last] = frame
        self._held += len(frame)
        while len(self._kept) > self._most or (self._held > self._size and len(self._kept) > 1):
            self._held -= len(self._kept.pop(next(iter(self._kept))))
        self._wake()

    def end(self) -> None:
        """Let every reader come to its end."""
        self._ended = True
        self._wake()

    async def read(self, after: str | None = None) -> AsyncGenerator[bytes, None]:
        """Iterate over the stream: a snapshot and what comes then; or what came after the message `after`, where that is kept."""
        reached = self._number(after)
        if reached is None:
            reached = self._last
            yield self._everything()
        while not self._over():
            news = self._news  # before looking, so that what comes meanwhile wakes us
            while reached < self._last and not self._over():
                frame = self._kept.get(reached + 1)
                if frame is None:
                    yield b"event: reload\ndata: {}\n\n"
                    return
                reached += 1
                yield frame
            if news.is_set():
                continue
            try:
                async with asyncio.timeout(ALIVE_S):
                    await news.wait()
            except TimeoutError:
                yield b": alive\n\n"

    # -- inside

    def _over(self) -> bool:
        return self._ended

    def _everything(self) -> bytes:
        # Browsers that come one after the other without a change between them get the same bytes.
        if self._whole is None or self._whole[0] != self._last or not self._last:
            self._whole = self._last, self._frame("snapshot", self._snapshot())
        return self._whole[1]

    def _frame(self, kind: str, message: Any) -> bytes:
        body = encode_any(message)  # JSON of one line
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (self._run.encode(), self._last, kind.encode(), body)

    def _number(self, after: str | None) -> int | None:
        run, _, number = (after or "").partition("-")
        if run != self._run or not (number.isascii() and number.isdigit() and len(number) < 16):
            return None
        reached = int(number)
        kept = reached == self._last or reached + 1 in self._kept
        return reached if reached <= self._last and kept else None

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
