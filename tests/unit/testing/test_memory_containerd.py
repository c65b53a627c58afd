"""What can be done to a containerd in memory behind the bridge's back, and the faults of its exchange."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bridge.errors import CommandFailed, SourceLost
from bridge.model.events import TaskDelete, TaskExit
from bridge.model.node_events import ImageCreate
from bridge.ports import Observed
from bridge.testing import MemoryContainerd, Program

NS, ID = "default", "web.1"


class Ears:
    """A subscription, and the words of what it delivers."""

    def __init__(self, containerd: MemoryContainerd) -> None:
        self.containerd = containerd
        self.heard: list[Observed] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Ears"]:
        async with self.containerd.source(probe_timeout_s=0.2).subscribe(self.heard.append) as self.subscription:
            yield self

    async def words(self) -> list[str]:
        """The words of everything that has been published so far."""
        await self.subscription.probe()
        return [observed.event.word for observed in self.heard]


@pytest.fixture
def containerd() -> MemoryContainerd:
    return MemoryContainerd()


@pytest.fixture
async def ears(containerd: MemoryContainerd) -> AsyncIterator[Ears]:
    async with Ears(containerd).open() as ears:
        yield ears


async def test_a_container_is_run_in_one_step(containerd: MemoryContainerd, ears: Ears) -> None:
    pid = await containerd.run(NS, ID, image="img:1", labels={"a": "b"})
    assert await ears.words() == ["container-create", "create", "start"]
    task = await containerd.runtime.tasks.get(NS, ID)
    assert task is not None
    assert (task.status, task.pid) == ("running", pid)


async def test_a_program_that_ends_by_itself_has_ended_when_it_is_started(
    containerd: MemoryContainerd, ears: Ears
) -> None:
    await containerd.run(NS, ID, Program(exits=3))
    assert (await containerd.runtime.tasks.wait(NS, ID)).exit_status == 3
    assert (await ears.words())[-1] == "exit"


async def test_a_program_ends_when_the_test_says_so(containerd: MemoryContainerd) -> None:
    await containerd.run(NS, ID)
    waiting = asyncio.ensure_future(containerd.runtime.tasks.wait(NS, ID))
    await asyncio.sleep(0)
    containerd.end(NS, ID, 5)
    assert (await waiting).exit_status == 5


async def test_without_more_a_program_heeds_sigterm(containerd: MemoryContainerd) -> None:
    await containerd.run(NS, ID)
    await containerd.runtime.tasks.kill(NS, ID, 15)
    assert (await containerd.runtime.tasks.wait(NS, ID)).exit_status == 143


async def test_the_kernel_kills_for_want_of_memory(containerd: MemoryContainerd, ears: Ears) -> None:
    await containerd.run(NS, ID)
    containerd.oom(NS, ID)
    assert (await ears.words())[-2:] == ["oom", "exit"]
    assert (await containerd.runtime.tasks.wait(NS, ID)).exit_status == 137


async def test_execs_are_processes_of_their_own(containerd: MemoryContainerd, ears: Ears) -> None:
    await containerd.run(NS, ID)
    containerd.exec(NS, ID, "one", Program(exits=4))
    pid = containerd.exec(NS, ID, "two")
    assert (await ears.words())[3:] == ["exec-added", "exec-started", "exec-exit", "exec-added", "exec-started"]
    assert [(process.pid, process.exec_id) for process in await containerd.runtime.tasks.pids(NS, ID)][1:] == [
        (pid, "two")
    ]


async def test_a_task_that_never_ran_ends_in_its_deletion(containerd: MemoryContainerd, ears: Ears) -> None:
    containerd.add(NS, ID)
    pid = await containerd.runtime.tasks.create(NS, ID)
    await containerd.runtime.tasks.delete(NS, ID)
    assert (await ears.words())[2:] == ["delete", "exit"]
    assert [observed.event for observed in ears.heard[2:]] == [
        TaskDelete(container_id=ID, pid=pid, exit_status=0),
        TaskExit(container_id=ID, id=ID, pid=pid, exit_status=137),
    ]


async def test_labels_come_and_go(containerd: MemoryContainerd) -> None:
    containerd.add(NS, ID, labels={"a": "b", "c": "d"})
    containerd.label(NS, ID, {"a": "", "e": "f"})
    assert (await containerd.runtime.containers.get(NS, ID)).labels == {"c": "d", "e": "f"}


async def test_any_event_can_be_published(containerd: MemoryContainerd, ears: Ears) -> None:
    containerd.emit(ImageCreate(name="busybox"), namespace=NS)
    containerd.emit(TaskExit(container_id="ghost", id="ghost"), namespace=NS, container="ghost")
    assert await ears.words() == ["image-create", "exit"]


@pytest.mark.parametrize(
    "act",
    [
        lambda containerd: containerd.end(NS, "gone", 0),
        lambda containerd: containerd.end(NS, "record", 0),
        lambda containerd: containerd.end(NS, "ended", 0),
        lambda containerd: containerd.oom(NS, "ended"),
        lambda containerd: containerd.exec(NS, "ended", "one"),
        lambda containerd: containerd.exec(NS, "runs", "a/b"),
        lambda containerd: containerd.label(NS, "gone", {}),
        lambda containerd: containerd.add(NS, "record"),
        lambda containerd: containerd.add(NS, "a/b"),
        lambda containerd: containerd.add("../x", "a"),
        lambda containerd: containerd.source(["../x"]),
    ],
)
async def test_a_mistake_of_the_test_itself_is_a_value_error(
    containerd: MemoryContainerd, act: Callable[[MemoryContainerd], object]
) -> None:
    containerd.add(NS, "record")
    await containerd.run(NS, "runs")
    await containerd.run(NS, "ended", Program(exits=0))
    with pytest.raises(ValueError, match=r"already|first|not valid|cannot exec"):
        act(containerd)


# -- down


async def test_what_happens_while_it_is_down_is_not_told(containerd: MemoryContainerd) -> None:
    await containerd.run(NS, ID)
    with containerd.down():
        containerd.end(NS, ID, 3)
    async with Ears(containerd).open() as ears:
        assert await ears.words() == []
    task = await containerd.runtime.tasks.get(NS, ID)
    assert task is not None
    assert task.exit_status == 3


async def test_going_down_says_why_to_who_listens_and_who_waits(containerd: MemoryContainerd) -> None:
    await containerd.run(NS, ID)
    async with Ears(containerd).open() as ears:
        waiting = asyncio.ensure_future(containerd.runtime.tasks.wait(NS, ID))
        await asyncio.sleep(0.01)
        with containerd.down("it was upgraded"):
            assert str(await ears.subscription.ended()) == "it was upgraded"
            with pytest.raises(CommandFailed, match="it was upgraded"):
                await waiting


# -- faults of the exchange


async def test_a_subscription_can_be_dropped_alone(containerd: MemoryContainerd) -> None:
    async with Ears(containerd).open() as ears:
        containerd.add(NS, "before")
        containerd.exchange.end("reset by peer")
        assert str(await ears.subscription.ended()) == "reset by peer"
        containerd.add(NS, "after")
        with pytest.raises(SourceLost, match="reset by peer"):
            await ears.subscription.probe()
    assert [observed.container for observed in ears.heard] == ["before"]


async def test_a_silent_stream_looks_alive_until_it_is_probed(containerd: MemoryContainerd) -> None:
    async with Ears(containerd).open() as ears:
        containerd.exchange.silent = True
        containerd.add(NS, ID)
        with pytest.raises(SourceLost, match="a probe did not come back"):
            await ears.subscription.probe()
        assert isinstance(await ears.subscription.ended(), SourceLost)
    assert ears.heard == []


async def test_events_come_twice(containerd: MemoryContainerd, ears: Ears) -> None:
    containerd.exchange.double(2)
    await containerd.run(NS, ID)
    assert await ears.words() == ["container-create", "container-create", "create", "create", "start"]


async def test_two_events_come_in_the_wrong_order(containerd: MemoryContainerd, ears: Ears) -> None:
    containerd.add(NS, ID)
    containerd.exchange.swap()
    await containerd.runtime.tasks.create(NS, ID)
    await containerd.runtime.tasks.start(NS, ID)
    assert await ears.words() == ["container-create", "start", "create"]


async def test_a_delivery_that_raises_ends_its_subscription(
    containerd: MemoryContainerd, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Observed) -> None:
        raise KeyError("broken")

    async with containerd.source().subscribe(fail) as subscription:
        containerd.add(NS, ID)
        assert "broken" in str(await subscription.ended())
    assert "delivering an event failed unexpectedly" in caplog.text
