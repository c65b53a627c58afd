"""Reading on a real nats-server: history and live without a hole, states at a point, choices, what is kept, the doctor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.client import Bus, connect
from bridge.client.folding import key_of
from bridge.errors import LogRefused
from bridge.jetstream.api import api
from bridge.jetstream.buckets import ensure_buckets
from bridge.jetstream.connection import Connection
from bridge.jetstream.log import open_log
from bridge.jetstream.state import JetStreamStates, open_states
from bridge.jetstream.streams import ensure_events
from bridge.model.codec import encode_any
from bridge.model.envelope import Event, Unrecognized
from bridge.model.envelope import Sequence as Number
from bridge.model.events import (
    ContainerCreate,
    ContainerDelete,
    TaskCreate,
    TaskExecAdded,
    TaskExecExit,
    TaskExit,
    TaskPaused,
    TaskStart,
)
from bridge.model.fold import evolve
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import NodeGap, NodeHeartbeat
from bridge.model.state import ContainerState
from bridge.model.subjects import ContainerKey
from bridge.ports import Change, EventLog
from tests.integration.jetstream_entries import STREAM, SUBJECTS, connected
from tests.integration.stories import SECOND, Story

BEGAN = Nanos(now() - 3600 * SECOND)
"""When the first event of every story was read: an hour ago."""


WEB: dict[str, Any] = {
    "image": "docker.io/library/nginx:1.27",
    "labels": {"app": "web", "tier": "front"},
    "name": "shop",
}
JOB: dict[str, Any] = {"image": "busybox", "labels": {"app": "job"}}


def story() -> Story:
    """`web.1` in two namespaces and on two nodes, a job that fails, a gap."""
    told = Story(BEGAN)
    told.tell(ContainerCreate(id="web.1", **WEB), "web.1")
    told.tell(TaskCreate(container_id="web.1", pid=7, **WEB), "web.1")
    told.tell(TaskStart(container_id="web.1", pid=7, **WEB), "web.1")
    told.tell(ContainerCreate(id="web.1", **JOB), "web.1", namespace="moby")
    told.tell(TaskStart(container_id="job", pid=8, **JOB), "job")
    told.tell(TaskStart(container_id="web.1", pid=9, **WEB), "web.1", node="n-2")
    told.tell(TaskExit(container_id="job", id="job", pid=8, exit_status=3, **JOB), "job")
    told.tell(NodeHeartbeat(probe_ns=1), node="n.1")
    told.tell(NodeGap(since=Nanos(BEGAN + 8 * SECOND), until=Nanos(BEGAN + 9 * SECOND), reason="restarted"), node="n.1")
    told.tell(TaskPaused(container_id="web.1", **WEB), "web.1")
    told.tell(ContainerDelete(id="job", **JOB), "job")
    return told


@pytest.fixture
async def connection(nats_url: str) -> AsyncIterator[Connection]:
    async with connected(nats_url) as opened:
        await ensure_events(opened, SUBJECTS)
        yield opened


@pytest.fixture
async def log(connection: Connection) -> EventLog:
    return await open_log(connection, SUBJECTS)


@pytest.fixture
async def bus(nats_url: str, log: EventLog) -> AsyncIterator[Bus]:
    async with connect(nats_url) as opened:
        yield opened


@pytest.fixture
async def told(log: EventLog) -> Story:
    """The story, in the log."""
    found = story()
    await log.append(found.entries)
    return found


@pytest.fixture
async def states(connection: Connection) -> JetStreamStates:
    """The bucket of states, empty."""
    await ensure_buckets(connection, SUBJECTS)
    return await open_states(connection, SUBJECTS)


def changes(of: Sequence[ContainerState]) -> list[Change]:
    return [Change(key=key_of(state), value=encode_any(state)) for state in of]


def at(seconds: float) -> Nanos:
    return Nanos(BEGAN + round(seconds * SECOND))


async def ids(bus: Bus, **choice: Any) -> list[int]:
    """The stream sequences of what is chosen."""
    async with aclosing(bus.events(follow=False, **choice)) as events:
        return [event.stream_sequence async for event in events]


# -- history and live


async def test_events_since_any_point_have_no_hole_before_what_comes(log: EventLog, bus: Bus) -> None:
    # Somebody writes all the time; readers begin at different points of what is there, and all see each event once.
    writing = Story(BEGAN)
    batches = 40
    begun = asyncio.Event()

    async def write() -> None:
        for batch in range(batches):
            first = len(writing.entries)
            for number in range(50):
                container = f"c.{number % 7}"
                writing.tell(TaskStart(container_id=container, pid=1 + first + number), container)
            await log.append(writing.entries[first:])
            if batch == 5:
                begun.set()

    async def read(since: int | None) -> list[int]:
        found = []
        async with aclosing(bus.events(since=since, until=50 * batches, follow=True)) as events:
            async for event in events:
                assert event.recorded.id == writing.entries[event.stream_sequence - 1].id
                found.append(event.stream_sequence)
        return found

    writer = asyncio.create_task(write())
    await begun.wait()
    readers = [asyncio.create_task(read(since)) for since in (1, 100, 251, 300)]
    await writer
    assert [await reader for reader in readers] == [list(range(n, 50 * batches + 1)) for n in (1, 100, 251, 300)]


async def test_a_history_goes_on_without_a_hole_with_what_comes(log: EventLog, bus: Bus) -> None:
    writing = Story(BEGAN)
    rounds = 200
    begun = asyncio.Event()

    async def write() -> None:
        writing.tell(TaskStart(container_id="web.1", pid=7), "web.1")
        await log.append(writing.entries)
        for number in range(rounds):
            writing.tell(TaskExecAdded(container_id="web.1", exec_id="probe"), "web.1")
            writing.tell(TaskExecExit(container_id="web.1", id="probe", exit_status=0), "web.1")
            await log.append(writing.entries[-2:])
            if number == 20:
                begun.set()

    writer = asyncio.create_task(write())
    await begun.wait()
    moments = []
    async with aclosing(bus.history("web.1", follow=True)) as life:
        async for moment in life:
            moments.append(moment)
            if len(moments) == 2 * rounds + 1:
                break
    await writer

    assert [moment.event.recorded.id for moment in moments] == [entry.id for entry in writing.entries]
    assert moments[-1].state == writing.states[ContainerKey("n.1", "k8s.io", "web.1")]


async def test_a_choice_is_the_same_before_and_after_the_switch_to_what_comes(
    log: EventLog, bus: Bus, told: Story
) -> None:
    found: list[Event | Unrecognized] = []

    async def read() -> None:
        async with aclosing(bus.events(since=1, label="app=web", exit_status="!=0")) as events:
            async for event in events:
                found.append(event.recorded.data)  # noqa: PERF401 - one by one, it is looked at meanwhile

    async with asyncio.timeout(90):
        reading = asyncio.create_task(read())
        late = Story(BEGAN)
        late.entries, late.recorded, late.states = told.entries, told.recorded, told.states
        for status in (0, 3):
            late.tell(TaskExit(container_id="web.1", id="web.1", pid=7, exit_status=status, **WEB), "web.1")
            late.tell(TaskExit(container_id="job", id="job", pid=8, exit_status=4, **JOB), "job")
        await log.append(late.entries[-4:])
        while not found:
            await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    assert [event.exit_status for event in found if isinstance(event, TaskExit)] == [3]
    assert len(found) == 1


# -- choosing


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"label": "app=web"}, [1, 2, 3, 6, 10]),
        ({"label": ["app=web", "app=job"], "namespace": "moby"}, [4]),
        ({"label": "tier!=front"}, [4, 5, 7, 11]),
        ({"name": "sh*", "node": "n-2"}, [6]),
        ({"name": "web*"}, [4]),
        ({"image": "nginx", "type": "paused"}, [10]),
        ({"image": ["busybox", "nginx:1.2?"], "container": "web.1", "namespace": "moby"}, [4]),
        ({"exit_status": "!=0"}, [7]),
        ({"exit_status": "0"}, []),
        ({"label": "app=web", "type": ["start", "gap"]}, [3, 6, 9]),
        ({"label": "app=web", "since": 3, "until": 6}, [3, 6]),
    ],
)
async def test_events_are_chosen_by_what_they_say(
    bus: Bus, told: Story, choice: dict[str, Any], expected: list[int]
) -> None:
    assert await ids(bus, **choice) == expected


# -- states at a point


async def test_states_at_a_time_and_at_a_number_are_what_was_then(bus: Bus, told: Story) -> None:
    for n in range(len(told.entries) + 1):
        expected: dict[ContainerKey, ContainerState] = {}
        for one in told.recorded[:n]:
            if one.sequence is not None:
                key = ContainerKey(one.node, one.namespace or "", one.container or "")
                expected[key] = evolve(expected.get(key), one)
        ordered = [expected[key] for key in sorted(expected)]

        assert await bus.states(at=at(n)) == ordered
        assert await bus.states(at=n or at(0)) == ordered


async def test_states_are_chosen_on_the_server_and_by_what_they_were(bus: Bus, told: Story) -> None:
    assert [state.node for state in await bus.states(at=at(9), name="shop")] == ["n-2", "n.1"]
    assert [state.container for state in await bus.states(at=at(9), exit_status="3")] == ["job"]
    assert await bus.states(at=at(6), exit_status="3") == []
    [moby] = await bus.states(at=at(9), container="web.1", namespace="moby")
    assert (moby.status, moby.labels) == ("none", {"app": "job"})


async def test_an_outage_of_the_bus_does_not_move_what_was_then(bus: Bus, told: Story) -> None:
    # Everything was stored just now; a moment of an hour ago is told by when it was read.
    [job] = await bus.states(at=at(5.5), container="job")

    assert job.status == "running"


async def test_before_the_log_s_beginning_nothing_is_claimed(connection: Connection, bus: Bus, told: Story) -> None:
    await drop(connection, 3)

    with pytest.raises(ValueError, match="lies before the log, which begins with event 4, stored at"):
        await bus.states(at=at(2))


async def drop(connection: Connection, upto: int) -> None:
    """Let the first events of the log expire."""
    info = await api(connection, f"STREAM.INFO.{STREAM}")
    limited = {**info["config"], "max_msgs": info["state"]["messages"] - upto}
    await api(connection, f"STREAM.UPDATE.{STREAM}", limited)
    await api(connection, f"STREAM.UPDATE.{STREAM}", {**limited, "max_msgs": -1})


async def test_what_has_expired_is_taken_from_what_is_kept(
    connection: Connection, bus: Bus, told: Story, states: JetStreamStates
) -> None:
    # The create and start of web.1 on n.1 are gone from the log, and what is left does not tell that it ran.
    idle = ContainerState(node="n.1", namespace="default", container="db", status="running", sequence=Number(4))
    await states.write(changes([*told.states.values(), idle]))
    await drop(connection, 9)
    later = now()

    found = {(state.node, state.namespace, state.container): state.status for state in await bus.states(at=later)}

    assert found == {
        ("n.1", "default", "db"): "running",
        ("n.1", "k8s.io", "job"): "gone",
        ("n.1", "k8s.io", "web.1"): "paused",
        ("n.1", "moby", "web.1"): "none",
        ("n-2", "k8s.io", "web.1"): "running",
    }


# -- what is kept


async def test_what_is_kept_is_chosen_from(bus: Bus, told: Story, states: JetStreamStates) -> None:
    await states.write(changes([*told.states.values()]))

    assert await bus.states() == [told.states[key] for key in sorted(told.states)]
    assert [state.node for state in await bus.states(label="app=web", node=["n.1", "n-2"])] == ["n-2", "n.1"]
    assert [state.namespace for state in await bus.states(namespace="moby", container="web.1")] == ["moby"]


async def test_without_a_bucket_it_is_said(bus: Bus, told: Story) -> None:
    with pytest.raises(LogRefused, match="there is no bucket containerd-state"):
        await bus.states()


async def test_what_is_kept_is_verified_and_mended(bus: Bus, told: Story, states: JetStreamStates) -> None:
    right = [state for state in told.states.values() if state.status != "gone"]
    await states.write(changes(right))
    assert (await bus.verify()).differences == []

    await states.write(changes([replace(right[0], status="stopped", pid=1)]))
    await states.write([Change(key=ContainerKey("n.1", "k8s.io", "nobody"), value=encode_any(right[0]))])
    await states.write([Change(key=key_of(right[1]), value=None)])
    assert [one.kind for one in (await bus.verify()).differences] == ["extra", "different", "missing"]

    done = await bus.rebuild()

    assert (done.written, done.removed, done.left, done.verified.differences) == (2, 1, 0, [])
    assert await bus.states() == sorted(right, key=key_of)


async def test_a_rebuild_beside_a_bridge_that_writes_never_takes_a_state_back(
    log: EventLog, bus: Bus, states: JetStreamStates
) -> None:
    writing = Story(BEGAN)
    key = ContainerKey("n.1", "k8s.io", "web.1")
    over = asyncio.Event()

    async def write() -> None:
        # As a bridge does: first the event, then the state; here and there the state gets lost.
        for n in range(150):
            writing.tell(TaskExecAdded(container_id="web.1", exec_id=f"e{n}"), "web.1")
            await log.append(writing.entries[-1:])
            if n % 10:
                await states.write(changes([writing.states[key]]))
        over.set()

    seen: list[int] = []

    async def watch() -> None:
        async with aclosing(states.follow()) as entries:
            async for entry in entries:
                if entry is not None and entry.value is not None:
                    seen.append(int(json.loads(entry.value)["sequence"]))  # noqa: PERF401 - it never ends

    watching = asyncio.create_task(watch())
    writer = asyncio.create_task(write())
    while not over.is_set():
        await bus.rebuild()
    await writer
    done = await bus.rebuild()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

    assert done.verified.differences == []
    assert await bus.states() == [writing.states[key]]
    assert seen == sorted(seen)
