"""Times and durations as people read them; local time, because that is what their watch shows."""

from __future__ import annotations

from datetime import datetime

from bridge.model.nanos import Nanos, now

__all__ = ["ago", "clock", "day", "span"]

_SECOND = 1_000_000_000


def clock(time: Nanos) -> str:
    """Return the time of day to the millisecond: `21:43:48.123`."""
    return f"{_local(time):%H:%M:%S}.{time % _SECOND // 1_000_000:03d}"


def day(time: Nanos) -> str:
    """Return the date: `2026-11-23`."""
    return f"{_local(time):%Y-%m-%d}"


def span(nanos: int) -> str:
    """Return a duration in two units at the most: `12 ms`, `3.4 s`, `4m 05s`, `2h 03m`, `3d 04h`."""
    seconds = nanos / _SECOND
    if seconds < 0.9995:
        return f"{max(0, nanos) / 1e6:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if hours == 0:
        return f"{minutes}m {whole % 60:02d}s"
    if days == 0:
        return f"{hours}h {minutes % 60:02d}m"
    return f"{days}d {hours % 24:02d}h"


def ago(time: Nanos | None) -> str:
    """Return how long ago `time` was, in one unit: `5 seconds ago`, `2 hours ago`; `-` for None."""
    if time is None:
        return "-"
    seconds = max(0, now() - time) // _SECOND
    for unit, length, least in (("day", 86400, 172800), ("hour", 3600, 7200), ("minute", 60, 120)):
        if seconds >= least:
            return f"{seconds // length} {unit}s ago"
    return "1 second ago" if seconds == 1 else f"{seconds} seconds ago"


def _local(time: Nanos) -> datetime:
    return datetime.fromtimestamp(time // _SECOND).astimezone()
