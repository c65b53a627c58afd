"""What a command that was judged only comes to."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Judged"]


class Judged(Struct, frozen=True, kw_only=True):
    """Result of every command with `dry_run` that would be allowed: `rule` decides, `reason` is the sentence for it.

    One that would be refused is refused, with the same sentence.
    """

    rule: str
    reason: str
