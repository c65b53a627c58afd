"""The stage of a run: a source, a nats-server with the stream that the bridge would make, and one publisher between them.

All three are processes of their own and live as long as the context. What a benchmark says to the source it measures at the
other end, in the stream: how many events are stored is asked of the server, and what they are is read back.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nats
import nats.errors
from nats.aio.client import Client

from benchmarks.checkups import MEETING
from benchmarks.processes import PATIENCE_S, RunFailed, Running, python, started
from benchmarks.stored import Comparison, stored_messages
from benchmarks.streamed import Streamed
from bridge.config import NatsConfig
from bridge.jetstream.connection import connect
from bridge.jetstream.streams import ensure_events, stream_name
from bridge.model.subjects import Subjects
from tests.testbed.nats import NatsServer

__all__ = ["BRIDGE", "EmptyStage", "NODE", "SOCKET", "STREAM", "Stage", "Way", "set_up", "source", "staged"]

NODE: Final = "bench"
LOOK_S: Final = 0.02
SOCKET: Final = "containerd.sock"
STREAM: Final = stream_name(Subjects())
STORE: Final = "max_memory_store: 256MB, max_file_store: 16GB"
"""The server's limits: a million events and some more."""


PORTION: Final = 500
STARTING: Final = 6_000
"""Containers that start at once, and events of that a second: the bridge asks containerd about each container."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to get events from the socket into the stream.

    Attributes:
        name: short.
        does: what it does, for people.
        command: the publisher's command line for a containerd socket, a NATS URL and a directory of its own.
        bridge: whether it is containerd-bridge.
        same_work: whether it gives the promises that the bridge gives for each event.
    """

    name: str
    does: str
    command: Callable[[Path, str, Path], list[str]]
    bridge: bool = False
    same_work: bool = False


def _serve(socket: Path, url: str, directory: Path) -> list[str]:
    where = ["--containerd", str(socket), "--nats", url, "--state-dir", str(directory / "state"), "--node", NODE]
    return python("bridge", "serve", *where)


BRIDGE: Final = Way(
    name="containerd-bridge",
    does="`containerd-bridge serve`: outbox on disk, ids, sequences, image and labels, fast ingest",
    command=_serve,
    bridge=True,
)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What is on it."""

    way: Way
    directory: Path
    source: Running
    publisher: Running
    server: NatsServer
    client: Client

    @property
    def pids(self) -> Mapping[str, int]:
        """The processes by their parts, as `benchmarks.measured.Stopwatch` wants them."""
        return {"source": self.source.pid, "publisher": self.publisher.pid, "nats-server": self.server.pid}

    async def tell(self, *words: object) -> None:
        """Say something to the source and wait until it has been done.

        Raises:
            RunFailed: the source or the publisher ended.
        """
        self.source.say(" ".join(map(str, words)))
        answer = "prepared" if words[0] == "prepare" else "sent"
        await self.publisher.while_running(self.source.expect(answer, patience=float("inf")))

    async def start_containers(self, number: int) -> None:
        """Let so many containers start, in portions: those before have to be stored, so that nothing piles up in the bridge.

        Raises:
            RunFailed: the source or the publisher ended, or the publisher does not get further.
        """
        for upto in (*range(PORTION, number, PORTION), number):
            await self.tell("run", upto, STARTING)
            await self.stored(upto * len(MEETING))

    async def subscribed(self) -> None:
        """Wait until the publisher has subscribed, and the bridge has proven that it is.

        Raises:
            RunFailed: it does not.
        """
        await self.publisher.while_running(self._subscribed())

    async def stored(self, events: int) -> None:
        """Wait until the stream holds so many events, the bridge's own not counted.

        Raises:
            RunFailed: the publisher ended, or does not get further.
        """
        await self.publisher.while_running(self._stored(events))

    async def count(self) -> int:
        """Return how many events the stream holds, the bridge's own not counted."""
        state = await self._state()
        own: int = sum((state["subjects"] or {}).values())
        return int(state["messages"]) - own

    async def check(self, streamed: Streamed) -> None:
        """Read the stream and compare it with what was streamed.

        Raises:
            RunFailed: it is not that.
        """
        comparison = Comparison(streamed, cloudevents=self.way.bridge)
        async for message in stored_messages(self.server.url, STREAM):
            comparison.take(message.subject, message.data, (message.headers or {}).get("Nats-Msg-Id"))
        complaints = comparison.complaints()
        if complaints:
            raise RunFailed(f"{self.way.name} left a stream that is not what was streamed: {'; '.join(complaints)}")

    # -- inside

    async def _subscribed(self) -> None:
        try:
            await self.source.expect("subscribed")
        except RunFailed as error:
            raise RunFailed(f"{self.way.name} did not subscribe: {error}{self.publisher.told()}") from error
        deadline = time.monotonic() + PATIENCE_S
        while self.way.bridge:
            if f"containerd.nodes.{NODE}.connected" in ((await self._state())["subjects"] or {}):
                return
            if time.monotonic() > deadline:
                raise RunFailed(
                    f"{self.way.name} did not prove its subscription in {PATIENCE_S:.0f} s{self.publisher.told()}"
                )
            await asyncio.sleep(LOOK_S)

    async def _stored(self, events: int) -> None:
        stored, grew = 0, time.monotonic()
        while stored < events:
            await asyncio.sleep(LOOK_S)
            now = await self.count()
            if now > stored:
                stored, grew = now, time.monotonic()
            elif time.monotonic() - grew > PATIENCE_S:
                raise RunFailed(f"{self.publisher.name} stalled at {stored} of {events} events{self.publisher.told()}")

    async def _state(self) -> dict[str, Any]:
        """Return the stream's state with the number of messages on each of the bridge's own subjects."""
        question = json.dumps({"subjects_filter": "containerd.nodes.>"}).encode()
        answer = await self.client.request(f"$JS.API.STREAM.INFO.{STREAM}", question, timeout=PATIENCE_S)
        state: dict[str, Any] = {"subjects": None, **json.loads(answer.data)["state"]}
        return state


@asynccontextmanager
async def staged(way: Way, *, lives: int = 0, running: int = 0) -> AsyncIterator[Stage]:
    """Set the stage for a run; `lives` and `running` are the source's containers, see `benchmarks.prepared`.

    Raises:
        RunFailed: a process did not come up, or did not end at the end.
    """
    async with set_up(lives=lives, running=running) as empty, empty.with_publisher(way) as stage:
        yield stage


@dataclass(frozen=True, kw_only=True)
class EmptyStage:
    """A stage without publisher: there may be several on it, one after the other."""

    directory: Path
    source: Running
    server: NatsServer
    client: Client

    @asynccontextmanager
    async def with_publisher(self, way: Way) -> AsyncIterator[Stage]:
        """Let a publisher run while the context lasts.

        Raises:
            RunFailed: it did not end at the end.
        """
        command = way.command(self.directory / SOCKET, self.server.url, self.directory)
        async with started(way.name, command, self.directory) as publisher:
            yield Stage(
                way=way,
                directory=self.directory,
                source=self.source,
                publisher=publisher,
                server=self.server,
                client=self.client,
            )


@asynccontextmanager
async def set_up(*, lives: int = 0, running: int = 0) -> AsyncIterator[EmptyStage]:
    """Set a stage without publisher.

    Raises:
        RunFailed: a process did not come up, or did not end at the end.
    """
    with (
        tempfile.TemporaryDirectory(prefix="containerd-bridge-bench-") as name,
        NatsServer(jetstream=STORE) as server,
    ):
        directory = Path(name)
        await _make_stream(server.url)
        async with (
            source(directory, lives=lives, running=running) as prepared,
            await nats.connect(
                server.url, reconnect_time_wait=LOOK_S, max_reconnect_attempts=-1, error_cb=_is_told_otherwise
            ) as client,
        ):
            yield EmptyStage(directory=directory, source=prepared, server=server, client=client)


@asynccontextmanager
async def source(directory: Path, *, lives: int = 0, running: int = 0) -> AsyncIterator[Running]:
    """Run a source while the context lasts; its socket is `SOCKET` in `directory`."""
    options = ["--lives", str(lives), "--running", str(running)]
    async with started(
        "source", python("benchmarks.prepared", str(directory / SOCKET), *options), directory
    ) as running_:
        await running_.expect("ready")
        yield running_


async def _make_stream(url: str) -> None:
    """Make the stream as the bridge would: the same settings for every way."""
    async with connect(NatsConfig(url=url), name="benchmark") as connection:
        await ensure_events(connection, Subjects())


async def _is_told_otherwise(error: Exception) -> None:
    """Say nothing of an error on our own connection: what comes of it shows in the count of events."""
