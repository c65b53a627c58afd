"""How much the outbox may take of the disk, and whether it may take in more.

Without a limit a bus that stays away fills the disk of the host. At the limit the bridge disconnects from containerd, which
costs a gap that is marked; it connects again once a tenth of the limit is free, so that it does not do so for every event.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from msgspec import Struct

__all__ = ["Limits", "Room"]

log = logging.getLogger(__name__)

KEPT_SHARE: Final = 4
"""Acknowledged entries take no more than this part of `max_bytes`: a quarter."""

BACK_AT: Final = 0.9
"""Part of the limit below which more is taken in again."""

MIB: Final = 1024 * 1024


class Limits(Struct, frozen=True, kw_only=True):
    """What the outbox is allowed."""

    max_bytes: int = 1024 * MIB
    """Most bytes of entries that are not in the log yet."""
    reserve_bytes: int = 128 * MIB
    """Free space that stays on its disk, for what is written between two looks at it and for everybody else."""
    retention_s: float = 600.0
    """How long an entry is kept after its acknowledgement."""

    @property
    def kept_bytes(self) -> int:
        """Most bytes of entries that are in the log already."""
        return self.max_bytes // KEPT_SHARE


class Room:
    """Says whether there is room, and if not why. Belongs to one thread."""

    def __init__(self, directory: Path, limits: Limits) -> None:
        self._directory = directory
        self._limits = limits
        self._full = False
        self._short = False
        self._said = False

    def shortage(self, waiting_bytes: int) -> str | None:
        """Return why nothing more may be taken in, None while there is room.

        Args:
            waiting_bytes: bytes of entries that are not in the log yet.
        """
        limit, reserve, free = self._limits.max_bytes, self._limits.reserve_bytes, self.free_bytes
        self._full = waiting_bytes >= limit * (BACK_AT if self._full else 1.0)
        self._short = free < reserve * (1.0 if not self._short else 1 / BACK_AT)
        reason: str | None = None
        if self._full:
            reason = (
                f"the outbox is full: {waiting_bytes / MIB:,.1f} MiB of events are not in the log yet, "
                f"outbox_max_bytes is {limit / MIB:,.1f} MiB"
            )
        elif self._short:
            reason = (
                f"the disk under {self._directory} is nearly full: {free / MIB:,.1f} MiB are free, "
                f"outbox_reserve_bytes is {reserve / MIB:,.1f} MiB"
            )
        self._say(reason)
        return reason

    def _say(self, reason: str | None) -> None:
        if reason is not None and not self._said:
            log.error("%s; no events are read from containerd until there is room", reason)
        elif reason is None and self._said:
            log.warning("there is room for events again")
        self._said = reason is not None

    @property
    def free_bytes(self) -> int:
        """Bytes that are free on the disk; without an answer as many as are needed, so that nothing stops for it."""
        try:
            found = os.statvfs(self._directory)
        except OSError:
            return 2 * self._limits.reserve_bytes
        return found.f_bavail * found.f_frsize
