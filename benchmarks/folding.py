"""A client that folds the stream from its beginning: what is every container's state?

It is `bridge.client`, asked for the states at this moment, which is the fastest that a consumer of ours has.

    python -m benchmarks.folding NATS_URL FILE

It says `ready`, waits for a line, and says `folded SECONDS` at the end of the stream: from its connecting to the last state. The
states stand in FILE then, as JSON, one in a line.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from bridge.client import connect
from bridge.model.codec import encode_any
from bridge.model.nanos import now
from bridge.model.state import ContainerState

__all__ = ["main"]


async def _fold(url: str) -> list[ContainerState]:
    async with connect(url) as bus:
        return await bus.states(at=now())


def main(arguments: list[str]) -> int:
    """Fold when told to, and end when the input does."""
    url, file = arguments
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    states = asyncio.run(_fold(url))
    seconds = time.perf_counter() - began
    Path(file).write_bytes(b"".join(encode_any(state) + b"\n" for state in states))
    print(f"folded {seconds}", flush=True)
    sys.stdin.read()  # its CPU time is read while it lives
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
