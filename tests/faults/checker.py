"""The checker: holds the history of a trial against what the bridge promises, and says in sentences where it is not so.

It is offline: it reads a `History` and nothing else, so it can be tried on histories that were made up. The invariants are the
project's, by their numbers: I1, I2 and I3 are about the stream (`order`), I4 about what it tells (`truth`), and here are those
about the process:

    I5  I6  I9  commands: see `effects`
    I7  the bridge stays within its bounds, and so does the time that an event waits: no container starves behind others
    I8  the bridge leaves no litter
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from bridge.model.nanos import parse_rfc3339
from tests.faults.effects import COMMANDED
from tests.faults.history import History
from tests.faults.log import Log
from tests.faults.order import COMMITTED, ONCE, ORDER
from tests.faults.truth import TOLD, TRUE, agrees, folded
from tests.faults.violation import Violation, few

__all__ = ["Log", "Violation", "agrees", "check", "folded"]


def check(history: History) -> list[Violation]:
    """Return every violation in a history; empty when all that was promised was kept."""
    log = Log(history.stream)
    found: list[Violation] = []
    for judge in _JUDGES:
        found += few(judge(history, log))
    return found


def _bounded(history: History, _log: Log) -> Iterator[Violation]:
    for measure in history.measures:
        if measure.value > measure.limit:
            yield Violation("I7", f"{measure.what}: {measure.value:g}, the limit is {measure.limit:g}")


STARVED_NS: Final = 30 * 10**9
"""An event that was read so much earlier than one in front of it has been forgotten for the others' sake."""


def _none_starves(history: History, log: Log) -> Iterator[Violation]:
    if not history.true_clock or history.went_back:  # what is appended again stands where it may
        return
    newest, before = 0, None
    for one in log.firsts:
        recorded = parse_rfc3339(one.event["recordedtime"])
        if before is not None and newest - recorded > STARVED_NS:
            late = f"{(newest - recorded) / 1e9:.0f} s earlier than {before} in front of it"
            yield Violation("I7", f"container {one.container}: {one} was read {late}")
        if recorded > newest:
            newest, before = recorded, one


FORGOTTEN: Final = 3
"""So many times what nine of ten events wait is no matter of a slow machine any more."""


def _none_waits_too_long(history: History, log: Log) -> Iterator[Violation]:
    if history.most_wait_s is None:
        return
    waits = [one.message.stored_at - parse_rfc3339(one.event["recordedtime"]) for one in log.firsts]
    usual = sorted(waits)[len(waits) * 9 // 10 :][:1]
    longest = max(history.most_wait_s * 1e9, *(FORGOTTEN * wait for wait in usual))
    for one, waited in zip(log.firsts, waits, strict=True):
        if waited > longest:
            yield Violation("I7", f"container {one.container}: {one} has waited {waited / 1e9:.0f} s for the stream")


def _no_litter(history: History, _log: Log) -> Iterator[Violation]:
    for left in history.litter:
        yield Violation("I8", left)


_JUDGES: Final[Sequence[Callable[[History, Log], Iterator[Violation]]]] = (
    *(*COMMITTED, *ORDER, *ONCE),
    *(*TOLD, *TRUE),
    *COMMANDED,
    *(_bounded, _none_starves, _none_waits_too_long, _no_litter),
)
