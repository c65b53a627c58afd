"""The figures of one run, and the stopwatch that takes them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.footprint import busy_seconds, cpu_seconds, peak_rss

__all__ = ["Measured", "Part", "Stopwatch"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one process cost: microseconds of CPU for each event, and its peak of memory in bytes."""

    cpu_us: float
    peak_rss: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The figures of one run.

    Attributes:
        way: what was measured.
        events: how many were streamed.
        seconds: from the word `go` to the last one stored.
        parts: what each process cost, by its part: source, publisher, nats-server.
        others: how many of our processors were busy with something else meanwhile; it had better be near to none.
    """

    way: str
    events: int
    seconds: float
    parts: dict[str, Part]
    others: float

    @property
    def rate(self) -> float:
        """Events for each second."""
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU that all parts together used for each event."""
        return sum(part.cpu_us for part in self.parts.values())

    @property
    def cores(self) -> float:
        """How many processors all parts together kept busy."""
        return self.cpu_us * self.rate / 1e6


class Stopwatch:
    """Runs from its making to `stop`."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        """Start.

        Args:
            pids: the processes by their parts; they have to live until `stop`.
        """
        self._pids = pids
        self._cpu = {part: cpu_seconds(pid) for part, pid in pids.items()}
        self._own = _own_seconds()
        self._busy = busy_seconds()
        self._began = time.perf_counter()

    def stop(self, way: str, events: int) -> Measured:
        """Return the figures of a run of so many events."""
        seconds = time.perf_counter() - self._began
        busy = busy_seconds() - self._busy
        cpu = {part: cpu_seconds(pid) - self._cpu[part] for part, pid in self._pids.items()}
        parts = {
            part: Part(cpu_us=cpu[part] / events * 1e6, peak_rss=peak_rss(pid)) for part, pid in self._pids.items()
        }
        others = busy - sum(cpu.values()) - (_own_seconds() - self._own)
        return Measured(way=way, events=events, seconds=seconds, parts=parts, others=max(0.0, others / seconds))


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system
