"""One run: from the word `go` to the last event stored, and a look at what is stored then.

The clock starts with `go` and stops when the stream is seen to hold as many events as were streamed; it is asked fifty times
a second. CPU time is what each process has used between the two.

A run whose stream is not exactly what was streamed has no figures: it raises.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.lifecycles import LIFE, Lives
from benchmarks.measured import Measured, Stopwatch
from benchmarks.processes import python, started
from benchmarks.stage import BRIDGE, NODE, SOCKET, Way, source, staged

__all__ = ["WAYS", "measure", "measure_source"]


def _obvious(name: str) -> Callable[[Path, str, Path], list[str]]:
    return lambda socket, url, _: python("benchmarks.obvious", name, str(socket), url, NODE)


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
    async with staged(way, lives=containers) as stage:
        await stage.subscribed()
        await stage.tell("prepare", events)
        stopwatch = Stopwatch(stage.pids)
        stage.source.say("go")
        await stage.stored(events)
        measured = stopwatch.stop(way.name, events)
        await stage.source.expect("sent")
        await stage.check(Lives(containers))
    return measured


async def measure_source(containers: int) -> Measured:
    """Do one run of the source with a client that only counts in the publisher's place.

    Raises:
        RunFailed: a process ended.
    """
    events = containers * len(LIFE)
    with tempfile.TemporaryDirectory(prefix="containerd-bridge-bench-") as name:
        directory = Path(name)
        counting = python("benchmarks.counting", str(directory / SOCKET), str(events))
        async with (
            source(directory, lives=containers) as prepared,
            started("counting client", counting, directory) as client,
        ):
            await prepared.expect("subscribed")
            prepared.say(f"prepare {events}")
            await prepared.expect("prepared")
            pids = {"source": prepared.pid, "publisher": client.pid}
            stopwatch = Stopwatch(pids)
            prepared.say("go")
            await client.expect("counted")
            return stopwatch.stop("source alone", events)
