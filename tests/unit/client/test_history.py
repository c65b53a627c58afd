"""A container's life: each event with the state after it, and the gaps of its node in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.client import Moment
from bridge.model.events import ContainerDelete, TaskCreate, TaskExit, TaskStart
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeGap
from bridge.ports import Start, StoredEvent
from tests.unit.cli.recorded import stored
from tests.unit.client.small_bus import SmallReader, bus

GAP = NodeGap(since=Nanos(1), until=Nanos(2), reason="lost")
LIFE = [
    stored(TaskCreate(container_id="x", pid=7), "x", number=1, incarnation="1"),
    stored(TaskStart(container_id="x", pid=7), "x", number=2, incarnation="1"),
    stored(TaskExit(container_id="x", id="x", pid=7, exit_status=3), "x", number=3, incarnation="1"),
    stored(ContainerDelete(id="x"), "x", number=4, incarnation="1"),
]


async def told(*given: StoredEvent, **places: Any) -> list[Moment]:
    events = [replace(event, stream_sequence=n) for n, event in enumerate(given, 1)]
    async with aclosing(bus(SmallReader(events)).history("x", **places)) as moments:
        return [moment async for moment in moments]


def shown(moments: list[Moment]) -> list[str]:
    return ["gap" if moment.state is None else moment.state.status for moment in moments]


async def test_each_event_comes_with_the_state_after_it() -> None:
    moments = await told(*LIFE)

    assert shown(moments) == ["created", "running", "stopped", "gone"]
    assert [moment.event for moment in moments] == LIFE


async def test_a_gap_of_its_node_stands_where_it_was() -> None:
    assert shown(await told(*LIFE[:2], stored(GAP), *LIFE[2:])) == ["created", "running", "gap", "stopped", "gone"]


async def test_a_gap_of_another_node_or_of_a_time_without_it_is_nothing_to_it() -> None:
    elsewhere = stored(GAP, node="n2")

    assert shown(await told(stored(GAP), LIFE[0], elsewhere, *LIFE[1:], stored(GAP))) == [
        "created",
        "running",
        "stopped",
        "gone",
    ]


async def test_the_same_id_elsewhere_has_a_state_of_its_own() -> None:
    other = stored(TaskStart(container_id="x", pid=9), "x", node="n2", namespace="a.b")

    moments = await told(LIFE[0], other, stored(GAP, node="n2"), LIFE[1])

    assert shown(moments) == ["created", "running", "gap", "running"]
    assert [moment.event.recorded.node for moment in moments] == ["n1", "n2", "n2", "n1"]


async def test_the_server_is_asked_for_no_more_than_is_needed() -> None:
    reader = SmallReader()
    async with aclosing(bus(reader).history("web.1", node="n1", namespace="k8s.io")) as moments:
        assert [moment async for moment in moments] == []

    assert [filters for filters, _, _ in reader.asked] == [
        ["containerd.events.n1.k8s=2Eio.web=2E1.*"],
        ["containerd.nodes.n1.gap"],
    ]
    assert {follow for _, _, follow in reader.asked} == {False}
    assert reader.open == 0


class Busy(SmallReader):
    """A log to which something comes between the beginnings of two readings."""

    async def read(self, filters: Sequence[str], start: Start, *, follow: bool) -> AsyncIterator[StoredEvent]:
        if self.asked:
            self.events += [stored(TaskExit(container_id="x", id="x"), "x", number=3), stored(GAP, number=4)]
        async with aclosing(super().read(filters, start, follow=follow)) as events:  # type: ignore[type-var]
            async for event in events:
                yield event


async def test_what_comes_meanwhile_is_left_out_altogether() -> None:
    async with aclosing(bus(Busy(LIFE[:2])).history("x")) as moments:
        assert [moment.event.stream_sequence async for moment in moments] == [1, 2]


async def test_following_goes_on_until_it_is_left() -> None:
    reader = SmallReader(LIFE[:1])
    async with aclosing(bus(reader).history("x", follow=True)) as moments:
        first = await anext(moments)
        waiting = asyncio.ensure_future(anext(moments))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    assert first.state is not None
    assert reader.asked[0][2] is True
    assert reader.open == 0


async def test_an_empty_name_is_refused_at_the_call() -> None:
    with pytest.raises(ValueError, match="an empty name is no container"):
        bus().history("")
