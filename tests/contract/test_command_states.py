"""The contract of `CommandStates`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from bridge.errors import CommandFailed
from bridge.jetstream.buckets import ensure_buckets
from bridge.jetstream.commands import JetStreamCommands
from bridge.model.events import Failure
from bridge.model.nanos import Nanos
from bridge.model.outcomes import CommandState, Outcome
from bridge.model.subjects import CommandSubject, Subjects
from bridge.ports import CommandStates
from bridge.testing import MemoryCommands
from tests.contract.conftest import NATS, OLDER_NATS, OLDEST_NATS
from tests.integration.jetstream_entries import connected

STATE = CommandState(
    id="a.1",
    verb="stop",
    node="web.1",
    stage="accepted",
    via="job",
    namespace="k8s.io",
    container="db",
    received_at=Nanos(1_795_470_228_000_000_001),
)
OUTCOME = Outcome(
    id="a.1",
    verb="stop",
    node="web.1",
    outcome="error",
    error=Failure(code="cancelled", message="é"),
    finished_at=Nanos(1_795_470_229_000_000_001),
)


@pytest.fixture(params=["memory", NATS, OLDER_NATS, OLDEST_NATS])
async def states(request: pytest.FixtureRequest) -> AsyncIterator[CommandStates]:
    if request.param == "memory":
        yield MemoryCommands()
        return
    server = request.getfixturevalue("nats_server_factory")(version=request.param)
    async with connected(server.url) as connection:
        await ensure_buckets(connection, Subjects())
        yield JetStreamCommands(connection, Subjects())


async def test_what_was_written_stands_there(states: CommandStates) -> None:
    await states.write([STATE])
    assert list(await states.get("a.1")) == [STATE]
    assert list(await states.get("a.1", node="web.1")) == [STATE]
    assert list(await states.get("a.1", node="web")) == []
    assert list(await states.get("a")) == []


async def test_the_last_one_counts(states: CommandStates) -> None:
    await states.write([STATE, replace(STATE, stage="started")])
    await states.write([replace(STATE, stage="finished", outcome=OUTCOME)])
    [state] = await states.get("a.1")
    assert state.outcome == OUTCOME


async def test_one_id_on_two_nodes_is_two_commands(states: CommandStates) -> None:
    await states.write([STATE, replace(STATE, node="web.2")])
    assert [state.node for state in await states.get("a.1")] == ["web.1", "web.2"]


async def test_they_are_listed_in_the_order_of_their_last_writing(states: CommandStates) -> None:
    assert [state async for state in states.list()] == []
    for name in ("a", "b", "c", "a"):
        await states.write([replace(STATE, id=name)])
    await states.write([replace(STATE, id="d", node="web.2")])
    assert [state.id async for state in states.list()] == ["b", "c", "a", "d"]
    assert [state.id async for state in states.list(node="web.2")] == ["d"]


async def test_an_outcome_is_waited_for(states: CommandStates) -> None:
    await states.write([STATE])
    waiting = asyncio.create_task(states.wait("a.1", "web.1", timeout=90))
    await states.write([replace(STATE, stage="started")])
    assert not waiting.done()
    await states.write([replace(STATE, stage="finished", outcome=OUTCOME)])
    assert await waiting == OUTCOME
    assert await states.wait("a.1", "web.1", timeout=90) == OUTCOME


async def test_one_that_does_not_come_is_said(states: CommandStates) -> None:
    with pytest.raises(CommandFailed) as raised:
        await states.wait("a.1", "web.1", timeout=0.05)
    assert raised.value.code == "deadline_exceeded"


async def test_an_outcome_that_is_known_already_is_not_the_one_that_is_waited_for(states: CommandStates) -> None:
    refused = replace(OUTCOME, outcome="refused")
    await states.write([replace(STATE, stage="finished", outcome=refused)])
    waiting = asyncio.create_task(states.wait("a.1", "web.1", timeout=90, after=refused))
    await states.write([replace(STATE, stage="started")])
    await states.write([replace(STATE, stage="finished", outcome=OUTCOME)])
    assert await waiting == OUTCOME


async def test_that_a_job_is_taken_back_stands_beside_it(states: CommandStates) -> None:
    subject = CommandSubject("web.1", "default", "db.1", "pause")
    assert not await states.taken_back("a.1", subject)
    await states.take_back("a.1", subject)
    await states.take_back("a.1", subject)
    assert await states.taken_back("a.1", subject)
    assert not await states.taken_back("a.1", subject._replace(node="web.2"))
    assert not await states.taken_back("a.1", subject._replace(container="db.2"))
    assert await states.get("a.1") == []
    assert [state async for state in states.list()] == []
    await states.write([STATE])
    assert await states.get("a.1") == [STATE]


@pytest.mark.nats
@pytest.mark.parametrize("written", [b"", b'{"type":"io.nats.jetstream.api.v1.account_info_response"}'])
async def test_what_a_server_is_made_to_write_takes_no_job_back(nats_url: str, written: bytes) -> None:
    subject = CommandSubject("web.1", "default", "db.1", "pause")
    async with connected(nats_url) as connection:
        await ensure_buckets(connection, Subjects())
        states = JetStreamCommands(connection, Subjects())
        key = Subjects.taken_back_key("web.1", "default", "db.1", "a.1")
        await connection.client.publish(f"$KV.{Subjects().command_bucket}.{key}", written)
        await connection.client.flush()
        assert not await states.taken_back("a.1", subject)
        await states.take_back("a.1", subject)
        assert await states.taken_back("a.1", subject)
