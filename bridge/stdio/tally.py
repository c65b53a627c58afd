"""What is known of the bytes of one stream that are stored: their SHA-256, and the first of them for whoever wants those.

Both are kept as the bytes go by. What went by before this process was there, or is not here any more, is asked of the bus.
"""

from __future__ import annotations

import hashlib
from typing import Final

from bridge.errors import LogError, LogUnavailable
from bridge.model.subjects import StdioSubject
from bridge.ports import OutputLog

__all__ = ["Tally"]

NOT_YET: Final = "the SHA-256 of what was stored before cannot be told yet"
NEVER: Final = "the SHA-256 of what was stored before cannot be told"


class Tally:
    """The sum of one stream. `add` what is stored, `miss` what was stored without it, `settle` it at the end."""

    def __init__(self, *, capture: int) -> None:
        """Take how many of the first bytes are wanted."""
        self._capture = capture
        self._sha = hashlib.sha256()
        self._first = bytearray()
        self.whole = True
        """Whether all that is stored went by here."""
        self.settled = False
        """Whether the sum is known, or is known never to be."""
        self.sha256: str | None = None

    def add(self, data: bytes) -> None:
        """Take what is stored."""
        self._sha.update(data)
        if len(self._first) < self._capture:
            self._first += data[: self._capture - len(self._first)]

    def miss(self) -> None:
        """Something is stored that did not go by here."""
        self.whole = False
        self._first.clear()

    @property
    def captured(self) -> bytes | None:
        """The first bytes, None where nobody wants them or nobody knows them."""
        return bytes(self._first) if self._capture and (self.whole or self.settled) else None

    @property
    def wanted(self) -> bool:
        """Whether the first bytes are on the bus only."""
        return bool(self._capture) and not self.settled and not self.whole

    async def settle(self, bus: OutputLog, subject: StdioSubject, session: str, *, size: int, after: int) -> str | None:
        """Find the sum of all `size` bytes that stand behind the place `after`; return why it is not known yet, or never.

        It may be asked again as long as it is not `settled`.
        """
        if self.whole:
            self.settled, self.sha256 = True, self._sha.hexdigest()
            return None
        try:
            found = await bus.digest(subject, session, size=size, after=after, head=self._capture)
        except LogUnavailable as error:
            return f"{NOT_YET}: {error}"
        except LogError as error:
            self.settled, self._capture = True, 0
            return f"{NEVER}: {error}"
        self.settled = True
        if found is None:
            self._capture = 0
        else:
            self.sha256 = found.sha256
            self._first[:] = found.head
        return None
