"""Names of things: the grammar of containerd's identifiers, and ids of our own.

Everything that comes from outside passes through here before it touches a subject, a filter, a path or a log line.
"""

from __future__ import annotations

import os
import re
import threading
import time
from functools import lru_cache

__all__ = ["ULID_PATTERN", "check_identifier", "check_node", "is_identifier", "new_ulid", "ulid_time", "UlidClock"]

MAX_IDENTIFIER = 76
"""Longest container id, exec id or namespace that containerd takes (containerd, pkg/identifiers)."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*", re.ASCII)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ULID_PATTERN = r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"


def is_identifier(text: str) -> bool:
    """Tell whether containerd would take `text` as a container id, exec id or namespace."""
    return len(text) <= MAX_IDENTIFIER and _matches(text)


@lru_cache(maxsize=4096)  # the same few names come with every event; short ones only, whatever comes
def _matches(text: str) -> bool:
    return _IDENTIFIER.fullmatch(text) is not None


def check_identifier(text: str, what: str) -> str:
    """Return `text` if it is an identifier in containerd's sense.

    Args:
        text: the id as it came from outside.
        what: what it is for, as the sentence needs it: "container id", "namespace", "exec id".

    Raises:
        ValueError: it is not; the sentence gives the rule and the value.
    """
    if not is_identifier(text):
        shown = text if len(text) <= MAX_IDENTIFIER else text[:MAX_IDENTIFIER] + "…"
        raise ValueError(
            f"{what} {shown!r} is not valid: letters and digits, with single '.', '_' or '-' between them, "
            f"{MAX_IDENTIFIER} characters at most"
        )
    return text


def check_node(text: str) -> str:
    """Return `text` if it can be a node's name.

    Host names are what people use here, so the rule is containerd's own for identifiers.

    Raises:
        ValueError: it cannot; the sentence gives the rule and the value.
    """
    return check_identifier(text, "node name")


class UlidClock:
    """Makes ULIDs that strictly increase, also within a millisecond and when the wall clock steps back.

    One clock per process keeps the order of ids equal to the order in which events were read (ULID spec, monotonicity).
    Safe to call from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = 0
        # A ULID is made for every event, and those of one millisecond mostly differ in their last digits only.
        self._high = 0
        self._low = _LOW
        self._text = ""

    def next(self) -> str:
        """Return a new ULID: 26 characters of Crockford's base 32, greater than every one before it."""
        millisecond = time.time_ns() // 1_000_000
        with self._lock:
            low = self._low + 1
            if low > _LOW or millisecond > self._millisecond:
                low = self._begin(millisecond)
            self._low = low
            return self._text + _PAIRS[low >> 10] + _PAIRS[low & 1023]

    def _begin(self, millisecond: int) -> int:
        """Begin a millisecond, or go on where the last digits have run out; return the last digits."""
        if millisecond > self._millisecond:
            self._millisecond = millisecond
            fresh = millisecond << 80 | int.from_bytes(os.urandom(10), "big")
            self._high, low = fresh >> 20, fresh & _LOW
        else:
            self._high, low = self._high + 1, 0
        self._text = _base32(self._high, 110)
        return low


def _base32(number: int, bits: int) -> str:
    # Two digits a step through a table.
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(bits - 10, -1, -10)])


_LOW = (1 << 20) - 1
"""The last four digits."""


_PAIRS = [a + b for a in _CROCKFORD for b in _CROCKFORD]
_clock = UlidClock()


def new_ulid() -> str:
    """Return a ULID from this process's clock (see `UlidClock`)."""
    return _clock.next()


def ulid_time(ulid: str) -> float:
    """Return when a ULID was made, in seconds since the epoch; 0 for what is none."""
    milliseconds = 0
    for letter in ulid[:10]:
        milliseconds = milliseconds * 32 + max(0, _CROCKFORD.find(letter))
    return milliseconds / 1000
