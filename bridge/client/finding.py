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
    """One thing that was looked at: `area` is what it belongs to, `remedy` what to do, where there is something to do."""

    level: Level
    area: str
    message: str
    remedy: str = ""


def span(nanos: int) -> str:
    """Return a duration in its largest unit, `2.5 h`; the finer forms are for the command line."""
    seconds = max(0, nanos) / SECOND
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
