"""The long form: `python -m tests.faults --minutes 30 --seed 7`. Random faults from the whole set, round after round.

A round is one trial with a seed of its own, which decides what it is made of and what happens to it; the time at which things
happen under load is the machine's. A round that fails is told with its seed, and how to have it again. In the end there is a
table, and how long the log took to say again what containerd lists (R, see `recovery`).
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.checker import Violation
from tests.faults.cluster import Cluster
from tests.faults.recovery import CONTAINERS, R_S, Recovery
from tests.faults.trial import UNBROKEN, Fault, Trial
from tests.faults.trouble import (
    ANYWHERE,
    BY_NAME,
    CLUSTER_FAULTS,
    COMMANDS_OUTLIVE,
    FAULTS,
    NEEDS,
    TAKES_THE_OUTBOX,
    TAKES_THE_STREAM,
)


@dataclass
class Tally:
    """What has happened so far."""

    rounds: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    blamed: Counter[str] = field(default_factory=Counter)
    made: int = 0
    commands: Counter[str] = field(default_factory=Counter)
    seen: int = 0
    stored: int = 0
    failed: list[int] = field(default_factory=list)
    violations: int = 0
    starts_s: list[float] = field(default_factory=list)
    recoveries_s: list[float] = field(default_factory=list)

    def table(self) -> str:
        """Return it as a table."""
        lines = [f"{'fault':45} {'injected':>8} {'in rounds that failed':>22}"]
        lines += [
            f"{fault.number:2}  {fault.name:41} {self.injected[fault.name]:8} {self.blamed[fault.name]:22}"
            for fault in sorted((*FAULTS, *CLUSTER_FAULTS), key=lambda fault: fault.number)
            if self.injected[fault.name]
        ]
        lines += [
            f"{'all':45} {self.injected.total():8}",
            f"{self.rounds} rounds, {self.made} events made, {self.seen} seen by the witness, {self.stored} stored",
            f"{self.commands.total()} commands, by what is kept of them: {dict(self.commands)}",
            f"from a start after kill -9 to live: {_told(self.starts_s)}",
            f"R, from both ends reachable to log == lists with {CONTAINERS} containers: {_told(self.recoveries_s)}",
            f"{self.violations} violations in {len(self.failed)} rounds"
            + (f", with the seeds {', '.join(map(str, self.failed))}" if self.failed else ""),
        ]
        return "\n".join(lines)


def _told(seconds: Sequence[float]) -> str:
    if not seconds:
        return "not measured"
    return f"median {statistics.median(seconds):.2f} s, at the most {max(seconds):.2f} s, {len(seconds)} times"


def say(text: str) -> None:
    """Print it, now."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def round_of(seed: int, only: Sequence[Fault], patches: str) -> tuple[dict[str, Any], list[Fault], float]:
    """Return what the round with this seed is made of: the trial's settings, its faults, and events per second."""
    lot = random.Random(seed)
    cluster = lot.random() < 0.15
    settings: dict[str, Any] = {
        "seed": seed,
        "patches": patches or lot.choice([UNBROKEN, "auditing"]),
        "containerd": lot.choice(["2.1", "2.1", "1.7", "1.6"]),
        "version": "2.15" if cluster else lot.choice(["2.15", "2.15", "2.10", "2.9"]),
        "cluster": cluster,
        "stretch": lot.choice([1.0, 1.0, 1.0, 4.0]),
        "timed": True,
    }
    possible = [*CLUSTER_FAULTS, *ANYWHERE] if cluster else list(FAULTS)
    possible = [fault for fault in possible if fault in only] or possible
    faults = [lot.choice(possible) for _ in range(lot.randint(3, 8))]
    if any(fault.happen in TAKES_THE_STREAM for fault in faults):
        faults = [fault for fault in faults if fault.happen not in TAKES_THE_OUTBOX]
    settings["commands"] = all(fault.happen in COMMANDS_OUTLIVE for fault in faults) and not cluster
    settings |= {NEEDS[fault.happen]: True for fault in faults if fault.happen in NEEDS}
    return settings, faults, lot.choice([100, 300, 1000])


def run_round(seed: int, tally: Tally, only: Sequence[Fault], patches: str) -> None:
    """Run one round and add it to the tally."""
    settings, faults, rate = round_of(seed, only, patches)
    told = f"nats {'2.15 x 3' if settings['cluster'] else settings['version']}, containerd {settings['containerd']}"
    say(f"round {seed}: {told}, {rate}/s: {', '.join(fault.name for fault in faults)}")
    began = time.monotonic()
    tally.rounds += 1
    found: list[Violation] = []
    trouble: str | None = None
    trial: Trial | None = None
    try:
        with tempfile.TemporaryDirectory(prefix="cb-faults-") as directory, ExitStack() as closing:
            settings["cluster"] = closing.enter_context(Cluster()) if settings["cluster"] else None
            trial = closing.enter_context(Trial(Path(directory), **settings))
            with trial.under_load(rate=rate):
                for fault in faults:
                    trial.suffer(fault)
            found = trial.verdict()
    except Exception:  # noqa: BLE001 - whatever it is, the next round goes on
        trouble = traceback.format_exc()
    if trial is not None:
        tally.injected.update(trial.injected)
        tally.made += len(trial.history.made)
        tally.commands.update(sent.kept or "none" for sent in trial.history.orders)
        tally.seen += sum(len(watch.seen) for watch in trial.history.watches)
        tally.stored += len(trial.history.stream)
        tally.starts_s += trial.starts_s
        say(f"  {time.monotonic() - began:.0f} s, {len(trial.history.stream)} events")
    if found or trouble:
        tally.failed.append(seed)
        tally.violations += len(found)
        if trial is not None:
            tally.blamed.update(set(trial.injected))
            for line in trial.bridge.lines[-40:] if hasattr(trial, "bridge") else ():
                say(f"    {line.get('time', '')} {line['message']}")
        for violation in found:
            say(f"  {violation}")
        say(f"{trouble or ''}  again: python -m tests.faults --seed {seed} --rounds 1")


def measure_recovery(seed: int, tally: Tally, times: int = 3) -> None:
    """Measure R, in a trial in which nothing else happens. Its median is judged: the machine may be busy for once."""
    with tempfile.TemporaryDirectory(prefix="cb-faults-") as directory, ExitStack() as closing:
        trial = closing.enter_context(Trial(Path(directory), seed=seed, patches="", proxied_containerd=True))
        recovery = Recovery(trial)
        tally.recoveries_s += [recovery.seconds() for _ in range(times)]
    if statistics.median(tally.recoveries_s) > R_S:
        say(f"R: {_told(tally.recoveries_s)}, the limit is {R_S:g} s")
        tally.failed.append(seed)


def try_inputs(seed: int, tally: Tally, times: int = 500) -> None:
    """Open, write and end the input of a process so often, in a trial in which nothing else happens."""
    with tempfile.TemporaryDirectory(prefix="cb-faults-") as directory, ExitStack() as closing:
        trial = closing.enter_context(Trial(Path(directory), seed=seed, patches="", commands=True))
        assert trial.orders is not None
        began = time.monotonic()
        trial.orders.input(times)
        took = time.monotonic() - began
        found = trial.verdict()
    say(f"input of {times} processes opened, written and ended: {took:.0f} s, {len(found)} violations")
    for violation in found:
        say(f"  {violation}")
    if found:
        tally.failed.append(seed)
        tally.violations += len(found)


def main(arguments: Sequence[str]) -> int:
    """Run rounds until the time is over; return 1 if any failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Random faults against the bridge.")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (30)")
    parser.add_argument("--rounds", type=int, help="so many rounds at the most")
    parser.add_argument(
        "--seed", type=int, help="of the first round; the next ones count up. Drawn by lot unless given"
    )
    parser.add_argument(
        "--only", action="append", default=[], choices=sorted(BY_NAME), help="only this fault (repeatable)"
    )
    parser.add_argument("--broken", default="", metavar="NAMES", help="run a bridge of tests.faults.broken")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    say(f"seed {seed}")
    tally = Tally()
    end = time.monotonic() + options.minutes * 60
    try:
        if options.rounds is None:
            measure_recovery(seed, tally)
            try_inputs(seed, tally)
        while time.monotonic() < end and (options.rounds is None or tally.rounds < options.rounds):
            run_round(seed + tally.rounds, tally, [BY_NAME[name] for name in options.only], options.broken)
    except KeyboardInterrupt:
        say("interrupted")
    say(f"{tally.table()}\nseed {seed}")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
