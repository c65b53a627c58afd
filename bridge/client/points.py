"""Points in the log: a time, how long ago, or a stream sequence number.

People write them as text (`10m`, `2026-11-23T21:43:48Z`, `4711`), programs as values. A time means when the event was stored:
the log's own order, so that everything that happened since a time is among what was stored since it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TypeAlias

from bridge.model.nanos import Nanos, now, parse_rfc3339
from bridge.ports import Start

__all__ = ["Point", "is_before", "read_duration", "read_point", "show_point", "start_at"]

Point: TypeAlias = Nanos | datetime | timedelta | int | str
"""A time (`Nanos`, `datetime`), how long ago (`timedelta`), a stream sequence (`int`), or any of them as text."""

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
_PART = r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h|d|w)"
_DURATION = re.compile(f"(?:{_PART})+", re.ASCII)


def read_point(point: Point) -> Nanos | int:
    """Return the time, or the stream sequence number (at least 1), that `point` names.

    A text of digits only is a sequence number. A time without zone is local time, as in `docker events`.

    Raises:
        ValueError: it names none; the sentence gives the choices.
    """
    match point:
        case Nanos():
            return point
        case int():
            return max(1, point)
        case timedelta():
            return Nanos(now() - int(point / timedelta(microseconds=1)) * _UNITS["us"])
        case datetime():
            return _moment(point)
        case _:
            return _read_text(point.strip())


def read_duration(text: str) -> int:
    """Return a duration such as `10m`, `2h30m`, `1.5s` or `7d` in nanoseconds.

    Raises:
        ValueError: `text` is none.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration such as 10m, 2h30m or 7d")
    total = 0
    for count, unit in re.findall(_PART, text, re.ASCII):
        whole, _, fraction = count.partition(".")
        # In whole numbers: a float would lose the nanoseconds of a long one.
        total += int(whole) * _UNITS[unit] + int(fraction or "0") * _UNITS[unit] // 10 ** len(fraction)
    return total


def show_point(given: Point | None, point: Nanos | int | None) -> str:
    """Return a point as its giver wrote it, else what was read from it."""
    return given.strip() if isinstance(given, str) else str(point)


def _read_text(text: str) -> Nanos | int:
    if text.isascii() and text.isdigit():
        return max(1, int(text))
    if _DURATION.fullmatch(text):
        return Nanos(now() - read_duration(text))
    for read in (parse_rfc3339, _loose_time):
        with suppress(ValueError, OverflowError, OSError):
            return read(text)
    raise ValueError(
        f"{text!r} is no point in the log: give a time such as 2026-11-23T21:43:48Z, how long ago such as 10m or 2h30m, "
        "or a stream sequence number"
    )


def _loose_time(text: str) -> Nanos:
    return _moment(datetime.fromisoformat(text))


def _moment(moment: datetime) -> Nanos:
    return Nanos(int(moment.timestamp()) * _UNITS["s"] + moment.microsecond * _UNITS["us"])


def is_before(end: Nanos | int | None, begin: Nanos | int | None) -> bool:
    """Return whether the one is known to lie before the other: a time and a sequence number do not compare."""
    if end is None or begin is None or isinstance(end, Nanos) != isinstance(begin, Nanos):
        return False
    return end < begin


def start_at(point: Nanos | int | None, *, follow: bool) -> Start:
    """Return where reading begins: at this point, else at what comes next, or at the first event of all."""
    match point:
        case None:
            return Start() if follow else Start(sequence=1)
        case Nanos():
            return Start(time=point)
        case _:
            return Start(sequence=point)
