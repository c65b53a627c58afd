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
from bridge.control.migration.abandon import abandon
from bridge.control.migration.migrate import migrate
from bridge.control.migration.receive import receive
from bridge.control.verb import Verb
from bridge.model.commands import Migrate, MigrateAbandon, Receive

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
        Migrate.verb: migrate,
        MigrateAbandon.verb: abandon,
        Receive.verb: receive,
    }
)
"""Verb -> coroutine, of every family."""
