"""Sizes that both ends of the bus rely on, in bytes."""

from __future__ import annotations

__all__ = ["CAPTURED", "MAX_BODY", "RAW_PART"]

CAPTURED = 256 * 1024
"""Of each stream of a captured process, in the answer to it: both of them, in base 64, are below NATS's default `max_payload`."""

MAX_BODY = 512 * 1024
"""Largest event as JSON. Half of NATS's default `max_payload` (1 MiB), which counts the headers too."""

RAW_PART = 256 * 1024
"""Largest piece of a payload that is too big for one event; base 64 makes a third more of it, well below `MAX_BODY`."""
