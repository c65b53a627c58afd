"""Where containers leave a node and arrive at it: the migrations of which this bridge is one of the ends.

Every entry of the register is seen to by the bridges that it names, whatever becomes of the commands about it. What this run of
the bridge does not look after it finds in the register, at its start and every few seconds: of what it is the source, that was
left open; of what it is the target, what was taken, and what has come to nothing. So an end that was killed comes back to it, and
a write that came late is answered too. An entry that says that a container leaves this node is followed where the node has begun
that: the other end may write it too.
"""

from __future__ import annotations

import asyncio
import logging
import time
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
from bridge.control.migration.opening import open_network
from bridge.control.migration.source import AFTER_A_CRASH
from bridge.control.migration.target import SWEPT, TargetView
from bridge.control.verb import Place
from bridge.errors import CommandFailed, LogError
from bridge.model.codec import decode_as
from bridge.model.commands import Migrate
from bridge.model.migrations import DECIDED, Migration, MigrationKey
from bridge.model.nanos import Nanos, now
from bridge.model.subjects import Subjects
from bridge.ports import CommandJournal, CommandSender, MigrationRegister, MovedOn

__all__ = ["Berth", "Harbour", "HarbourFigures"]

log = logging.getLogger(__name__)

LOOK_S: Final = 15.0
"""Between two looks into the register for what nobody looks after."""

KEPT_S: Final = 86_400.0
"""How long an entry stands that is decided, by the register's clock, so that who was away is told what came of it."""

REST_S: Final = 60.0
"""Between two attempts at what is left open because the register refuses it, and two words about what stands still."""

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
        journal: CommandJournal,
    ) -> None:
        """Take what it works with.

        Args:
            node: this node's name.
            register: what decides.
            sender: asks other bridges.
            subjects: where to.
            lanes: in which the commands on each container take turns.
            place: where commands of this node work, for no container yet.
            journal: knows which migrations this node has begun.
        """
        self.node = node
        self.leaving: dict[str, Departure] = {}
        self.berths: dict[str, Berth] = {}
        self._register = register
        self._sender = sender
        self._subjects = subjects
        self._lanes = lanes
        self._place = place
        self._journal = journal
        self._stranded: dict[str, MigrationKey] = {}
        """What stands still here, and nothing will ever say whose it is."""
        self._fallen: set[MigrationKey] = set()
        """What this run of the bridge began, and left open by a mistake of ours: no outcome in the journal stands against it."""
        self._again: dict[str, float] = {}
        """Id -> when what was left as it is comes next."""
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
            return [one.migration for one in await self._register.list(self.node)]
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
        except Exception:
            self._fallen.add(departure.key)
            raise
        else:
            self._fallen.discard(departure.key)
        finally:
            del self.leaving[migration_id]
            if departure.stranded:
                self.strand(departure.key)

    def strand(self, key: MigrationKey) -> None:
        """Note that a container stands still, and that nothing will ever say whose it is."""
        self._stranded[key.migration] = key

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
                    found = await self._register.list(self.node)
                    self._seen &= {f"{migration.id} {migration.state}" for migration, _ in found}
                    for migration, age_s in found:
                        await self._see_to(migration, age_s)
                except LogError as error:
                    log.info("the register of migrations is not read: %s", error)
                await self._look_at_stranded()
                await asyncio.sleep(LOOK_S)
        finally:
            tasks = [*self._under_way.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _see_to(self, migration: Migration, age_s: float) -> None:
        if migration.id in self._under_way:
            return
        if migration.source != self.node:
            if self._is_due(migration):
                self._spawn(migration, self._arrive)
        elif migration.id not in self.leaving:
            if migration.state not in DECIDED:
                self._spawn(migration, self._go_on)
            elif age_s > KEPT_S:
                await self._register.forget(migration.key)

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
        if migration.id in self.leaving or self._rests(migration.id):
            return
        if not await self._begun_here(migration):
            self._rest(migration.id)
            log.error(
                "the register says that migration %s of %s to node %s is %s, and this node has not begun it: nothing is done "
                "about it. See who may write as node %s; `migrate --abandon` takes it back; what stands still: `resume`",
                *(migration.id, place, migration.target, migration.state, migration.target),
            )
            return
        log.warning("migration %s of %s was left open: it is gone on with", migration.id, place)
        async with self.watched(migration.id, self.left_open(place, migration)) as departure:
            await departure.run()
        if departure.refused:
            self._rest(migration.id)

    def _rests(self, migration_id: str) -> bool:
        return self._again.get(migration_id, 0.0) > time.monotonic()

    def _rest(self, migration_id: str) -> None:
        moment = time.monotonic()
        self._again = {each: until for each, until in self._again.items() if until > moment}
        self._again[migration_id] = moment + REST_S

    async def _begun_here(self, migration: Migration) -> bool:
        """Tell whether the journal has this very migration; of one that has ended nothing is left but to take it back.

        Raises:
            CommandFailed: the journal cannot be read.
        """
        if migration.key in self._fallen:
            return True
        row = await self._journal.look(migration.id)
        if row is None or (row.verb, row.namespace, row.container) != (Migrate.verb, *migration.key[2:4]):
            return False
        if row.outcome is not None:
            return migration.state in {"reserved", "offered"}
        return decode_as(row.body, dict[str, Any]).get("to") == migration.target

    async def _look_at_stranded(self) -> None:
        """Forget what stands still no more, and name the rest in the log."""
        for key in list(self._stranded.values()):
            try:
                task = await self._place.runtime.tasks.get(key.namespace, key.container)
            except CommandFailed as error:
                log.info("container %s is not looked at: %s", key.container, error)
                continue
            if task is None or task.status != "paused":
                del self._stranded[key.migration]
                if task is not None and task.status == "running":  # its network may be held still
                    place = structs.replace(self._place, namespace=key.namespace, container=key.container)
                    try:
                        await open_network(place)
                    except CommandFailed as error:
                        log.error("container %s may be cut off: %s", key.container, error)
            elif not self._rests(key.migration):
                self._rest(key.migration)
                log.error(
                    "container %s of namespace %s stands still, and the entry of its migration %s is gone: find out whether it "
                    "runs on node %s, then resume or delete it here (docs/migration.md)",
                    *(key.container, key.namespace, key.migration, key.target),
                )

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
        return HarbourFigures(len(self.leaving), len(self.berths), undecided + len(self._stranded))
