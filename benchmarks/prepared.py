"""A containerd that has everything to say ready: the source of every run, and a process of its own.

It serves what a follower of events asks of containerd, on a unix socket: Version, Events.Subscribe and Publish, and
Containers.Get and List. What is published goes to every subscriber, as in containerd, so that a bridge can prove that
its subscription is live. On the word `go` it streams the prepared events (see `benchmarks.lifecycles`) to whoever is
subscribed then, as fast as they are taken. Who subscribes later misses them, as with containerd.

    python -m benchmarks.prepared SOCKET CONTAINERS

Read its output line by line: `ready` when it listens, `subscribed` for every subscription that is ready to be streamed to,
`sent` when the last event is with a subscriber's kernel. Write `go` to its input; it ends when its input does.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
import weakref
from collections.abc import Callable

from benchmarks import lifecycles
from benchmarks.http2 import NOT_FOUND, Call, Frames, GrpcConnection, Handler
from bridge._pb.containerd.services.containers_pb2 import (
    Container,
    Containers,
    GetContainerRequest,
    GetContainerResponse,
    ListContainersRequest,
    ListContainersResponse,
)
from bridge._pb.containerd.services.events_pb2 import Events, PublishRequest
from bridge._pb.containerd.services.version_pb2 import Version, VersionResponse
from bridge._pb.containerd.types_pb2 import Envelope
from bridge._pb.google.protobuf.empty_pb2 import Empty
from bridge._pb.google.protobuf.timestamp_pb2 import Timestamp

__all__ = ["PreparedContainerd"]

_ID_FILTER = re.compile(r'id==("?)([A-Za-z0-9._-]+)\1')


class PreparedContainerd:
    """What the connections share: the events, the containers' records, and who is subscribed."""

    def __init__(self, containers: int, say: Callable[[str], None]) -> None:
        """Prepare the lives of so many containers; `say` is told what the process prints."""
        self._say = say
        self._events = [lifecycles.envelope(happening) for happening in lifecycles.happenings(containers)]
        self._records = {
            container: lifecycles.record(container)
            for container in (lifecycles.container_id(number) for number in range(containers))
        }
        self._subscribers: dict[Call, Frames] = {}
        self._connections: weakref.WeakSet[GrpcConnection] = weakref.WeakSet()
        self.handlers: dict[str, Handler] = {
            Version.Version.path: self._version,
            Events.Subscribe.path: self._subscribe,
            Events.Publish.path: self._publish,
            Containers.Get.path: self._get,
            Containers.List.path: self._list,
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

    def go(self) -> None:
        """Stream the events to whoever is subscribed now."""
        for call, frames in self._subscribers.items():
            call.stream(frames, lambda: self._say("sent"))

    # -- calls

    def _version(self, call: Call, _: bytes) -> None:
        _answer(call, VersionResponse(version="2.1.9", revision="prepared"))

    def _subscribe(self, call: Call, _: bytes) -> None:
        # Filters are not looked at: whoever measures with them would measure something else.
        self._subscribers[call] = call.prepare(self._events)
        self._say("subscribed")

    def _publish(self, call: Call, body: bytes) -> None:
        asked = PublishRequest.FromString(body)
        seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
        published = Envelope(
            timestamp=Timestamp(seconds=seconds, nanos=nanos),
            namespace=call.namespace,
            topic=asked.topic,
            event=asked.event,
        ).SerializeToString()
        for subscriber in self._subscribers:
            subscriber.send(published)
        _answer(call, Empty())

    def _get(self, call: Call, body: bytes) -> None:
        container = GetContainerRequest.FromString(body).id
        found = self._records.get(container) if call.namespace == lifecycles.NAMESPACE else None
        if found is None:
            call.finish(NOT_FOUND, f'container "{container}" in namespace "{call.namespace}": not found')
        else:
            _answer(call, GetContainerResponse(container=found))

    def _list(self, call: Call, body: bytes) -> None:
        _answer(call, ListContainersResponse(containers=self._named(ListContainersRequest.FromString(body), call)))

    def _named(self, asked: ListContainersRequest, call: Call) -> list[Container]:
        """Return the containers that the filters name; only `id==...` is understood."""
        if call.namespace != lifecycles.NAMESPACE:
            return []
        if not asked.filters:
            return list(self._records.values())
        names = [match[2] for match in map(_ID_FILTER.fullmatch, asked.filters) if match]
        return [self._records[name] for name in names if name in self._records]

    def _left(self, call: Call) -> None:
        self._subscribers.pop(call, None)


def _answer(call: Call, response: VersionResponse | Empty | GetContainerResponse | ListContainersResponse) -> None:
    call.send(response.SerializeToString())
    call.finish()


async def _serve(path: str, containers: int) -> None:
    source = PreparedContainerd(containers, lambda word: print(word, flush=True))
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(source.connection, path)
    words = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    async with server:
        print("ready", flush=True)
        while word := (await words.readline()).strip():
            if word == b"go":
                source.go()


def main(arguments: list[str]) -> int:
    """Serve until the input ends."""
    try:
        path, containers = arguments
        number = int(containers)
    except ValueError:
        print("usage: python -m benchmarks.prepared SOCKET CONTAINERS", file=sys.stderr)
        return 2
    asyncio.run(_serve(path, number))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
