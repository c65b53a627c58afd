"""What somebody may have meant who typed something else."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean", "near"]

MOST = 3


def near(typed: str, known: Iterable[str]) -> list[str]:
    """Return what is like it, the likeliest first: other letters, another order, only the beginning."""
    names = list(dict.fromkeys(known))
    lower = typed.lower()
    begun = sorted(name for name in names if len(lower) > 1 and name.lower().startswith(lower))
    like = get_close_matches(lower, [name.lower() for name in names], n=MOST, cutoff=0.6)
    by_lower = {name.lower(): name for name in names}
    return list(dict.fromkeys([*(by_lower[name] for name in like), *begun]))[:MOST]


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """Return the question, empty where nothing is like it."""
    found = near(typed, known)
    return f"did you mean {' or '.join(found)}?" if found else ""
