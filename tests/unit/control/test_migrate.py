"""Moving a container between two nodes in memory, by commands over a bus in memory; what is left is looked at on both."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.control.dispatch import Dispatcher
from bridge.control.lanes import Lanes
from bridge.control.migration.harbour import Berth, Harbour
from bridge.control.migration.landing import Landing
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord
from bridge.control.recovery import GoesOn, NotDone, Undecided
from bridge.control.recovery.migration import recover_migrate
from bridge.control.verb import Checkpointing, Place
from bridge.control.workshop import Workshop
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
        self.harbour = Harbour(name, world.register, world.bus, Subjects(), lanes=lanes, place=place)
        self.dispatcher = Dispatcher(
            name,
            runtime,
            policy=Policy(groups=GROUPS, book=book, resolve=as_it_stands),
            record=CommandRecord(lambda _ns, _c, event, story: self.events.append((story, event))),
            lanes=lanes,
            tell=self.tell,
            checkpointing=kit,
            harbour=self.harbour,
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
        return await self.bus.send(subject, encode_any(options), timeout=30)

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
