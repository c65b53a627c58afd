"""Every verb and the coroutine that carries it out; `cancel` alone is the dispatcher's own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bridge.control import (
    checkpoint,
    creation,
    execution,
    images,
    lifecycle,
    limits,
    observe,
    restore,
    stats,
    waiting,
)
from bridge.control.verb import Verb

__all__ = ["VERBS"]

VERBS: Mapping[str, Verb] = MappingProxyType(
    {
        **observe.VERBS,
        **stats.VERBS,
        **waiting.VERBS,
        **lifecycle.VERBS,
        **limits.VERBS,
        **creation.VERBS,
        **images.VERBS,
        **execution.VERBS,
        **checkpoint.VERBS,
        **restore.VERBS,
    }
)
"""Verb -> coroutine, of every family."""
