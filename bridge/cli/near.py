"""What somebody may have meant who typed something else."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Final

__all__ = ["did_you_mean", "near"]

MOST: Final = 3
LEAST: Final = 0.6
"""How like it has to be, of 1."""

CLOSE: Final = 0.1
"""What is so much less like it than the best is not named beside that."""


def near(typed: str, known: Iterable[str]) -> list[str]:
    """Return what is like it, the likeliest first: what it is the beginning of, else what has nearly the same letters."""
    names = list(dict.fromkeys(known))
    lower = typed.lower()
    begun = sorted(name for name in names if len(lower) > 1 and name.lower().startswith(lower))
    likeness = {name: SequenceMatcher(None, lower, name.lower()).ratio() for name in names}
    best = max(likeness.values(), default=0.0)
    like = [name for name in names if likeness[name] >= max(LEAST, best - CLOSE)]
    like.sort(key=lambda name: -likeness[name])
    return (begun or like)[:MOST]


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """Return the question, empty where nothing is like it."""
    found = near(typed, known)
    return f"did you mean {' or '.join(found)}?" if found else ""
