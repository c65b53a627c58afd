"""Amounts as people write them: sizes such as `512m`, `1.5GiB`, `-1` for no limit; processors such as 0.5."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["CPU_PERIOD_US", "LEAST_QUOTA_US", "UNLIMITED", "quota_of", "size_of"]

UNLIMITED: Final = -1

CPU_PERIOD_US: Final = 100_000
"""The kernel's own (Documentation/scheduler/sched-bwc.rst)."""

LEAST_QUOTA_US: Final = 1_000
"""The kernel takes no less."""

_SIZE: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?)\s*(?:([kmgtp]?)(?:i?b)?)", re.ASCII | re.IGNORECASE)
_LARGEST: Final = 1 << 62


def size_of(size: str | int) -> int:
    """Return a number of bytes; a unit is a power of 1024, as in docker. -1, `-1` and `unlimited` are no limit.

    Raises:
        ValueError: it is no size.
    """
    if isinstance(size, int):
        if size == UNLIMITED or 0 < size <= _LARGEST:
            return size
    else:
        text = size.strip()
        if text.lower() in {"-1", "unlimited"}:
            return UNLIMITED
        match = _SIZE.fullmatch(text)
        if match is not None:
            bytes_ = int(float(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " "))
            if 0 < bytes_ <= _LARGEST:
                return bytes_
    raise ValueError(
        f"{size!r} is no size: give bytes, or a number with a unit such as 512m or 1.5g, or -1 for no limit"
    )


def quota_of(cpus: float) -> int:
    """Return what so many processors are of each `CPU_PERIOD_US`."""
    return max(LEAST_QUOTA_US, round(cpus * CPU_PERIOD_US))
