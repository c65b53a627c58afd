"""One stream for all browsers: what each gets, and what a slow one costs."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from bridge.page.broadcast import Broadcast


def parsed(frame: bytes) -> tuple[str, str, Any]:
    fields = dict(line.split(": ", 1) for line in frame.decode().strip().splitlines())
    return fields.get("id", ""), fields["event"], json.loads(fields["data"])


@pytest.fixture
def total() -> list[int]:
    return []


@pytest.fixture
def broadcast(total: list[int]) -> Broadcast:
    return Broadcast(lambda: {"total": sum(total)}, messages=4)


def tell(broadcast: Broadcast, total: list[int], *numbers: int) -> None:
    for number in numbers:
        total.append(number)
        broadcast.tell({"number": number})


async def test_a_browser_gets_everything_and_then_what_changes(broadcast: Broadcast, total: list[int]) -> None:
    tell(broadcast, total, 1, 2)
    async with aclosing(broadcast.read()) as frames:
        _, kind, body = parsed(await anext(frames))
        assert (kind, body) == ("snapshot", {"total": 3})
        waiting = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(0)
        tell(broadcast, total, 4)
        assert parsed(await waiting)[1:] == ("change", {"number": 4})


async def test_one_that_comes_back_gets_what_it_missed(broadcast: Broadcast, total: list[int]) -> None:
    tell(broadcast, total, 1)
    async with aclosing(broadcast.read()) as frames:
        last, _, _ = parsed(await anext(frames))
    tell(broadcast, total, 2, 3)
    async with aclosing(broadcast.read(last)) as frames:
        assert [parsed(await anext(frames))[2] for _ in range(2)] == [{"number": 2}, {"number": 3}]


@pytest.mark.parametrize("last", ["", "x", "0-1", "-", "ffff-99999999999999999999", None])
async def test_one_that_was_elsewhere_begins_anew(broadcast: Broadcast, total: list[int], last: str | None) -> None:
    tell(broadcast, total, 1)
    async with aclosing(broadcast.read(last)) as frames:
        assert parsed(await anext(frames))[1] == "snapshot"


async def test_one_that_was_away_too_long_begins_anew(broadcast: Broadcast, total: list[int]) -> None:
    async with aclosing(broadcast.read()) as frames:
        last, _, _ = parsed(await anext(frames))
    tell(broadcast, total, 1, 2, 3, 4, 5)
    async with aclosing(broadcast.read(last)) as frames:
        assert parsed(await anext(frames))[1:] == ("snapshot", {"total": 15})


async def test_a_slow_one_is_told_to_begin_anew_and_costs_no_memory(broadcast: Broadcast, total: list[int]) -> None:
    async with aclosing(broadcast.read()) as frames:
        await anext(frames)
        tell(broadcast, total, *range(1000))
        assert len(broadcast._kept) == 4
        assert parsed(await anext(frames))[1] == "reload"
        with pytest.raises(StopAsyncIteration):
            await anext(frames)


async def test_what_is_kept_is_bounded_in_bytes_too(total: list[int]) -> None:
    broadcast = Broadcast(dict, size=10_000)
    for _ in range(100):
        broadcast.tell({"text": "x" * 1000})
    assert sum(map(len, broadcast._kept.values())) <= 10_000
    assert broadcast._kept


async def test_every_reader_comes_to_its_end(broadcast: Broadcast) -> None:
    async def read() -> int:
        return len([frame async for frame in broadcast.read()])

    readers = [asyncio.create_task(read()) for _ in range(3)]
    await asyncio.sleep(0)
    broadcast.end()
    assert await asyncio.gather(*readers) == [1, 1, 1]
