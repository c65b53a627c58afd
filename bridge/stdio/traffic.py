"""What has gone through the sessions of a node since the bridge began: bytes each way, and streams that are not whole."""

from __future__ import annotations

from collections import Counter

from bridge.model.stdio import OUTPUTS, TRUNCATIONS

__all__ = ["Traffic"]


class Traffic:
    """Counts; each of them is there from the beginning, so that a rise can be seen."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter(dict.fromkeys(("stdin", *OUTPUTS), 0))
        """Bytes that the bus has of outputs, and that processes' pipes have of inputs."""
        self.truncated: Counter[str] = Counter(dict.fromkeys(TRUNCATIONS, 0))
        """Streams that have ended and may have had more, by why."""
