"""Signals by name or number."""

from __future__ import annotations

import signal as _signal
from typing import Any

__all__ = ["signal_number"]


def signal_number(signal: str | int) -> int:
    """Return the number of a signal given by name (with or without SIG, any case) or number.

    Raises:
        ValueError: there is no such signal on Linux.
    """
    number: Any = signal
    if isinstance(signal, str) and signal.isascii():
        text = signal.strip().upper()
        if text.isdigit():
            number = int(text) if len(text) <= 2 else None
        else:
            name = text if text.startswith("SIG") else f"SIG{text}"
            number = _realtime(name) or getattr(_signal, name if not name.startswith("SIG_") else "", None)
    if isinstance(number, int) and 1 <= number <= 64:
        return int(number)
    raise ValueError(f"signal {signal!r} does not exist: give a name such as SIGTERM or a number from 1 to 64")


def _realtime(name: str) -> int | None:
    # RTMIN+3 and RTMAX-2 as kill(1) and docker take them.
    for base, sign, start in (("SIGRTMIN", "+", 34), ("SIGRTMAX", "-", 64)):
        offset = name.removeprefix(base + sign)
        if offset != name and offset.isascii() and offset.isdigit() and int(offset) <= 30:
            return start + int(sign + offset)
    return None
