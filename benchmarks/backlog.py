"""How fast what gathered while NATS was away gets into the stream when it is back.

Measured: nats-server is ended in good order, events come in at five thousand a second into the outbox, and when all of them
are in it and no more come, the server starts again on the same port and store. The clock of the draining starts when the
stream is last seen not to have grown yet and stops when it has everything. Until then the bridge has to notice that the server is
back, which it tries every few seconds at the latest: that is told beside it.

Not measured: draining while events go on to come in, which takes processor time from it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import NamedTuple

import nats.errors

from benchmarks.checkups import MEETING, Checkups, Round
from benchmarks.findings import Finding, Tell
from benchmarks.measured import Stopwatch
from benchmarks.processes import PATIENCE_S, RunFailed
from benchmarks.stage import BRIDGE, LOOK_S, Stage, staged

__all__ = ["FULL", "USUAL", "Size", "measure"]

RATE = 5_000
TIMES = 5


class Size(NamedTuple):
    """How much is measured: events of the outage, and containers that they are spread over."""

    events: int
    containers: int = 100


USUAL = Size(100_000)
FULL = Size(1_000_000)


async def measure(size: Size, tell: Tell) -> list[Finding]:
    """Measure and return what was found.

    Raises:
        RunFailed: the stream is not what was streamed, or the bridge did not come back to it.
    """
    one = Round.of(size.containers, size.events)
    events, met = one.events, size.containers * len(MEETING)
    async with staged(BRIDGE) as stage:
        await stage.subscribed()
        await stage.start_containers(size.containers)
        stage.server.stop()
        coming = time.perf_counter()
        await stage.tell("check", size.containers, events, RATE)
        came = events / (time.perf_counter() - coming)
        tell(f"backlog: {events:,} events have come at {came:,.0f}/s while NATS was away")
        stage.server.start()
        stopwatch, back = Stopwatch(stage.pids), time.perf_counter()
        began = await stage.publisher.while_running(_begun(stage, met))
        await stage.stored(met + events)
        seconds = time.perf_counter() - began
        measured = stopwatch.stop(BRIDGE.name, events)
        await stage.check(Checkups(size.containers, [one]))
    rate, waited = events / seconds, began - back
    ratio = rate / RATE
    return [
        Finding(
            what=f"backlog of {events:,} events after an outage",
            aim=f">= {TIMES} times the {RATE:,}/s at which it came",
            figure=f"{ratio:.1f} times: {rate:,.0f}/s, begun after {waited:.1f} s",
            met=ratio >= TIMES,
            numbers={
                "events": events,
                "came_per_second": round(came),
                "waited_seconds": round(waited, 2),
                "drained_seconds": round(seconds, 2),
                "drained_per_second": round(rate),
                "ratio": round(ratio, 2),
                "cpu_us_per_event": {part: round(cost.cpu_us, 1) for part, cost in measured.parts.items()},
                "peak_rss_bytes": measured.parts["publisher"].peak_rss,
            },
            others=measured.others,
        )
    ]


async def _begun(stage: Stage, met: int) -> float:
    """Wait until the stream has grown; return when it was last seen that it had not."""
    deadline = time.perf_counter() + PATIENCE_S
    while True:
        before = time.perf_counter()
        with suppress(nats.errors.Error, KeyError):  # a server that has just started may not know its streams yet
            if await stage.count() > met:
                return before
        if before > deadline:
            raise RunFailed(f"nothing of the backlog came within {PATIENCE_S:.0f} s{stage.publisher.told()}")
        await asyncio.sleep(LOOK_S)
