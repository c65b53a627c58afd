"""`python -m benchmarks`: every way after the other, several times, in one run.

The ways take turns, so that what disturbs the machine for a while disturbs all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from benchmarks.lifecycles import LIFE
from benchmarks.measured import Measured
from benchmarks.processes import RunFailed
from benchmarks.report import Summary, conditions, print_table, to_json
from benchmarks.stage import BRIDGE, Way
from benchmarks.throughput import WAYS, measure, measure_source
from tests.testbed.errors import DiedError, UnavailableError

__all__ = ["main"]

EVENTS = 120_000
OBVIOUS_EVENTS = 12_000
REPEAT = 3
CPUS = 2
WIDTH = 100
"""Columns of the table where it goes into a file."""

BUSY = 0.2
"""Processors busy with something else from which on a run's figures say more about that."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 where a run failed, and print no figures then."""
    asked = _parse(arguments)
    progress = Console(stderr=True, highlight=False)
    ways = [way for way in WAYS if way.name in asked.way] if asked.way else list(WAYS)
    try:
        with _on_few_processors(asked.cpus), _ended_as_by_hand():
            source, summaries = asyncio.run(_measure_all(ways, asked, progress))
            where = conditions(Path(tempfile.gettempdir()))
    except (RunFailed, DiedError, UnavailableError) as error:
        progress.print(Text.assemble(("no figures: ", "red"), str(error)), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    if asked.json:
        print(json.dumps(to_json(source, summaries, where), indent=2))
    else:
        print_table(
            Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH), source, summaries, ways, where
        )
    return 0


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


async def _measure_all(
    ways: Sequence[Way], asked: argparse.Namespace, progress: Console
) -> tuple[Summary, list[Summary]]:
    containers = {way.name: _containers(asked.events if way.bridge else asked.obvious_events) for way in ways}
    alone: list[Measured] = []
    runs: dict[str, list[Measured]] = {way.name: [] for way in ways}
    for number in range(1, asked.repeat + 1):
        alone.append(await measure_source(_containers(asked.events)))
        _tell(progress, number, asked.repeat, alone[-1])
        for way in ways:
            runs[way.name].append(await measure(way, containers[way.name]))
            _tell(progress, number, asked.repeat, runs[way.name][-1])
    return Summary(way="source alone", runs=alone), [Summary(way=name, runs=done) for name, done in runs.items()]


def _tell(progress: Console, number: int, repeat: int, run: Measured) -> None:
    disturbed = f", disturbed: {run.others:.1f} cores busy with something else" if run.others > BUSY else ""
    progress.print(f"{number}/{repeat} {run.way}: {run.rate:,.0f} events/s{disturbed}", soft_wrap=True)


def _containers(events: int) -> int:
    """Return of how many containers the lives have at least so many events."""
    return math.ceil(events / len(LIFE))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure how fast events get from containerd's stream into JetStream, and what that costs.",
    )
    parser.add_argument(
        "--events",
        type=_positive,
        default=EVENTS,
        metavar="N",
        help=f"events of each run of the bridge (default {EVENTS})",
    )
    parser.add_argument(
        "--obvious-events",
        type=_positive,
        default=OBVIOUS_EVENTS,
        metavar="N",
        help=f"events of each run of the obvious ways (default {OBVIOUS_EVENTS})",
    )
    parser.add_argument(
        "--repeat", type=_positive, default=REPEAT, metavar="N", help=f"runs of each way (default {REPEAT})"
    )
    parser.add_argument(
        "--cpus", type=_positive, default=CPUS, metavar="N", help=f"processors for everything together (default {CPUS})"
    )
    parser.add_argument(
        "--way",
        action="append",
        choices=[way.name for way in WAYS],
        help=f"measure only this; {BRIDGE.name} is needed for ratios; may be given several times (default: all)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    return parser.parse_args(arguments)


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
