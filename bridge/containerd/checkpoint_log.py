"""What CRIU says went wrong: the end of its log, as part of a sentence for people. Pure.

A log is a hundred kilobytes of what went well; the lines of its errors say what did not. Names of files and processes in it
are the container's, so control characters are taken out.
"""

from __future__ import annotations

import re
from typing import Final, Literal

__all__ = ["log_end", "unstoppable", "verdict"]

MOST: Final = 2048
"""Characters: an outcome has to fit into a message with much else, and is read by people."""

_STAMP: Final = re.compile(r"^\(\d+\.\d+\)\s*(?:pie:\s*)?(?:\d+:\s*)?")
"""Seconds since CRIU's start, and the process in question by its number inside; `pie` is the part of CRIU that is in it."""

_GAVE_UP: Final = "Timeout reached"
"""What CRIU says of processes that it could not stop within ten seconds."""

_HARMLESS: Final = ("rlimit: Can't setup RLIMIT_NOFILE",)
"""Errors that stand in logs of dumps that went well, too."""


def log_end(log: str) -> str:
    """Return the last errors in a log of CRIU's, or its last lines where it names none; empty for an empty one."""
    lines = [line for line in _lines(log) if line and not any(each in line for each in _HARMLESS)]
    told = [line for line in lines if line.startswith("Error")] or lines[-5:]
    kept: list[str] = []
    room = MOST
    for line in reversed(told):
        if len(line) + 2 > room:
            if not kept:
                kept.append(line[-MOST:])
            break
        kept.append(line)
        room -= len(line) + 2
    return "; ".join(reversed(kept))


def verdict(log: str) -> Literal["finished", "failed", "unknown"]:
    """Tell how a dump has ended by its log; `unknown` where that does not come to an end, as after a loss of power."""
    last = log.rstrip("\n").rpartition("\n")[2]
    if last.endswith("Dumping finished successfully"):
        return "finished"
    return "failed" if "Dumping FAILED" in log[-MOST:] else "unknown"


def unstoppable(log: str) -> bool:
    """Tell whether a dump has failed because a process could not be stopped just then.

    That is met with a process that is starting another one (`vfork`): it waits for its child, in a way in which nothing stops it,
    and the child was stopped first.
    """
    return any(line.startswith("Error") and _GAVE_UP in line for line in _lines(log))


def _lines(log: str) -> list[str]:
    return [_plain(_STAMP.sub("", line)) for line in log.split("\n")]


def _plain(line: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in line).split())
