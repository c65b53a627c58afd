"""What an event costs the bridge in processor time, with ten containers known, a thousand, and very many.

Measured: the daemon's own CPU time for each event (/proc/PID/stat), at an even pace of health checks, which is what decides how
many of them are committed together. A daemon for each number of containers is there all the time, and they take turns in
short rounds, so what disturbs the machine for a while disturbs all of them. Compared are the medians of the rounds.

Told twice. Once with ten containers busy, whatever else is known: that should cost the same. And once with the events spread
over all that are known: the outbox keeps a row of each container, and with more of them busy fewer events share one; beyond
those that stay in memory (`bridge.capture.ledger`) each is read from it as well.

Not measured: what a container costs that is met for the first time; other paces (see the throughput).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import median
from typing import Final, NamedTuple

from benchmarks.checkups import Checkups, Round
from benchmarks.findings import Finding, Tell
from benchmarks.measured import Measured, Stopwatch
from benchmarks.stage import BRIDGE, Stage, staged

__all__ = ["FULL", "USUAL", "Size", "measure"]

BUSY: Final = 10
FLAT: Final = 1.2


class Size(NamedTuple):
    """How much is measured: numbers of containers known, rounds of each spread, events of a round, how fast they come."""

    known: Sequence[int]
    rounds: int = 5
    events: int = 6_000
    rate: int = 5_000


USUAL = Size((10, 1_000, 20_000))
FULL = Size((10, 1_000, 100_000), 9, 15_000)


async def measure(size: Size, tell: Tell) -> list[Finding]:
    """Measure and return what was found.

    Raises:
        RunFailed: a stream is not what was streamed.
    """
    taken: dict[tuple[int, bool], list[Measured]] = {
        (known, every): [] for known in size.known for every in (False, True)
    }
    async with AsyncExitStack() as stack:
        stages: dict[int, Stage] = {}
        for known in size.known:
            stage = stages[known] = await stack.enter_async_context(staged(BRIDGE))
            await stage.subscribed()
            await stage.start_containers(known)
            tell(f"cost: {known:,} containers are known")
        for every in (False, True):
            for number in range(size.rounds):
                for known, stage in stages.items():
                    busy = known if every else min(BUSY, known)
                    taken[known, every].append(await _round(stage, busy, size, go_on=number > 0))
        for known, stage in stages.items():
            few, all_ = (Round(busy, size.rounds * size.events) for busy in (min(BUSY, known), known))
            await stage.check(Checkups(known, [few, all_]))
    return [
        _finding(size, {known: taken[known, every] for known in size.known}, every=every) for every in (False, True)
    ]


async def _round(stage: Stage, busy: int, size: Size, *, go_on: bool) -> Measured:
    before = await stage.count()
    stopwatch = Stopwatch(stage.pids)
    if go_on:
        await stage.tell("more", size.events, size.rate)
    else:
        await stage.tell("check", busy, size.events, size.rate)
    await stage.stored(before + size.events)
    return stopwatch.stop(BRIDGE.name, size.events)


def _finding(size: Size, taken: dict[int, list[Measured]], *, every: bool) -> Finding:
    tick = 1e6 / os.sysconf("SC_CLK_TCK") / size.events  # less than that nobody can tell from nothing
    costs = {known: max(tick, median(run.parts["publisher"].cpu_us for run in runs)) for known, runs in taken.items()}
    ratio = max(costs.values()) / min(costs.values())
    names = [f"{known:,}" for known in size.known]
    known = f"{', '.join(names[:-1])} and {names[-1]}"
    return Finding(
        what=f"CPU per event with {known} containers known, {'all' if every else BUSY} of them busy",
        aim=f"flat within {(FLAT - 1) * 100:.0f} %",
        figure=f"{', '.join(f'{cost:.0f}' for cost in costs.values())} µs: {(ratio - 1) * 100:.0f} % apart",
        met=ratio <= FLAT,
        numbers={
            "events_of_a_round": size.events,
            "events_per_second": size.rate,
            "busy": "all" if every else BUSY,
            "cpu_us_per_event": {known: round(cost, 1) for known, cost in costs.items()},
            "cpu_us_per_event_by_round": {
                known: [round(run.parts["publisher"].cpu_us, 1) for run in runs] for known, runs in taken.items()
            },
            "ratio": round(ratio, 3),
            "rss_bytes": {known: runs[-1].parts["publisher"].peak_rss for known, runs in taken.items()},
        },
        others=max(run.others for runs in taken.values() for run in runs),
    )
