"""What a bridge and its NATS take on an ordinary host: processor, memory, disk and stream, for the table in docs/operations.md.

Measured: the daemon's memory with a hundred, five hundred and a thousand containers known; then, while health checks come at
a thousand events a second, its own CPU time and that of nats-server; and in the end how many bytes an event has in the outbox
and in the stream, and how much memory nats-server has with all of them stored.

Not measured: a burst (see the throughput), ten thousand containers and long runs (see the memory), many nodes on one server.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.checkups import MEETING, Checkups, Round
from benchmarks.findings import Finding, Tell
from benchmarks.footprint import rss
from benchmarks.measured import Stopwatch
from benchmarks.stage import BRIDGE, STARTING, STREAM, Stage, staged
from bridge.config import MIB

__all__ = ["FULL", "USUAL", "Size", "measure"]

KIB: Final = 1024
CORE: Final = 1e6
"""Microseconds of a processor in a second."""


class Size(NamedTuple):
    """How much is measured.

    Attributes:
        known: containers that are known, in growing numbers no further than 500 apart.
        events: events that come then.
        busy: how many containers they are of.
        rate: how fast they come.
    """

    known: Sequence[int] = (100, 500, 1_000)
    events: int = 20_000
    busy: int = 100
    rate: int = 1_000


USUAL = Size()
FULL = Size(events=120_000)


async def measure(size: Size, tell: Tell) -> list[Finding]:
    """Measure and return what was found.

    Raises:
        RunFailed: the stream is not what was streamed.
    """
    checks = Round.of(size.busy, size.events)
    async with staged(BRIDGE) as stage:
        await stage.subscribed()
        memory = {}
        for known in size.known:
            await stage.tell("run", known, STARTING)
            await stage.stored(known * len(MEETING))
            memory[known] = rss(stage.publisher.pid)
            tell(f"sizing: {memory[known] / MIB:.1f} MiB with {known:,} containers known")
        stopwatch = Stopwatch(stage.pids)
        await stage.tell("check", checks.busy, checks.events, size.rate)
        await stage.stored(size.known[-1] * len(MEETING) + checks.events)
        measured = stopwatch.stop(BRIDGE.name, checks.events)
        await stage.check(Checkups(size.known[-1], [checks]))
        stored, per_stored = await _stream(stage)
        per_outbox = _outbox(stage.directory / "state" / "outbox.db")
        server = rss(stage.server.pid)
    cpu = {part: cost.cpu_us * 1_000 / CORE for part, cost in measured.parts.items()}
    numbers = {
        "rss_bytes_by_containers_known": memory,
        "cores_at_1000_events_per_second": {part: round(cores, 3) for part, cores in cpu.items()},
        "events_per_second": size.rate,
        "outbox_bytes_per_event": round(per_outbox),
        "stream_bytes_per_event": round(per_stored),
        "events_in_stream": stored,
        "nats_rss_bytes": server,
    }

    def found(what: str, aim: str, figure: str, *, met: bool) -> Finding:
        return Finding(what=what, aim=aim, figure=figure, met=met, numbers=numbers, others=measured.others)

    most = size.known[-1]
    return [
        found(
            f"memory with {', '.join(f'{known:,}' for known in memory)} containers known",
            "< 80 MiB",
            ", ".join(f"{each / MIB:.0f}" for each in memory.values()) + " MiB",
            met=memory[most] < 80 * MIB,
        ),
        found(
            f"processor at {size.rate:,} events a second",
            "< 30 % of one",
            f"{cpu['publisher']:.1%}, nats-server {cpu['nats-server']:.1%}",
            met=cpu["publisher"] < 0.3,
        ),
        found(
            "an event in the outbox, and in the stream",
            "< 1.5 KiB",
            f"{per_outbox:.0f} and {per_stored:.0f} bytes",
            met=max(per_outbox, per_stored) < 1.5 * KIB,
        ),
        found(
            f"memory of nats-server with {stored:,} events",
            "< 128 MiB",
            f"{server / MIB:.0f} MiB",
            met=server < 128 * MIB,
        ),
    ]


async def _stream(stage: Stage) -> tuple[int, float]:
    """Return how many messages the stream has, and how many bytes each takes of it."""
    answer = await stage.client.request(f"$JS.API.STREAM.INFO.{STREAM}", b"", timeout=60)
    state = json.loads(answer.data)["state"]
    return int(state["messages"]), state["bytes"] / state["messages"]


def _outbox(path: Path) -> float:
    """Return how many bytes an event takes of the outbox: this run is shorter than the retention, so all of it is kept."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        kept, last = db.execute("SELECT sum(length(encoded)), max(last_n) FROM entries").fetchone()
    return float(kept / last)
