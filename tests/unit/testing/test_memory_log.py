"""What can be done to a log in memory, and what a scribe writes into one."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from bridge.errors import LogRefused, LogUnavailable
from bridge.model.envelope import Position
from bridge.model.events import RawEvent, TaskCreate, TaskStart
from bridge.model.node_events import ImageCreate, NodeGap
from bridge.model.schema import dataschema_of
from bridge.ports import Entry, Start
from bridge.testing import MemoryLog, Scribe


def entries(*names: str) -> list[Entry]:
    return [
        Entry(n=n, id=name, subject=f"containerd.nodes.{name[0]}.gap", body=b"{}") for n, name in enumerate(names, 1)
    ]


def ids(log: MemoryLog) -> list[str]:
    return [message.id for message in log.messages]


@pytest.mark.parametrize(("after", "stored"), [(0, []), (2, ["a", "b"]), (None, ["a", "b", "c"])])
async def test_an_append_fails_where_it_is_told_to(after: int | None, stored: list[str]) -> None:
    log = MemoryLog()
    log.fail(LogUnavailable("the connection was lost"), after=after)
    with pytest.raises(LogUnavailable, match="the connection was lost"):
        await log.append(entries("a", "b", "c"))
    assert ids(log) == stored
    await log.append(entries("a", "b", "c"))
    assert ids(log) == ["a", "b", "c"]


async def test_failures_are_used_up_one_by_one() -> None:
    log = MemoryLog()
    log.fail(LogUnavailable("first"))
    log.fail(LogRefused("second"))
    for error in ("first", "second"):
        with pytest.raises((LogUnavailable, LogRefused), match=error):
            await log.append(entries("a"))
    await log.append(entries("a"))
    assert log.appends == 3


async def test_beyond_the_duplicate_window_entries_are_stored_again() -> None:
    log = MemoryLog()
    await log.append(entries("a", "b"))
    log.forget_ids()
    await log.append(entries("b", "c"))
    assert ids(log) == ["a", "b", "b", "c"]


async def test_a_log_that_went_back_takes_what_it_lost_again() -> None:
    log = MemoryLog()
    await log.append(entries("a", "b", "c"))
    log.go_back(2)
    assert ids(log) == ["a"]
    await log.append(entries("b", "c"))
    assert ids(log) == ["a", "b", "c"]


async def test_a_reader_goes_on_where_a_log_that_went_back_goes_on() -> None:
    log = MemoryLog()
    scribe = Scribe(log)
    for name in "abc":
        await scribe.record(ImageCreate(name=name))
    events: Any = log.read([], Start(sequence=1), follow=True)
    async with aclosing(events):
        for _ in range(3):
            await anext(events)
        following = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        log.go_back(2)
        await scribe.record(ImageCreate(name="d"))
        assert (await following).recorded.subject == "d"


async def test_where_only_the_order_of_containers_is_kept_others_overtake() -> None:
    log = MemoryLog(in_one_order=False)
    await log.append(entries("a1", "b1", "a2", "b2"))
    assert ids(log) != ["a1", "b1", "a2", "b2"]
    assert [name for name in ids(log) if name[0] == "a"] == ["a1", "a2"]
    assert [name for name in ids(log) if name[0] == "b"] == ["b1", "b2"]


async def test_a_scribe_numbers_as_a_bridge_does() -> None:
    log = MemoryLog()
    scribe = Scribe(log, "web1")
    started = await scribe.record(TaskStart(container_id="a"), namespace="k8s.io", container="a")
    created = await scribe.record(TaskCreate(container_id="b"), namespace="k8s.io", container="b")
    again = await scribe.record(TaskStart(container_id="b"), namespace="k8s.io", container="b", origin="reconciled")
    gap = await scribe.record(NodeGap(since=None, until=created.time, reason="test"))
    raw = await scribe.record(
        RawEvent(topic="/x", type_url="y", value=b"", reason="unknown-topic", size=0, sha256=""), namespace="k8s.io"
    )
    assert [event.sequence for event in (started, created, again, gap, raw)] == [1, 1, 2, None, None]
    assert [event.incarnation for event in (started, created, again, gap)] == [None, created.id, created.id, None]
    assert [Position.parse(event.position or "").n for event in (started, created, again, gap, raw)] == [1, 2, 3, 4, 5]
    assert (again.origin, again.dataschema) == ("reconciled", dataschema_of(TaskStart))
    assert [message.subject for message in log.messages] == [
        "containerd.events.web1.k8s=2Eio.a.start",
        "containerd.events.web1.k8s=2Eio.b.create",
        "containerd.events.web1.k8s=2Eio.b.start",
        "containerd.nodes.web1.gap",
        "containerd.events.web1.k8s=2Eio.-.raw",
    ]
    stored = [event async for event in log.read([], Start(sequence=1), follow=False)]
    assert [event.recorded for event in stored] == [started, created, again, gap, raw]
    assert await log.end("web1") == (5, raw.position)
