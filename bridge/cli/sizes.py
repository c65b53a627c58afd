"""Amounts of bytes as people read them: powers of 1024, three digits."""

from __future__ import annotations

__all__ = ["size"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size(count: float) -> str:
    """Return an amount: `0 B`, `1.2 KiB`, `15.6 MiB`, `512 GiB`."""
    for unit in _UNITS:
        if count < 999.5 or unit == _UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"
