"""Points in time as whole nanoseconds since the Unix epoch, UTC.

containerd stamps its events with nanoseconds; `datetime` keeps microseconds and would round them away. So a time is an
`int` inside, and RFC 3339 with nine fractional digits on the wire. Text order of the wire form is time order.

RFC 3339 names the years 0001 to 9999 and no others. A wild clock must not stop the log, so a time outside of them is
written as the nearest one that has a name.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["Nanos", "now", "format_rfc3339", "parse_rfc3339"]

_SECOND = 1_000_000_000
_FIRST = -62_135_596_800  # 0001-01-01T00:00:00Z; also Go's zero time, which containerd sends for "no time"
_LAST = 253_402_300_799  # 9999-12-31T23:59:59Z
_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d{2}:\d{2})",
    re.ASCII,
)


class Nanos(int):
    """Nanoseconds since 1970-01-01T00:00:00Z; RFC 3339 with nine fractional digits when it is encoded."""

    __slots__ = ()

    def __str__(self) -> str:
        return format_rfc3339(self)


def now() -> Nanos:
    """Return the wall clock's time. For payloads only: intervals are measured with a monotonic clock."""
    return Nanos(time.time_ns())


@lru_cache(maxsize=64)
def _template(seconds: int) -> str:
    # Nearly every event of a burst falls into the same second, so the costly calendar part is remembered.
    # isoformat and not strftime: that one leaves out the leading zeros of early years.
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat() + ".%09dZ"


def format_rfc3339(nanos: int) -> str:
    """Return `nanos` as RFC 3339 UTC with nine fractional digits, e.g. `2026-11-23T21:43:48.000000001Z`.

    Never fails: what lies before the year 1 or after the year 9999 becomes the first or the last nanosecond of them.
    """
    seconds, fraction = divmod(nanos, _SECOND)
    if not _FIRST <= seconds <= _LAST:
        seconds, fraction = (_FIRST, 0) if seconds < _FIRST else (_LAST, _SECOND - 1)
    return _template(seconds) % fraction


def parse_rfc3339(text: str) -> Nanos:
    """Return the time that `text` names, to the nanosecond; further digits are cut off.

    Raises:
        ValueError: `text` is no RFC 3339 time with a time zone.
    """
    # Our own form first, two or three times in every event that is read: its calendar part is remembered, as in `_template`.
    if len(text) == 30 and text[19] == "." and text[29] == "Z":
        fraction, second = text[20:29], _second(text[:19])
        if second is not None and fraction.isascii() and fraction.isdigit():
            return Nanos(second + int(fraction))
    return _parse(text)


@lru_cache(maxsize=64)
def _second(text: str) -> int | None:
    try:
        return int(_parse(f"{text}Z"))
    except ValueError:
        return None


def _parse(text: str) -> Nanos:
    match = _RFC3339.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time such as 2026-11-23T21:43:48Z")
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError as error:
        raise ValueError(f"{text!r} is not a valid time: {error}") from error
    seconds = int(moment.timestamp())
    if not _FIRST <= seconds <= _LAST:
        raise ValueError(f"{text!r} is not a valid time: in UTC it is outside of the years 0001 to 9999")
    return Nanos(seconds * _SECOND + int((fraction or "0").ljust(9, "0")))
