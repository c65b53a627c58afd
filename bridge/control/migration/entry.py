"""One end's pen at a migration's entry in the register: reads it, and changes it where it is as it was read.

Where the bus does not answer nothing is known any more, of a change not even whether it will come to pass, and the entry is read
again. Where it refuses, nothing was written and nothing will be: it is asked again all the same, since only that can be mended.
Either is told in the log, and again every minute for as long as it lasts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final, Literal, TypeAlias

from msgspec.structs import replace

from bridge.errors import LogError, LogRefused
from bridge.model.migrations import End, Migration, MigrationKey, MigrationState
from bridge.model.nanos import now
from bridge.ports import MigrationRegister, MovedOn, Registered

__all__ = ["Entry", "Known"]

log = logging.getLogger(__name__)

Known: TypeAlias = MigrationState | Literal["absent"]

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
TOLD_EVERY_S: Final = 60.0

BEGINNING: Final = frozenset({"reserved", "offered"})
"""What nobody has to insist on: where it is refused the container runs on."""


class Entry:
    """An entry as one end knows it."""

    def __init__(self, register: MigrationRegister, key: MigrationKey, end: End) -> None:
        """Take whose it is; nothing is read yet."""
        self._register = register
        self._key = key
        self._end = end
        self._standing = Registered(None, 0)
        self.refused = False
        """Whether the register refused what it was asked last."""
        self._pause = FIRST_PAUSE_S
        self._refusals = 0
        self._silent_since: float | None = None
        self._told_at = 0.0

    @property
    def migration(self) -> Migration | None:
        """The entry as it was read or written last, None where there was none."""
        return self._standing.migration

    @property
    def silent_s(self) -> float:
        """For how many seconds the register has not answered; 0 where it did the last time."""
        return 0.0 if self._silent_since is None else time.monotonic() - self._silent_since

    async def read(self) -> Known | None:
        """Return what stands there; None where nobody answers, after a pause that gets longer."""
        try:
            self._standing = await self._register.get(self._key)
        except LogRefused as error:
            await self._turned_away(error)
            return None
        except LogError as error:
            await self._unanswered(error)
            return None
        self._answered()
        return "absent" if self._standing.migration is None else self._standing.migration.state

    async def make(self, wanted: Migration) -> Known | None:
        """Make the entry; return its state, None where it has to be read.

        Raises:
            LogRefused: there is no register, or it may not be used: nothing was written, and nothing will be.
        """
        return await self._change(wanted)

    async def step(self, state: MigrationState, **told: Any) -> Known | None:
        """Let the entry, as it was read last, stand in another state; return that, None where it has to be read.

        Raises:
            LogRefused: it may not be offered: nothing was written, and nothing will be.
        """
        assert self._standing.migration is not None
        wanted = replace(self._standing.migration, state=state, by=self._end, changed_at=now(), **told)
        return await self._change(wanted)

    async def _change(self, wanted: Migration) -> Known | None:
        try:
            self._standing = await self._register.change(self._standing, wanted)
        except MovedOn:
            self._answered()
            return None
        except LogRefused as error:
            if wanted.state in BEGINNING:
                raise
            await self._turned_away(error)
            return None
        except LogError as error:
            await self._unanswered(error)
            return None
        self._answered()
        self._refusals = 0
        return wanted.state

    def _answered(self) -> None:
        if self._silent_since is not None and self._told_at:
            log.warning("migration %s: the register answers again", self._key.migration)
            self._told_at = 0.0
        self.refused, self._pause, self._silent_since = False, FIRST_PAUSE_S, None

    async def _turned_away(self, error: LogRefused) -> None:
        """Wait for longer from one refusal to the next; that it can be read in between does not help."""
        moment = time.monotonic()
        self.refused, self._silent_since = True, None
        if moment - self._told_at > TOLD_EVERY_S or not self._told_at:
            self._told_at = moment
            log.error(
                "migration %s of container %s: the register refuses this bridge, which asks again until it does not: %s",
                *(self._key.migration, self._key.container, error),
            )
        await asyncio.sleep(min(FIRST_PAUSE_S * 2 ** min(self._refusals, 30), LONGEST_PAUSE_S))
        self._refusals += 1

    async def _unanswered(self, error: LogError) -> None:
        moment, self.refused = time.monotonic(), False
        if self._silent_since is None:
            self._silent_since = moment
        elif moment - self._told_at > TOLD_EVERY_S or not self._told_at:
            self._told_at = moment
            log.error(
                "migration %s of container %s: the register does not answer, so it is open whose the container is, and it is "
                "left as it is until that can be read: %s",
                *(self._key.migration, self._key.container, error),
            )
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
