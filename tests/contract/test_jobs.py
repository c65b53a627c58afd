"""The contract of `JobSource` and `JobStore`, each held against the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from bridge.config import NatsConfig
from bridge.jetstream.api import api
from bridge.jetstream.connection import connect
from bridge.jetstream.errors import ApiError
from bridge.jetstream.job_source import JetStreamJobs
from bridge.jetstream.job_store import JetStreamJobStore
from bridge.model.nanos import Nanos
from bridge.model.subjects import Subjects
from bridge.ports import Job, JobBacklog, JobSource, JobStore, Quarantined
from bridge.ports.jobs import AGAIN, ID
from bridge.testing import MemoryJobs
from tests.contract.conftest import NATS, OLDER_NATS, OLDEST_NATS

SUBJECTS = Subjects()


class Plane(NamedTuple):
    """A stream of jobs, the source of web1, and what makes that begin anew."""

    store: JobStore
    source: JobSource
    disturb: Callable[[], Awaitable[None]]

    async def send(self, name: str, *, node: str = "web1", verb: str = "stop", **options: Any) -> bool:
        subject = SUBJECTS.job(SUBJECTS.command(node, "default", "web.1", verb))
        body = f'{{"id":"{name}"}}'.encode()
        return await self.store.submit(subject, body, command_id=name, name=f"{node}.{name}", **options)

    async def first(self, count: int) -> list[Job]:
        """The first jobs that come; the source is left as a crash leaves it."""
        found: list[Job] = []
        async with asyncio.timeout(90), aclosing(self.source.jobs()) as jobs:
            async for job in jobs:
                found.append(job)
                if len(found) == count:
                    break
        return found


@pytest.fixture(params=["memory", NATS, OLDER_NATS, OLDEST_NATS])
async def plane(request: pytest.FixtureRequest) -> AsyncIterator[Plane]:
    if request.param == "memory":
        memory = MemoryJobs()

        async def disturb() -> None:
            memory.disturb()

        yield Plane(memory, memory.source("web1"), disturb)
        return
    server = request.getfixturevalue("nats_server_factory")(version=request.param)
    async with connect(NatsConfig(url=server.url), name="test") as connection:
        source = JetStreamJobs(connection, SUBJECTS, "web1", held=lambda: True)
        await source.open()

        async def end_consumer() -> None:
            with suppress(ApiError):
                await api(connection, "CONSUMER.DELETE.CONTAINERD_JOBS.web1")

        yield Plane(JetStreamJobStore(connection, SUBJECTS), source, end_consumer)


def ids(jobs: list[Job]) -> list[str]:
    return [job.headers[ID] for job in jobs]


async def test_how_many_jobs_there_are_is_told(plane: Plane) -> None:
    assert await plane.source.backlog() == JobBacklog(0, 0)
    for number in range(4):
        await plane.send(f"a-{number}", verb=["stop", "start"][number % 2])
    await plane.send("b-1", node="web2")
    jobs = await plane.first(4)
    await plane.source.put_aside(jobs[0], aside(jobs[0]))
    await plane.source.done(jobs[0])
    assert await plane.source.backlog() == JobBacklog(3, 1)


async def test_jobs_come_as_they_were_sent_and_in_their_order(plane: Plane) -> None:
    for number in range(5):
        assert await plane.send(f"a-{number}")
    found = await plane.first(5)
    assert ids(found) == [f"a-{number}" for number in range(5)]
    assert found[0].subject == "containerd.jobs.web1.default.web=2E1.stop"
    assert found[0].body == b'{"id":"a-0"}'
    assert AGAIN not in found[0].headers
    # Who looks and who carries them out call those without an id the same.
    there = await plane.store.waiting()
    assert [replace(job, headers={}).name for job in there] == [replace(job, headers={}).name for job in found]
    assert [job.name for job in there] == [job.name for job in found] == ids(found)
    assert [job.sequence for job in found] == sorted(job.sequence for job in found)


async def test_those_of_another_node_are_not_ours(plane: Plane) -> None:
    await plane.send("theirs", node="web2")
    await plane.send("ours")
    assert ids(await plane.first(1)) == ["ours"]
    assert [job.headers[ID] for job in await plane.store.waiting(node="web2")] == ["theirs"]


async def test_one_of_the_same_name_is_stored_once(plane: Plane) -> None:
    assert await plane.send("a-1")
    assert not await plane.send("a-1")
    assert await plane.send("a-1", node="web2")
    assert len(await plane.store.waiting()) == 2


async def test_what_is_not_done_comes_again_before_what_was_sent_behind_it(plane: Plane) -> None:
    for number in range(4):
        await plane.send(f"a-{number}")
    found = await plane.first(3)
    await plane.source.done(found[1])
    await plane.send("a-4")
    assert ids(await plane.first(4)) == ["a-0", "a-2", "a-3", "a-4"]


async def test_in_doubt_it_begins_anew_by_itself(plane: Plane) -> None:
    for number in range(3):
        await plane.send(f"a-{number}")
    seen: list[str] = []
    async with asyncio.timeout(90), aclosing(plane.source.jobs()) as jobs:
        async for job in jobs:
            seen.append(job.headers[ID])
            if len(seen) == 2:
                await plane.source.done(job)
            if len(seen) == 3:
                await plane.disturb()
            if len(seen) == 5:
                break
    assert seen == ["a-0", "a-1", "a-2", "a-0", "a-2"]


async def test_a_job_that_was_tried_before_says_so(plane: Plane) -> None:
    await plane.send("a-1", again=True)
    assert AGAIN in (await plane.first(1))[0].headers


async def test_what_is_done_does_not_wait_any_more(plane: Plane) -> None:
    await plane.send("a-1")
    await plane.send("a-2")
    first, _ = await plane.first(2)
    await plane.source.done(first)
    assert [job.headers[ID] for job in await plane.store.waiting()] == ["a-2"]


def aside(job: Job) -> Quarantined:
    return Quarantined(
        id="a-1",
        node="web1",
        subject=job.subject,
        body=job.body,
        code="invalid_argument",
        why="the options are not valid: é\nand more",
        at=Nanos(1_795_470_228_000_000_001),
        attempts=2,
        job=job.sequence,
    )


async def test_what_is_put_aside_is_there_once_with_its_reason(plane: Plane) -> None:
    await plane.send("a-1")
    [job] = await plane.first(1)
    found = aside(job)
    for _ in range(2):
        await plane.source.put_aside(job, found)
    [one] = await plane.store.quarantined()
    assert (one.id, one.body, one.code, one.attempts, one.job) == ("a-1", job.body, found.code, 2, job.sequence)
    assert (one.subject, one.at) == (job.subject, found.at)
    assert one.why.startswith("the options are not valid")
    assert await plane.store.quarantined(node="web2") == []
    await plane.store.drop(one)
    assert list(await plane.store.quarantined()) == []


async def test_nothing_waits_where_nothing_was_sent(plane: Plane) -> None:
    assert list(await plane.store.waiting()) == []
    assert list(await plane.store.quarantined()) == []
    await plane.source.progress([])
