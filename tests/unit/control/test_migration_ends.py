"""Both ends of a migration as they run, on a register and containers in memory: what fails, what dies, and what comes of it."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Literal

import pytest
from msgspec.structs import replace

from bridge.control.migration import arrival, departure, entry
from bridge.control.migration.arrival import Arrival, Arrived, Still
from bridge.control.migration.departure import Departure, Offer
from bridge.control.migration.source import AFTER_A_CRASH, Here, SourceView
from bridge.control.migration.target import SWEPT, Copy, TargetView
from bridge.control.verb import Interruption
from bridge.errors import CommandFailed
from bridge.failpoint import FAILPOINTS
from bridge.model.migrations import Migration, MigrationKey, MigrationState, Part
from bridge.ports import Registered
from bridge.testing import MemoryMigrations
from tests.contract.test_migration_register import ENTRY


class Died(BaseException):
    """The bridge was killed."""


class Ground:
    """A container at its source, and what its target has of it."""

    def __init__(self) -> None:
        self.task: Here = "running"
        self.copy: Copy = "none"
        self.register = MemoryMigrations()
        self.fails: set[str] = set()
        self.arrival: Arrival | None = None
        self.told = 0
        self.tidied = 0
        self.interruption = Interruption()

    def note(self) -> None:
        assert not (self.task == "running" and self.copy == "running"), "two run"
        assert self.task != "gone" or self.copy == "running", "none is left"

    async def suspended(self) -> None:
        """Be stopped, with all that is known of the register from before."""

    def maybe(self, act: str) -> None:
        if act in self.fails:
            raise CommandFailed("failed_precondition", f"{act} was to fail")


class Source:
    """`SourceHands` there."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def look(self) -> Here:
        return self._ground.task

    async def ask(self) -> None:
        self._ground.maybe("ask")
        self._ground.copy = "half"
        ground = self._ground
        ground.arrival = Arrival(ground.register, ENTRY.key, Target(ground), view=TargetView())

    async def send(self) -> None:
        self._ground.maybe("send")

    async def freeze(self) -> None:
        self._ground.maybe("freeze")
        self._ground.task = "paused"

    async def dump(self) -> Offer:
        self._ground.maybe("dump")
        assert self._ground.task == "paused"
        return Offer([Part(name="p", size=1)], 2)

    async def hand_over(self) -> None:
        self._ground.maybe("hand_over")
        there = self._ground.arrival
        if there is None:
            raise CommandFailed("failed_precondition", "nobody has promised anything")
        there.view = TargetView(ready=True)
        await there.run()

    async def resume(self) -> None:
        if self._ground.task == "paused":
            self._ground.task = "running"
        self._ground.note()

    async def remove(self) -> None:
        self._ground.task = "gone"
        self._ground.note()

    async def tell(self) -> None:
        self._ground.maybe("tell")
        self._ground.told += 1
        if self._ground.arrival is not None:
            await self._ground.arrival.run()

    async def tidy(self, *, moved: bool) -> None:
        self._ground.tidied += 1
        assert not moved or self._ground.task == "gone"


class Target:
    """`TargetHands` there."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def look(self) -> Copy:
        return self._ground.copy

    async def restore(self, migration: Migration, still: Still) -> Arrived:
        assert migration.state == "taken"
        assert migration.parts
        self._ground.maybe("restore")
        self._ground.copy = "half"
        await self._ground.suspended()
        await still()
        self._ground.copy = "running"
        self._ground.note()
        self._ground.maybe("verify")
        return Arrived(42, ["processes"])

    async def pid(self) -> int:
        return 42

    async def clean(self) -> None:
        self._ground.copy = "none"

    async def settle(self) -> None:
        pass


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Ground:
    for module, names in (
        (departure, ("LOOK_S", "RETRY_S")),
        (arrival, ("RETRY_S",)),
        (entry, ("FIRST_PAUSE_S", "LONGEST_PAUSE_S")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, 0.001)
    return Ground()


def leaving(ground: Ground, view: SourceView = SourceView()) -> Departure:  # noqa: B008 - it is a value
    return Departure(ground.register, ENTRY, Source(ground), view=view, interruption=ground.interruption)


def ending(ground: Ground) -> tuple[Here, Copy, str]:
    return ground.task, ground.copy, ground.register.history[-1][1] if ground.register.history else ""


async def test_it_goes_over(ground: Ground) -> None:
    left = leaving(ground)
    migration = await left.run()
    assert migration is not None
    assert (migration.pid, migration.verified, migration.parts) == (42, ["processes"], [Part(name="p", size=1)])
    assert [state for _, state in ground.register.history] == ["reserved", "offered", "taken", "running", "released"]
    assert ending(ground) == ("gone", "running", "released")
    assert (ground.tidied, left.why) == (1, None)


@pytest.mark.parametrize("act", ["ask", "send", "freeze", "dump", "hand_over"])
async def test_what_fails_before_it_is_taken_leaves_it_where_it_is(ground: Ground, act: str) -> None:
    ground.fails = {act}
    left = leaving(ground)
    await left.run()
    assert ending(ground) == ("running", "none", "withdrawn")
    assert str(left.why) == f"{act} was to fail"


@pytest.mark.parametrize("act", ["restore", "verify"])
async def test_what_fails_at_the_target_gives_it_back(ground: Ground, act: str) -> None:
    ground.fails = {act}
    migration = await leaving(ground).run()
    assert ending(ground) == ("running", "none", "failed")
    assert migration is not None
    assert migration.why == f"{act} was to fail"


async def test_a_target_that_was_stopped_looks_once_more_before_it_lets_it_run(ground: Ground) -> None:
    """An operator has said meanwhile that it never will."""
    stopped, goes_on = asyncio.Event(), asyncio.Event()
    arriving: list[asyncio.Task[Migration | None]] = []

    async def suspended() -> None:
        stopped.set()
        await goes_on.wait()

    class Away(Source):
        async def hand_over(self) -> None:
            assert ground.arrival is not None
            ground.arrival.view = TargetView(ready=True)
            arriving.append(asyncio.create_task(ground.arrival.run()))

    ground.suspended = suspended  # type: ignore[method-assign]
    ground.fails = {"tell"}
    leaves = asyncio.create_task(Departure(ground.register, ENTRY, Away(ground), view=SourceView()).run())
    await stopped.wait()
    standing = await ground.register.get(ENTRY.key)
    assert standing.migration is not None
    assert standing.migration.state == "taken"
    await ground.register.change(standing, replace(standing.migration, state="failed", by="operator"))
    await leaves
    assert ending(ground) == ("running", "half", "failed")
    goes_on.set()
    await arriving[0]
    assert ending(ground) == ("running", "none", "failed")


async def test_what_another_one_has_taken_is_not_run(ground: Ground) -> None:
    """As where a register that went back was written on."""

    async def suspended() -> None:
        standing = await ground.register.get(ENTRY.key)
        assert standing.migration is not None
        ground.register.lose(replace(standing.migration, taker="another"))

    ground.suspended = suspended  # type: ignore[method-assign]
    left = leaving(ground)
    await left.run()
    assert ending(ground) == ("running", "none", "failed")


async def test_a_register_that_does_not_answer_right_before_it_runs_gives_it_back(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "STILL_S", 0.01)
    outage, clean = ExitStack(), Target.clean

    async def suspended() -> None:
        outage.enter_context(ground.register.down())

    async def cleaned(self: Target) -> None:
        outage.close()
        await clean(self)

    ground.suspended = suspended  # type: ignore[method-assign]
    monkeypatch.setattr(Target, "clean", cleaned)
    await leaving(ground).run()
    assert ending(ground) == ("running", "none", "failed")


async def test_a_target_that_cannot_be_told_holds_nothing_up(ground: Ground) -> None:
    ground.fails = {"dump", "tell"}
    await leaving(ground).run()
    assert ending(ground) == ("running", "half", "withdrawn")
    there = Arrival(ground.register, ENTRY.key, Target(ground), view=SWEPT)
    await there.run()
    assert there.over
    assert ground.copy == "none"


async def test_without_a_register_nothing_begins(ground: Ground) -> None:
    left = leaving(ground)
    running = asyncio.create_task(left.run())
    with ground.register.down():
        while left.view.register is not None or not left._entry.silent_s:
            await asyncio.sleep(0)
        assert ground.task == "running"
    await running
    assert ending(ground)[2] == "released"


async def test_it_runs_on_while_the_register_is_away_if_it_was_never_offered(ground: Ground) -> None:
    frozen, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Source):
        async def dump(self) -> Offer:
            frozen.set()
            await go_on.wait()
            raise CommandFailed("unavailable", "the bus is away")

        async def resume(self) -> None:
            await super().resume()
            runs.set()

    runs = asyncio.Event()
    left = Departure(ground.register, ENTRY, Slow(ground), view=SourceView())
    running = asyncio.create_task(left.run())
    await frozen.wait()
    with ground.register.down():
        go_on.set()
        await runs.wait()
    await running
    assert ending(ground) == ("running", "none", "withdrawn")


async def test_it_stands_still_while_nobody_can_say_whose_it_is(ground: Ground) -> None:
    left = leaving(ground)
    running = asyncio.create_task(left.run())
    while ground.copy != "running":
        await asyncio.sleep(0)
    with ground.register.down():
        while left._entry.silent_s < 0.05:
            await asyncio.sleep(0.001)
        assert (ground.task, ground.copy) == ("paused", "running")
        assert not running.done()
    await running
    assert ending(ground) == ("gone", "running", "released")


@pytest.mark.parametrize("lost", range(1, 6))
async def test_an_answer_that_is_lost_changes_nothing(ground: Ground, lost: int) -> None:
    left = leaving(ground)
    running = asyncio.create_task(left.run())
    while len(ground.register.history) < lost - 1 and not running.done():
        await asyncio.sleep(0)
    ground.register.mute()
    await running
    assert ending(ground) == ("gone", "running", "released")


async def test_whoever_takes_it_back_is_heard_before_it_is_taken(ground: Ground) -> None:
    class Hesitant(Source):
        async def hand_over(self) -> None:
            await asyncio.Event().wait()

    left = Departure(ground.register, ENTRY, Hesitant(ground), view=SourceView(), interruption=ground.interruption)
    running = asyncio.create_task(left.run())
    while not ground.interruption.possible:
        await asyncio.sleep(0)
    ground.interruption.interrupt()
    await running
    assert left.why is not None
    assert left.why.code == "cancelled"
    assert ending(ground) == ("running", "none", "withdrawn")


async def test_what_nobody_takes_is_taken_back(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departure, "OFFERED_S", 0.005)

    class Deaf(Source):
        async def hand_over(self) -> None:
            await asyncio.Event().wait()

    left = Departure(ground.register, ENTRY, Deaf(ground), view=SourceView())
    await left.run()
    assert left.why is not None
    assert left.why.code == "deadline_exceeded"
    assert ending(ground) == ("running", "none", "withdrawn")


async def test_what_nobody_has_written_holds_nothing_up(ground: Ground) -> None:
    """Whoever has nats-server answer under the entry's key does so at every moment."""
    get, flooded = ground.register.get, 0

    async def flood(key: MigrationKey) -> Registered:
        nonlocal flooded
        flooded += 1
        if flooded % 2:
            ground.register.overwrite(key)
        return await get(key)

    ground.register.get = flood  # type: ignore[method-assign]
    running = asyncio.create_task(leaving(ground).run())
    while not running.done():
        ground.register.overwrite(ENTRY.key)
        for _ in range(50):
            await asyncio.sleep(0)
    await running
    assert ending(ground) in {("gone", "running", "released"), ("running", "none", "withdrawn")}


async def test_a_bridge_that_stops_while_it_freezes_lets_it_run_on(ground: Ground) -> None:
    frozen = asyncio.Event()

    class Slow(Source):
        async def freeze(self) -> None:
            await super().freeze()
            frozen.set()
            await asyncio.Event().wait()

    left = Departure(ground.register, ENTRY, Slow(ground), view=SourceView())
    running = asyncio.create_task(left.run())
    await frozen.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert ground.task == "paused"
    left.give_up(CommandFailed("unavailable", "the bridge stops"))
    await left.run()
    assert ending(ground) == ("running", "none", "withdrawn")


async def test_a_large_dump_may_take_longer_to_be_taken_in(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departure, "OFFERED_S", 0.0)

    class Large(Source):
        async def dump(self) -> Offer:
            return Offer([Part(name="p", size=departure.SLOWEST * 3600)], 2)

        async def hand_over(self) -> None:
            for _ in range(3):  # the source looks at the register meanwhile
                await asyncio.sleep(departure.LOOK_S)
            await super().hand_over()

    left = Departure(ground.register, ENTRY, Large(ground), view=SourceView())
    await left.run()
    assert ending(ground) == ("gone", "running", "released")


async def test_where_an_offer_is_refused_it_runs_on(ground: Ground) -> None:
    ground.register.refuse("offered")
    left = leaving(ground)
    await left.run()
    assert str(left.why) == "the register of migrations cannot be written: the register takes no entry that is offered"
    assert ending(ground) == ("running", "none", "withdrawn")


@pytest.mark.parametrize("act", ["ask", "send", "freeze", "dump"])
async def test_a_register_that_takes_nothing_back_holds_up_nothing_that_runs(ground: Ground, act: str) -> None:
    ground.register.refuse("withdrawn")
    ground.fails = {act}
    left = leaving(ground)
    entry = await left.run()
    assert ending(ground) == ("running", "none" if act == "ask" else "half", "reserved")
    assert entry is not None
    assert str(left.why) == f"{act} was to fail"
    # Whoever looks into the register later does the rest.
    ground.register.refuse()
    await leaving(ground, AFTER_A_CRASH).run()
    assert ending(ground)[2] == "withdrawn"


async def test_what_is_offered_stands_still_while_it_may_not_be_taken_back(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    ground.register.refuse("withdrawn")
    ground.fails = {"hand_over"}
    left = leaving(ground)
    running = asyncio.create_task(left.run())
    while not left.undecided:
        await asyncio.sleep(0)
    assert ground.task == "paused"
    assert "the register refuses this bridge, which asks again until it does not" in caplog.text
    ground.register.refuse()
    await running
    assert ending(ground)[::2] == ("running", "withdrawn")


async def test_what_somebody_lets_run_meanwhile_is_not_waited_for(ground: Ground) -> None:
    ground.register.refuse("withdrawn")
    ground.fails = {"hand_over"}
    left = leaving(ground)
    running = asyncio.create_task(left.run())
    while not left.undecided:
        await asyncio.sleep(0)
    ground.task = "running"
    await running
    assert ending(ground)[::2] == ("running", "offered")


@pytest.mark.parametrize("state", ["reserved", "offered", "taken", "running", "released"])
async def test_a_register_that_has_lost_its_last_writes_removes_no_only_copy(
    ground: Ground, state: MigrationState
) -> None:
    left = leaving(ground)
    await left.run()
    assert left.entry is not None
    ground.register.lose(replace(left.entry, state=state))
    for _ in range(2):
        await Arrival(ground.register, ENTRY.key, Target(ground), view=SWEPT).run()
        await leaving(ground, AFTER_A_CRASH).run()
    assert (ground.task, ground.copy) == ("gone", "running")


# -- dying at every step


DEATHS = [name for name in FAILPOINTS if name.startswith(("migrate-", "receive-"))]
OF_HANDS = {"receive-promise", "receive-prepare"}
"""Those that are not the ends' own."""


class Fate:
    """Kills a bridge the first time it comes somewhere."""

    def __init__(self, place: str) -> None:
        self.place: str | None = place

    def __call__(self, name: str) -> None:
        if name == self.place:
            self.place = None
            raise Died


def trouble() -> Iterator[set[str]]:
    yield from ({"restore"}, {"dump"}, set())


@pytest.mark.parametrize("place", sorted(set(DEATHS) - OF_HANDS))
@pytest.mark.parametrize("fails", list(trouble()), ids=lambda fails: "+".join(fails) or "nothing")
async def test_a_bridge_that_dies_anywhere_and_comes_back_leaves_exactly_one(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, place: str, fails: set[str]
) -> None:
    fate = Fate(place)
    monkeypatch.setattr(departure, "failpoint", fate)
    monkeypatch.setattr(arrival, "failpoint", fate)
    ground.fails = fails
    end: Literal["source", "target"] = "source" if place.startswith("migrate-") else "target"
    running = asyncio.create_task(leaving(ground).run())
    if end == "source":
        try:
            await running
        except Died:
            await leaving(ground, AFTER_A_CRASH).run()
    else:
        # What the source hears is that the connection is gone; the target comes back while the source is still waiting.
        hand_over = Source.hand_over
        tell = Source.tell

        async def lost(work: object) -> None:
            try:
                await work  # type: ignore[misc]
            except Died as died:
                ground.arrival = None
                raise CommandFailed("deadline_exceeded", "no answer") from died

        monkeypatch.setattr(Source, "hand_over", lambda self: lost(hand_over(self)))
        monkeypatch.setattr(Source, "tell", lambda self: lost(tell(self)))
        while not running.done():
            await asyncio.sleep(0)
            if fate.place is None and ground.arrival is None:
                await Arrival(ground.register, ENTRY.key, Target(ground), view=SWEPT).run()
        await running
    await Arrival(ground.register, ENTRY.key, Target(ground), view=SWEPT).run()
    await leaving(ground, AFTER_A_CRASH).run()
    assert ending(ground) in {
        ("gone", "running", "released"),
        ("running", "none", "failed"),
        ("running", "none", "withdrawn"),
        ("running", "none", ""),
    }
