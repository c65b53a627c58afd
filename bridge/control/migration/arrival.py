"""The target of a migration: does what `target_next` says, until the register has decided or the source has to go on.

An arrival that this run of the bridge has prepared knows what it has (`TargetView.ready`); one that is found after a crash knows
nothing (`SWEPT`), and begins nothing. Either way nothing is left here of what did not come to run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple, Protocol, TypeAlias

from msgspec.structs import replace

from bridge.control.migration.entry import Entry
from bridge.control.migration.target import Copy, TargetAct, TargetView, target_next
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model.identity import new_ulid
from bridge.model.migrations import Migration, MigrationKey, MigrationState
from bridge.ports import MigrationRegister

__all__ = ["Arrival", "Arrived", "Still", "TargetHands"]

log = logging.getLogger(__name__)

RETRY_S: Final = 1.0

STILL_S: Final = 10.0
"""How long a restore waits for the register, its task made. Nothing is decided by that: what is given up is taken away."""


Still: TypeAlias = Callable[[], Awaitable[None]]
"""Returns if the container is still this target's to run.

Raises:
    CommandFailed: it is not.
"""


class Arrived(NamedTuple):
    """A container that runs here: its pid, and what of it was compared with the source."""

    pid: int
    verified: list[str]


class TargetHands(Protocol):
    """What the target can do with the container. Errors are `CommandFailed`."""

    async def look(self) -> Copy:
        """Tell what is here of it, after everything that containerd has been told to do."""
        ...

    async def restore(self, migration: Migration, still: Still) -> Arrived:
        """Restore it: it runs then, or has run to its end. What fails may leave something half.

        `still` is asked right before a process of it can begin to run.
        """
        ...

    async def pid(self) -> int:
        """Return the pid of its task."""
        ...

    async def clean(self) -> None:
        """Take away all that is here of it, for good: no process of it can come to run afterwards."""
        ...

    async def settle(self) -> None:
        """Take away what it needs no more once it runs."""
        ...


class Arrival:
    """One migration at its target.

    Attributes:
        view: what is known.
        why: what has made it come to nothing, where something of ours did.
    """

    def __init__(self, register: MigrationRegister, key: MigrationKey, hands: TargetHands, *, view: TargetView) -> None:
        """Take what comes, what receives it, and what is known of it."""
        self.view = view
        self.why: CommandFailed | None = None
        self._key = key
        self._hands = hands
        self._entry = Entry(register, key, "target")
        self._arrived: Arrived | None = None
        self._taker = new_ulid()
        self._acts: Mapping[TargetAct, Callable[[], Awaitable[None]]] = {
            "read": self._read,
            "look": self._look,
            "take": lambda: self._write("taken", taker=self._taker),
            "restore": self._restore,
            "confirm": self._confirm,
            "clean": self._clean,
            "fail": self._fail,
            "settle": self._settle,
        }

    @property
    def entry(self) -> Migration | None:
        """The entry as it is known, None where there is none."""
        return self._entry.migration

    async def run(self) -> Migration | None:
        """Go on until it is decided and all is clean, or it is the source's turn; return the entry, None where there is none.

        Cancelled it stops where it is, and a next run goes on.
        """
        self.view = replace(self.view, register=None, copy=None)
        while (act := target_next(self.view)) not in {"end", "wait"}:
            log.debug("migration %s at its target: %s", self._key.migration, act)
            if act == "stuck":
                log.error(
                    "migration %s: container %s runs here and its entry in the register is %s, so nobody knows whose it is: "
                    "find out whether it is on node %s too, and delete one of them (docs/migration.md)",
                    *(self._key.migration, self._key.container, self._lost(), self._key.source),
                )
                break
            await self._acts[act]()
            failpoint(f"receive-{act}")
        return self.entry

    def _lost(self) -> str:
        return "gone" if self.view.register == "absent" else "older than that"

    @property
    def over(self) -> bool:
        """Whether nothing is left to do here."""
        return target_next(self.view) == "end"

    # -- what is done

    async def _read(self) -> None:
        self.view = replace(self.view, register=await self._entry.read())

    async def _write(self, state: MigrationState, **told: object) -> None:
        self.view = replace(self.view, register=await self._entry.step(state, **told))

    async def _look(self) -> None:
        async def look() -> None:
            self.view = replace(self.view, copy=await self._hands.look())

        await self._insist(look)

    async def _restore(self) -> None:
        self.view = replace(self.view, tried=True, copy=None)
        assert self.entry is not None
        try:
            self._arrived = await self._hands.restore(self.entry, self._still)
        except CommandFailed as error:
            self.why = error
            self.view = replace(self.view, ready=False, register=None)
            # What runs although it was found to be wrong is not to stay.
            await self._insist(self._hands.clean)

    async def _still(self) -> None:
        """See that what was taken stands, however long ago that was: this process may have been stopped since."""
        try:
            async with asyncio.timeout(STILL_S):
                while (state := await self._entry.read()) is None:
                    pass
        except TimeoutError as error:
            raise CommandFailed("unavailable", "the register does not say whether it is still this target's") from error
        if state != "taken" or self.entry is None or self.entry.taker != self._taker:
            raise CommandFailed("failed_precondition", f"it is not this target's to run any more: it is {state}")

    async def _confirm(self) -> None:
        if self._arrived is None:
            self._arrived = Arrived(await self._hands.pid(), [])
        await self._write("running", pid=self._arrived.pid, verified=self._arrived.verified)

    async def _clean(self) -> None:
        await self._insist(self._hands.clean)
        self.view = replace(self.view, copy=None, ready=False)

    async def _fail(self) -> None:
        await self._write("failed", why=str(self.why or "the target's bridge ended before it had restored it"))

    async def _settle(self) -> None:
        await self._insist(self._hands.settle)
        self.view = replace(self.view, settled=True)

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> None:
        told = False
        while True:
            try:
                return await work()
            except CommandFailed as error:
                if not told:
                    log.error("migration %s goes on as soon as this can be done: %s", self._key.migration, error)
                told = True
                await asyncio.sleep(RETRY_S)
