"""A containerd that has everything to say ready: the source of every run, and a process of its own.

It serves what a bridge asks of containerd, on a unix socket: events (Subscribe and Publish), what containers there are
(Containers.Get, List and ListStream, Tasks.List, Namespaces.List) and its version. What is published goes to every
subscriber, as in containerd, so that a bridge can prove that its subscription is live. Who subscribes later misses what
was streamed before, as with containerd.

    python -m benchmarks.prepared SOCKET [--lives N] [--running N]

`--lives` are containers whose whole lives it can tell (`benchmarks.lifecycles`); no list shows them, since they come and go.
`--running` are containers that run from the beginning (`benchmarks.checkups`). Read its output line by line: `ready` when it
listens, `subscribed` for every subscription. What it is told on its input, and what it answers:

    prepare EVENTS            make the next so many events of the lives ready for whoever is subscribed now: `prepared`
    go                        stream them as fast as they are taken: `sent` when the last is with a subscriber's kernel
    run CONTAINERS RATE       let containers start at so many events a second until that many run: `sent`
    check BUSY EVENTS RATE    the next round of health checks, at so many events a second: `sent`
    more EVENTS RATE          go on with that round: `sent`
    asked                     how often Tasks.List was called: `asked N`

It ends when its input does.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from time import time_ns
from typing import Final

from benchmarks import checkups, lifecycles, pace
from benchmarks.http2 import Call, Frames, GrpcConnection, Handler
from benchmarks.inventory import Inventory, answer
from bridge._pb.containerd.services.events_pb2 import Events, PublishRequest
from bridge._pb.containerd.services.version_pb2 import Version, VersionResponse
from bridge._pb.containerd.types_pb2 import Envelope
from bridge._pb.google.protobuf.empty_pb2 import Empty

__all__ = ["PreparedContainerd"]

AT_ONCE: Final = 500
"""Events that are made before the loop takes another turn."""


class PreparedContainerd:
    """What the connections share: the events, the containers, and who is subscribed."""

    def __init__(self, say: Callable[[str], None], *, lives: int = 0, running: int = 0) -> None:
        """Take what there is.

        Args:
            say: told what the process prints.
            lives: containers whose lives can be told.
            running: containers that run.
        """
        self._say = say
        self._lives = map(lifecycles.envelope, lifecycles.happenings(lives))
        self._inventory = Inventory(lives=lives, running=running)
        self._rounds = 0
        self._busy, self._streamed = 1, 0
        self._subscribers: dict[Call, Frames | None] = {}
        self._connections: weakref.WeakSet[GrpcConnection] = weakref.WeakSet()
        self.handlers: dict[str, Handler] = {
            Version.Version.path: self._version,
            Events.Subscribe.path: self._subscribe,
            Events.Publish.path: self._publish,
            **self._inventory.handlers,
        }

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are now."""
        return len(self._subscribers)

    def connection(self) -> GrpcConnection:
        """Return a new connection's protocol."""
        connection = GrpcConnection(self.handlers, self._left)
        self._connections.add(connection)
        return connection

    def drop(self) -> None:
        """Drop every connection, as a containerd does that ends."""
        for connection in self._connections:
            connection.abort()

    # -- streaming

    async def prepare(self, events: int) -> None:
        """Make the next so many events of the lives ready for whoever is subscribed now."""
        told: list[bytes] = []
        while len(told) < events and (more := list(islice(self._lives, min(AT_ONCE, events - len(told))))):
            told += more
            await asyncio.sleep(0)  # a probe may want to come back meanwhile
        for call in self._subscribers:
            self._subscribers[call] = call.prepare(told)
        self._say("prepared")

    def go(self) -> None:
        """Stream what was prepared."""
        for call, frames in self._subscribers.items():
            if frames is not None:
                call.stream(frames, lambda: self._say("sent"))

    async def run(self, containers: int, rate: float) -> None:
        """Let containers start, at so many events a second, until that many run."""
        first = self._inventory.running

        def due(begin: int, end: int) -> None:
            self._inventory.running = first + -(-end // len(checkups.MEETING))
            skipped = first * len(checkups.MEETING)
            self._tell(checkups.meeting(skipped + number, time_ns()) for number in range(begin, end))

        await pace.keep(rate, (containers - first) * len(checkups.MEETING), due)
        self._say("sent")

    async def check(self, busy: int, events: int, rate: float) -> None:
        """Stream the next round of health checks, at so many events a second, each with the time at which it is sent."""
        self._rounds += 1
        self._busy, self._streamed = busy, 0
        await self.more(events, rate)

    async def more(self, events: int, rate: float) -> None:
        """Go on with the round."""
        place, busy, first = self._rounds - 1, self._busy, self._streamed
        self._streamed += events

        def due(begin: int, end: int) -> None:
            steps = (checkups.step_of(place, busy, first + number) for number in range(begin, end))
            self._tell(self._checked(step) for step in steps)

        await pace.keep(rate, events, due)
        self._say("sent")

    async def told(self, line: str) -> None:
        """Do what a line of the input says."""
        match line.split():
            case ["prepare", events]:
                await self.prepare(int(events))
            case ["go"]:
                self.go()
            case ["run", containers, rate]:
                await self.run(int(containers), float(rate))
            case ["check", busy, events, rate]:
                await self.check(int(busy), int(events), float(rate))
            case ["more", events, rate]:
                await self.more(int(events), float(rate))
            case ["asked"]:
                self._say(f"asked {self._inventory.asked}")
            case _:
                raise ValueError(f"the source does not know what {line!r} means")

    def _checked(self, step: checkups.Step) -> bytes:
        self._inventory.checked(step)
        return checkups.check(step, time_ns())

    def _tell(self, told: Iterable[bytes]) -> None:
        messages = list(told)
        for subscriber in self._subscribers:
            subscriber.send(*messages)

    # -- calls

    def _version(self, call: Call, _: bytes) -> None:
        answer(call, VersionResponse(version="2.1.9", revision="prepared"))

    def _subscribe(self, call: Call, _: bytes) -> None:
        # Filters are not looked at: whoever measures with them would measure something else.
        self._subscribers[call] = None
        self._say("subscribed")

    def _publish(self, call: Call, body: bytes) -> None:
        asked = PublishRequest.FromString(body)
        published = Envelope(
            timestamp=lifecycles.moment(time_ns()), namespace=call.namespace, topic=asked.topic, event=asked.event
        ).SerializeToString()
        self._tell([published])
        answer(call, Empty())

    def _left(self, call: Call) -> None:
        self._subscribers.pop(call, None)


async def _serve(path: str, *, lives: int, running: int) -> None:
    source = PreparedContainerd(lambda word: print(word, flush=True), lives=lives, running=running)
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(source.connection, path)
    words = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    async with server:
        print("ready", flush=True)
        while line := (await words.readline()).decode().strip():
            await source.told(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prepared")
    parser.add_argument("socket")
    parser.add_argument("--lives", type=int, default=0)
    parser.add_argument("--running", type=int, default=0)
    asked = parser.parse_args(arguments)
    asyncio.run(_serve(asked.socket, lives=asked.lives, running=asked.running))
    return 0


if __name__ == "__main__":
    sys.exit(main())
