"""A client that reads the stream from its beginning and folds it: what is every container's state?

It is `bridge.client` and `bridge.model.fold`, which is the fastest that a consumer of ours has.

    python -m benchmarks.folding NATS_URL FILE

It says `ready`, waits for a line, and says `folded SECONDS` at the end of the stream: from its connecting to the last state. The
states stand in FILE then, as JSON, one in a line.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import aclosing
from pathlib import Path

from bridge.client import connect
from bridge.model.codec import encode_any
from bridge.model.fold import evolve
from bridge.model.state import ContainerState

__all__ = ["main"]


async def _fold(url: str) -> dict[tuple[str | None, str], ContainerState]:
    states: dict[tuple[str | None, str], ContainerState] = {}
    async with connect(url) as bus, aclosing(bus.events(since=1, follow=False, node_events=False)) as events:
        async for event in events:
            recorded = event.recorded
            if recorded.container is not None:
                key = recorded.namespace, recorded.container
                states[key] = evolve(states.get(key), recorded)
    return states


def main(arguments: list[str]) -> int:
    """Fold when told to, and end when the input does."""
    url, file = arguments
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    states = asyncio.run(_fold(url))
    seconds = time.perf_counter() - began
    Path(file).write_bytes(b"".join(encode_any(state) + b"\n" for state in states.values()))
    print(f"folded {seconds}", flush=True)
    sys.stdin.read()  # its CPU time is read while it lives
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
