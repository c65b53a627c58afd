"""What was streamed, as whoever checks what arrived has to know it: every event by its number.

The source and the check are processes of their own that do not talk about single events. Both work out from the same few
numbers what was streamed, so nothing that lies between them can make a wrong stream look right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

__all__ = ["Place", "Streamed"]


class Place(NamedTuple):
    """Where an event belongs: its subject's last three tokens, and its number among its container's events, from 1."""

    namespace: str
    container: str
    word: str
    sequence: int


class Streamed(Protocol):
    """Events that were streamed, numbered in the order of streaming."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def number(self, container: str, word: str, event: Mapping[str, Any]) -> int | None:
        """Return the number of an event that arrived, from what it holds itself; None for one that was never streamed.

        Args:
            container: the container in its subject.
            word: the last token of its subject.
            event: its body.
        """
        ...

    def place(self, number: int) -> Place:
        """Return where the event of this number belongs."""
        ...
