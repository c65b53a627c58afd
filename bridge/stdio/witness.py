"""What is told of a process's input: who wrote to it first, and at its end how much it was; never what was written."""

from __future__ import annotations

import hashlib
from typing import Final

from bridge.model.events import Who
from bridge.ports import InputTold, OnInputTold
from bridge.stdio.journal import SessionRecord

__all__ = ["Witness"]

MOST: Final = 64
"""Of so many it is told that they have written; who else does is one of many."""


class Witness:
    """One process's. Tells of the first bytes that come from each user, and once of the end."""

    def __init__(self, record: SessionRecord, tell: OnInputTold, *, resumed: bool) -> None:
        """Take whose input it is; `resumed` says that some of it may have come to another process of ours."""
        self._record = record
        self._tell = tell
        self._seen: set[tuple[str, str] | None] = set()
        self._sha = None if resumed else hashlib.sha256()
        self._over = False

    def wrote(self, who: Who | None, data: bytes) -> None:
        """Note that these bytes were taken from this user, or with none of them the end."""
        if self._sha is not None:
            self._sha.update(data)
        user = None if who is None else (who.account, who.user)
        if user not in self._seen and len(self._seen) < MOST:
            self._seen.add(user)
            self._say("started", who=who)

    def ended(self, size: int) -> None:
        """Note that nothing comes any more; `size` bytes were taken. Where nobody ever wrote there is nothing to tell."""
        if not self._over and (size or self._seen):
            self._over = True
            self._say("finished", size=size, sha256=None if self._sha is None else self._sha.hexdigest())

    def _say(self, phase: str, **more: object) -> None:
        record = self._record
        told = {
            "namespace": record.namespace,
            "container": record.container,
            "exec_id": record.exec_id,
            "session": record.session,
            "command_id": record.command_id,
        }
        self._tell(InputTold(phase=phase, **told, **more))  # type: ignore[arg-type]
