"""The client against a whole bus in memory: two nodes that really carry out commands, and a log that really filters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing

import pytest

from bridge.client import Bus
from bridge.control.dispatch import Dispatcher
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord
from bridge.control.verbs import VERBS
from bridge.errors import CommandFailed, LogUnavailable
from bridge.model.commands import groups_from
from bridge.model.events import TaskExit, TaskPaused
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import ImageCreate, NodeGap
from bridge.testing import MemoryBus, MemoryContainerd, MemoryLog, Program, Scribe

HOUR = 3600 * 10**9


class Fleet:
    """Two nodes, `n1` and `n2`, their log and their bus."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.commands = MemoryBus()
        self.containerd = {"n1": MemoryContainerd(), "n2": MemoryContainerd()}
        self.scribe = {node: Scribe(self.log, node) for node in self.containerd}
        self.bus = Bus(self.log, self.commands, self.log.subjects)

    async def exited(self, container: str, *, node: str = "n1", namespace: str = "default", status: int = 0) -> None:
        event = TaskExit(container_id=container, id=container, exit_status=status)
        await self.scribe[node].record(event, namespace=namespace, container=container)


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    fleet = Fleet()
    async with AsyncExitStack() as stack:
        for node, containerd in fleet.containerd.items():
            groups = groups_from("all" if node == "n1" else "observe")
            dispatcher = Dispatcher(
                node, containerd.runtime, policy=Policy(groups=groups), record=CommandRecord(lambda *_: None)
            )
            inbox = fleet.commands.inbox(node, groups=sorted(groups))
            await stack.enter_async_context(inbox.serve(list(VERBS), dispatcher.handle))
        yield fleet


async def told(fleet: Fleet, **choice: object) -> list[tuple[str, str | None, str | None, str]]:
    async with aclosing(fleet.bus.events(follow=False, **choice)) as events:  # type: ignore[arg-type]
        return [
            (
                event.recorded.node,
                event.recorded.namespace,
                event.recorded.container,
                event.subject.rpartition(".")[2],
            )
            async for event in events
        ]


# -- events


async def test_only_what_is_wanted_comes(fleet: Fleet) -> None:
    await fleet.exited("web.1")
    await fleet.exited("web", namespace="a.b")
    await fleet.scribe["n2"].record(TaskPaused(container_id="web.1"), namespace="k8s.io", container="web.1")
    await fleet.scribe["n2"].record(NodeGap(since=None, until=Nanos(1), reason="first start"))
    await fleet.scribe["n1"].record(ImageCreate(name="busybox"), namespace="a.b")

    assert await told(fleet, container="web.1") == [
        ("n1", "default", "web.1", "exit"),
        ("n2", "k8s.io", "web.1", "paused"),
    ]
    assert await told(fleet, namespace=["a.b", "k8s.io"], node="n1") == [
        ("n1", "a.b", "web", "exit"),
        ("n1", "a.b", None, "image-create"),
    ]
    assert await told(fleet, type=["paused", "gap"]) == [
        ("n2", "k8s.io", "web.1", "paused"),
        ("n2", None, None, "gap"),
    ]
    assert await told(fleet, namespace="default", node_events=False) == [("n1", "default", "web.1", "exit")]
    assert len(await told(fleet)) == 5


async def test_following_goes_on_with_what_comes(fleet: Fleet) -> None:
    await fleet.exited("before")
    async with aclosing(fleet.bus.events(type="exit", since=2)) as events:
        coming = asyncio.create_task(anext(events))

        await fleet.exited("after")

        assert (await coming).recorded.container == "after"


async def test_what_comes_before_the_end_is_waited_for(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    await fleet.exited("before")
    end = Nanos(now() + HOUR)
    seen = []
    async with aclosing(fleet.bus.events(since=1, until=end)) as events:
        async for event in events:
            seen.append(event.recorded.container)
            if event.recorded.container == "before":
                await fleet.exited("meanwhile")
            else:
                monkeypatch.setattr("bridge.client.reading.now", lambda: end)

    assert seen == ["before", "meanwhile"]


async def test_a_log_that_is_down_is_said_to_be(fleet: Fleet) -> None:
    with fleet.log.down(), pytest.raises(LogUnavailable):
        await told(fleet)


# -- commands


async def test_a_container_is_led_through_its_life(fleet: Fleet) -> None:
    fleet.containerd["n1"].add("a.b", "web.1")
    at = await fleet.bus.locate("web.1")

    assert (at.node.name, at.namespace) == ("n1", "a.b")
    pid = (await at.node.start("web.1", namespace="a.b")).pid
    assert pid in [process.pid for process in await at.node.pids("web.1", namespace="a.b")]
    assert not (await at.node.pause("web.1", namespace="a.b")).already
    assert (await at.node.pause("web.1", namespace="a.b")).already
    assert await status(fleet) == "paused"
    await at.node.resume("web.1", namespace="a.b")
    assert (await at.node.inspect("web.1", namespace="a.b")).container.node == "n1"
    assert (await at.node.stop("web.1", namespace="a.b")).exit_status == 143
    assert await status(fleet) == "stopped"
    await at.node.delete("web.1", namespace="a.b")
    assert (await fleet.bus.containers()).containers == []


async def status(fleet: Fleet) -> str | None:
    [one] = (await fleet.bus.containers()).containers
    return None if one.task is None else one.task.status


async def test_a_stop_kills_what_does_not_listen(fleet: Fleet) -> None:
    await fleet.containerd["n1"].run("default", "deaf", Program(ends_on={}))
    node = await fleet.bus.node("n1")

    ended = await node.stop("deaf", grace=0)

    assert (ended.exit_status, ended.killed) == (137, True)


async def test_the_containers_of_both_nodes_are_one_list(fleet: Fleet) -> None:
    fleet.containerd["n1"].add("default", "b", labels={"app": "web"})
    fleet.containerd["n2"].add("default", "a")

    every = await fleet.bus.containers()
    some = await fleet.bus.containers(filters=["labels.app==web"])

    assert [(one.node, one.id) for one in every.containers] == [("n1", "b"), ("n2", "a")]
    assert [one.id for one in some.containers] == ["b"]


async def test_what_a_node_does_not_allow_is_refused(fleet: Fleet) -> None:
    await fleet.containerd["n2"].run("default", "web")

    with pytest.raises(CommandFailed, match="which is off on this node") as raised:
        await (await fleet.bus.node("n2")).pause("web")

    assert raised.value.code == "refused"


async def test_the_versions_are_those_of_the_node(fleet: Fleet) -> None:
    assert (await (await fleet.bus.node("n2")).version()).containerd == "2.1.0"
    assert [node.groups for node in await fleet.bus.nodes()] == [
        ["checkpoint", "create", "exec", "lifecycle", "observe"],
        ["observe"],
    ]
