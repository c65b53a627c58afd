"""The contract of `EventReader`."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from bridge.errors import LogUnavailable
from bridge.model.codec import decode
from bridge.model.nanos import Nanos, now
from bridge.ports import Start, StoredEvent
from tests.contract.logs import SUBJECTS, Store, entries, entry, garbage, heartbeat

ALL = Start(sequence=1)


async def take(events: AsyncIterator[StoredEvent], count: int) -> list[StoredEvent]:
    """The next events, waiting for them."""
    async with asyncio.timeout(90):
        return [await anext(events) for _ in range(count)]


async def test_an_empty_log_is_read_at_once(store: Store) -> None:
    assert await store.events() == []


async def test_an_event_comes_with_all_that_the_log_knows(store: Store) -> None:
    before = now()
    appended = entry(1)
    await store.log.append([appended])
    (event,) = await store.events()
    assert event.stream_sequence == 1
    assert event.subject == appended.subject
    assert event.body == appended.body
    assert event.recorded == decode(appended.body)
    assert type(event.stored_at) is Nanos
    assert before - 10**9 <= event.stored_at <= now() + 10**9


async def test_everything_is_read_in_order(store: Store) -> None:
    appended = entries(1_200)
    await store.log.append(appended)
    stored = await store.events()
    assert [event.stream_sequence for event in stored] == list(range(1, 1_201))
    assert store.kept(appended, [event.recorded.id for event in stored])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], [1, 2, 3, 4, 5, 6]),
        ([SUBJECTS.event_filter()], [1, 2, 3, 4, 6]),
        ([SUBJECTS.event_filter(container="web.1")], [1, 3, 6]),
        ([SUBJECTS.event_filter(namespace="k8s.io", container="web.1")], [1, 6]),
        ([SUBJECTS.event_filter(node="n2")], [4]),
        ([SUBJECTS.event_filter(event="exit")], []),
        ([SUBJECTS.node_filter()], [5]),
        ([SUBJECTS.event_filter(node="n2"), SUBJECTS.node_filter(node="n1")], [4, 5]),
        ([SUBJECTS.event_filter(container="web.1"), SUBJECTS.event_filter(node="n1")], [1, 2, 3, 6]),
        (SUBJECTS.stream_subjects(), [1, 2, 3, 4, 5, 6]),
    ],
    ids=["none", "events", "container", "namespace", "node", "word", "nodes", "several", "overlapping", "all"],
)
async def test_filters_choose(store: Store, filters: list[str], expected: list[int]) -> None:
    appended = [
        entry(1),
        entry(2, container="db"),
        entry(3, namespace="a.b"),
        entry(4, node="n2", container="other"),
        heartbeat(5),
        entry(6),
    ]
    for one in appended:
        await store.log.append([one])
    assert [event.stream_sequence for event in await store.events(*filters)] == expected


@pytest.mark.parametrize(("sequence", "expected"), [(1, [1, 2, 3]), (2, [2, 3]), (3, [3]), (4, []), (100, [])])
async def test_reading_begins_at_a_sequence(store: Store, sequence: int, expected: list[int]) -> None:
    await store.log.append(entries(3))
    stored = await store.events(start=Start(sequence=sequence))
    assert [event.stream_sequence for event in stored] == expected


async def test_reading_begins_at_a_time_that_is_included(store: Store) -> None:
    for n in range(1, 5):
        await store.log.append([entry(n)])
    times = [event.stored_at for event in await store.events()]
    for index, moment in enumerate(times):
        stored = await store.events(start=Start(time=moment))
        assert [event.stored_at for event in stored] == times[index:]
    assert len(await store.events(start=Start(time=Nanos(0)))) == 4
    assert await store.events(start=Start(time=Nanos(times[-1] + 1))) == []


async def test_without_following_it_ends_at_what_was_the_end(store: Store) -> None:
    await store.log.append(entries(20))
    events: Any = store.reader.read([], ALL, follow=False)
    async with aclosing(events):
        seen = await take(events, 1)
        await store.log.append(entries(20, first=21))
        seen += [event async for event in events]
    assert [event.stream_sequence for event in seen] == list(range(1, 21))


async def test_without_following_the_next_event_to_come_is_none(store: Store) -> None:
    await store.log.append(entries(3))
    assert await store.events(start=Start()) == []


async def test_following_goes_on_with_what_comes(store: Store) -> None:
    await store.log.append(entries(3))
    async with store.following(start=ALL) as events:
        assert [event.stream_sequence for event in await take(events, 3)] == [1, 2, 3]
        waiting = asyncio.ensure_future(take(events, 4))
        await store.log.append(entries(2, first=4))
        await store.log.append(entries(2, first=6))
        assert [event.stream_sequence for event in await waiting] == [4, 5, 6, 7]


async def test_following_the_next_event_to_come_leaves_out_what_was(store: Store) -> None:
    await store.log.append(entries(3))
    async with store.following(start=Start()) as events:
        first = asyncio.ensure_future(take(events, 1))
        n = 4
        while not first.done():  # when it has begun to read, only an event can tell
            await store.log.append([entry(n)])
            await asyncio.wait({first}, timeout=0.02)
            n += 1
        begun = (await first)[0].stream_sequence
        assert begun > 3
        rest = await take(events, n - 1 - begun)
        assert [event.stream_sequence for event in rest] == list(range(begun + 1, n))


async def test_following_filters_what_comes(store: Store) -> None:
    async with store.following(SUBJECTS.event_filter(container="db"), start=ALL) as events:
        await store.log.append(entries(9))
        assert [event.recorded.subject for event in await take(events, 3)] == ["db"] * 3


async def test_several_readers_follow_side_by_side(store: Store) -> None:
    async with store.following(start=ALL) as one, store.following(start=ALL) as other:
        await store.log.append(entries(20))
        left, right = await asyncio.gather(take(one, 20), take(other, 20))
        assert [event.body for event in left] == [event.body for event in right]


async def test_following_goes_on_when_the_log_is_back(store: Store) -> None:
    await store.log.append(entries(3))
    async with store.following(start=ALL) as events:
        await take(events, 3)
        waiting = asyncio.ensure_future(take(events, 3))
        async with store.down():
            await asyncio.wait({waiting}, timeout=0.1)
            assert not waiting.done()
        await store.log.append(entries(3, first=4))
        assert [event.stream_sequence for event in await waiting] == [4, 5, 6]


async def test_a_reading_can_be_left_early(store: Store) -> None:
    await store.log.append(entries(20))
    for _ in range(3):
        async with store.following(start=ALL) as events:
            assert (await take(events, 1))[0].stream_sequence == 1


async def test_the_latest_of_each_subject_come_in_the_order_of_the_log(store: Store) -> None:
    appended = [entry(1, container="a"), entry(2, container="b"), heartbeat(3), entry(4, container="a"), heartbeat(5)]
    await store.log.append(appended)

    every = await store.reader.latest([])
    some = await store.reader.latest([SUBJECTS.node_filter(), SUBJECTS.event_filter(container="b")])

    assert {event.recorded.id for event in every} == {appended[1].id, appended[3].id, appended[4].id}
    assert {event.recorded.id for event in some} == {appended[1].id, appended[4].id}
    assert [event.stream_sequence for event in every] == sorted(event.stream_sequence for event in every)
    assert await store.reader.latest([SUBJECTS.node_filter("n9")]) == []


async def test_the_latest_of_thousands_are_all_there(store: Store) -> None:
    await store.log.append([entry(n, container=f"c{n}") for n in range(1, 1_201)])

    assert len(await store.reader.latest([SUBJECTS.event_filter()])) == 1_200


async def test_the_extent_says_how_far_the_log_reaches(store: Store) -> None:
    before = now()
    empty = await store.reader.extent()
    await store.log.append(entries(3))
    extent = await store.reader.extent()

    assert (empty.first_sequence, empty.last_sequence, empty.first_at, empty.messages) == (1, 0, None, 0)
    assert (extent.first_sequence, extent.last_sequence, extent.messages, extent.forgotten) == (1, 3, 3, False)
    assert extent.first_at is not None
    assert extent.last_at is not None
    assert before - 10**9 <= extent.first_at <= extent.last_at <= extent.now + 10**9
    assert extent.size > 0


async def test_while_nobody_answers_there_is_no_extent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.log.append(entries(1))
    store.impatient(monkeypatch)
    async with store.down():
        with pytest.raises(LogUnavailable):
            await store.reader.extent()
        with pytest.raises(LogUnavailable):
            await store.reader.latest([])


async def test_bytes_that_are_no_event_are_skipped_with_a_warning(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await store.log.append([entry(1), garbage(2), entry(3)])
    assert [event.stream_sequence for event in await store.events()] == [1, 3]
    assert "skipping message 2" in caplog.text


async def test_a_log_of_nothing_but_other_bytes_ends_too(store: Store) -> None:
    await store.log.append([garbage(1), garbage(2)])
    assert await store.events() == []


async def test_while_nobody_answers_reading_is_unavailable(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.impatient(monkeypatch)
    async with store.down():
        with pytest.raises(LogUnavailable):
            async with asyncio.timeout(90):
                await store.events()
