"""From the outbox into a stream that loses what it acknowledged, is full, or is not there: on every generation of servers.

The stream is read by a client that is not ours: nothing that the outbox keeps is missing, nothing comes twice, and each
container's events are in their order.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import bridge.capture.delivery as delivery_module
import bridge.jetstream.fast_ingest as fast_ingest_module
import bridge.jetstream.log as log_module
from bridge.capture.delivery import Delivery
from bridge.capture.outbox import Outbox
from bridge.capture.outbox_reader import OutboxReader
from bridge.capture.takeover import taken_over
from bridge.errors import LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.log import open_log
from bridge.jetstream.streams import AS_USUAL, declared, ensure_events
from bridge.model.codec import decode_as
from bridge.model.node_events import NodeGap
from bridge.model.state import ContainerState
from bridge.ports import Entry
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import STREAM, SUBJECTS, connected, entries, judge, kept, log_on
from tests.testbed import NatsServer

EVERY = ("2.15", "2.10", "2.9")


@pytest.fixture(params=EVERY)
def server(request: pytest.FixtureRequest, nats_server_factory: NatsServerFactory) -> NatsServer:
    return nats_server_factory(version=request.param)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(delivery_module, "LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr(delivery_module, "SURE_S", 0.1)
    monkeypatch.setattr(log_module, "GONE_S", 0.2)


class Node:
    """An outbox, and delivery from it into the stream of a server, in as many runs as wanted."""

    def __init__(self, path: Path, server: NatsServer) -> None:
        self.outbox = Outbox(path)
        self.outbox.open()
        self.server = server
        self.sent: list[Entry] = []
        self.gaps: list[NodeGap] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Run]:
        async with connected(self.server.url) as connection:
            await ensure_events(connection, SUBJECTS)
            reader = OutboxReader(self.outbox.path)
            delivery = Delivery(
                await open_log(connection, SUBJECTS),
                reader,
                node="n1",
                outbox_log=self.outbox.log,
                acknowledged=self.outbox.acknowledged,
                last_n=self.outbox.last_n,
                acknowledged_at=self.outbox.acknowledged_at,
            )
            delivery.tell_gaps(self.gaps.append)
            await delivery.resume()
            task = asyncio.create_task(delivery.run())
            try:
                yield Run(self, delivery, connection, task)
            finally:
                task.cancel()
                await asyncio.wait({task})
                reader.close()
                self.outbox.commit([], [], delivery.position, None)
            if not task.cancelled():
                task.result()


class Run:
    """One run of it."""

    def __init__(self, node: Node, delivery: Delivery, connection: Connection, task: asyncio.Task[None]) -> None:
        self.delivery = delivery
        self.connection = connection
        self._node = node
        self._task = task

    def commit(self, count: int, *, size: int = 0) -> None:
        outbox = self._node.outbox
        fresh = entries(count, first=outbox.last_n + 1, log=outbox.log, size=size)
        outbox.commit(fresh, [], self.delivery.position, None)
        self.delivery.committed(fresh)
        self._node.sent += fresh

    async def settled(self) -> None:
        settled = asyncio.ensure_future(self.delivery.settled())
        ends: set[asyncio.Future[Any]] = {settled, self._task}
        await asyncio.wait(ends, timeout=90, return_when=asyncio.FIRST_COMPLETED)
        assert settled.done(), self._task if self._task.done() else self.delivery.refused

    async def deliver(self, count: int) -> None:
        self.commit(count)
        await self.settled()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(90):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.fixture
def node(server: NatsServer, tmp_path: Path) -> Node:
    return Node(tmp_path / "outbox.db", server)


def same_events(found: list[Any], sent: list[Entry]) -> None:
    """As `judge`, by the events themselves: what is appended again has another message id."""
    bodies = {entry.body: entry.id for entry in sent}
    judge([message._replace(id=bodies.get(message.body, message.id)) for message in found], sent)


class Copy:
    """The store of a server as it was when this was made."""

    def __init__(self, server: NatsServer) -> None:
        self._store = server.directory / "jetstream"
        self._copy = server.directory / "copy"
        self._server = server
        server.kill()
        shutil.copytree(self._store, self._copy)
        server.start()

    def restore(self) -> None:
        """Kill the server, put the old store in place of the present one, and start it again."""
        self._server.kill()
        shutil.rmtree(self._store)
        shutil.copytree(self._copy, self._store)
        self._server.start()


async def test_a_server_that_comes_back_with_an_older_copy_while_we_run(node: Node, server: NatsServer) -> None:
    async with node.running() as run:
        await run.deliver(40)
        copy = await asyncio.to_thread(Copy, server)
        await run.connection.linked()
        await run.deliver(700)
        lost = run.connection.link.lost
        await asyncio.to_thread(copy.restore)
        await lost()
        await run.connection.linked()
        await run.deliver(5)
        assert run.delivery.statistics().replayed == 700
    same_events(await kept(server.url), node.sent)
    assert node.gaps == []


async def test_a_server_that_comes_back_with_an_older_copy_between_two_runs(node: Node, server: NatsServer) -> None:
    async with node.running() as run:
        await run.deliver(40)
    copy = Copy(server)
    async with node.running() as run:
        await run.deliver(300)
    copy.restore()
    async with node.running() as run:
        await run.settled()
        await run.deliver(5)
    same_events(await kept(server.url), node.sent)
    assert node.gaps == []


async def test_an_older_copy_with_which_other_nodes_went_on(node: Node, server: NatsServer) -> None:
    """The stream's numbers are beyond ours again; that its end is not ours shows all the same."""
    async with node.running() as run:
        await run.deliver(40)
    copy = Copy(server)
    async with node.running() as run:
        await run.deliver(30)
    copy.restore()
    async with log_on(server.url) as (_, other):
        await other.append(entries(500, node="n2"))
    async with node.running() as run:
        await run.settled()
    same_events([message for message in await kept(server.url) if ".n1." in message.subject], node.sent)


async def test_what_was_acknowledged_and_not_written_down_is_not_appended_again(node: Node, server: NatsServer) -> None:
    """`kill -9` between the acknowledgement and its note: the stream's own end tells, whatever it remembers of ids."""
    async with node.running() as run:
        run.commit(500)
        await run.settled()
        run.delivery.position = 0  # what the next run finds written down
    async with node.running() as run:
        assert (run.delivery.position, run.delivery.behind) == (500, 0)
        await run.deliver(3)
        assert run.delivery.statistics().appended == 3
    judge(await kept(server.url), node.sent)


async def test_a_stream_that_is_deleted_while_we_run_is_made_anew_and_filled(
    node: Node, server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with node.running() as run:
        await run.deliver(100)
        before = (await api(run.connection, f"STREAM.INFO.{STREAM}"))["config"]
        await api(run.connection, f"STREAM.DELETE.{STREAM}")
        await run.deliver(5)
        assert (await api(run.connection, f"STREAM.INFO.{STREAM}"))["config"] == before
        assert run.delivery.statistics().troubles["no_stream"] >= 1
    assert "is gone, with all that was in it: making it anew" in caplog.text
    same_events(await kept(server.url), node.sent)


async def test_a_stream_that_is_deleted_between_two_runs_is_filled_again(node: Node, server: NatsServer) -> None:
    async with node.running() as run:
        await run.deliver(100)
    async with connected(server.url) as connection:
        await api(connection, f"STREAM.DELETE.{STREAM}")
    async with node.running() as run:
        await run.settled()
        await run.deliver(1)
    same_events(await kept(server.url), node.sent)


async def test_a_stream_that_is_another_one_from_one_append_to_the_next(node: Node, server: NatsServer) -> None:
    """Nothing fails; only the number in the acknowledgement tells."""
    async with node.running() as run:
        await run.deliver(100)
        await api(run.connection, f"STREAM.DELETE.{STREAM}")
        await ensure_events(run.connection, SUBJECTS)
        await run.deliver(5)
        await run.settled()
        assert run.delivery.statistics().troubles == {"went_back": 1}
    # What came to be stored before anybody knew cannot have earlier events behind it: five containers of seven.
    found = await kept(server.url)
    for container in range(7):
        numbers = [_number(message) for message in found if f".c={container}." in message.subject.replace("2E", "")]
        assert numbers == sorted(set(numbers))
    first = [_number(message) for message in found][:5]
    assert sorted(first) == [101, 102, 103, 104, 105]
    lacking = {n for n in range(1, 106) if n not in {_number(message) for message in found}}
    assert {n % 7 for n in lacking} == {n % 7 for n in first}
    [gap] = node.gaps
    assert f"{len(lacking)} of the events {min(lacking)} to {max(lacking)} of outbox" in gap.reason


def _number(message: Any) -> int:
    return int(message.body.split(b'"position":"')[1].split(b'"')[0].rpartition(b":")[2])


async def _purgeable(server: NatsServer, **more: object) -> None:
    async with connected(server.url) as connection:
        config = declared(SUBJECTS, AS_USUAL, batched=server.version == "2.15")
        await api(connection, f"STREAM.CREATE.{STREAM}", {**config, "deny_purge": False, "deny_delete": False, **more})


async def test_a_purge_while_we_run_is_noticed_and_the_stream_filled_though_it_remembers_the_ids(
    node: Node, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _purgeable(server)
    async with node.running() as run:
        await run.deliver(50)
        monkeypatch.setattr(log_module, "LOOK_S", 0.0)
        await run.deliver(1)
        await api(run.connection, f"STREAM.PURGE.{STREAM}")
        await run.deliver(5)
        assert run.delivery.statistics().replayed == 51
    same_events(await kept(server.url), node.sent)


async def test_what_came_between_a_purge_and_its_notice_has_nothing_put_behind_it(
    node: Node, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _purgeable(server)
    async with node.running() as run:
        monkeypatch.setattr(log_module, "LOOK_S", 0.0)
        await run.deliver(50)
        await run.deliver(1)
        monkeypatch.setattr(log_module, "LOOK_S", 60.0)
        await api(run.connection, f"STREAM.PURGE.{STREAM}")
        await run.deliver(1)
        monkeypatch.setattr(log_module, "LOOK_S", 0.0)
        await run.deliver(1)
    found = [_number(message) for message in await kept(server.url)]
    assert sorted(found) == [n for n in range(1, 54) if n == 52 or n % 7 != 52 % 7]
    [gap] = node.gaps
    assert "7 of the events 3 to 45 of outbox" in gap.reason


async def test_a_purge_between_two_runs_is_noticed(node: Node, server: NatsServer) -> None:
    await _purgeable(server)
    async with node.running() as run:
        await run.deliver(50)
    async with connected(server.url) as connection:
        await api(connection, f"STREAM.PURGE.{STREAM}")
    async with node.running() as run:
        await run.settled()
    same_events(await kept(server.url), node.sent)


async def test_ids_that_a_purged_stream_remembers_make_no_event_stored(
    nats_server_factory: NatsServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_ingest_module, "CONFIRM_S", 0.1)
    server = nats_server_factory()
    await _purgeable(server)
    async with log_on(server.url) as (connection, log):
        sent = entries(10)
        await log.append(sent)
        await api(connection, f"STREAM.PURGE.{STREAM}")
        with pytest.raises(LogUnavailable, match="and does not have it"):
            await log.append(sent)


async def test_one_message_that_is_deleted_is_neither_an_end_nor_put_back(node: Node, server: NatsServer) -> None:
    await _purgeable(server)
    async with node.running() as run:
        await run.deliver(50)
        await api(run.connection, f"STREAM.MSG.DELETE.{STREAM}", {"seq": 20})
    for _ in range(2):
        async with node.running() as run:
            await run.deliver(3)
    found = await kept(server.url)
    assert len(found) == 55
    assert len({message.body for message in found}) == 55
    assert node.gaps == []


async def test_what_has_expired_is_not_put_back(node: Node, server: NatsServer) -> None:
    await _purgeable(server, max_age=1_000_000_000, duplicate_window=1_000_000_000)
    async with connected(server.url) as connection:
        log = await open_log(connection, SUBJECTS)
        sent = entries(10, log=node.outbox.log)
        node.outbox.commit(sent, [], 0, None)
        await log.append(sent)
        node.outbox.commit([], [], 10, None)
        async with asyncio.timeout(90):
            while (await api(connection, f"STREAM.INFO.{STREAM}"))["state"]["messages"]:
                await asyncio.sleep(0.1)
        assert not await log.keeps(node.outbox.acknowledged_at)


async def test_a_full_stream_refuses_events_wait_and_go_on_when_there_is_room(node: Node, server: NatsServer) -> None:
    await _purgeable(server, discard="new", max_bytes=100_000)
    async with node.running() as run:
        run.commit(400)
        await run.until(lambda: run.delivery.refused is not None)
        assert "maximum bytes exceeded" in str(run.delivery.refused)
        run.commit(10)
        config = (await api(run.connection, f"STREAM.INFO.{STREAM}"))["config"]
        await api(run.connection, f"STREAM.UPDATE.{STREAM}", {**config, "max_bytes": -1})
        await run.settled()
        await run.until(lambda: run.delivery.refused is None)
        assert run.delivery.statistics().troubles["full"] >= 1
    judge(await kept(server.url), node.sent)


async def test_a_stream_that_drops_its_oldest_refuses_nothing_and_gets_nothing_twice(
    node: Node, server: NatsServer
) -> None:
    await _purgeable(server, discard="old", max_bytes=100_000)
    for _ in range(3):
        async with node.running() as run:
            await run.deliver(300)
            assert run.delivery.statistics().troubles == {}
            assert run.delivery.statistics().replayed == 0
    found = await kept(server.url)
    assert 0 < len(found) < 300
    assert [_number(message) for message in found if message.subject.endswith("c=2E1.start")] == sorted(
        _number(message) for message in found if message.subject.endswith("c=2E1.start")
    )
    assert len({message.body for message in found}) == len(found)
    assert node.gaps == []


async def test_a_restored_stream_that_drops_its_oldest_is_filled_too(node: Node, server: NatsServer) -> None:
    await _purgeable(server, discard="old", max_bytes=100_000)
    async with node.running() as run:
        await run.deliver(300)
    copy = Copy(server)
    async with node.running() as run:
        await run.deliver(20)
    copy.restore()
    async with node.running() as run:
        await run.settled()
        assert run.delivery.statistics().replayed == 20
    found = await kept(server.url)
    assert len({message.body for message in found}) == len(found)
    assert [_number(message) for message in found][-20:] == sorted(_number(message) for message in found)[-20:] or (
        server.version != "2.15"
    )


async def test_an_account_without_room_refuses_and_events_wait(
    nats_server_factory: NatsServerFactory, tmp_path: Path
) -> None:
    server = nats_server_factory(jetstream="max_memory_store: 1MB, max_file_store: 200KB")
    node = Node(tmp_path / "outbox.db", server)
    async with node.running() as run:
        run.commit(600)
        await run.until(lambda: run.delivery.refused is not None)
        assert run.delivery.statistics().troubles.get("full"), run.delivery.statistics().troubles
        server.jetstream = "max_memory_store: 1MB, max_file_store: 200MB"
        await asyncio.to_thread(server.restart)
        await run.settled()
    judge(await kept(server.url), node.sent)


async def test_ten_thousand_containers_are_taken_over_from_the_log(server: NatsServer) -> None:
    async with log_on(server.url) as (_, log):
        await log.append(entries(30_000, containers=10_000))
        found = await taken_over(log, "n1")
    assert len(found.containers) == 10_000
    states = {row.container: decode_as(row.state, ContainerState) for row in found.containers}
    assert states["c.1"].sequence == 20_001
    assert states["c.0"].sequence == 30_000
