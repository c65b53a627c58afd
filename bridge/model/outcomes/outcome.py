"""The reply to a command."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from bridge.model.events import Failure
from bridge.model.nanos import Nanos

__all__ = ["Outcome", "OutcomeWord"]

OutcomeWord: TypeAlias = Literal["ok", "error", "refused", "stale", "unknown"]
"""The five ways a command ends: done, failed, not allowed, meant for a state that is past, undecidable after a crash."""


class Outcome(Struct, frozen=True, kw_only=True):
    """The reply to a command. Exactly one of `result` and `error` is set; which struct `result` is, the verb says."""

    id: str
    verb: str
    node: str
    outcome: OutcomeWord
    namespace: str | None = None
    container: str | None = None
    result: Any = None
    error: Failure | None = None
    received_at: Nanos | None = None
    finished_at: Nanos | None = None
