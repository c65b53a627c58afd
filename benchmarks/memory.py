"""How much memory the bridge has: with ten thousand containers known that do nothing, and over many events of a few.

Measured: what the kernel says that the daemon has in RAM (VmRSS, and the most it ever had, VmHWM), first when ten thousand
containers have started and every event of it is stored, then in steps through a long run of health checks in a hundred of
them. A line is laid through the steps of the run behind its first fifth, in which buffers and caches fill: what it rises by
until the run's end is what the daemon would go on to take.

Not measured: a bus that is away, where the newest events wait in memory (up to 32 MiB) as well as on disk; days.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from benchmarks.checkups import Checkups, Round
from benchmarks.findings import Finding, Tell
from benchmarks.footprint import peak_rss, rss
from benchmarks.measured import Stopwatch
from benchmarks.stage import BRIDGE, Stage, staged

__all__ = ["FULL", "USUAL", "Size", "measure", "rise"]

MIB: Final = 1024 * 1024
LIMIT: Final = 80 * MIB
FLAT: Final = 2 * MIB
"""What a run may rise by and still count as flat. A byte of each event of a million would be half of it."""


class Size(NamedTuple):
    """How much is measured.

    Attributes:
        known: containers that are known.
        events: events of the run.
        step: events that come before those before them are stored: what is on its way never holds much memory.
        busy: how many containers they are of.
        rate: how fast they come.
    """

    known: int
    events: int
    step: int = 4_000
    busy: int = 100
    rate: int = 10_000


USUAL = Size(10_000, 200_000)
FULL = Size(10_000, 1_000_000)


async def measure(size: Size, tell: Tell) -> list[Finding]:
    """Measure and return what was found.

    Raises:
        RunFailed: the stream is not what was streamed.
    """
    rounds = [Round.of(size.busy, size.step)] * (size.events // size.step)
    async with staged(BRIDGE) as stage:
        await stage.subscribed()
        await stage.start_containers(size.known)
        idle, peak = rss(stage.publisher.pid), peak_rss(stage.publisher.pid)
        tell(f"memory: {idle / MIB:.1f} MiB with {size.known:,} containers known, {peak / MIB:.1f} MiB at the most")
        stopwatch = Stopwatch(stage.pids)
        taken = await _run(stage, rounds, size)
        measured = stopwatch.stop(BRIDGE.name, sum(one.events for one in rounds))
        most = peak_rss(stage.publisher.pid)
        await stage.check(Checkups(size.known, rounds))
    rises = rise(taken[len(taken) // 5 :])
    more = {
        "known": size.known,
        "rss_bytes": idle,
        "peak_rss_bytes": peak,
        "events": measured.events,
        "events_per_second": size.rate,
        "rss_bytes_by_step": taken,
        "peak_rss_bytes_of_run": most,
        "rise_bytes": round(rises),
        "cpu_us_per_event": {part: round(cost.cpu_us, 1) for part, cost in measured.parts.items()},
    }
    return [
        Finding(
            what=f"memory with {size.known:,} containers known",
            aim=f"< {LIMIT // MIB} MiB",
            figure=f"{idle / MIB:.1f} MiB, {peak / MIB:.1f} MiB at the most",
            met=idle < LIMIT,
            numbers=more,
            others=measured.others,
        ),
        Finding(
            what=f"memory over {measured.events:,} events more",
            aim=f"flat: rises by < {FLAT // MIB} MiB",
            figure=f"{rises / MIB:+.2f} MiB, {most / MIB:.1f} MiB at the most",
            met=rises < FLAT,
            numbers=more,
            others=measured.others,
        ),
    ]


async def _run(stage: Stage, rounds: Sequence[Round], size: Size) -> list[int]:
    """Stream the rounds, and return the memory after each of them."""
    taken = []
    stored = await stage.count()
    for one in rounds:
        await stage.tell("check", one.busy, one.events, size.rate)
        stored += one.events
        await stage.stored(stored)
        taken.append(rss(stage.publisher.pid))
    return taken


def rise(taken: Sequence[float]) -> float:
    """Return by how much the line through these values, which are equally far from each other, rises from end to end."""
    middle, mean = (len(taken) - 1) / 2, sum(taken) / len(taken)
    over = sum((at - middle) ** 2 for at in range(len(taken)))
    return sum((at - middle) * (value - mean) for at, value in enumerate(taken)) / over * (len(taken) - 1)
