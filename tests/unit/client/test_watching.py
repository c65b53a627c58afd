"""Watching the states of containers: what is there, what changes, what goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from bridge.client import ContainerState
from bridge.client.folding import key_of
from bridge.errors import LogRefused, LogUnavailable
from bridge.model.codec import encode_any
from bridge.model.subjects import ContainerKey
from bridge.ports import Change
from bridge.testing import MemoryStates
from tests.unit.client.small_bus import bus


def state(container: str, **fields: Any) -> ContainerState:
    return ContainerState(node="n1", namespace="default", container=container, **fields)


async def put(store: MemoryStates, *states: ContainerState) -> None:
    await store.write([Change(key=key_of(one), value=encode_any(one)) for one in states])


class Watching:
    """What a watcher has been told so far."""

    def __init__(self, told: AsyncIterator[ContainerState]) -> None:
        self._told = told

    async def next(self, count: int = 1) -> list[tuple[str, str]]:
        async with asyncio.timeout(120):
            states = [await anext(self._told) for _ in range(count)]
        return [(one.container, one.status) for one in states]


@asynccontextmanager
async def watching(store: MemoryStates, **choice: Any) -> AsyncIterator[Watching]:
    async with aclosing(bus(states=store).watch(**choice)) as told:
        yield Watching(told)


async def test_what_is_there_comes_first_and_then_what_changes() -> None:
    store = MemoryStates()
    await put(store, state("a", status="running"), state("b", status="stopped"))
    async with watching(store) as told:
        assert sorted(await told.next(2)) == [("a", "running"), ("b", "stopped")]
        await put(store, state("c", status="created"))
        assert await told.next() == [("c", "created")]
        await put(store, state("a", status="paused"))
        assert await told.next() == [("a", "paused")]


async def test_a_key_that_goes_is_a_container_that_is_gone_told_once() -> None:
    store = MemoryStates()
    await put(store, state("a", status="running"), state("b", status="gone"))
    async with watching(store) as told:
        await told.next(2)
        store.forget(ContainerKey("n1", "default", "a"))
        store.forget(ContainerKey("n1", "default", "b"))
        await put(store, state("c", status="running"))
        assert await told.next(2) == [("a", "gone"), ("c", "running")]


async def test_only_what_matches_comes_and_what_does_not_match_any_more_once() -> None:
    store = MemoryStates()
    await put(store, state("a", labels={"app": "web"}, status="running"), state("b", labels={}, status="running"))
    async with watching(store, label="app=web") as told:
        assert await told.next() == [("a", "running")]
        await put(store, state("a", labels={}, status="running"))
        await put(store, state("b", labels={}, status="paused"))
        assert await told.next() == [("a", "running")]
        await put(store, state("a", labels={}, status="paused"), state("c", labels={"app": "web"}, status="created"))
        assert await told.next() == [("c", "created")]


async def test_several_nodes_and_containers_can_be_chosen() -> None:
    store = MemoryStates()
    await put(store, state("a"), state("b"), state("c"))
    async with watching(store, node=["n1", "n2"], container=["a", "c"]) as told:
        assert [name for name, _ in await told.next(2)] == ["a", "c"]


async def test_what_is_no_state_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStates()
    await store.write([Change(key=ContainerKey("n1", "default", "bad"), value=b"{")])
    await put(store, state("a"))
    async with watching(store) as told:
        assert [name for name, _ in await told.next()] == ["a"]
    assert "bad on node n1 is no state" in caplog.text


async def test_without_a_store_or_with_a_silent_one_it_says_so() -> None:
    with pytest.raises(LogRefused, match="no states are kept"):
        bus().watch()
    with pytest.raises(ValueError, match="an empty name"):
        bus(states=MemoryStates()).watch(container="")
    store = MemoryStates()
    with store.down(), pytest.raises(LogUnavailable):
        async with watching(store) as told:
            await told.next()
