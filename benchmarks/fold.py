"""How long a consumer needs to read a long stream and to know from it what state every container is in.

Measured: `benchmarks.folding`, a process of its own, from its connecting to the last state, over a stream that the bridge has
written: whole lives of containers, 24 events each. The server reads the stream from its files, on the same two processors. A
stream that is shorter than a million events is counted up to it.

Not measured: the import of the client; many consumers at once; a server across a network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import lifecycles
from benchmarks.findings import Finding, Tell
from benchmarks.lifecycles import LIFE, Lives
from benchmarks.measured import Stopwatch
from benchmarks.processes import RunFailed, python, started
from benchmarks.stage import BRIDGE, staged
from bridge.model.codec import decode_as
from bridge.model.state import ContainerState

__all__ = ["FULL", "USUAL", "Size", "complaints", "measure"]

LIMIT_S: Final = 15.0
MILLION: Final = 1_000_000
PORTION: Final = 48_000
"""Events that are streamed at once: half of what may wait in the bridge."""


class Size(NamedTuple):
    """How much is measured: events, at least."""

    events: int


USUAL = Size(200_000)
FULL = Size(MILLION)


async def measure(size: Size, tell: Tell) -> list[Finding]:
    """Measure and return what was found.

    Raises:
        RunFailed: the stream is not what was streamed, or the states are not what it says.
    """
    containers = math.ceil(size.events / len(LIFE))
    events = containers * len(LIFE)
    async with staged(BRIDGE, lives=containers) as stage:
        await stage.subscribed()
        for begin in range(0, events, PORTION):
            portion = min(PORTION, events - begin)
            await stage.tell("prepare", portion)
            await stage.tell("go")
            await stage.stored(begin + portion)
        tell(f"fold: a stream of {events:,} events is there")
        file = stage.directory / "states"
        folding = python("benchmarks.folding", stage.server.url, str(file))
        async with started("folding client", folding, stage.directory) as client:
            await client.expect("ready")
            stopwatch = Stopwatch({**stage.pids, "client": client.pid})
            client.say("go")
            seconds = float(await client.expect("folded", patience=events / 1_000 + 30))
            measured = stopwatch.stop(BRIDGE.name, events)
        states = _read(file)
        await stage.check(Lives(containers))
    if wrong := complaints(states, containers):
        raise RunFailed(f"the states are not what the stream says: {wrong}")
    million = seconds * MILLION / events
    counted = "" if events >= MILLION else f", counted up from {events:,}"
    return [
        Finding(
            what=f"fold of 1 million events into states{counted}",
            aim=f"< {LIMIT_S:g} s",
            figure=f"{million:.1f} s: {events / seconds:,.0f} events/s",
            met=million < LIMIT_S,
            numbers={
                "events": events,
                "containers": containers,
                "seconds": round(seconds, 3),
                "seconds_for_a_million": round(million, 2),
                "cpu_us_per_event": {part: round(cost.cpu_us, 1) for part, cost in measured.parts.items()},
            },
            others=measured.others,
        )
    ]


def complaints(states: Sequence[ContainerState], containers: int) -> str:
    """Return what is wrong with these states, empty where nothing is: each container has lived its whole life, once."""
    expected = {lifecycles.container_id(number): lifecycles.pid_of(number) for number in range(containers)}
    for state in states:
        pid = expected.pop(state.container, None)
        if pid is None:
            return f"container {state.container} was never streamed, or has two states"
        told = (state.status, state.pid, int(state.sequence), state.incarnations, state.exit_status, state.oom)
        lived = ("gone", pid, len(LIFE), 1, 137, True)
        if told != lived or state.anomalies or state.execs:
            return f"container {state.container} is {told} and not {lived}, with {state.anomalies} anomalies"
    return f"{len(expected)} of {containers} containers have no state" if expected else ""


def _read(file: Path) -> list[ContainerState]:
    return [decode_as(line, ContainerState) for line in file.read_bytes().splitlines()]
