"""How fast events get into the stream, and how fast with the obvious ways: every way after the other, several times.

The ways take turns, so that what disturbs the machine for a while disturbs all of them. The clock of a run starts with `go` and
stops when the stream is seen to hold as many events as were streamed; it is asked fifty times a second. CPU time is what each
process has used between the two.

A run whose stream is not exactly what was streamed has no figures: it raises.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.findings import Tell
from benchmarks.lifecycles import LIFE, Lives
from benchmarks.measured import Measured, Stopwatch
from benchmarks.processes import python, started
from benchmarks.stage import BRIDGE, NODE, SOCKET, Way, source, staged

__all__ = ["BRIDGE", "FULL", "USUAL", "WAYS", "Size", "Way", "measure", "measure_all", "measure_source"]

BUSY: Final = 0.2
"""Processors busy with something else from which on a run's figures say more about that."""


class Size(NamedTuple):
    """How much is measured: events of each run of the bridge, of each run of the obvious ways, and runs of each."""

    events: int = 120_000
    obvious_events: int = 12_000
    repeat: int = 3


USUAL = Size()
FULL = Size(repeat=7)


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
    Way(
        name="kept",
        does="as awaited, and with the bridge's promises: each event numbered, with image and labels, synced to disk first",
        command=_obvious("kept"),
        same_work=True,
    ),
)


async def measure_all(ways: Sequence[Way], size: Size, tell: Tell) -> tuple[list[Measured], dict[str, list[Measured]]]:
    """Return the runs of the source alone, and those of each way.

    Raises:
        RunFailed: one of them stalled, or left a stream that is not what was streamed.
    """
    alone: list[Measured] = []
    runs: dict[str, list[Measured]] = {way.name: [] for way in ways}
    for number in range(1, size.repeat + 1):
        alone.append(await measure_source(_containers(size.events)))
        tell(_told(number, size.repeat, alone[-1]))
        for way in ways:
            containers = _containers(size.events if way.bridge else size.obvious_events)
            runs[way.name].append(await measure(way, containers))
            tell(_told(number, size.repeat, runs[way.name][-1]))
    return alone, runs


def _told(number: int, repeat: int, run: Measured) -> str:
    disturbed = f", disturbed: {run.others:.1f} cores busy with something else" if run.others > BUSY else ""
    return f"{number}/{repeat} {run.way}: {run.rate:,.0f} events/s{disturbed}"


def _containers(events: int) -> int:
    """Return of how many containers the lives have at least so many events."""
    return math.ceil(events / len(LIFE))


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
