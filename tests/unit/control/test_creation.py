"""Making containers, on a containerd in memory: each step that fails, each command that comes again, and who has a say."""

from __future__ import annotations

import asyncio
import copy
from contextlib import AsyncExitStack
from typing import Any

import pytest
from msgspec import structs

from bridge.control import creation, leases
from bridge.control.policy import JudgedOnly
from bridge.control.removal import Removal
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.commands import Create, Run, RuncOptions
from bridge.model.outcomes import Judged
from bridge.testing import MemoryContainerd, Program
from bridge.testing.images import memory_image
from tests.faulty import Faulty
from tests.unit.control.turns import until
from tests.unit.policy.specs import anything

IMAGE = "docker.io/library/web:1"
COMMAND = Run(image=IMAGE)


class Watching:
    """Remembers which containers are to be removed."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def watch(self, namespace: str, container: str) -> None:
        self.seen.append((namespace, container))


@pytest.fixture
def containerd() -> MemoryContainerd:
    memory = MemoryContainerd()
    files = {"/etc/passwd": b"ann:x:7:8::/:\n"}
    memory.put_image("default", memory_image(IMAGE, {"Cmd": ["serve"], "User": "ann"}, files))
    return memory


def place(runtime: Any, container: str = "web.1", **more: Any) -> Place:
    more = {"command_id": "c1", "permit": anything, **more}
    return Place(runtime=runtime, node="n1", namespace="default", container=container, **more)


def nothing(containerd: MemoryContainerd) -> bool:
    return not (containerd.containers or containerd.snapshots or containerd.leases)


async def test_a_container_is_made_with_all_that_belongs_to_it(containerd: MemoryContainerd) -> None:
    created = await creation.create(place(containerd.runtime), Create(image=IMAGE, name="shop", stdio="file:///x"))

    assert (created.container, created.image, created.snapshot_key) == ("web.1", IMAGE, "web.1")
    record = containerd.containers["default", "web.1"].record
    assert record.spec is not None
    assert record.spec["process"]["args"] == ["serve"]
    assert record.spec["process"]["user"]["uid"] == 7
    assert (record.name, record.labels[labels.COMMAND], record.labels[labels.STDIO]) == ("shop", "c1", "file:///x")
    assert containerd.snapshots["default", "web.1"].labels == {labels.COMMAND: "c1"}
    assert containerd.leases == {}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("cancelled", [False, True], ids=["failed", "cancelled"])
async def test_whichever_step_fails_nothing_is_left(containerd: MemoryContainerd, cancelled: bool, after: bool) -> None:
    counting = Faulty(containerd.runtime)
    await creation.run(place(counting, "count"), COMMAND)
    containerd.end("default", "count", 0)
    await containerd.runtime.tasks.delete("default", "count")
    await containerd.runtime.containers.delete("default", "count")
    assert nothing(containerd)

    for step, name in enumerate(counting.calls):
        made = after and (name == "containers.create" or (name == "tasks.start" and not cancelled))
        if name == "leases.delete" or made:
            continue  # by then it is made
        error = None if cancelled else CommandFailed("internal", "injected")
        task = asyncio.ensure_future(creation.run(place(Faulty(containerd.runtime, step, error, after=after)), COMMAND))
        await asyncio.wait({task})
        assert task.cancelled() or task.exception() is not None, name
        assert nothing(containerd), name


async def test_a_snapshot_of_a_container_that_may_be_there_stays(containerd: MemoryContainerd) -> None:
    counting = Faulty(containerd.runtime)
    await creation.create(place(counting, "count"), COMMAND)
    step = counting.calls.index("containers.create")

    class Gone(Faulty):
        async def call(self, name: str, call: Any) -> Any:
            if len(self.calls) > step and name == "containers.get":
                raise CommandFailed("unavailable", "containerd is gone")
            return await super().call(name, call)

    runtime = Gone(containerd.runtime, step, CommandFailed("unknown", "broken off"), after=True)
    with pytest.raises(CommandFailed, match="broken off"):
        await creation.create(place(runtime), COMMAND)
    assert ("default", "web.1") in containerd.snapshots
    assert ("default", "web.1") in containerd.containers


async def test_the_same_id_makes_it_once(containerd: MemoryContainerd) -> None:
    first = await creation.run(place(containerd.runtime), COMMAND)
    again = await creation.run(place(containerd.runtime), COMMAND)
    assert again == structs.replace(first, already=True)
    with pytest.raises(CommandFailed) as failed:
        await creation.run(place(containerd.runtime, command_id="c2"), COMMAND)
    assert failed.value.code == "already_exists"


async def test_what_was_made_and_not_started_is_started_when_the_command_comes_again(
    containerd: MemoryContainerd,
) -> None:
    await creation.create(place(containerd.runtime), Create(image=IMAGE))
    ran = await creation.run(place(containerd.runtime), COMMAND)
    assert (ran.already, ran.pid > 0) == (True, True)


async def test_what_a_killed_try_of_the_same_command_left_is_no_obstacle(containerd: MemoryContainerd) -> None:
    runtime = containerd.runtime
    lease = leases.lease_of("c1")
    await runtime.leases.create("default", lease, leases.lease_labels("c1", "n1"))
    image = await runtime.images.resolve("default", IMAGE)
    await runtime.snapshots.prepare("default", "overlayfs", "web.1", image, labels={labels.COMMAND: "c1"}, lease=lease)

    await creation.create(place(runtime), Create(image=IMAGE))

    assert (list(containerd.containers), containerd.leases) == ([("default", "web.1")], {})


async def test_a_snapshot_of_somebody_elses_is_left_alone(containerd: MemoryContainerd) -> None:
    containerd.add("default", "web.1")
    await containerd.runtime.containers.delete("default", "web.1", keep_snapshot=True)
    with pytest.raises(CommandFailed, match=r"there is a snapshot web\.1 of overlayfs") as failed:
        await creation.create(place(containerd.runtime), Create(image=IMAGE))
    assert failed.value.code == "already_exists"
    assert list(containerd.snapshots) == [("default", "web.1")]
    assert containerd.leases == {}


@pytest.mark.parametrize("judged_only", [False, True])
async def test_the_judge_sees_what_is_made_before_anything_is(containerd: MemoryContainerd, judged_only: bool) -> None:
    seen: list[dict[str, Any]] = []

    async def judge(*, spec: dict[str, Any], image: str, **_: Any) -> None:
        assert image == IMAGE
        assert not containerd.containers
        assert nothing(containerd) or len(seen) == 2
        seen.append(copy.deepcopy(spec))
        if len(seen) == 1:
            raise (
                JudgedOnly(Judged(rule="mine", reason="not now"))
                if judged_only
                else CommandFailed("refused", "not now")
            )

    command = Create(image=IMAGE, privileged=True)
    counting = Faulty(containerd.runtime)
    with pytest.raises(JudgedOnly if judged_only else CommandFailed, match="not now"):
        await creation.create(place(counting, permit=judge), command)
    assert set(counting.calls) <= {"containers.get", "containers.defaults", "images.resolve", "privileges"}
    assert nothing(containerd)

    await creation.create(place(containerd.runtime, permit=judge), command)
    made = containerd.containers["default", "web.1"].record.spec
    assert made is not None
    user = made["process"].pop("user")
    del seen[1]["process"]["user"]
    assert (user["uid"], made) == (7, seen[1])
    assert seen[2] == {**made, "process": {**made["process"], "user": user}}  # and in the end what is made


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (Create(), "there is nothing to make a container of"),
        (Create(image=IMAGE, labels={labels.REMOVE: "true"}), "is the bridge's own"),
        (Create(image=IMAGE, labels={"a": "b" * 4096}), "is too long"),
        (Create(image=IMAGE, labels={"": "b"}), "a key at least one"),
        (Create(image=IMAGE, runtime="io.containerd.kata.v2", runc=RuncOptions()), "is not runc's"),
        (Create(image=IMAGE, user="bob"), "there is no user 'bob'"),
    ],
)
async def test_what_cannot_be_made_is_told(containerd: MemoryContainerd, command: Create, sentence: str) -> None:
    with pytest.raises(CommandFailed, match=sentence) as failed:
        await creation.create(place(containerd.runtime), command)
    assert failed.value.code == "invalid_argument"
    assert nothing(containerd)


class Blind:
    """Snapshots that cannot be looked into."""

    def __init__(self, snapshots: Any) -> None:
        self._snapshots = snapshots

    def __getattr__(self, name: str) -> Any:
        return getattr(self._snapshots, name)

    async def read(self, *_: Any, **__: Any) -> bytes:
        raise CommandFailed("failed_precondition", "it cannot be seen: give the user by numbers")


async def test_numbers_do_where_the_image_cannot_be_looked_into(containerd: MemoryContainerd) -> None:
    runtime: Any = Faulty(containerd.runtime)
    runtime.snapshots = Blind(containerd.runtime.snapshots)
    with pytest.raises(CommandFailed, match="give the user by numbers"):
        await creation.create(place(runtime), Create(image=IMAGE))
    assert nothing(containerd)
    await creation.create(place(runtime), Create(image=IMAGE, user="7"))
    record = containerd.containers["default", "web.1"].record
    assert record.spec is not None
    assert record.spec["process"]["user"] == {"uid": 7, "gid": 0, "additionalGids": [0]}


async def test_an_image_that_is_not_there_is_told(containerd: MemoryContainerd) -> None:
    with pytest.raises(CommandFailed) as failed:
        await creation.create(place(containerd.runtime), Create(image="docker.io/library/none:1"))
    assert failed.value.code == "not_found"
    assert nothing(containerd)


# -- rm


async def test_rm_wants_somebody_who_removes(containerd: MemoryContainerd) -> None:
    command = Run(image=IMAGE, rm=True)
    with pytest.raises(CommandFailed, match="nobody here deletes"):
        await creation.run(place(containerd.runtime), command)
    assert nothing(containerd)
    watching = Watching()
    await creation.run(place(containerd.runtime, removing=watching), command)
    assert watching.seen == [("default", "web.1")]


async def test_what_has_ended_is_removed(containerd: MemoryContainerd) -> None:
    async with Removal("n1", containerd.runtime) as removal:
        await creation.run(place(containerd.runtime, removing=removal), Run(image=IMAGE, rm=True))
        await removal.swept()
        containerd.end("default", "web.1", 3)
        await until(lambda: nothing(containerd))


async def test_what_is_started_again_goes_after_its_next_end(containerd: MemoryContainerd) -> None:
    containerd.programs["serve"] = Program()
    async with Removal("n1", containerd.runtime) as removal:
        await removal.swept()
        await creation.run(place(containerd.runtime), COMMAND)
        containerd.label("default", "web.1", {labels.REMOVE: "true"})
        removal.watch("default", "web.1")
        removal.watch("default", "web.1")
        await asyncio.sleep(0)
        containerd.end("default", "web.1", 3)
        await until(lambda: nothing(containerd))


async def test_a_container_of_the_same_name_that_is_not_to_go_stays(containerd: MemoryContainerd) -> None:
    async with Removal("n1", containerd.runtime) as removal:
        await removal.swept()
        containerd.add("default", "web.1")
        removal.watch("default", "web.1")
        await until(lambda: not removal.watching)
    assert ("default", "web.1") in containerd.containers


async def test_at_the_start_what_others_left_goes_and_what_is_ours_stays(containerd: MemoryContainerd) -> None:
    mine, theirs = leases.lease_labels("c1", "n1"), {labels.COMMAND: "c2", labels.INSTANCE: "gone"}
    elsewhere = leases.lease_labels("c1", "n2") | {labels.INSTANCE: "another bridge of the same containerd"}
    containerd.leases = {
        ("default", "mine"): mine,
        ("default", "theirs"): theirs,
        ("default", "other"): elsewhere,
        ("default", "else"): {},
    }
    async with Removal("n1", containerd.runtime) as removal:
        await removal.swept()
    assert sorted(containerd.leases) == [("default", "else"), ("default", "mine"), ("default", "other")]


async def test_while_containerd_is_down_nothing_is_given_up(
    containerd: MemoryContainerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.control.removal.AGAIN_S", 0.01)
    await creation.run(place(containerd.runtime, removing=Watching()), Run(image=IMAGE, rm=True))
    async with AsyncExitStack() as stack:
        with containerd.down():
            await stack.enter_async_context(Removal("n1", containerd.runtime))
            await asyncio.sleep(0)
            containerd.end("default", "web.1", 3)
        await until(lambda: nothing(containerd))
