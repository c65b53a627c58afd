"""The source of a migration: does what `source_next` says, until the register has decided and all is clean.

A departure has one way, whether it begins or comes back after a crash (`AFTER_A_CRASH`). What may fail gives it up, as far as it
is still the source's to say; what must not fail (to let the container run on, to remove it) is tried until it is done.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, NamedTuple, Protocol

from msgspec.structs import replace

from bridge.control.migration.entry import Entry, Known
from bridge.control.migration.source import Here, SourceAct, SourceView, source_next
from bridge.control.verb import Interruption
from bridge.errors import CommandFailed, LogRefused
from bridge.failpoint import failpoint
from bridge.model.migrations import Migration, MigrationKey, MigrationState, Part
from bridge.ports import MigrationRegister

__all__ = ["Departure", "Offer", "SourceHands"]

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""Between two looks at an entry that the target has to change; its answer, where one comes, is heard at once."""

OFFERED_S: Final = 60.0
"""How long an offer may stand that nobody takes. It is taken back then, which either comes before the target or is refused."""

SLOWEST: Final = 10 << 20
"""Bytes a second with which a target takes in the last dump, which it does before it takes the container: that long is added."""

RETRY_S: Final = 1.0


class Offer(NamedTuple):
    """What stands in the entry from `offered` on: all that the target needs, and what it can compare."""

    parts: list[Part]
    processes: int | None


class SourceHands(Protocol):
    """What the source can do with the container, the bus and the target. Errors are `CommandFailed`."""

    async def look(self) -> Here:
        """Tell how the container stands, after everything that containerd has been told to do."""
        ...

    async def ask(self) -> None:
        """Ask the target for its promise."""
        ...

    async def send(self) -> None:
        """Send what can be sent while it runs."""
        ...

    async def freeze(self) -> None:
        """Let it stand still."""
        ...

    async def dump(self) -> Offer:
        """Dump it as it stands still, and send that."""
        ...

    async def hand_over(self) -> None:
        """Ask the target to take it; return when that has answered."""
        ...

    async def resume(self) -> None:
        """Let it run on."""
        ...

    async def remove(self) -> None:
        """Remove it, without a process of it running on for a moment."""
        ...

    async def tell(self) -> None:
        """Tell the target that nothing comes."""
        ...

    async def tidy(self, *, moved: bool) -> None:
        """Take away what lies on the bus, and here; and what is in its way here, unless it has `moved`."""
        ...


class Departure:
    """One migration at its source.

    Attributes:
        view: what is known.
        why: what has made it come to nothing, where something of ours did.
        arrived_at: when it was read that it runs at the target, by a clock that nobody sets; 0 before.
    """

    def __init__(
        self,
        register: MigrationRegister,
        migration: Migration,
        hands: SourceHands,
        *,
        view: SourceView,
        interruption: Interruption | None = None,
    ) -> None:
        """Take what is migrated.

        Args:
            register: what decides.
            migration: the entry as it is to be made, or was.
            hands: what does it.
            view: what is known of it.
            interruption: where it is heard that somebody takes it back.
        """
        self.view = view
        self.why: CommandFailed | None = None
        self.arrived_at = 0
        self._migration = migration
        self._hands = hands
        self._entry = Entry(register, migration.key, "source")
        self._interruption = interruption or Interruption()
        self._answer: asyncio.Task[None] | None = None
        self._offered_at = 0.0
        self._sent = Offer([], None)
        self._acts: Mapping[SourceAct, Callable[[], Awaitable[None]]] = {
            "read": self._read,
            "look": self._look,
            "reserve": self._reserve,
            "ask": self._ask,
            "send": self._send,
            "freeze": self._freeze,
            "dump": self._dump,
            "offer": self._offer,
            "hand_over": self._hand_over,
            "wait": self._wait,
            "withdraw": self._withdraw,
            "resume": self._resume,
            "remove": self._remove,
            "release": lambda: self._write("released"),
            "tell": self._tell,
            "tidy": self._tidy,
        }

    @property
    def entry(self) -> Migration | None:
        """The entry as it is known, None where there is none."""
        return self._entry.migration

    @property
    def undecided(self) -> bool:
        """Whether it stands still because the register does not answer, or refuses."""
        return self.view.task == "paused" and (self._entry.silent_s > 0 or self._entry.refused)

    @property
    def stranded(self) -> bool:
        """Whether it stands still, and nothing will ever say whose it is."""
        return source_next(self.view) == "stuck"

    @property
    def refused(self) -> bool:
        """Whether it was left as it is because the register refuses."""
        return self.view.refused

    @property
    def key(self) -> MigrationKey:
        """What its entry stands under."""
        return self._migration.key

    def give_up(self, why: CommandFailed) -> None:
        """Take it back, as far as that is still the source's to say."""
        if not self.view.back:
            self.why = why
            self.view = replace(self.view, back=True)

    async def run(self) -> Migration | None:
        """Go on until it is decided and all is clean; return the entry, None where none was made.

        Cancelled it stops where it is, and a next run goes on, and looks again: what was under way may have come to pass.
        """
        self.view = replace(self.view, task=None)
        try:
            while (act := source_next(self.view)) != "end":
                log.debug("migration %s at its source: %s", self._migration.id, act)
                if act == "stuck":
                    self.why = self._lost()
                    break
                await self._acts[act]()
                failpoint(f"migrate-{act}")
        finally:
            if self._answer is not None:
                self._answer.cancel()
                await asyncio.gather(self._answer, return_exceptions=True)
        return self.entry

    def _lost(self) -> CommandFailed:
        migration = self._migration
        sentence = (
            f"the entry of migration {migration.id} is gone from the register, so nobody knows whose the container is; it stands "
            f"still: find out whether it runs on node {migration.target}, then resume or delete it here"
        )
        log.error("container %s: %s (docs/migration.md)", migration.container, sentence)
        return CommandFailed("unknown", sentence)

    # -- the register

    async def _read(self) -> None:
        self._know(await self._entry.read())
        if self.view.register == "running" and not self.arrived_at:
            self.arrived_at = time.monotonic_ns()

    async def _reserve(self) -> None:
        self.view = replace(self.view, may_have_reserved=True)
        try:
            self._know(await self._entry.make(self._migration))
        except LogRefused as error:
            self.give_up(CommandFailed("unavailable", f"the register of migrations cannot be written: {error}"))
            self.view = replace(self.view, register=None)

    async def _offer(self) -> None:
        before = self.view.may_have_offered
        self.view = replace(self.view, may_have_offered=True)
        try:
            await self._write("offered", **self._sent._asdict())
        except LogRefused as error:
            self.give_up(CommandFailed("unavailable", f"the register of migrations cannot be written: {error}"))
            self.view = replace(self.view, register=None, may_have_offered=before)
        self._offered_at = time.monotonic()

    async def _withdraw(self) -> None:
        await self._write("withdrawn", why=str(self.why or "the source's bridge ended before it was decided"))

    async def _write(self, state: MigrationState, **told: object) -> None:
        self._know(await self._entry.step(state, **told))

    def _know(self, register: Known | None) -> None:
        # While it is refused somebody may have let the container run on.
        task = None if self._entry.refused else self.view.task
        self.view = replace(self.view, register=register, refused=self._entry.refused, task=task)

    async def _wait(self) -> None:
        """Wait for the target, and for whoever takes it back, as long as it is the source's to say."""
        news = self._answer or asyncio.create_task(asyncio.sleep(LOOK_S))
        try:
            if self.view.register == "offered":
                await self._wait_to_be_taken(news)
            else:
                await asyncio.wait({news}, timeout=LOOK_S)
        except CommandFailed as error:
            self.give_up(error)
        finally:
            if news is not self._answer:
                news.cancel()
        if self._answer is not None and self._answer.done():
            self._heard(self._answer)
        self.view = replace(self.view, register=None)

    async def _wait_to_be_taken(self, news: asyncio.Task[None]) -> None:
        await self._interruption.waits(news, timeout=LOOK_S)
        patience = OFFERED_S + sum(part.size for part in self._sent.parts[-1:]) / SLOWEST
        if time.monotonic() - self._offered_at > patience:
            target = self._migration.target
            raise CommandFailed("deadline_exceeded", f"node {target} has not taken the container in {patience:.0f} s")

    def _heard(self, answer: asyncio.Task[None]) -> None:
        self._answer = None
        error = answer.exception()
        if isinstance(error, CommandFailed):
            self.give_up(error)  # where it is not taken; else the register says what came of it
        elif error is not None:
            raise error

    # -- the container

    async def _look(self) -> None:
        await self._insist(self._see)

    async def _see(self) -> None:
        self.view = replace(self.view, task=await self._hands.look())

    async def _ask(self) -> None:
        if await self._tried(self._hands.ask()):
            self.view = replace(self.view, step="promised")

    async def _send(self) -> None:
        if await self._tried(self._hands.send()):
            self.view = replace(self.view, step="sent")

    async def _freeze(self) -> None:
        await self._tried(self._hands.freeze())
        self.view = replace(self.view, task=None)

    async def _dump(self) -> None:
        async def dump() -> None:
            self._sent = await self._hands.dump()

        if await self._tried(dump()):
            self.view = replace(self.view, step="dumped")
        self.view = replace(self.view, task=None)

    async def _hand_over(self) -> None:
        self._answer = asyncio.create_task(
            self._hands.hand_over(), name=f"migration {self._migration.id} is handed over"
        )
        self.view = replace(self.view, asked=True)

    async def _resume(self) -> None:
        await self._insist(self._hands.resume)
        self.view = replace(self.view, task=None)

    async def _remove(self) -> None:
        await self._insist(self._hands.remove)
        self.view = replace(self.view, task=None)

    async def _tell(self) -> None:
        try:
            await self._hands.tell()
        except CommandFailed as error:
            log.info("migration %s: the target was not told that nothing comes: %s", self._migration.id, error)
        self.view = replace(self.view, told=True)

    async def _tidy(self) -> None:
        await self._insist(partial(self._hands.tidy, moved=self.view.register == "running"))
        self.view = replace(self.view, tidy=True)

    async def _tried(self, work: Awaitable[None]) -> bool:
        try:
            await work
        except CommandFailed as error:
            self.give_up(error)
            return False
        return True

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> None:
        told = False
        while True:
            try:
                return await work()
            except CommandFailed as error:
                if not told:
                    log.error("migration %s goes on as soon as this can be done: %s", self._migration.id, error)
                told = True
                await asyncio.sleep(RETRY_S)
