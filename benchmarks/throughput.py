"""One run: from the word `go` to the last event stored, and a look at what is stored then.

A run has a source of its own (`benchmarks.prepared`), a nats-server of its own with file storage and the stream that the
bridge would make, and one publisher. The clock starts with `go` and stops when the stream is seen to hold as many events as
were streamed; it is asked fifty times a second. CPU time is what each process has used between the two.

A run whose stream is not exactly what was streamed has no figures: it raises.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nats
from nats.aio.client import Client

from benchmarks.lifecycles import LIFE
from benchmarks.measured import Measured, Stopwatch
from benchmarks.processes import PATIENCE_S, RunFailed, Running, started
from benchmarks.stored import Comparison, stored_messages
from bridge.config import NatsConfig
from bridge.jetstream.connection import connect
from bridge.jetstream.streams import ensure_events, stream_name
from bridge.model.subjects import Subjects
from tests.testbed.nats import NatsServer

__all__ = ["BRIDGE", "WAYS", "Way", "measure", "measure_source"]

NODE: Final = "bench"
LOOK_S: Final = 0.02
SOCKET: Final = "containerd.sock"
STREAM: Final = stream_name(Subjects())


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to get events from the socket into the stream.

    Attributes:
        name: short.
        does: what it does, for people.
        command: the publisher's command line for a containerd socket, a NATS URL and a directory of its own.
        bridge: whether it is containerd-bridge.
    """

    name: str
    does: str
    command: Callable[[Path, str, Path], list[str]]
    bridge: bool = False


def _serve(socket: Path, url: str, directory: Path) -> list[str]:
    state = str(directory / "state")
    where = ["--containerd", str(socket), "--nats", url, "--state-dir", state, "--node", NODE]
    return [sys.executable, "-m", "bridge", "serve", *where]


def _obvious(name: str) -> Callable[[Path, str, Path], list[str]]:
    return lambda socket, url, _: [sys.executable, "-m", "benchmarks.obvious", name, str(socket), url, NODE]


BRIDGE: Final = Way(
    name="containerd-bridge",
    does="`containerd-bridge serve`: outbox on disk, ids, sequences, image and labels, fast ingest",
    command=_serve,
    bridge=True,
)
WAYS: Final = (
    BRIDGE,
    Way(
        name="awaited",
        does="grpc.aio, protobuf, json, `await js.publish` with a Nats-Msg-Id",
        command=_obvious("awaited"),
    ),
    Way(name="flushed", does="grpc.aio, protobuf, json, core publish and flush of each", command=_obvious("flushed")),
)


async def measure(way: Way, containers: int) -> Measured:
    """Do one run of a way, with so many containers' lives.

    Raises:
        RunFailed: it stalled, a process ended, or the stream is not what was streamed.
    """
    events = containers * len(LIFE)
    with tempfile.TemporaryDirectory(prefix="containerd-bridge-bench-") as name, NatsServer() as server:
        directory = Path(name)
        await _make_stream(server.url)
        async with (
            _source(directory, containers) as source,
            started(way.name, way.command(directory / SOCKET, server.url, directory), directory) as publisher,
            await nats.connect(server.url) as client,
        ):
            await publisher.while_running(_ready(way, source, publisher, client))
            pids = {"source": source.pid, "publisher": publisher.pid, "nats-server": server.pid}
            stopwatch = Stopwatch(pids)
            source.say("go")
            await publisher.while_running(_complete(client, publisher, events))
            measured = stopwatch.stop(way.name, events)
        await _compare(way, server.url, containers)
    return measured


async def measure_source(containers: int) -> Measured:
    """Do one run of the source with a client that only counts in the publisher's place.

    Raises:
        RunFailed: a process ended.
    """
    events = containers * len(LIFE)
    with tempfile.TemporaryDirectory(prefix="containerd-bridge-bench-") as name:
        directory = Path(name)
        counting = [sys.executable, "-m", "benchmarks.counting", str(directory / SOCKET), str(events)]
        async with (
            _source(directory, containers) as source,
            started("counting client", counting, directory) as client,
        ):
            await source.expect("subscribed")
            pids = {"source": source.pid, "publisher": client.pid}
            stopwatch = Stopwatch(pids)
            source.say("go")
            await client.expect("counted")
            return stopwatch.stop("source alone", events)


@asynccontextmanager
async def _source(directory: Path, containers: int) -> AsyncIterator[Running]:
    command = [sys.executable, "-m", "benchmarks.prepared", str(directory / SOCKET), str(containers)]
    async with started("source", command, directory) as source:
        await source.expect("ready")
        yield source


# -- the stream


async def _make_stream(url: str) -> None:
    """Make the stream as the bridge would: the same settings for every way."""
    async with connect(NatsConfig(url=url), name="benchmark") as connection:
        await ensure_events(connection, Subjects())


async def _ready(way: Way, source: Running, publisher: Running, client: Client) -> None:
    """Wait until the publisher is subscribed, and the bridge has proven that it is."""
    try:
        await source.expect("subscribed")
    except RunFailed as error:
        raise RunFailed(f"{way.name} did not subscribe: {error}{publisher.told()}") from error
    deadline = time.monotonic() + PATIENCE_S
    while way.bridge:
        subjects = (await _state(client))["subjects"] or {}
        if f"containerd.nodes.{NODE}.connected" in subjects:
            return
        if time.monotonic() > deadline:
            raise RunFailed(f"{way.name} did not prove its subscription in {PATIENCE_S:.0f} s{publisher.told()}")
        await asyncio.sleep(LOOK_S)


async def _complete(client: Client, publisher: Running, events: int) -> None:
    """Wait until the stream holds so many events, the bridge's own not counted."""
    stored, grew = 0, time.monotonic()
    while stored < events:
        await asyncio.sleep(LOOK_S)
        state = await _state(client)
        now = state["messages"] - sum((state["subjects"] or {}).values())
        if now > stored:
            stored, grew = now, time.monotonic()
        elif time.monotonic() - grew > PATIENCE_S:
            raise RunFailed(f"{publisher.name} stalled at {stored} of {events} events{publisher.told()}")


async def _state(client: Client) -> dict[str, Any]:
    """Return the stream's state with the number of messages on each of the bridge's own subjects."""
    question = json.dumps({"subjects_filter": "containerd.nodes.>"}).encode()
    answer = await client.request(f"$JS.API.STREAM.INFO.{STREAM}", question, timeout=PATIENCE_S)
    state: dict[str, Any] = {"subjects": None, **json.loads(answer.data)["state"]}
    return state


async def _compare(way: Way, url: str, containers: int) -> None:
    comparison = Comparison(containers, cloudevents=way.bridge)
    async for message in stored_messages(url, STREAM):
        comparison.take(message.subject, message.data, (message.headers or {}).get("Nats-Msg-Id"))
    complaints = comparison.complaints()
    if complaints:
        raise RunFailed(f"{way.name} left a stream that is not what was streamed: {'; '.join(complaints)}")
