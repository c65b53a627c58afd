"""Reading under a name: at least once, in order, acknowledged when the next event is asked for, or by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.client import Bus, Subscription
from bridge.errors import LogRefused, LogUnavailable
from bridge.model.events import TaskExit, TaskPaused
from bridge.model.node_events import NodeHeartbeat
from bridge.testing import MemoryBus, MemoryDurable, MemoryLog, Scribe


class Desk:
    """A log with three ends in it, and a bus that keeps places."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.durable = MemoryDurable(self.log)
        self.scribe = Scribe(self.log, "n1")
        self.bus = Bus(self.log, MemoryBus(), self.log.subjects, durable=self.durable)

    async def ends(self, *statuses: int) -> None:
        for status in statuses:
            event = TaskExit(container_id="job", id="job", exit_status=status, labels={"status": str(status)})
            await self.scribe.record(event, namespace="default", container="job")

    def subscribe(self, **options: Any) -> Subscription:
        return self.bus.subscribe("mailer", **{"since": 1, **options})


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    await desk.ends(1, 2, 3)
    return desk


async def take(subscription: Subscription, count: int) -> list[int | None]:
    found = []
    async with asyncio.timeout(120):
        for _ in range(count):
            data = (await anext(subscription)).data
            assert isinstance(data, TaskExit)
            found.append(data.exit_status)
    return found


async def test_an_event_whose_turn_ended_well_does_not_come_again(desk: Desk) -> None:
    async with desk.subscribe() as first:
        assert await take(first, 2) == [1, 2]
    async with desk.subscribe() as second:
        assert await take(second, 2) == [2, 3]


async def test_an_event_whose_turn_failed_comes_again(desk: Desk) -> None:
    async def fail() -> None:
        async with desk.subscribe() as first:
            async for _ in first:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with desk.subscribe() as second:
        assert await take(second, 1) == [1]


async def test_by_hand_several_are_acknowledged_together(desk: Desk) -> None:
    async with desk.subscribe(acknowledge="by-hand") as first:
        await take(first, 2)
        await first.acknowledge()
        await take(first, 1)
    async with desk.subscribe(acknowledge="by-hand") as second:
        assert await take(second, 1) == [3]
    async with desk.subscribe(acknowledge="by-hand") as third:
        await third.acknowledge(await anext(third))
    assert desk.durable.places == {"mailer": 3}


async def test_a_lost_acknowledgement_is_made_up_for_when_it_is_left(desk: Desk) -> None:
    desk.durable.lost = 2
    async with desk.subscribe() as subscription:
        await take(subscription, 3)
    assert desk.durable.places == {"mailer": 2}


async def test_only_what_is_chosen_comes(desk: Desk) -> None:
    await desk.scribe.record(TaskPaused(container_id="job"), namespace="default", container="job")
    await desk.scribe.record(NodeHeartbeat(probe_ns=1))
    await desk.ends(4)
    async with desk.subscribe(type="exit", name="j*", label=["status=2", "status=4"]) as subscription:
        assert await take(subscription, 2) == [2, 4]
    async with desk.bus.subscribe("all", since=4) as everything:
        async with asyncio.timeout(120):
            assert [(await anext(everything)).stream_sequence for _ in range(2)] == [4, 6]


async def test_without_since_it_begins_with_what_comes(desk: Desk) -> None:
    async with desk.bus.subscribe("new") as subscription:
        first = asyncio.create_task(anext(subscription))
        while not desk.durable.places:
            await asyncio.sleep(0)
        await desk.ends(9)
        assert (await first).stream_sequence == 4


async def test_a_name_can_be_forgotten(desk: Desk) -> None:
    async with desk.subscribe() as subscription:
        await take(subscription, 3)
    assert await desk.bus.unsubscribe("mailer")
    assert not await desk.bus.unsubscribe("mailer")
    async with desk.subscribe() as subscription:
        assert await take(subscription, 1) == [1]


async def test_what_cannot_be_is_said_at_once(desk: Desk) -> None:
    with pytest.raises(ValueError, match="'exti' is no type of event"):
        desk.subscribe(type="exti")
    with pytest.raises(LogRefused, match="keeps no place of a reader"):
        Bus(desk.log, MemoryBus(), desk.log.subjects).subscribe("mailer")
    subscription = desk.subscribe()
    with pytest.raises(ValueError, match="mailer has no event to acknowledge"):
        await subscription.acknowledge()
    with desk.log.down(), pytest.raises(LogUnavailable):
        await anext(subscription)
