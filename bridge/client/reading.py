"""Reading the log: from one point to another, and all of it.

A login that may read one namespace may have consumers with one filter each: NATS can tell what a consumer reads only where one
filter stands in the subject that makes it. So what reads all of the log for several filters has a reading for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from heapq import heapify, heappop, heapreplace
from typing import TypeVar

from bridge.model.nanos import Nanos, now
from bridge.ports import EventReader, Start, StoredEvent

__all__ = ["closing", "read", "whole_log"]

T = TypeVar("T")


async def read(
    reader: EventReader, filters: Sequence[str], start: Start, end: Nanos | int | None, *, follow: bool
) -> AsyncGenerator[StoredEvent, None]:
    """Iterate from `start` to `end`, both included.

    With `follow` an `end` that is a time is waited for; one that is a stream sequence ends it with the first event at or
    behind it that matches.
    """
    if follow and isinstance(end, Nanos):
        opened: AsyncIterator[StoredEvent] = _until(reader, filters, start, end)
    else:
        opened = reader.read(filters, start, follow=follow)
    async with closing(opened) as events:
        async for event in events:
            if _behind(event, end):
                return
            yield event
            if event.stream_sequence == end:
                return


async def _until(
    reader: EventReader, filters: Sequence[str], start: Start, limit: Nanos
) -> AsyncGenerator[StoredEvent, None]:
    rest = start
    async with closing(reader.read(filters, start, follow=True)) as following:
        while True:
            try:
                async with asyncio.timeout((limit - now()) / 1e9) as clock:
                    event = await anext(following)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not clock.expired():
                    raise
                break
            rest = Start(sequence=event.stream_sequence + 1)
            yield event
    # The time has come, but a backlog may not have been read to its end yet.
    async with closing(reader.read(filters, rest, follow=False)) as remaining:
        async for event in remaining:
            yield event


def whole_log(reader: EventReader, filters: Sequence[str]) -> AsyncIterator[StoredEvent]:
    """Iterate over all there is of some filters that do not overlap, in the log's order, with one reading for each filter."""
    if len(filters) < 2:
        return reader.read(filters, Start(sequence=1), follow=False)
    return _merged(reader, filters)


async def _merged(reader: EventReader, filters: Sequence[str]) -> AsyncGenerator[StoredEvent, None]:
    # The readings begin one after the other: what comes meanwhile would be in the later ones alone.
    end = (await reader.extent()).last_sequence
    async with AsyncExitStack() as stack:
        heads: list[tuple[int, int, StoredEvent, AsyncIterator[StoredEvent]]] = []
        for number, pattern in enumerate(filters):
            events = await stack.enter_async_context(closing(reader.read([pattern], Start(sequence=1), follow=False)))
            first = await anext(events, None)
            if first is not None:
                heads.append((first.stream_sequence, number, first, events))
        heapify(heads)
        while heads and heads[0][0] <= end:
            _, number, event, events = heads[0]
            yield event
            following = await anext(events, None)
            if following is None:
                heappop(heads)
            else:
                heapreplace(heads, (following.stream_sequence, number, following, events))


@asynccontextmanager
async def closing(stream: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close what a reader reads with the end of the context: `aclosing` for the iterators of the port."""
    try:
        yield stream
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()


def _behind(event: StoredEvent, end: Nanos | int | None) -> bool:
    match end:
        case None:
            return False
        case Nanos():
            return event.stored_at > end
        case _:
            return event.stream_sequence > end
