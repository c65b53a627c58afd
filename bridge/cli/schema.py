"""`containerd-bridge schema`: what crosses the bus, as JSON Schema, for programs in other languages."""

from __future__ import annotations

__all__ = ["schema"]


def schema() -> None:
    """Print."""
