"""What commands did, held against what was said of them.

I5  each command takes effect once at the most, and what is said to be done was done
I6  each has one outcome, wherever it is told: to whoever asked, in the bucket, in the log
I9  the output of a process is whole, or it is said that it may not be and how much there is
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tests.faults.history import History, Ordered
from tests.faults.log import Log
from tests.faults.violation import Violation

__all__ = ["COMMANDED"]

HARMLESS: Final = {"stale", "refused"}
"""Outcomes that say that nothing was done."""

TOO_MANY: Final = "exhausted"
"""The code of an error that says that the node took it not, since so many wait already."""


def _once(history: History, _log: Log) -> Iterator[Violation]:
    for sent in history.orders:
        if sent.effects is None:
            continue
        if sent.effects > 1:
            yield Violation("I5", f"{_name(sent)} was carried out {sent.effects} times")
        if sent.effects == 0 and "ok" in sent.words and sent.verb != "kill":
            yield Violation("I5", f"{_name(sent)} is said to be done, and was not")
        nothing = HARMLESS & set(sent.words) or (
            {"unavailable", "cancelled", TOO_MANY} & set(sent.codes) and sent.verb == "exec"
        )
        if sent.effects and nothing:
            yield Violation("I5", f"{_name(sent)} is said to have had no effect ({', '.join(sent.words)}), and had one")


def _one_outcome(history: History, log: Log) -> Iterator[Violation]:
    started: set[str] = set()
    ended: dict[str, set[str]] = {}
    for one in log.firsts:
        if one.word == "command":
            data = one.event["data"]
            if data["phase"] == "finished":
                if (data.get("error") or {}).get("code") == TOO_MANY:
                    continue  # it was not accepted; sent again, by who did not wait to hear that, it may be
                ended.setdefault(data["command_id"], set()).add(data["outcome"])
            else:
                started.add(data["command_id"])
    for sent in history.orders:
        words = {*sent.words, *ended.get(sent.id, ())}
        if len(words) > 1:
            yield Violation("I6", f"{_name(sent)} has more than one outcome: {', '.join(sorted(words))}")
        if sent.stored and sent.kept is None:
            yield Violation("I6", f"{_name(sent)} has no outcome")
        if sent.id in started and sent.id not in ended:
            yield Violation("I6", f"{_name(sent)} was begun, and the log does not tell its end")
        if sent.words and sent.kept is None and sent.id in started:
            yield Violation("I6", f"{_name(sent)} was answered, and its outcome is not kept")


def _whole(history: History, _log: Log) -> Iterator[Violation]:
    for sent in history.orders:
        for report in sent.reported:
            wanted = sent.printed
            assert wanted is not None
            if report.truncated is None and (report.size, report.sha256) != (wanted.size, wanted.sha256):
                yield Violation("I9", f"{_name(sent)} printed {wanted}, and {report} is said")
            if report.size > wanted.size:
                yield Violation("I9", f"{_name(sent)} printed {wanted.size} bytes, and {report.size} are said")


def _name(sent: Ordered) -> str:
    return f"{'job' if sent.job else 'request'} {sent.id}, {sent.verb} of {sent.container},"


COMMANDED: Final[Sequence[Callable[[History, Log], Iterator[Violation]]]] = (_once, _one_outcome, _whole)
