"""Where containers leave a node and arrive at it: the migrations of which this bridge is one of the ends.

Every entry of the register is seen to by the bridges that it names, whatever becomes of the commands about it. What this run of
the bridge does not look after it finds in the register, at its start and every few seconds: of what it is the source, that was
left open; of what it is the target, what was taken, and what has come to nothing. So an end that was killed comes back to it, and
a write that came late is answered too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from msgspec import Struct, structs

from bridge.control.lanes import Lanes
from bridge.control.migration.arrival import Arrival
from bridge.control.migration.asking import Asking
from bridge.control.migration.departure import Departure
from bridge.control.migration.landing import Landing
from bridge.control.migration.loading import Loading
from bridge.control.migration.source import AFTER_A_CRASH
from bridge.control.migration.target import SWEPT, TargetView
from bridge.control.verb import Place
from bridge.errors import CommandFailed, LogError
from bridge.model.migrations import DECIDED, Migration, MigrationKey
from bridge.model.nanos import Nanos, now
from bridge.model.subjects import Subjects
from bridge.ports import CommandSender, MigrationRegister, MovedOn

__all__ = ["Berth", "Harbour", "HarbourFigures"]

log = logging.getLogger(__name__)

LOOK_S: Final = 15.0
"""Between two looks into the register for what nobody looks after."""

KEPT_S: Final = 86_400.0
"""How long an entry stands that is decided, so that who was away is told what came of it."""

PROMISED_S: Final = 7_200.0
"""How long a promise is kept of which nothing more is heard. Nothing is decided by that: what is not taken is not ours."""


class HarbourFigures(NamedTuple):
    """Migrations under way at either end, and containers that stand still here because nobody can say whose they are."""

    leaving: int
    arriving: int
    undecided: int


class Berth(Struct, kw_only=True):
    """A container that is promised room here.

    Attributes:
        landing: what receives it.
        arrival: what is known of it.
        since: when it was promised.
    """

    landing: Landing
    arrival: Arrival
    since: Nanos


class Harbour:
    """The migrations of one node. `run` sees to those that nobody else here does.

    Attributes:
        leaving: those of which this node is the source, by id.
        berths: those that were promised room here, by id.
        node: whose harbour it is.
    """

    def __init__(
        self,
        node: str,
        register: MigrationRegister,
        sender: CommandSender,
        subjects: Subjects,
        *,
        lanes: Lanes,
        place: Place,
    ) -> None:
        """Take what it works with.

        Args:
            node: this node's name.
            register: what decides.
            sender: asks other bridges.
            subjects: where to.
            lanes: in which the commands on each container take turns.
            place: where commands of this node work, for no container yet.
        """
        self.node = node
        self.leaving: dict[str, Departure] = {}
        self.berths: dict[str, Berth] = {}
        self._register = register
        self._sender = sender
        self._subjects = subjects
        self._lanes = lanes
        self._place = place
        self._seen: set[str] = set()
        self._under_way: dict[str, asyncio.Task[None]] = {}

    # -- what leaves

    def asking(self, migration: Migration) -> Asking:
        """Return what asks the target."""
        return Asking(self._sender, self._subjects, migration.key, migration.target)

    def departure(self, place: Place, migration: Migration, loading: Loading, **known: Any) -> Departure:
        """Return the source's end of a migration."""
        return Departure(self._register, migration, loading, interruption=place.interruption, **known)

    async def entry(self, key: MigrationKey) -> Migration | None:
        """Return an entry.

        Raises:
            CommandFailed: `unavailable`: the register does not answer.
        """
        try:
            return (await self._register.get(key)).migration
        except LogError as error:
            raise CommandFailed("unavailable", f"the register of migrations does not answer: {error}") from error

    async def entries(self) -> Sequence[Migration]:
        """Return the entries of this node.

        Raises:
            CommandFailed: `unavailable`: the register does not answer.
        """
        try:
            return await self._register.list(self.node)
        except LogError as error:
            raise CommandFailed("unavailable", f"the register of migrations does not answer: {error}") from error

    async def decide(self, wanted: Migration) -> None:
        """Write an operator's decision.

        Raises:
            CommandFailed: it was decided meanwhile, or the register does not answer.
        """
        try:
            await self._register.change(await self._register.get(wanted.key), wanted)
        except (MovedOn, ValueError) as error:
            raise CommandFailed("failed_precondition", f"{error}: look again, it has gone on meanwhile") from error
        except LogError as error:
            raise CommandFailed("unavailable", f"the register of migrations does not answer: {error}") from error

    @asynccontextmanager
    async def watched(self, migration_id: str, departure: Departure) -> AsyncIterator[Departure]:
        """Look after a departure while the block lasts."""
        self.leaving[migration_id] = departure
        try:
            yield departure
        finally:
            del self.leaving[migration_id]

    def left_open(self, place: Place, migration: Migration) -> Departure:
        """Return the source's end of a migration that a crash has left open."""
        loading = Loading(place, migration, self.asking(migration))
        return self.departure(place, migration, loading, view=AFTER_A_CRASH)

    def turn(self, place: Place) -> Any:
        """Wait for the turn on a container."""
        return self._lanes.turn(*place.target, patient=True)

    # -- what arrives

    def arrival(self, key: MigrationKey, landing: Landing, view: TargetView) -> Arrival:
        """Return the target's end of a migration."""
        return Arrival(self._register, key, landing, view=view)

    def found(self, place: Place, key: MigrationKey) -> Arrival:
        """Return the target's end of a migration that this run of the bridge has not prepared."""
        return self.arrival(key, Landing(place, key), SWEPT)

    def hold(self, migration_id: str, landing: Landing, arrival: Arrival) -> None:
        """Note that room was promised."""
        self.berths[migration_id] = Berth(landing=landing, arrival=arrival, since=now())

    # -- what nobody looks after

    async def run(self) -> None:
        """See to what nobody here looks after, for ever."""
        try:
            while True:
                try:
                    for migration in await self._register.list(self.node):
                        await self._see_to(migration)
                except LogError as error:
                    log.info("the register of migrations is not read: %s", error)
                await asyncio.sleep(LOOK_S)
        finally:
            tasks = [*self._under_way.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _see_to(self, migration: Migration) -> None:
        if migration.state in DECIDED and (now() - migration.changed_at) / 1e9 > KEPT_S:
            if migration.source == self.node:
                await self._register.forget(migration.key)
            return
        if migration.id in self._under_way:
            return
        if migration.source == self.node:
            if migration.state not in DECIDED and migration.id not in self.leaving:
                self._spawn(migration, self._go_on)
        elif self._is_due(migration):
            self._spawn(migration, self._arrive)

    def _is_due(self, migration: Migration) -> bool:
        """Tell whether there may be something to do for the target, once for each state of an entry."""
        if migration.state in {"reserved", "offered"}:
            berth = self.berths.get(migration.id)
            return berth is not None and (now() - berth.since) / 1e9 > PROMISED_S
        return migration.state == "taken" or f"{migration.id} {migration.state}" not in self._seen

    def _spawn(self, migration: Migration, work: Callable[[Place, Migration], Any]) -> None:
        async def see_to() -> None:
            place = structs.replace(
                self._place, namespace=migration.namespace, container=migration.container, command_id=migration.id
            )
            try:
                async with self.turn(place):
                    await work(place, migration)
            except CommandFailed as error:
                log.warning("migration %s is not gone on with yet: %s", migration.id, error)
            except Exception:
                log.exception("migration %s is not gone on with", migration.id)

        task = asyncio.create_task(see_to(), name=f"migration {migration.id}")
        self._under_way[migration.id] = task
        task.add_done_callback(lambda _: self._under_way.pop(migration.id, None))

    async def _go_on(self, place: Place, migration: Migration) -> None:
        if migration.id in self.leaving:
            return
        log.warning("migration %s of %s was left open: it is gone on with", migration.id, place)
        async with self.watched(migration.id, self.left_open(place, migration)) as departure:
            await departure.run()

    async def _arrive(self, place: Place, migration: Migration) -> None:
        berth = self.berths.get(migration.id)
        # It may have been taken, and have run, while this waited for its turn.
        standing = await self.entry(migration.key) if berth is not None else None
        if berth is not None and standing is not None and standing.state in {"reserved", "offered"}:
            log.warning("migration %s of %s was promised room, and nothing came of it", migration.id, place)
            del self.berths[migration.id]
            await berth.landing.clean()
            return
        arrival = self.found(place, migration.key) if berth is None else berth.arrival
        entry = await arrival.run()
        if arrival.over:
            self.berths.pop(migration.id, None)
            if entry is not None:
                self._seen.add(f"{migration.id} {entry.state}")

    def figures(self) -> HarbourFigures:
        """Return how many migrations are under way now."""
        undecided = sum(departure.undecided for departure in self.leaving.values())
        return HarbourFigures(len(self.leaving), len(self.berths), undecided)
