"""Reading through the bus: where it begins, where it ends, and that it lets go."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing

import pytest

from bridge.client import Bus, Unrecognized
from bridge.client.points import Point
from bridge.model.events import TaskPaused
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import NodeHeartbeat
from bridge.ports import Entry, Start, StoredEvent
from bridge.testing import MemoryBus, MemoryLog, Scribe
from tests.unit.cli.recorded import NOON, SECOND, stored
from tests.unit.client.small_bus import SmallReader, bus

THREE = [stored(TaskPaused(container_id="x"), "x", number=number, after=number) for number in (1, 2, 3)]


async def numbers(reader: SmallReader, **options: object) -> list[int]:
    async with aclosing(bus(reader).events(**options)) as events:  # type: ignore[arg-type]
        return [event.stream_sequence async for event in events]


async def test_following_begins_with_the_next_event_and_never_ends() -> None:
    reader = SmallReader()
    reading = bus(reader).events()
    waiting = asyncio.create_task(anext(reading))
    while not reader.asked:
        await asyncio.sleep(0)

    assert reader.asked[0][1:] == (Start(), True)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_without_following_it_is_the_whole_log() -> None:
    reader = SmallReader(THREE)

    assert await numbers(reader, follow=False) == [1, 2, 3]
    assert reader.asked[0][1:] == (Start(sequence=1), False)


@pytest.mark.parametrize(
    ("since", "start"), [(2, Start(sequence=2)), ("2026-11-23T12:00:00Z", Start(time=Nanos(NOON)))]
)
async def test_since_is_where_the_port_begins(since: int | str, start: Start) -> None:
    reader = SmallReader(THREE)

    await numbers(reader, since=since, follow=False)

    assert reader.asked[0][1] == start


async def test_it_ends_with_the_sequence_it_was_given() -> None:
    assert await numbers(SmallReader(THREE), until=2) == [1, 2]


async def test_it_ends_before_a_sequence_beyond_the_one_it_was_given() -> None:
    assert await numbers(SmallReader([THREE[0], THREE[2]]), until=2) == [1]


async def test_it_ends_with_the_time_it_was_given() -> None:
    assert await numbers(SmallReader(THREE), until=Nanos(NOON + 2 * SECOND)) == [1, 2]


@pytest.mark.parametrize("until", [2, "1s", Nanos(NOON)])
async def test_an_end_in_the_past_is_not_waited_for(until: int | str | Nanos) -> None:
    reader = SmallReader(THREE)

    await numbers(reader, until=until)

    assert reader.asked[0][2] is False


async def test_a_sequence_to_come_is_waited_for_on_demand() -> None:
    reader = SmallReader(THREE)

    assert await numbers(reader, since=1, until=3, follow=True) == [1, 2, 3]
    assert reader.asked[0][2] is True


def fresh(number: int) -> StoredEvent:
    old = THREE[number - 1]
    return StoredEvent(**{**{name: getattr(old, name) for name in old.__struct_fields__}, "stored_at": now()})


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch) -> Nanos:
    """A time to come, which the reading takes for a moment away."""
    end = Nanos(now() + 3600 * SECOND)
    monkeypatch.setattr("bridge.client.reading.now", lambda: Nanos(end - SECOND // 20))
    return end


async def test_a_time_to_come_is_waited_for(end: Nanos) -> None:
    reader = SmallReader([fresh(1), fresh(2)])

    assert await numbers(reader, since=1, until=end) == [1, 2]
    assert reader.asked[0][2] is True


async def test_what_came_before_the_end_is_read_though_the_time_is_over(end: Nanos) -> None:
    # The reader is so slow that the time comes before the log's end does.
    class Slow(SmallReader):
        async def read(self, filters, start, *, follow):  # type: ignore[no-untyped-def]
            async for event in super().read(filters, start, follow=follow):
                yield event
                if follow:
                    await asyncio.Event().wait()

    reader = Slow([fresh(1), fresh(2)])

    assert await numbers(reader, since=1, until=end) == [1, 2]
    assert [asked[1:] for asked in reader.asked] == [(Start(sequence=1), True), (Start(sequence=2), False)]


async def test_who_stops_early_lets_go() -> None:
    reader = SmallReader(THREE)

    async with aclosing(bus(reader).events(since=1)) as events:
        await anext(events)
        assert reader.open == 1

    assert reader.open == 0


async def test_heartbeats_do_not_come_unasked() -> None:
    assert await numbers(SmallReader([stored(NodeHeartbeat(probe_ns=1))]), follow=False) == []


async def test_what_makes_no_sense_is_refused_at_the_call() -> None:
    with pytest.raises(ValueError, match="is no type of event"):
        bus().events(type="bogus")


@pytest.mark.parametrize(
    ("since", "until", "sentence"),
    [
        ("9", "4", "until 4 lies before since 9: nothing can be between them"),
        ("10m", "20m", "until 20m lies before since 10m: nothing can be between them"),
        (Nanos(1_000_000_000), Nanos(0), "until 1970-01-01T00:00:00.000000000Z lies before since 1970"),
    ],
)
def test_an_end_before_the_beginning_is_refused(since: Point, until: Point, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        bus(SmallReader(THREE)).events(since=since, until=until)


async def test_the_end_may_be_the_beginning() -> None:
    assert await numbers(SmallReader(THREE), since=2, until=2) == [2]
    assert await numbers(SmallReader([]), since="10m", until="10m") == []


async def test_what_happened_is_told_apart_by_its_struct() -> None:
    event = THREE[0]
    told = (event.node, event.namespace, event.container, event.type, event.time, event.id, event.incarnation)
    recorded = event.recorded
    assert told == ("n1", "default", "x", TaskPaused.type, recorded.time, recorded.id, None)
    match event.data:
        case TaskPaused(container_id=container):
            assert container == "x"
        case other:
            pytest.fail(f"{other} is no pause")


async def test_an_event_of_a_newer_bridge_reaches_its_reader_raw() -> None:
    log = MemoryLog()
    await Scribe(log, "n1").record(TaskPaused(container_id="x", name="shop"), namespace="default", container="x")
    [message] = log.messages
    newer = message.body.replace(b"task.paused.v1", b"task.moved.v2").replace(b'"name":', b'"new_field":[1],"name":')
    await log.append([Entry(n=2, id="2", subject=message.subject, body=newer)])

    async with aclosing(Bus(log, MemoryBus(), log.subjects).events(follow=False)) as events:
        old, new = [event async for event in events]

    assert isinstance(old.data, TaskPaused)
    assert isinstance(new.data, Unrecognized)
    assert (new.type, new.container) == ("io.containerd.task.moved.v2", "x")
    assert b'"new_field":[1]' in new.data.json


async def test_a_field_of_a_newer_bridge_is_passed_over_and_stands_in_the_body() -> None:
    log = MemoryLog()
    await Scribe(log, "n1").record(TaskPaused(container_id="x", name="shop"), namespace="default", container="x")
    body = log.messages[0].body.replace(b'"name":', b'"new_field":[1],"name":').replace(b'{"spec', b'{"newer":1,"spec')
    await log.append([Entry(n=2, id="2", subject=log.messages[0].subject, body=body)])

    async with aclosing(Bus(log, MemoryBus(), log.subjects).events(since=2, follow=False)) as events:
        [event] = [event async for event in events]

    assert event.data == TaskPaused(container_id="x", name="shop")
    assert b'"newer":1' in event.body
