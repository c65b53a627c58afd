"""How fast what gathered while NATS was away gets into the stream when it is back.

Measured: nats-server is ended in good order, events come in at five thousand a second into the outbox, and when all of them
are in it and no more come, the server starts again on the same port and store. The clock of the draining starts when the
stream is first seen to have grown and stops when it has everything. Until then the bridge has to notice that the server is
back, which it tries every few seconds at the latest: that is told beside it.

Not measured: draining while events go on to come in, which takes processor time from it.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from benchmarks.checkups import MEETING, Checkups, Round
from benchmarks.findings import Finding, Tell
from benchmarks.measured import Stopwatch
from benchmarks.stage import BRIDGE, staged

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
    met = size.containers * len(MEETING)
    async with staged(BRIDGE) as stage:
        await stage.subscribed()
        await stage.tell("run", size.containers, RATE)
        await stage.stored(met)
        stage.server.stop()
        began = time.perf_counter()
        await stage.tell("check", size.containers, size.events, RATE)
        came = size.events / (time.perf_counter() - began)
        tell(f"backlog: {size.events:,} events have come at {came:,.0f}/s while NATS was away")
        await asyncio.sleep(0)
        stage.server.start()
        back = time.perf_counter()
        await stage.stored(met + 1)
        waited, before = time.perf_counter() - back, await stage.count() - met
        stopwatch = Stopwatch(stage.pids)
        await stage.stored(met + size.events)
        measured = stopwatch.stop(BRIDGE.name, size.events - before)
        await stage.check(Checkups(size.containers, [Round(size.containers, size.events)]))
    ratio = measured.rate / RATE
    return [
        Finding(
            what=f"backlog of {size.events:,} events after an outage",
            aim=f">= {TIMES} times the {RATE:,}/s at which it came",
            figure=f"{ratio:.1f} times: {measured.rate:,.0f}/s, begun after {waited:.1f} s",
            met=ratio >= TIMES,
            numbers={
                "events": size.events,
                "came_per_second": round(came),
                "waited_seconds": round(waited, 2),
                "drained_seconds": round(measured.seconds, 2),
                "drained_per_second": round(measured.rate),
                "ratio": round(ratio, 2),
                "cpu_us_per_event": {part: round(cost.cpu_us, 1) for part, cost in measured.parts.items()},
                "peak_rss_bytes": measured.parts["publisher"].peak_rss,
            },
            others=measured.others,
        )
    ]
