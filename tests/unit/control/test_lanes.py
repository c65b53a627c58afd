"""Lanes keep the order of one container, hold up no other, and never wait without bound."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.control.lanes import Lane, Lanes, LaneStatistics, SharedLanes
from bridge.errors import CommandFailed
from tests.unit.control.turns import settle

IDLE = LaneStatistics(lanes=0, under_way=0, waiting=0, exhausted=0)


async def hold(lanes: Lanes, container: str, gate: asyncio.Event) -> None:
    async with lanes.turn("default", container):
        await gate.wait()


async def test_a_container_that_waits_holds_up_no_other() -> None:
    lanes, gate = Lanes(), asyncio.Event()
    holder = asyncio.create_task(hold(lanes, "slow", gate))
    await settle()
    async with asyncio.timeout(90), lanes.turn("default", "quick"):
        pass
    gate.set()
    await holder


async def test_equal_ids_in_two_namespaces_are_two_containers() -> None:
    lanes, gate = Lanes(), asyncio.Event()
    holder = asyncio.create_task(hold(lanes, "web", gate))
    await settle()
    async with asyncio.timeout(90), lanes.turn("other", "web"):
        pass
    gate.set()
    await holder


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=40))
def test_each_container_sees_its_commands_in_order_of_arrival_one_at_a_time(commands: list[tuple[str, int]]) -> None:
    async def scenario() -> None:
        lanes = Lanes(waiting_per_lane=40)
        busy: set[str] = set()
        seen: list[tuple[str, int]] = []

        async def command(number: int, container: str, steps: int) -> None:
            async with lanes.turn("default", container):
                assert container not in busy
                busy.add(container)
                seen.append((container, number))
                for _ in range(steps):
                    await asyncio.sleep(0)
                busy.remove(container)

        await asyncio.gather(*(command(number, *rest) for number, rest in enumerate(commands)))
        for container in "abc":
            numbers = [number for name, number in seen if name == container]
            assert numbers == [number for number, (name, _) in enumerate(commands) if name == container]
        assert lanes.statistics() == IDLE

    asyncio.run(scenario())


async def test_a_full_lane_is_exhausted_at_once() -> None:
    lanes, gate = Lanes(waiting_per_lane=2), asyncio.Event()
    inside = [asyncio.create_task(hold(lanes, "web.1", gate)) for _ in range(3)]
    await settle()
    with pytest.raises(CommandFailed, match=r"2 commands wait for container web\.1 already: try again later") as failed:
        await hold(lanes, "web.1", gate)
    assert failed.value.code == "exhausted"
    assert lanes.statistics() == LaneStatistics(lanes=1, under_way=1, waiting=2, exhausted=1)
    gate.set()
    await asyncio.gather(*inside)
    assert lanes.statistics() == LaneStatistics(lanes=0, under_way=0, waiting=0, exhausted=1)


async def test_too_many_lanes_are_exhausted_at_once() -> None:
    lanes, gate = Lanes(entered=2), asyncio.Event()
    inside = [asyncio.create_task(hold(lanes, f"c{n}", gate)) for n in range(2)]
    await settle()
    with pytest.raises(CommandFailed, match="2 commands are under way on this node: try again later") as failed:
        await hold(lanes, "c3", gate)
    assert failed.value.code == "exhausted"
    gate.set()
    await asyncio.gather(*inside)
    await hold(lanes, "c3", gate)


async def test_who_gives_up_waiting_frees_the_place() -> None:
    lanes, gate = Lanes(waiting_per_lane=1), asyncio.Event()
    holder = asyncio.create_task(hold(lanes, "web.1", gate))
    await settle()
    waiting = asyncio.create_task(hold(lanes, "web.1", gate))
    await settle()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert lanes.statistics().waiting == 0
    gate.set()
    await holder
    assert lanes.statistics() == IDLE


async def test_a_command_that_fails_lets_the_next_one_in() -> None:
    lanes = Lanes()

    async def failing() -> None:
        async with lanes.turn("default", "web.1"):
            await asyncio.sleep(0)
            raise CommandFailed("unknown", "it broke")

    first = asyncio.create_task(failing())
    opened = asyncio.Event()
    opened.set()
    second = asyncio.create_task(hold(lanes, "web.1", opened))
    with pytest.raises(CommandFailed, match="it broke"):
        await first
    await asyncio.wait_for(second, 90)
    assert lanes.statistics() == IDLE


async def test_a_wide_lane_lets_in_as_many_as_it_is_wide() -> None:
    lane, gate = Lane("the node", width=2, waiting=5), asyncio.Event()

    async def inside() -> None:
        async with lane.turn():
            await gate.wait()

    tasks = [asyncio.create_task(inside()) for _ in range(3)]
    await settle()
    assert (lane.under_way, lane.waiting) == (2, 1)
    gate.set()
    await asyncio.gather(*tasks)
    assert lane.idle


async def inside(lanes: SharedLanes, namespace: str, gate: asyncio.Event, seen: list[str]) -> None:
    async with lanes.turn(namespace):
        seen.append(namespace)
        await gate.wait()


async def test_lanes_that_are_shared_are_wide_for_each_and_bounded_for_all() -> None:
    lanes, gate = SharedLanes("images", width=2, together=3, waiting=9, entered=99), asyncio.Event()
    seen: list[str] = []
    tasks = [asyncio.create_task(inside(lanes, namespace, gate, seen)) for namespace in ("a", "a", "a", "b", "b")]
    await settle()
    assert sorted(seen) == ["a", "a", "b"]
    gate.set()
    await asyncio.gather(*tasks)
    assert sorted(seen) == ["a", "a", "a", "b", "b"]
    assert lanes._lanes == {}


async def test_who_waits_in_shared_lanes_for_both_is_told_once_and_frees_its_place_when_it_leaves() -> None:
    lanes = SharedLanes("images", width=1, together=1, waiting=9, entered=99)
    first, second, third = (asyncio.Event() for _ in range(3))
    seen: list[str] = []
    told: list[str] = []

    async def wait(who: str, namespace: str, gate: asyncio.Event) -> None:
        async with lanes.turn(namespace, queued=lambda: told.append(who)):
            seen.append(who)
            await gate.wait()

    async def enter(who: str, namespace: str, gate: asyncio.Event) -> asyncio.Task[None]:
        task = asyncio.create_task(wait(who, namespace, gate))
        await settle()
        return task

    holder = await enter("holder", "a", first)
    other = await enter("other", "b", second)
    behind = await enter("behind", "a", third)
    leaving = await enter("leaving", "b", third)
    leaving.cancel()
    first.set()
    await settle()
    assert seen == ["holder", "other"]  # the one behind has its namespace's place now, and waits for one of all
    second.set()
    third.set()
    await asyncio.gather(holder, other, behind)
    assert seen == ["holder", "other", "behind"]
    assert told == ["other", "behind", "leaving"]
    assert lanes._lanes == {}


async def test_more_than_shared_lanes_hold_is_exhausted_at_once_but_for_who_is_patient() -> None:
    lanes, gate = SharedLanes("images", width=1, together=1, waiting=1, entered=3), asyncio.Event()
    seen: list[str] = []
    tasks = [asyncio.create_task(inside(lanes, namespace, gate, seen)) for namespace in ("a", "a")]
    await settle()
    with pytest.raises(CommandFailed, match="1 commands wait for images in namespace a already"):
        async with lanes.turn("a"):
            pass
    tasks.append(asyncio.create_task(inside(lanes, "b", gate, seen)))
    await settle()
    with pytest.raises(CommandFailed, match="3 commands are for images already"):
        async with lanes.turn("c"):
            pass
    gate.set()
    async with asyncio.timeout(90), lanes.turn("a", patient=True):
        pass
    await asyncio.gather(*tasks)
