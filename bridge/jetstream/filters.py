"""Subject filters as NATS reads them: `*` stands for one token, `>` at the end for one or more (ADR-6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["collide", "covers", "filtering", "matches", "reduced"]


def matches(pattern: str, subject: str) -> bool:
    """Tell whether the subject of a message matches the filter."""
    return covers(pattern, subject)


def covers(wide: str, narrow: str) -> bool:
    """Tell whether everything that matches `narrow`, a filter or a subject, matches `wide` too."""
    wides, narrows = wide.split("."), narrow.split(".")
    for position, part in enumerate(wides):
        if part == ">":
            return len(narrows) > position
        if position == len(narrows) or narrows[position] == ">" or part not in {"*", narrows[position]}:
            return False
    return len(wides) == len(narrows)


def collide(one: str, other: str) -> bool:
    """Tell whether some subject matches both filters."""
    ones, others = one.split("."), other.split(".")
    for position in range(min(len(ones), len(others))):
        a, b = ones[position], others[position]
        if ">" in {a, b}:
            return True
        if a != b and "*" not in {a, b}:
            return False
    return len(ones) == len(others)


def reduced(filters: Sequence[str]) -> list[str]:
    """Return the filters without those that another one covers."""
    unique = list(dict.fromkeys(filters))
    return [one for one in unique if not any(other != one and covers(other, one) for other in unique)]


def filtering(filters: Sequence[str]) -> dict[str, Any]:
    """Return what of a consumer's configuration says these filters; several take a server that knows of several."""
    if not filters:
        return {}
    return {"filter_subject": filters[0]} if len(filters) == 1 else {"filter_subjects": list(filters)}
