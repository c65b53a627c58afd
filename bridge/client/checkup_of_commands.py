"""What is in order of the command side on the bus, and what is not: jobs, output, how commands stand, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bridge.client.finding import NEARLY, Finding, Level, span
from bridge.ports import CommandStore, LogExtent
from bridge.ports.inspection import Holds

__all__ = ["of_commands"]

_WORDS: Final[Mapping[Holds, tuple[str, str]]] = {
    "jobs": ("jobs that wait or are carried out", "jobs are refused"),
    "quarantined": ("jobs that were put aside", "the oldest goes"),
    "output": ("pieces of output", "the oldest goes"),
    "commands": ("commands that are told of", "it is not told any more how commands stand"),
    "checkpoints": ("records of checkpoints", "checkpoints are refused"),
    "archives": ("pieces of checkpoints", "checkpoints are refused"),
}
"""What each holds, and what happens once it is full."""


def of_commands(stores: Sequence[CommandStore]) -> Iterator[Finding]:
    """Iterate over what there is to say, one sentence for each store that is in order."""
    # Every bridge makes the bucket of commands; only one that takes commands makes the rest.
    nobody = all(store.absent for store in stores if store.holds != "commands")
    if stores and nobody:
        yield Finding(level="ok", area="commands", message="no bridge on this bus takes commands yet")
    for store in stores:
        if nobody and store.absent:
            continue
        if store.absent:
            yield _of_absent(store)
        elif store.unknown:
            yield Finding(
                level="warn",
                area="commands",
                message=f"{store.name} cannot be looked at: {store.unknown}",
                remedy="permit this login to look at it in NATS, if it should",
                trouble="not-permitted",
            )
        else:
            yield from _of_present(store)


def _of_absent(store: CommandStore) -> Finding:
    remedy = "a bridge that takes commands makes it when it starts: start one again"
    if store.holds == "output":
        message = f"{store.name} is not there: no bridge on this bus runs processes yet"
        return Finding(level="ok", area="commands", message=message)
    if store.holds in {"checkpoints", "archives"}:
        message = f"{store.name} is not there: no bridge on this bus makes checkpoints yet"
        return Finding(level="ok", area="commands", message=message)
    message = f"{store.name} is not there"
    return Finding(level="warn", area="commands", message=message, remedy=remedy, trouble="store-missing")


def _of_present(store: CommandStore) -> Iterator[Finding]:
    for fault in store.faults:
        yield Finding(
            level="fail",
            area="commands",
            message=f"{store.name}: {fault}",
            remedy=f"no bridge takes commands with it: change it (nats stream edit {store.name})",
            trouble="store-weak",
        )
    if store.extent is None:
        return
    there = f"{store.name} has {store.extent.messages} {_WORDS[store.holds][0]}, {store.extent.size} bytes"
    level, full, remedy = _of_limits(store, store.extent)
    trouble = "store-full" if level != "ok" else ""
    if level == "ok" and store.holds == "quarantined" and store.extent.messages:
        level, remedy = "warn", "see why with `containerd-bridge jobs list`, then retry or drop them"
        trouble = "jobs-quarantined"
    if level != "ok" or not store.faults:
        yield Finding(level=level, area="commands", message=f"{there}{full}", remedy=remedy, trouble=trouble)


def _of_limits(store: CommandStore, extent: LogExtent) -> tuple[Level, str, str]:
    """Return how bad it is, the rest of the sentence, and what to do."""
    kept = f", each for {span(extent.max_age)} at the most" if extent.max_age else ""
    shares = [
        there / limit
        for there, limit in ((extent.size, extent.max_bytes), (extent.messages, extent.max_messages))
        if limit
    ]
    if not shares:
        return "ok", f"{kept}, without another limit", ""
    share, then = max(shares), _WORDS[store.holds][1]
    said = f"{kept}; it is {share:.0%} full, and then {then}"
    if not store.discards_new or share < NEARLY:
        return "ok", said, ""
    raise_it = f"raise its limit (nats stream edit {store.name})"
    return ("fail" if share >= 1 else "warn"), said, raise_it
