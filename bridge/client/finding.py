"""A finding: one thing on the bus that was looked at, what is wrong with it, and what to do."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

__all__ = ["NEARLY", "Finding", "Level", "span"]

Level: TypeAlias = Literal["ok", "warn", "fail"]

NEARLY: Final = 0.9
"""The share of its limit at which a stream is nearly full."""

SECOND: Final = 1_000_000_000


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was looked at.

    Attributes:
        level: whether it is in order, somebody should know of it, or something does not work for it.
        area: what it belongs to.
        message: what was found, with the value.
        remedy: what to do, where there is something to do.
        trouble: its name in `bridge.client.troubles.TROUBLES`; empty where it is in order.
        why: why it matters; comes with the trouble.
    """

    level: Level
    area: str
    message: str
    remedy: str = ""
    trouble: str = ""
    why: str = ""


def span(nanos: int) -> str:
    """Return a duration in its largest unit, `2.5 h`; the finer forms are for the command line."""
    seconds = max(0, nanos) / SECOND
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
