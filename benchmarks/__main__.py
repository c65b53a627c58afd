"""`python -m benchmarks`: one benchmark after the other, then what they found beside what was aimed at.

A benchmark whose run failed, or left behind what it should not have, has no figure; the others still have theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from rich.console import Console
from rich.text import Text

from benchmarks import (
    backlog,
    checkpoint,
    checkpoints,
    commands,
    cost,
    execs,
    fold,
    latency,
    memory,
    migration,
    report,
    sizing,
    start,
    throughput,
)
from benchmarks.findings import Finding, Tell, plain, print_findings
from benchmarks.processes import RunFailed
from benchmarks.report import Summary
from tests.testbed.errors import DiedError, UnavailableError

__all__ = ["main"]

CPUS = 2
WIDTH = 150
"""Columns of the tables where they go into a file."""

Measure: TypeAlias = Callable[[Any, Tell], Awaitable[list[Finding]]]


class Benchmark(NamedTuple):
    """What is measured, how much of it usually, and how much with `--full`."""

    measure: Measure
    usual: Any
    full: Any


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "latency": Benchmark(latency.measure, latency.USUAL, latency.FULL),
    "memory": Benchmark(memory.measure, memory.USUAL, memory.FULL),
    "backlog": Benchmark(backlog.measure, backlog.USUAL, backlog.FULL),
    "start": Benchmark(start.measure, start.USUAL, start.FULL),
    "fold": Benchmark(fold.measure, fold.USUAL, fold.FULL),
    "execs": Benchmark(execs.measure, execs.USUAL, execs.FULL),
    "sizing": Benchmark(sizing.measure, sizing.USUAL, sizing.FULL),
    "cost": Benchmark(cost.measure, cost.USUAL, cost.FULL),
    "checkpoint": Benchmark(checkpoint.measure, checkpoint.USUAL, checkpoint.FULL),
    "checkpoints": Benchmark(checkpoints.measure, checkpoints.USUAL, checkpoints.FULL),
    "migration": Benchmark(migration.measure, migration.USUAL, migration.FULL),
    "commands": Benchmark(commands.measure, commands.USUAL, commands.FULL),
}
THROUGHPUT: Final = "throughput"
NAMES: Final = (THROUGHPUT, *BENCHMARKS)


class _Throughput(NamedTuple):
    """What the comparison of the ways has to show besides its findings."""

    source: Summary
    ways: list[Summary]
    kinds: Sequence[throughput.Way]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 where a run failed, and print no figures of it then."""
    asked = _parse(arguments)
    progress = Console(stderr=True, highlight=False)
    try:
        with _on_few_processors(asked.cpus), _ended_as_by_hand():
            compared, findings, failed = asyncio.run(_measure(asked, progress))
            where = report.conditions(Path(tempfile.gettempdir()))
    except KeyboardInterrupt:
        return 130
    if findings:
        _print(compared, findings, where, as_json=asked.json)
    return 1 if failed else 0


async def _measure(asked: argparse.Namespace, progress: Console) -> tuple[_Throughput | None, list[Finding], bool]:
    """Return the comparison of the ways, if asked for, what was found, and whether something failed."""

    def tell(sentence: str) -> None:
        progress.print(sentence, soft_wrap=True)

    compared: _Throughput | None = None
    findings: list[Finding] = []
    failed = False
    for name in asked.only:
        try:
            if name == THROUGHPUT:
                compared = await _compare(asked, tell)
                findings += report.found(compared.ways)
            else:
                benchmark = BENCHMARKS[name]
                findings += await benchmark.measure(benchmark.full if asked.full else benchmark.usual, tell)
        except (RunFailed, DiedError, UnavailableError) as error:
            progress.print(Text.assemble((f"no figures of {name}: ", "red"), str(error)), soft_wrap=True)
            failed = True
    return compared, findings, failed


async def _compare(asked: argparse.Namespace, tell: Tell) -> _Throughput:
    kinds = [way for way in throughput.WAYS if way.name in asked.way] if asked.way else throughput.WAYS
    given = {field: getattr(asked, field) for field in throughput.Size._fields if getattr(asked, field) is not None}
    size = (throughput.FULL if asked.full else throughput.USUAL)._replace(**given)
    alone, runs = await throughput.measure_all(kinds, size, tell)
    ways = [Summary(way=name, runs=done) for name, done in runs.items()]
    return _Throughput(Summary(way="source alone", runs=alone), ways, kinds)


def _print(compared: _Throughput | None, findings: Sequence[Finding], where: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        told = {} if compared is None else report.to_json(compared.source, compared.ways)
        print(json.dumps({"conditions": where, **told, "findings": [plain(found) for found in findings]}, indent=2))
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    if compared is not None:
        report.print_table(console, compared.source, compared.ways, compared.kinds)
    print_findings(console, findings)
    report.print_conditions(console, where)


@contextmanager
def _on_few_processors(number: int) -> Iterator[None]:
    """Keep this process, and those that it starts, to so many of the processors that it may use."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:number])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def _ended_as_by_hand() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C: nothing that was started stays behind then either."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    usual = throughput.USUAL
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure how fast events get from containerd's stream into JetStream and to a consumer, and what that costs.",
    )
    parser.add_argument(
        "--only",
        type=_names,
        default=list(NAMES),
        metavar="NAMES",
        help=f"measure only these, separated by commas: {', '.join(NAMES)} (default: all)",
    )
    parser.add_argument("--full", action="store_true", help="as much as the aims say: a million events where they do")
    parser.add_argument(
        "--cpus", type=_positive, default=CPUS, metavar="N", help=f"processors for everything together (default {CPUS})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of the tables")
    group = parser.add_argument_group(THROUGHPUT)
    for option, default, what in (
        ("--events", usual.events, "events of each run of the bridge"),
        ("--obvious-events", usual.obvious_events, "events of each run of the obvious ways"),
        ("--repeat", usual.repeat, "runs of each way"),
    ):
        group.add_argument(option, type=_positive, metavar="N", help=f"{what} (default {default})")
    group.add_argument(
        "--way",
        action="append",
        choices=[way.name for way in throughput.WAYS],
        help=f"only this; {throughput.BRIDGE.name} is needed for ratios; may be given several times (default: all)",
    )
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or not set(names) <= set(NAMES):
        raise argparse.ArgumentTypeError(f"{text!r} names no benchmarks: choose from {', '.join(NAMES)}")
    return [name for name in NAMES if name in names]


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return number


if __name__ == "__main__":
    sys.exit(main())
