"""A subscriber of the stream: when does each event arrive?

It is an ordinary client, nats-py with an ordered push consumer on the stream of events, so it gets what is stored and nothing
before. The clock is the host's, and so is containerd's, by which an event says when it was sent.

    python -m benchmarks.arriving NATS_URL STREAM EVENTS FILE

It says `ready` when its consumer is there and `arrived` when so many events of containers have come, with a line for each
in FILE: when it was sent, read by the bridge, stored, and here, in nanoseconds, and its subject.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from time import time_ns

import nats
from nats.aio.msg import Msg

from bridge.model.nanos import parse_rfc3339

__all__ = ["main"]


async def _arrive(url: str, stream: str, events: int, file: Path) -> None:
    arrived: list[tuple[int, Msg]] = []
    complete = asyncio.Event()

    async def take(message: Msg) -> None:
        arrived.append((time_ns(), message))
        if len(arrived) == events:
            complete.set()

    async with await nats.connect(url) as client:
        await client.jetstream().subscribe("containerd.events.>", stream=stream, ordered_consumer=True, cb=take)
        print("ready", flush=True)
        await complete.wait()
    with file.open("w", encoding="utf-8") as lines:
        for here, message in arrived[:events]:
            event = json.loads(message.data)
            sent, read = parse_rfc3339(event["time"]), parse_rfc3339(event["recordedtime"])
            stored = int(message.reply.split(".")[7])  # nats-py's own reading of it keeps microseconds only
            lines.write(f"{sent:d} {read:d} {stored} {here} {message.subject}\n")
    print("arrived", flush=True)
    await asyncio.to_thread(sys.stdin.read)  # its CPU time is read while it lives


def main(arguments: list[str]) -> int:
    """Wait for so many events, and end when the input does."""
    url, stream, events, file = arguments
    asyncio.run(_arrive(url, stream, int(events), Path(file)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
