"""How far a session's output may run ahead of those who read it.

An owner says what he has read, and how much more may be stored. The slowest one counts. Who says nothing for some seconds is
gone, and holds nobody up any more: then output runs freely into the stream, as without any owner. So a slow reader costs
neither memory nor the older output of others, and a dead one costs a few seconds. A process that has ended is held up by nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from bridge.model.stdio import Credit, OutputStream

__all__ = ["SILENCE_S", "Window"]

SILENCE_S: Final = 8.0
"""An owner says something every two seconds; who misses three of these is gone."""

MOST_OWNERS: Final = 64


class _Owner(Struct):
    credit: Credit
    heard: float


class Window:
    """The window of one session."""

    def __init__(self, window: int | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take what is granted before the first owner is heard; None for no limit."""
        self._clock = clock
        self._owners: dict[str, _Owner] = {}
        self._watchers: list[Callable[[], None]] = []
        self._open = False
        if window is not None:
            self._owners[""] = _Owner(Credit(session="", owner="", window=window), clock())

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when more may be stored."""
        self._watchers.append(changed)

    def hear(self, credit: Credit) -> None:
        """Take what an owner says."""
        self._owners.pop("", None)
        if credit.window <= 0:
            self._owners.pop(credit.owner, None)
        elif credit.owner in self._owners or len(self._owners) < MOST_OWNERS:
            self._owners[credit.owner] = _Owner(credit, self._clock())
        for changed in self._watchers:
            changed()

    def open(self) -> None:
        """Hold nothing up from here on: what is left is little, and will not get more."""
        self._open = True
        for changed in self._watchers:
            changed()

    def limit(self, stream: OutputStream) -> int | None:
        """Return the offset up to which the stream may be stored now; None for no limit."""
        if self._open:
            return None
        now = self._clock()
        gone = [name for name, owner in self._owners.items() if now - owner.heard > SILENCE_S]
        for name in gone:
            del self._owners[name]
        if not self._owners:
            return None
        said = [owner.credit for owner in self._owners.values()]
        return min((one.stdout if stream == "stdout" else one.stderr) + one.window for one in said)
