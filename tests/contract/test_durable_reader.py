"""The contract of `DurableReader`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import pytest

from bridge.errors import LogUnavailable
from bridge.ports import DurableReading, Start, StoredEvent
from tests.contract.logs import SUBJECTS, Store, entries, entry, garbage, heartbeat

ALL = Start(sequence=1)
NEW = Start()


class Reader:
    """Somebody who reads under a name."""

    def __init__(self, reading: DurableReading, events: AsyncIterator[StoredEvent]) -> None:
        self.reading = reading
        self._events = events
        self.last: StoredEvent | None = None

    async def take(self, count: int) -> list[int]:
        """The positions of the next events, waiting for them."""
        found = []
        async with asyncio.timeout(90):
            for _ in range(count):
                self.last = await anext(self._events)
                found.append(self.last.stream_sequence)
        return found

    async def acknowledge(self) -> None:
        assert self.last is not None
        await self.reading.acknowledge(self.last)


@asynccontextmanager
async def reading(store: Store, *filters: str, start: Start = ALL, name: str = "audit") -> AsyncIterator[Reader]:
    async with store.durable.resume(name, list(filters), start, lambda event: event.container != "unwanted") as opened:
        events: Any = opened.events()
        async with aclosing(events):
            yield Reader(opened, events)


async def test_what_is_acknowledged_does_not_come_again(store: Store) -> None:
    await store.log.append(entries(6))
    async with reading(store) as one:
        assert await one.take(4) == [1, 2, 3, 4]
        await one.acknowledge()
    async with reading(store) as other:
        assert await other.take(2) == [5, 6]


async def test_what_is_not_acknowledged_comes_again_first_and_in_order(store: Store) -> None:
    await store.log.append(entries(5))
    async with reading(store) as one:
        await one.take(2)
        await one.acknowledge()
        await one.take(2)
    await store.log.append(entries(3, first=6))
    async with reading(store) as other:
        assert await other.take(3) == [3, 4, 5]
        await other.acknowledge()
    async with reading(store) as third:
        assert await third.take(3) == [6, 7, 8]
        await third.acknowledge()
    async with reading(store) as fourth:
        await store.log.append(entries(1, first=9))
        assert await fourth.take(1) == [9]


async def test_a_new_name_begins_where_it_is_told_and_an_old_one_where_it_was(store: Store) -> None:
    await store.log.append(entries(3))
    async with reading(store, start=NEW) as new, reading(store, start=Start(sequence=3), name="other") as third:
        await store.log.append(entries(2, first=4))
        assert await new.take(1) == [4]
        assert await third.take(2) == [3, 4]
        await new.acknowledge()
    async with reading(store, start=ALL) as again:
        assert await again.take(1) == [5]


async def test_it_begins_at_a_time(store: Store) -> None:
    await store.log.append(entries(1))
    await store.log.append(entries(2, first=2))
    second = (await store.events())[1]
    async with reading(store, start=Start(time=second.stored_at)) as one:
        assert (await one.take(1))[0] <= 2


async def test_filters_choose_and_what_is_passed_over_counts_as_done(store: Store) -> None:
    filters = [SUBJECTS.event_filter(container="web.1"), SUBJECTS.event_filter(container="unwanted")]
    for first in (entry(1), entry(2, container="db"), entry(3, container="unwanted"), garbage(4), entry(5)):
        await store.log.append([first])
    async with reading(store, *filters) as one:
        assert await one.take(2) == [1, 5]
        await one.acknowledge()
        for one_more in (entry(6, container="unwanted"), heartbeat(7), entry(8)):
            await store.log.append([one_more])
        assert await one.take(1) == [8]
        await one.acknowledge()
    async with reading(store, *filters) as other:
        await store.log.append([entry(9)])
        assert await other.take(1) == [9]


async def test_thousands_that_nobody_wants_hold_nothing_up(store: Store) -> None:
    await store.log.append(entries(2_500, containers=["unwanted"]))
    await store.log.append([entry(2_501)])
    async with reading(store) as one:
        assert await one.take(1) == [2_501]


async def test_a_backlog_that_is_acknowledged_as_it_is_read_comes_whole(store: Store) -> None:
    await store.log.append(entries(2_500))
    seen: list[int] = []
    async with reading(store) as one:
        while len(seen) < 2_500:
            seen += await one.take(500)
            await one.acknowledge()
    assert seen == list(range(1, 2_501))


async def test_it_reads_on_when_the_log_comes_back(store: Store) -> None:
    await store.log.append(entries(4))
    async with reading(store) as one:
        assert await one.take(2) == [1, 2]
        await one.acknowledge()
        async with store.down():
            pass
        await store.log.append(entries(2, first=5))
        assert await one.take(4) == [3, 4, 5, 6]
        await one.acknowledge()
    async with reading(store) as other:
        await store.log.append(entries(1, first=7))
        assert await other.take(1) == [7]


async def test_two_that_share_a_name_miss_nothing_together(store: Store) -> None:
    had: list[list[int]] = [[], []]

    async def read(reader: Reader, mine: list[int]) -> None:
        while True:
            mine += await reader.take(1)
            await reader.acknowledge()

    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(reading(store)) for _ in had]
        reads = [asyncio.create_task(read(reader, mine)) for reader, mine in zip(readers, had, strict=True)]
        for first in (1, 6, 11, 16):
            await store.log.append(entries(5, first=first))
            while not {*had[0], *had[1]} >= set(range(1, first + 5)):
                await asyncio.sleep(0.01)
        for task in reads:
            task.cancel()
        await asyncio.wait(reads)
    assert all(mine == sorted(set(mine)) for mine in had)


async def test_a_name_that_is_forgotten_is_a_new_one(store: Store) -> None:
    await store.log.append(entries(2))
    async with reading(store) as one:
        await one.take(2)
        await one.acknowledge()
    assert await store.durable.forget("audit")
    assert not await store.durable.forget("audit")
    async with reading(store) as again:
        assert await again.take(2) == [1, 2]


async def test_a_log_that_is_down_is_said_to_be(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.impatient(monkeypatch)
    async with store.down():
        with pytest.raises(LogUnavailable):
            async with reading(store):
                pass
