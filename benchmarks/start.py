"""How long a bridge needs from the start of its process until it is live, on a host where five hundred containers run.

Measured: from the start of the process, so with all that Python has to import, until `/readyz` says that events flow and, if
the bridge lists what there is, until the stream holds every container as running: whatever comes last. Once with an empty
state directory, where all of them are news, and once more with what the first run left, as after an upgrade. The check folds
the stream, and wants it to say what the source's lists say.

Not measured: a containerd that is busy itself. The prepared one answers at once, with records of ten kilobytes as real ones are.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from nats.aio.msg import Msg

from benchmarks import lifecycles
from benchmarks.findings import Finding, Tell
from benchmarks.measured import Measured, Stopwatch
from benchmarks.processes import PATIENCE_S, RunFailed, python
from benchmarks.stage import NODE, STREAM, Stage, Way, set_up
from benchmarks.stored import stored_messages
from bridge.errors import BadEnvelope
from bridge.model.codec import decode
from bridge.model.fold import evolve
from bridge.model.state import ContainerState

__all__ = ["FULL", "USUAL", "Size", "complaints", "measure"]

LIMIT_S: Final = 2.0
LOOK_S: Final = 0.005


class Size(NamedTuple):
    """How much is measured: containers that run, and how often."""

    running: int
    repeat: int = 3


USUAL = Size(500)
FULL = Size(500, 7)


async def measure(size: Size, tell: Tell) -> list[Finding]:
    """Measure and return what was found.

    Raises:
        RunFailed: the bridge does not come up, or what it has found is not what there is.
    """
    first: list[float] = []
    again: list[float] = []
    others: list[float] = []
    lists = False
    for _ in range(size.repeat):
        async with set_up(running=size.running) as empty:
            told = _Told(size.running)
            await empty.client.subscribe("containerd.events.>", cb=told.take)
            for times in (first, again):
                way, port = _with_http()
                async with empty.with_publisher(way) as stage:
                    measured, seconds, asked = await _live(stage, port, told)
                    times.append(seconds)
                    others.append(measured.others)
                if asked:
                    lists = True
                    stored = _Told(size.running)
                    async for message in stored_messages(stage.server.url, STREAM):
                        await stored.take(message)
                    if wrong := complaints(stored.states, size.running):
                        raise RunFailed(f"the bridge is live and its stream is not what there is: {wrong}")
        tell(f"start: live after {first[-1]:.2f} s, and after {again[-1]:.2f} s the second time")
    slowest = max(median(first), median(again))
    unlisted = "" if lists else "; it does not list what there is"
    return [
        Finding(
            what=f"start to live, {size.running} running containers",
            aim=f"< {LIMIT_S:g} s",
            figure=f"{median(first):.2f} s, {median(again):.2f} s the second time{unlisted}",
            met=slowest < LIMIT_S and lists,
            numbers={
                "running": size.running,
                "lists": lists,
                "first_seconds": [round(seconds, 3) for seconds in first],
                "again_seconds": [round(seconds, 3) for seconds in again],
            },
            others=max(others),
        )
    ]


def complaints(states: Mapping[str, ContainerState], running: int) -> str:
    """Return what is wrong with these states by container, empty where nothing is: exactly these run, each with its pid."""
    for number in range(running):
        name = lifecycles.container_id(number)
        state = states.get(name)
        if state is None:
            return f"nothing of container {name}"
        if (state.status, state.pid) != ("running", lifecycles.pid_of(number)):
            return f"container {name} is {state.status} with pid {state.pid}"
    return f"{len(states)} containers and not {running}" if len(states) != running else ""


class _Told:
    """What a stream says of containers, as far as it has been read."""

    def __init__(self, running: int) -> None:
        self.states: dict[str, ContainerState] = {}
        self._running = running
        self._news = asyncio.Event()

    async def take(self, message: Msg) -> None:
        """Take the next message."""
        try:
            recorded = decode(message.data)
        except BadEnvelope as error:
            raise RunFailed(f"the stream holds what is no event: {error}") from error
        if recorded.sequence is not None and recorded.container is not None:
            self.states[recorded.container] = evolve(self.states.get(recorded.container), recorded)
            if len(self.states) >= self._running:
                self._news.set()

    async def complete(self) -> None:
        """Wait until every container runs as it should.

        Raises:
            RunFailed: that takes too long.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                while complaints(self.states, self._running):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            wrong = complaints(self.states, self._running)
            raise RunFailed(f"the bridge listed what there is and does not say so: {wrong}") from None


async def _live(stage: Stage, port: int, told: _Told) -> tuple[Measured, float, int]:
    """Wait until the bridge is live; return what it cost, how long it took, and how often it asked for the tasks."""
    stopwatch = Stopwatch(stage.pids)
    await stage.publisher.while_running(_ready(stage, port))
    await stage.source.expect("subscribed")
    stage.source.say("asked")
    asked = int(await stage.source.expect("asked"))
    if asked:
        await stage.publisher.while_running(told.complete())
    seconds = time.perf_counter() - stage.publisher.began
    return stopwatch.stop(stage.way.name, 1), seconds, asked


async def _ready(stage: Stage, port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
            status = await reader.readline()
            writer.close()
            if b" 200 " in status:
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise RunFailed(f"the bridge is not ready after {PATIENCE_S:.0f} s{stage.publisher.told()}")
        await asyncio.sleep(LOOK_S)


def _with_http() -> tuple[Way, int]:
    """Return the bridge with its health on a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]

    def command(containerd: Path, url: str, directory: Path) -> list[str]:
        where = ["--containerd", str(containerd), "--nats", url, "--state-dir", str(directory / "state")]
        return python("bridge", "serve", *where, "--node", NODE, "--http", f"127.0.0.1:{port}")

    return Way(name="containerd-bridge", does="`containerd-bridge serve --http`", command=command, bridge=True), port
