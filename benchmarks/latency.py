"""How long after containerd's clock an event reaches a subscriber, at a thousand events a second.

Measured: from the moment that the event carries, which is when the source gives it to its socket, to the moment when
`benchmarks.arriving`, an ordinary client that reads the stream, has it; each event by itself, at an even pace, after a
warm-up. All on one host and one clock, on the same two processors. The three parts of the way are told too: until the bridge
has read it, until the stream has stored it, until the client has it.

Not measured: what containerd and its shims need until containerd sends an event; the network to a distant server or client.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.checkups import MEETING, Checkups, Round
from benchmarks.findings import Finding, Tell, percentile
from benchmarks.measured import Stopwatch
from benchmarks.processes import RunFailed, python, started
from benchmarks.stage import BRIDGE, STREAM, staged

__all__ = ["FULL", "USUAL", "Arrival", "Size", "complaints", "measure"]

RATE = 1_000
P50_MS, P99_MS = 3.0, 15.0


class Size(NamedTuple):
    """How much is measured: events after the warm-up, events of it, and containers that they are spread over."""

    events: int
    warm_up: int = 2_000
    containers: int = 100


USUAL = Size(20_000)
FULL = Size(60_000)


class Arrival(NamedTuple):
    """The moments of one event (ns), and its container."""

    sent: int
    read: int
    stored: int
    here: int
    container: str


async def measure(size: Size, tell: Tell) -> list[Finding]:
    """Measure and return what was found.

    Raises:
        RunFailed: the stream is not what was streamed, or the subscriber got something else.
    """
    one = Round.of(size.containers, size.warm_up + size.events)
    met, checks = size.containers * len(MEETING), one.events
    streamed = Checkups(size.containers, [one])
    async with staged(BRIDGE) as stage:
        await stage.subscribed()
        await stage.start_containers(size.containers)
        file = stage.directory / "arrivals"
        client = python("benchmarks.arriving", stage.server.url, STREAM, str(met + checks), str(file))
        async with started("subscriber", client, stage.directory) as subscriber:
            await subscriber.expect("ready")
            stopwatch = Stopwatch({**stage.pids, "subscriber": subscriber.pid})
            await stage.tell("check", size.containers, checks, RATE)
            await stage.publisher.while_running(subscriber.expect("arrived"))
            measured = stopwatch.stop(BRIDGE.name, checks)
        await stage.check(streamed)
        arrivals = _read(file)
    if wrong := complaints(arrivals, streamed):
        raise RunFailed(f"the subscriber got something else than was streamed: {wrong}")
    arrivals = arrivals[met + size.warm_up :]
    parts = {
        "until read": [one.read - one.sent for one in arrivals],
        "until stored": [one.stored - one.read for one in arrivals],
        "until here": [one.here - one.stored for one in arrivals],
    }
    for part, durations in parts.items():
        p50, p99, most = _ms(durations)
        tell(f"latency, {part}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {most:.1f} ms")
    p50, p99, most = _ms([one.here - one.sent for one in arrivals])
    return [
        Finding(
            what=f"containerd's clock to a subscriber, {RATE:,} events/s, {len(arrivals):,} events",
            aim=f"p50 < {P50_MS:g} ms, p99 < {P99_MS:g} ms",
            figure=f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {most:.1f} ms",
            met=p50 < P50_MS and p99 < P99_MS,
            numbers={
                "events": len(arrivals),
                "p50_ms": round(p50, 3),
                "p99_ms": round(p99, 3),
                "max_ms": round(most, 3),
                "parts": {
                    part: dict(
                        zip(("p50_ms", "p99_ms", "max_ms"), [round(ms, 3) for ms in _ms(durations)], strict=True)
                    )
                    for part, durations in parts.items()
                },
                "cpu_us_per_event": {part: round(cost.cpu_us, 1) for part, cost in measured.parts.items()},
            },
            others=measured.others,
        )
    ]


def complaints(arrivals: Sequence[Arrival], streamed: Checkups) -> str:
    """Return what is wrong with what the subscriber got, empty where nothing is: it has to be every event, in order.

    What the events are is checked in the stream; here it is their number for each container, and that none came from the
    future or before an event that was sent earlier.
    """
    if len(arrivals) != len(streamed):
        return f"{len(arrivals)} of {len(streamed)} events"
    sent: dict[str, int] = {}
    for arrival in arrivals:
        if not arrival.sent <= arrival.read <= arrival.stored <= arrival.here:
            return f"an event of {arrival.container} that was stored before it was sent, or came before it was stored"
        if arrival.sent < sent.get(arrival.container, 0):
            return f"an event of {arrival.container} behind one that was sent later"
        sent[arrival.container] = arrival.sent
    return ""


def _read(file: Path) -> list[Arrival]:
    lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
    return [
        Arrival(int(sent), int(read), int(stored), int(here), subject.split(".")[4])
        for sent, read, stored, here, subject in lines
    ]


def _ms(durations: Sequence[int]) -> tuple[float, float, float]:
    """Return the median, the 99th percentile and the longest, in milliseconds."""
    ordered = sorted(duration / 1e6 for duration in durations)
    return percentile(ordered, 0.5), percentile(ordered, 0.99), ordered[-1]
