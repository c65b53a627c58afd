"""A bus for stdio to hold to its contract."""

from contextlib import aclosing
from typing import NamedTuple

from bridge.model.subjects import StdioSubject
from bridge.ports import OutputLog, StdioClient, StdioLines, StoredPiece

STDOUT = StdioSubject("web1", "k8s.io", "web.1", "exec.1", "stdout")
STDERR = STDOUT._replace(line="stderr")


class StdioBus(NamedTuple):
    """The bridge's two ends, and that of whoever attaches."""

    output: OutputLog
    lines: StdioLines
    client: StdioClient

    async def stored(self, session: str, *, after: int = 0) -> list[StoredPiece]:
        """What of a session is stored now."""
        async with aclosing(self.client.read(STDOUT, session, after=after, follow=False)) as pieces:
            return [piece async for piece in pieces]
