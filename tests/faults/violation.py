"""A promise that was not kept, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

__all__ = ["Violation", "few"]

MOST: Final = 5
"""Sentences of one kind; a log that is out of order is so in a thousand places."""


class Violation(NamedTuple):
    """A promise that was not kept: which one, and a sentence with the container and the positions."""

    invariant: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.sentence}"


def few(violations: Iterator[Violation]) -> list[Violation]:
    """Return the first of one kind, and how many more there are."""
    found = list(islice(violations, MOST))
    more = sum(1 for _ in violations)
    return [*found, Violation(found[-1].invariant, f"... and {more} more of this kind")] if more else found
