"""Moving a container between two nodes in memory, by commands over a bus in memory; what is left is looked at on both."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.control.dispatch import Dispatcher
from bridge.control.lanes import Lanes
from bridge.control.memory import MemoryJournal
from bridge.control.migration import entry as entry_module
from bridge.control.migration import harbour as harbour_module
from bridge.control.migration import opening
from bridge.control.migration.harbour import Berth, Harbour
from bridge.control.migration.landing import Landing
from bridge.control.migration.loading import Loading
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord
from bridge.control.recovery import GoesOn, NotDone, Undecided
from bridge.control.recovery.migration import recover_migrate
from bridge.control.verb import Checkpointing, Place
from bridge.control.workshop import Workshop
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.codec import encode_any
from bridge.model.commands import COMMANDS, GROUPS, Migrate
from bridge.model.events import CommandRecorded
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Outcome, Progress
from bridge.model.subjects import Subjects
from bridge.policy import Permissions, RuleBook
from bridge.policy.permissions import as_it_stands
from bridge.ports.checkpoints import TRIES
from bridge.testing import MemoryBus, MemoryCheckpoints, MemoryContainerd, MemoryMigrations, Program
from bridge.testing.images import memory_image

IMAGE = "docker.io/library/web:1"
LENIENT = RuleBook(default="allow", spec=Permissions(annotations=["*"]))


class Side:
    """One node."""

    def __init__(self, name: str, directory: Path, world: "World", book: RuleBook = LENIENT) -> None:
        self.containerd = MemoryContainerd()
        self.events: list[tuple[str, CommandRecorded]] = []
        self.progress: list[str] = []
        self.workshop = Workshop(directory / name, name)
        kit = Checkpointing(
            MemoryCheckpoints.beside(world.catalogue, node=name), self.workshop, lambda *_: None, lambda *_: None
        )
        lanes, runtime = Lanes(), self.containerd.runtime
        place = Place(runtime=runtime, node=name, checkpointing=kit)
        self.place = place
        self.journal = MemoryJournal()
        self.harbour = Harbour(
            name, world.register, world.bus, Subjects(), lanes=lanes, place=place, journal=self.journal
        )
        self.dispatcher = Dispatcher(
            name,
            runtime,
            policy=Policy(groups=GROUPS, book=book, resolve=as_it_stands),
            record=CommandRecord(lambda _ns, _c, event, story: self.events.append((story, event))),
            lanes=lanes,
            tell=self.tell,
            checkpointing=kit,
            harbour=self.harbour,
            journal=self.journal,
        )

    def tell(self, progress: Progress) -> None:
        if progress.event not in self.progress:
            self.progress.append(progress.event)

    def there(self) -> dict[str, Any]:
        """Containers and how their tasks stand, and all that should not be there."""
        memory = self.containerd
        return {
            "tasks": {key[1]: one.task.info.status for key, one in memory.containers.items() if one.task is not None},
            "snapshots": sorted(key[-1] for key in memory.snapshots),
            "leases": sorted(memory.leases),
            "directories": [path.name for path in self.workshop.directory.iterdir()]
            if self.workshop.directory.is_dir()
            else [],
        }


class World:
    """Two nodes and what is between them."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.register = MemoryMigrations()
        self.catalogue = MemoryCheckpoints(node="n0")
        self.sides: dict[str, Side] = {}

    async def send(self, verb: str, container: str = "web.1", *, at: str = "n1", **options: Any) -> Outcome:
        subject = self.bus.subjects.command(at, "default", container, verb)
        return await self.bus.send(subject, encode_any(options), timeout=600)

    @property
    def source(self) -> Side:
        return self.sides["n1"]

    @property
    def target(self) -> Side:
        return self.sides["n2"]


NOTHING: dict[str, Any] = {"tasks": {}, "snapshots": [], "leases": [], "directories": []}


def only(status: str = "running") -> dict[str, Any]:
    return {**NOTHING, "tasks": {"web.1": status}, "snapshots": ["web.1"]}


@asynccontextmanager
async def opened(directory: Path, book: RuleBook = LENIENT) -> AsyncIterator[World]:
    world = World()
    async with AsyncExitStack() as stack:
        for name in ("n1", "n2"):
            side = world.sides[name] = Side(name, directory, world, book if name == "n2" else LENIENT)
            side.containerd.put_image("default", memory_image(IMAGE, {"Cmd": ["serve"]}))
            side.containerd.programs["serve"] = Program()
            await stack.enter_async_context(world.bus.inbox(name).serve(list(COMMANDS), side.dispatcher.handle))
        made = await world.send("run", image=IMAGE, command=["serve"])
        assert made.outcome == "ok", made
        for side in world.sides.values():
            side.events.clear()
        yield world
        for side in world.sides.values():
            for one in side.containerd.containers.values():
                if one.task is not None and one.task.info.status != "stopped":
                    one.task.end(0)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as one:
        yield one


async def test_it_goes_over(world: World) -> None:
    outcome = await world.send("migrate", id="m-1", to="n2", pre_copy=1, verify=True)
    assert outcome.outcome == "ok", outcome.error
    assert (outcome.result["node"], outcome.result["rounds"]) == ("n2", 1)
    assert (world.source.there(), world.target.there()) == (NOTHING, only())
    assert [state for _, state in world.register.history] == ["reserved", "offered", "taken", "running", "released"]
    phases = ["reserving", "pre-copy 1: dumping", "freezing", "restoring", "removing"]
    assert [phase for phase in world.source.progress if phase in phases] == phases
    # One story, told by both.
    told = {story for side in world.sides.values() for story, _ in side.events}
    assert told == {"m-1"}


async def test_an_image_whose_name_means_another_one_at_the_target_comes_along(world: World) -> None:
    digest, theirs = world.source.containerd.images["default", IMAGE].info.digest, memory_image(IMAGE, {"Cmd": ["no"]})
    world.target.containerd.put_image("default", theirs)
    outcome = await world.send("migrate", to="n2")
    assert outcome.outcome == "ok", outcome.error
    images = world.target.containerd.images
    assert images["default", IMAGE] is theirs
    (brought,) = [image.info for image in images.values() if image.info.digest == digest]
    assert brought.name == f"{IMAGE.rpartition(':')[0]}@{digest}"
    assert world.target.containerd.containers["default", "web.1"].record.image == brought.name


@pytest.mark.parametrize("fails", ["dump", "restore"])
async def test_where_criu_fails_it_stays(world: World, fails: Any) -> None:
    side = world.source if fails == "dump" else world.target
    side.containerd.criu.fails = fails
    outcome = await world.send("migrate", to="n2")
    assert outcome.error is not None
    assert outcome.error.message.startswith("container web.1 was not moved, and runs on on node n1: ")
    assert (world.source.there(), world.target.there()) == (only(), NOTHING)


async def test_what_has_come_while_a_clean_up_waited_for_its_turn_stays(world: World) -> None:
    assert (await world.send("migrate", id="m-1", to="n2")).outcome == "ok"
    entry = (await world.target.harbour.entries())[0]
    place = replace(world.target.place, namespace="default", container="web.1", command_id="m-1")
    harbour, landing = world.target.harbour, Landing(place, entry.key)
    harbour.berths["m-1"] = Berth(landing=landing, arrival=harbour.found(place, entry.key), since=Nanos(0))

    await harbour._arrive(place, replace(entry, state="offered"))

    assert world.target.there() == only()


async def test_what_stands_still_without_an_entry_is_not_said_to_run(world: World) -> None:
    place = replace(
        world.source.place, namespace="default", container="web.1", command_id="m-9", harbour=world.source.harbour
    )
    with pytest.raises(GoesOn) as on:
        await recover_migrate(place, Migrate(to="n2"), Nanos(0))
    with pytest.raises(NotDone):
        await on.value.result()
    assert (await world.send("pause")).outcome == "ok"
    with pytest.raises(Undecided, match="it stands still: look whether it runs elsewhere"):
        await on.value.result()
    assert world.source.harbour.figures().undecided == 1


@asynccontextmanager
async def looking(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Both look into the register all the time; what comes waits until they have looked so often from now on."""
    monkeypatch.setattr(harbour_module, "LOOK_S", 0.001)
    looks, listed = [0], world.register.list

    async def counted(node: str) -> Any:
        found = await listed(node)
        looks[0] += 1
        return found

    async def have_looked(times: int) -> None:
        until = looks[0] + 2 * times
        while looks[0] < until:
            await asyncio.sleep(0.001)

    monkeypatch.setattr(world.register, "list", counted)
    running = [asyncio.create_task(side.harbour.run()) for side in world.sides.values()]
    try:
        yield have_looked
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_a_decided_entry_goes_a_day_later_by_the_register_s_clock_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_module, "now", lambda: Nanos(1))  # of one that has just booted
    assert (await world.send("migrate", id="m-1", to="n2")).outcome == "ok"
    async with looking(world, monkeypatch) as have_looked:
        world.register.pass_time(86_000)
        await have_looked(5)
        assert [entry.state for entry in await world.source.harbour.entries()] == ["released"]
        world.register.pass_time(1_000)
        while await world.source.harbour.entries():
            await asyncio.sleep(0.001)


async def test_an_entry_that_its_source_still_looks_at_is_not_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that may be: what it reads next would be that there is none."""
    hand_over, tidied = asyncio.Event(), asyncio.Event()

    async def tidy(_self: Loading, *, moved: bool) -> None:
        assert not moved
        hand_over.set()
        await tidied.wait()

    monkeypatch.setattr(Loading, "tidy", tidy)
    world.target.containerd.criu.fails = "restore"
    sent = asyncio.create_task(world.send("migrate", id="m-1", to="n2"))
    async with looking(world, monkeypatch) as have_looked:
        await hand_over.wait()
        world.register.pass_time(100_000)
        await have_looked(5)
        assert [entry.state for entry in await world.source.harbour.entries()] == ["failed"]
        tidied.set()
        await sent


async def test_what_a_mistake_of_ours_left_open_is_gone_on_with(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its outcome stands in the journal by then, which is no reason to leave its entry open for ever."""
    remove = Loading.remove

    async def falls(self: Loading) -> None:
        monkeypatch.setattr(Loading, "remove", remove)
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(Loading, "remove", falls)
    outcome = await world.send("migrate", id="m-1", to="n2")
    assert (outcome.outcome, world.register.history[-1]) == ("error", ("m-1", "running"))
    assert world.source.there()["tasks"] == {"web.1": "paused"}
    async with looking(world, monkeypatch):
        while world.register.history[-1] != ("m-1", "released"):
            await asyncio.sleep(0.001)
    assert (world.source.there(), world.target.there()) == (NOTHING, only())


@pytest.mark.parametrize("state", ["reserved", "offered", "taken", "running"])
async def test_what_this_node_never_began_is_not_followed(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, state: Any
) -> None:
    """The other end may write an entry of its own accord, and say in it that the container runs there."""
    first = await world.send("migrate", id="m-1", to="n3")
    assert first.error is not None
    [real] = await world.source.harbour.entries()
    forged = replace(real, id="m-2", target="n2", state=state)
    world.register.lose(forged)
    world.register.lose(replace(forged, id="m-1"))
    async with looking(world, monkeypatch) as have_looked:
        await have_looked(5)
    assert world.source.there() == only()
    assert "migration m-2 of container web.1 to node n2 is" in caplog.text
    said = {entry.id: entry.state for entry in await world.source.harbour.entries() if entry.target == "n2"}
    assert said["m-2"] == ("failed" if state == "taken" else state)  # by the target, which has nothing of it


async def test_what_stands_still_without_an_entry_is_counted_until_somebody_has_decided(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    restore = world.target.containerd.runtime.checkpoints.restore

    async def lost(*args: Any, **more: Any) -> int:
        [entry] = await world.source.harbour.entries()
        pid = await restore(*args, **more)
        await world.register.forget(entry.key)
        return pid

    monkeypatch.setattr(world.target.containerd.runtime.checkpoints, "restore", lost)
    outcome = await world.send("migrate", id="m-1", to="n2", tcp_established=True)
    assert outcome.error is not None
    assert (outcome.error.code, world.source.there()["tasks"]) == ("unknown", {"web.1": "paused"})
    assert (world.source.harbour.figures().undecided, len(world.source.containerd.criu.networks)) == (1, 1)
    async with looking(world, monkeypatch):
        while "container web.1 of namespace default stands still" not in caplog.text:
            await asyncio.sleep(0.001)
        assert (await world.send("resume")).outcome == "ok"
        while world.source.harbour.figures().undecided or world.source.containerd.criu.networks:
            await asyncio.sleep(0.001)


async def test_what_is_deleted_at_its_end_still_is(world: World) -> None:
    at = world.source.containerd.containers["default", "web.1"]
    at.record = replace(at.record, labels={**at.record.labels, labels.REMOVE: "true"})
    assert (await world.send("migrate", to="n2")).outcome == "ok"
    assert world.target.containerd.containers["default", "web.1"].record.labels[labels.REMOVE] == "true"


@pytest.mark.parametrize("pre_copy", [0, 1])
async def test_a_bad_moment_for_a_dump_is_waited_out(world: World, pre_copy: int) -> None:
    """Running, as for the first round, or frozen by us, as for the last one."""
    world.source.containerd.criu.bad_moments = TRIES - 1
    outcome = await world.send("migrate", to="n2", pre_copy=pre_copy)
    assert outcome.outcome == "ok", outcome.error
    assert (world.source.there(), world.target.there()) == (NOTHING, only())


async def test_what_cannot_be_dumped_at_any_moment_stays(world: World) -> None:
    world.source.containerd.criu.bad_moments = TRIES
    outcome = await world.send("migrate", to="n2")
    assert outcome.error is not None
    assert "let it run on for a moment, and try again" in outcome.error.message
    assert (world.source.there(), world.target.there()) == (only(), NOTHING)


async def test_what_the_target_s_policy_refuses_stays(tmp_path: Path) -> None:
    async with opened(tmp_path, RuleBook(default="deny")) as world:
        outcome = await world.send("migrate", to="n2")
        assert outcome.error is not None
        assert (outcome.outcome, outcome.error.code) == ("error", "failed_precondition")
        assert (world.source.there(), world.target.there()) == (only(), NOTHING)


async def test_the_target_believes_the_register_and_not_the_sender(world: World) -> None:
    for stage in ("reserve", "prepare", "restore", "abandon"):
        outcome = await world.send("receive", "web.2", at="n2", migration="m-1", source="n1", stage=stage)
        assert outcome.error is not None
        assert outcome.error.message == ("the register has no migration m-1 of container web.2 from node n1 to node n2")
    assert world.target.there() == NOTHING


@pytest.mark.parametrize("named", [{}, {"migration": "m-1"}, {"source": "n1"}])
async def test_who_names_no_migration_is_told_so(world: World, named: dict[str, str]) -> None:
    outcome = await world.send("receive", at="n2", **named)
    assert outcome.error is not None
    assert outcome.error.code == "invalid_argument"


async def test_where_its_processes_are_out_of_sight_criu_ends_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unseen(_namespace: str, _container: str) -> bool:
        return False

    monkeypatch.setattr(world.source.containerd.runtime.tasks, "kill_frozen", unseen)
    ended: list[bool] = []
    dump = world.source.containerd.runtime.checkpoints.dump

    async def noted(*args: Any, ends: bool, **more: Any) -> None:
        ended.append(ends)
        await dump(*args, ends=ends, **more)

    monkeypatch.setattr(world.source.containerd.runtime.checkpoints, "dump", noted)
    outcome = await world.send("migrate", to="n2")
    assert outcome.outcome == "ok", outcome.error
    assert ended == [False, True]
    assert (world.source.there(), world.target.there()) == (NOTHING, only())


async def test_with_its_connections_its_network_is_held_from_the_last_dump_on_until_it_runs_on(world: World) -> None:
    """Nobody may answer for them at the source, or close them there; CRIU ends it, which does so without a word to anybody."""
    source, key = world.source.containerd, ("default", "web.1")
    source.criu.connections = 1
    outcome = await world.send("migrate", to="n2")
    assert outcome.error is not None
    assert "it has established TCP connections (1)" in outcome.error.message
    world.target.containerd.criu.fails = "restore"
    held: list[tuple[bool, bool]] = []
    dump, restore = source.runtime.checkpoints.dump, world.target.containerd.runtime.checkpoints.restore

    async def dumped(*args: Any, ends: bool, **more: Any) -> None:
        held.append((key in source.criu.networks, ends))
        await dump(*args, ends=ends, **more)

    async def restored(*args: Any, **more: Any) -> int:
        held.append((key in source.criu.networks, False))
        return await restore(*args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source.runtime.checkpoints, "dump", dumped)
        patch.setattr(world.target.containerd.runtime.checkpoints, "restore", restored)
        outcome = await world.send("migrate", to="n2", tcp_established=True, pre_copy=1)
        assert outcome.error is not None
        assert held == [(False, False), (True, False), (True, False)]  # a round, the last dump, the restore
        assert (world.source.there(), source.criu.networks) == (only(), set())
        world.target.containerd.criu.fails = ""
        held.clear()
        outcome = await world.send("migrate", to="n2", tcp_established=True)
        assert outcome.outcome == "ok", outcome.error
        assert held == [(True, False), (True, False), (True, True)]
    assert (world.source.there(), world.target.there()) == (NOTHING, only())


@pytest.mark.parametrize("by", ["ctr resumes it", "it is killed"])
async def test_a_network_is_held_no_longer_than_a_migration_whoever_lets_it_run_on(
    world: World, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Else whatever is in it would be cut off for ever, and nobody would say so."""
    source, dump = world.source.containerd, world.source.containerd.runtime.checkpoints.dump

    async def dumped(namespace: str, container: str, *args: Any, **more: Any) -> None:
        await dump(namespace, container, *args, **more)
        assert source.criu.networks == {(namespace, container)}
        if by == "it is killed":
            task = source.containers[namespace, container].task
            assert task is not None
            task.end(137)
        else:
            await source.runtime.tasks.resume(namespace, container)

    monkeypatch.setattr(source.runtime.checkpoints, "dump", dumped)
    outcome = await world.send("migrate", to="n2", tcp_established=True)
    assert outcome.error is not None
    assert source.criu.networks == set()
    assert world.target.there() == NOTHING


async def test_a_network_that_cannot_be_opened_holds_up_nobody_and_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, released = world.source.containerd, []
    release = source.runtime.checkpoints.release_network

    async def fails(namespace: str, container: str) -> None:
        task = source.containers[namespace, container].task
        released.append("" if task is None else task.info.status)
        if len(released) < 4:
            raise CommandFailed("unavailable", "containerd's host is out of sight")
        await release(namespace, container)

    monkeypatch.setattr(source.runtime.checkpoints, "release_network", fails)
    monkeypatch.setattr(opening, "AGAIN_S", 0.0)
    world.target.containerd.criu.fails = "restore"
    outcome = await world.send("migrate", to="n2", tcp_established=True)
    assert outcome.error is not None
    assert (released, source.criu.networks) == (["paused", *["running"] * 3], set())
    assert world.source.there() == only()


@pytest.mark.parametrize("running", [True, False])
async def test_a_migration_that_is_called_as_a_command_of_the_target_was_takes_nothing_of_that_away(
    world: World, running: bool
) -> None:
    there = await world.send("run" if running else "create", at="n2", id="x", image=IMAGE, command=["serve"])
    assert there.outcome == "ok", there.error
    before = world.target.there(), sorted(world.target.containerd.containers)
    outcome = await world.send("migrate", id="x", to="n2")
    assert outcome.error is not None
    assert "exists already" in outcome.error.message
    assert world.register.history[-1] == ("x", "withdrawn")
    assert (world.target.there(), sorted(world.target.containerd.containers)) == before
    assert world.source.there() == only()


async def test_what_ends_right_after_its_restore_has_moved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it did until then is done once, and not once more at the source."""
    restore = world.target.containerd.runtime.checkpoints.restore

    async def brief(namespace: str, container: str, *args: Any, **more: Any) -> int:
        pid = await restore(namespace, container, *args, **more)
        task = world.target.containerd.containers[namespace, container].task
        assert task is not None
        task.end(0)
        return pid

    monkeypatch.setattr(world.target.containerd.runtime.checkpoints, "restore", brief)
    outcome = await world.send("migrate", to="n2")
    assert outcome.outcome == "ok", outcome.error
    assert (world.source.there(), world.target.there()) == (NOTHING, only("stopped"))


@pytest.mark.parametrize(("state", "held"), [("reserved", False), ("offered", False), ("running", True)])
async def test_a_bridge_that_was_killed_while_a_network_was_held_opens_it_unless_it_has_moved(
    world: World, state: Any, held: bool
) -> None:
    source, key = world.source.containerd, ("default", "web.1")
    world.target.containerd.criu.fails = "restore"
    assert (await world.send("migrate", id="m-1", to="n2", tcp_established=True)).error is not None
    [entry] = await world.source.harbour.entries()
    left = replace(entry, id="m-2", state=state, by="source")
    world.register.lose(left)
    source.criu.networks.add(key)
    await source.runtime.tasks.pause(*key)
    place = replace(world.source.place, namespace="default", container="web.1", command_id="m-2")

    await world.source.harbour.left_open(place, left).run()

    assert (source.criu.networks, world.source.there()) == ({key} if held else set(), NOTHING if held else only())
