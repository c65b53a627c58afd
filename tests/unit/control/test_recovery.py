"""What became of a command that the bridge died over: done, not done with nothing left, or open; and never done again."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from bridge.control import creation
from bridge.control.leases import lease_labels, lease_of
from bridge.control.recovery import NotDone, NotHere, Undecided, recover
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.commands import Command, Create, Exec, Import, Pause, Pull, Resume, Rmi, Run, Start, Update
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import Done, ImageRemoved, Imported, MemoryStats, Pulled, TaskStats, TaskStatus, Updated
from bridge.model.state import ContainerState
from bridge.testing import MemoryContainerd
from bridge.testing.images import MemoryImage, memory_image
from tests.unit.control.small_runtime import SmallRuntime, SmallTask
from tests.unit.policy.specs import anything

IMAGE = "docker.io/library/web:1"
LEASE = ("default", lease_of("c1"))
CALLS_THAT_LOOK = {"get", "task", "metrics"}


class House:
    """A containerd in memory, and what the log says of its containers."""

    def __init__(self) -> None:
        self.containerd = MemoryContainerd()
        self.containerd.put_image("default", memory_image(IMAGE, {"Cmd": ["serve"]}))
        self.state = ContainerState(node="n1", namespace="default", container="web.1")
        self.started = now()

    async def known(self, _namespace: str, _container: str) -> ContainerState:
        return self.state

    def place(self, container: str | None = "web.1") -> Place:
        return Place(
            runtime=self.containerd.runtime,
            node="n1",
            namespace="default",
            container=container,
            command_id="c1",
            permit=anything,
            known=self.known,
        )

    async def find(self, command: Command, container: str | None = "web.1") -> Any:
        return await recover(self.place(container), command, self.started)

    def hold_lease(self) -> None:
        self.containerd.leases[LEASE] = lease_labels("c1", "n1")

    def image(self, **given: str) -> MemoryImage:
        image = memory_image("docker.io/library/new:1")
        return structs.replace(image, info=structs.replace(image.info, labels={labels.COMMAND: "c1", **given}))

    @property
    def empty(self) -> bool:
        memory = self.containerd
        return not (memory.containers or memory.snapshots or memory.leases)


@pytest.fixture
def house() -> House:
    return House()


# -- create and run


async def test_what_was_created_is_found_by_its_label(house: House) -> None:
    await creation.create(house.place(), Create(image=IMAGE))
    house.hold_lease()
    found = await house.find(Create(image=IMAGE))
    assert (found.container, found.already) == ("web.1", True)
    assert house.containerd.leases == {}
    assert list(house.containerd.snapshots) == [("default", "web.1")]


@pytest.mark.parametrize("command", [Create(image=IMAGE), Run(image=IMAGE)])
async def test_a_lease_without_a_container_is_one_that_was_never_made(house: House, command: Command) -> None:
    house.hold_lease()
    with pytest.raises(NotDone, match=r"before container web\.1 was made: nothing of it is left"):
        await house.find(command)
    assert house.empty


@pytest.mark.parametrize("command", [Create(image=IMAGE), Run(image=IMAGE)])
async def test_with_neither_nobody_knows(house: House, command: Command) -> None:
    with pytest.raises(Undecided):
        await house.find(command)


@pytest.mark.parametrize("task", [False, True])
async def test_what_was_made_and_not_started_by_a_run_is_taken_away(house: House, task: bool) -> None:
    await creation.create(house.place(), Run(image=IMAGE))
    if task:
        await house.containerd.runtime.tasks.create("default", "web.1")
    house.hold_lease()
    with pytest.raises(NotDone, match="it is taken away again"):
        await house.find(Run(image=IMAGE))
    assert house.empty


async def test_a_run_whose_lease_and_task_are_gone_may_have_run(house: House) -> None:
    await creation.create(
        house.place(), Run(image=IMAGE)
    )  # which gives its lease up, as `run` does before its task comes
    with pytest.raises(Undecided, match="has no task now"):
        await house.find(Run(image=IMAGE))
    assert list(house.containerd.containers) == [("default", "web.1")]


async def test_what_a_run_started_stays_and_is_found(house: House) -> None:
    await creation.run(house.place(), Run(image=IMAGE))
    found = await house.find(Run(image=IMAGE))
    assert (found.container, found.already, found.pid > 0) == ("web.1", True, True)


async def test_what_a_run_started_and_somebody_deleted_the_task_of_is_left_alone(house: House) -> None:
    await creation.create(house.place(), Run(image=IMAGE))
    house.state = structs.replace(house.state, pid=77, started_at=Nanos(house.started + 1))
    found = await house.find(Run(image=IMAGE))
    assert found.pid == 77
    assert list(house.containerd.containers) == [("default", "web.1")]


async def test_a_container_of_somebody_else_is_not_touched(house: House) -> None:
    other = structs.replace(house.place(), command_id="c2")
    await creation.create(other, Create(image=IMAGE))
    with pytest.raises(Undecided):
        await house.find(Run(image=IMAGE))
    assert list(house.containerd.containers) == [("default", "web.1")]


# -- images


async def test_an_image_that_carries_the_command_was_pulled_by_it(house: House) -> None:
    house.hold_lease()
    house.containerd.put_image("default", house.image())
    found = await house.find(Pull(image="docker.io/library/new:1"), None)
    assert isinstance(found, Pulled)
    assert found.image.name == "docker.io/library/new:1"
    assert house.containerd.leases == {}


async def test_an_image_that_was_there_before_was_not(house: House) -> None:
    house.hold_lease()
    with pytest.raises(NotDone, match="what had come is given up"):
        await house.find(Pull(image=IMAGE), None)
    assert house.containerd.leases == {}
    assert ("default", IMAGE) in house.containerd.images


async def test_an_import_is_whole_when_all_of_its_images_are_there(house: House) -> None:
    house.containerd.put_image("default", house.image(**{labels.IMAGES: "1"}))
    found = await house.find(Import(bucket="b", object="o"), None)
    assert isinstance(found, Imported)
    assert [image.name for image in found.images] == ["docker.io/library/new:1"]


async def test_an_import_of_which_some_are_there_is_taken_away(house: House) -> None:
    house.hold_lease()
    house.containerd.put_image("default", house.image(**{labels.IMAGES: "2"}))
    with pytest.raises(NotDone, match="what had come is given up"):
        await house.find(Import(bucket="b", object="o"), None)
    assert list(house.containerd.images) == [("default", IMAGE)]
    assert house.containerd.leases == {}


async def test_an_import_that_has_replaced_images_and_is_not_whole_is_open_and_says_which(house: House) -> None:
    image = house.image(**{labels.IMAGES: "2"})
    before = structs.replace(image, info=structs.replace(image.info, created_at=Nanos(house.started - 1)))
    house.containerd.put_image("default", before)
    with pytest.raises(Undecided, match=r"some of the 2 images in o are there, in .*: docker\.io/library/new:1"):
        await house.find(Import(bucket="b", object="o"), None)
    assert ("default", "docker.io/library/new:1") in house.containerd.images


async def test_a_name_that_is_gone_was_removed(house: House) -> None:
    assert await house.find(Rmi(image="docker.io/library/gone:1"), None) == ImageRemoved(
        image="docker.io/library/gone:1"
    )


async def test_a_name_that_is_older_than_the_command_was_not(house: House) -> None:
    with pytest.raises(NotDone):
        await house.find(Rmi(image=IMAGE), None)
    house.containerd.put_image("default", memory_image("docker.io/library/again:1"))
    assert (await house.find(Rmi(image="docker.io/library/again:1"), None)).image == "docker.io/library/again:1"


# -- limits, on a containerd that can be told anything


MEMORY = Update(memory=128 << 20)
SPEC: dict[str, Any] = {"linux": {"resources": {"memory": {"limit": 64 << 20}}}}
CHANGED: dict[str, Any] = {"linux": {"resources": {"memory": {"limit": 128 << 20}}}}


def limited(spec: dict[str, Any], *, task: int | None, changed: bool) -> Place:
    runtime = SmallRuntime()
    runtime.add(task=None if task == 0 else SmallTask("running"), spec=spec)
    record = runtime.records["default", "web.1"]
    runtime.records["default", "web.1"] = structs.replace(record, updated_at=Nanos(20 if changed else 5))
    memory = MemoryStats(usage=1, working_set=1, limit=task)
    if task:
        runtime.stats = [TaskStats(namespace="default", container="web.1", read_at=Nanos(1), memory=memory)]
    return Place(runtime=runtime, node="n1", namespace="default", container="web.1", command_id="c1")


@pytest.mark.parametrize(
    ("spec", "task", "changed", "command", "expected"),
    [
        (CHANGED, 128 << 20, True, MEMORY, Updated),
        (CHANGED, 0, True, MEMORY, Updated),
        (CHANGED, 128 << 20, False, MEMORY, Updated),  # it is so, whoever made it so
        (SPEC, 64 << 20, False, MEMORY, NotDone),
        (SPEC, 128 << 20, False, MEMORY, CommandFailed),
        (SPEC, 0, False, MEMORY, NotDone),
        (SPEC, None, False, MEMORY, Undecided),
        (SPEC, 128 << 20, False, Update(memory=128 << 20, task_only=True), Updated),
        (SPEC, 64 << 20, False, Update(memory=128 << 20, task_only=True), NotDone),
        (SPEC, 64 << 20, False, Update(cpu_shares=5), Undecided),
    ],
)
async def test_limits_are_compared_with_the_record_and_the_control_group(
    spec: dict[str, Any], task: int | None, changed: bool, command: Update, expected: type
) -> None:
    place = limited(spec, task=task, changed=changed)
    runtime: Any = place.runtime
    if expected is Updated:
        assert isinstance(await recover(place, command, Nanos(10)), Updated)
    else:
        with pytest.raises(expected):
            await recover(place, command, Nanos(10))
    assert {call.split()[0] for call in runtime.calls} <= CALLS_THAT_LOOK


# -- processes


async def test_without_sessions_nobody_knows_of_processes(house: House) -> None:
    for command in (Exec(args=["x"]), Start(stdio="bus")):
        with pytest.raises(Undecided):
            await house.find(command)


async def test_with_them_what_has_none_was_never_made(house: House) -> None:
    class Nobody:
        def find(self, *_: Any) -> None:
            return None

    place = structs.replace(house.place(), sessions=Nobody())
    for command in (Exec(args=["x"]), Start(stdio="bus")):
        with pytest.raises(NotHere):
            await recover(place, command, house.started)


@pytest.mark.parametrize(("command", "status"), [(Pause(), "paused"), (Resume(), "running")])
async def test_who_made_it_so_is_not_made_up(command: Command, status: TaskStatus) -> None:
    runtime = SmallRuntime()
    runtime.add(task=SmallTask(status))
    place = Place(runtime=runtime, node="n1", namespace="default", container="web.1", command_id="c1")
    assert await recover(place, command, now()) == Done(already=None)
