"""Reading a real stream under a name: through cuts, kills, a stream that is made anew; with the logins of `deploy/nats/`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

import bridge.jetstream.durable as durable_module
from bridge.client import Subscription, connect
from bridge.config import NatsConfig
from bridge.errors import LogRefused
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.log import open_log
from bridge.jetstream.permissions import IMPORTED_PREFIX
from bridge.jetstream.streams import ensure_events
from bridge.model.envelope import Position
from bridge.ports import EventLog
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import STREAM, SUBJECTS, connected, entries
from tests.integration.test_permissions import INBOXES, configured
from tests.testbed import NatsServer, Proxy

pytestmark = pytest.mark.nats


@pytest.fixture(params=("2.15", "2.10", "2.9"))
def server(request: pytest.FixtureRequest, nats_server_factory: NatsServerFactory) -> NatsServer:
    return nats_server_factory(version=request.param)


@pytest.fixture
async def connection(server: NatsServer) -> AsyncIterator[Connection]:
    async with connected(server.url) as open_connection:
        await ensure_events(open_connection, SUBJECTS)
        yield open_connection


@pytest.fixture
async def log(connection: Connection) -> EventLog:
    return await open_log(connection, SUBJECTS)


async def take(subscription: Subscription, count: int) -> list[int]:
    """The positions of the next events."""
    async with asyncio.timeout(120):
        events = [await anext(subscription) for _ in range(count)]
    return [Position.parse(event.recorded.position or "").n for event in events]


async def consumer(connection: Connection, name: str = "audit") -> dict[str, Any]:
    return await api(connection, f"CONSUMER.INFO.{STREAM}.{name}")


async def test_cuts_of_the_line_leave_neither_hole_nor_repetition(
    server: NatsServer, connection: Connection, log: EventLog
) -> None:
    await log.append(entries(2_000, containers=1))
    async with (
        Proxy(server.address) as proxy,
        connect(f"nats://{proxy.address}") as bus,
        bus.subscribe("audit", since=1) as subscription,
    ):
        seen = await take(subscription, 200)
        for _ in range(4):
            proxy.cut_after(20_000, "to_client")
            seen += await take(subscription, 450)
    assert seen == list(range(1, 2_001))
    # The last event's turn did not come to its end; leaving waits until the server has the acknowledgements before.
    found = await consumer(connection)
    assert (found["ack_floor"]["stream_seq"], found["num_pending"]) == (1_999, 0)


async def test_an_acknowledgement_that_is_lost_with_the_line_holds_nothing_up(
    server: NatsServer, connection: Connection, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable_module, "PENDING", 10)
    await log.append(entries(30, containers=1))
    async with (
        Proxy(server.address) as proxy,
        connect(f"nats://{proxy.address}") as bus,
        bus.subscribe("audit", since=1, acknowledge="by-hand") as subscription,
    ):
        assert await take(subscription, 10) == list(range(1, 11))  # no more is handed out without an acknowledgement
        proxy.hold("to_server")
        await subscription.acknowledge()
        await proxy.cut()
        proxy.release()
        assert await take(subscription, 10) == list(range(11, 21))


async def test_who_is_killed_gets_again_what_was_under_way_and_then_all_the_rest(
    server: NatsServer, connection: Connection, log: EventLog
) -> None:
    script = """
import asyncio, sys
from bridge.client import connect
async def main():
    async with connect(sys.argv[1]) as bus, bus.subscribe("audit", since=1) as events:
        async for event in events:
            print(event.stream_sequence, flush=True)
            if event.stream_sequence == int(sys.argv[2]):
                await asyncio.sleep(3600)
asyncio.run(main())
"""
    await log.append(entries(100, containers=1))
    seen: list[list[int]] = []
    for last in (40, 80, 100):
        reader = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, server.url, str(last), stdout=asyncio.subprocess.PIPE
        )
        assert reader.stdout is not None
        mine: list[int] = []
        async with asyncio.timeout(120):
            while last not in mine:
                mine.append(int(await reader.stdout.readline()))
            # It is killed in the middle of an event; the server has heard of those before it by then.
            while (await consumer(connection))["ack_floor"]["stream_seq"] < last - 1:
                await asyncio.sleep(0.01)
        reader.send_signal(signal.SIGKILL)
        await reader.wait()
        seen.append(mine)
    assert seen == [list(range(1, 41)), list(range(40, 81)), list(range(80, 101))]


async def test_a_stream_that_is_made_anew_is_read_from_its_beginning(
    connection: Connection, server: NatsServer
) -> None:
    log = await open_log(connection, SUBJECTS)
    await log.append(entries(3, containers=1))
    async with connect(server.url) as bus, bus.subscribe("audit", since=1) as subscription:
        assert await take(subscription, 3) == [1, 2, 3]
        await api(connection, f"STREAM.DELETE.{STREAM}")
        await ensure_events(connection, SUBJECTS)
        again = await open_log(connection, SUBJECTS)
        await again.append(entries(2, first=7, containers=1, log="22222222-2222-3333-4444-555555555555"))
        assert await take(subscription, 2) == [7, 8]


async def test_a_name_that_is_forgotten_while_it_is_read_is_read_on(
    connection: Connection, server: NatsServer, log: EventLog
) -> None:
    await log.append(entries(4, containers=1))
    async with connect(server.url) as bus, bus.subscribe("audit", since=1) as subscription:
        assert await take(subscription, 3) == [1, 2, 3]
        assert await bus.unsubscribe("audit")
        await log.append(entries(3, first=5, containers=1))
        assert await take(subscription, 4) == [4, 5, 6, 7]
    async with connect(server.url) as bus, bus.subscribe("audit") as subscription:
        assert await take(subscription, 1) == [7]


async def test_another_choice_counts_from_where_it_was(
    connection: Connection, server: NatsServer, log: EventLog
) -> None:
    await log.append(entries(6, containers=2))  # c.1, c.0, c.1, c.0, ...
    async with connect(server.url) as bus:
        async with bus.subscribe("audit", since=1, container="c.1") as subscription:
            assert await take(subscription, 2) == [1, 3]
        async with bus.subscribe("audit", container="c.0") as subscription:
            assert await take(subscription, 2) == [2, 4]


async def test_a_consumer_of_somebody_else_is_left_alone(
    connection: Connection, server: NatsServer, log: EventLog
) -> None:
    config = {"durable_name": "theirs", "ack_policy": "explicit"}
    await api(connection, f"CONSUMER.DURABLE.CREATE.{STREAM}.theirs", {"stream_name": STREAM, "config": config})
    async with connect(server.url) as bus:
        with pytest.raises(LogRefused, match="theirs is another program's consumer"):
            await anext(bus.subscribe("theirs"))
        with pytest.raises(ValueError, match="names no subscription"):
            await anext(bus.subscribe("a.b"))


@pytest.fixture
async def accounts(nats_server_factory: NatsServerFactory) -> AsyncIterator[tuple[NatsServer, EventLog]]:
    """A server with the accounts of `deploy/nats/`, and the log there."""
    server = nats_server_factory(config=configured("accounts.conf", "demo"))
    async with connected(server.url, user="node", password="x", inbox=INBOXES["node"]) as node:
        await ensure_events(node, SUBJECTS)
        yield server, await open_log(node, SUBJECTS)


@pytest.mark.parametrize("user", ["reader", "alice"])
async def test_the_logins_of_deploy_may_read_under_a_name(accounts: tuple[NatsServer, EventLog], user: str) -> None:
    server, log = accounts
    prefix = {"api_prefix": IMPORTED_PREFIX} if user == "alice" else {}
    login = NatsConfig(url=server.url, user=user, password="x", inbox=INBOXES[user], **prefix)  # type: ignore[arg-type]
    await log.append(entries(4, containers=1))
    for expected in ([1, 2, 3], [3, 4]):
        async with (
            connect(login) as bus,
            bus.subscribe("audit", namespace="demo", node_events=False, since=1) as subscription,
        ):
            assert await take(subscription, len(expected)) == expected


async def test_a_login_that_may_not_acknowledge_is_told_so(nats_server_factory: NatsServerFactory) -> None:
    login = '{ user: a, password: x, permissions: { publish: { deny: ["$JS.ACK.>"] } } }'
    server = nats_server_factory(config=f"authorization {{ users: [ {login} ] }}")
    async with connected(server.url, user="a", password="x") as connection:
        await ensure_events(connection, SUBJECTS)
        await (await open_log(connection, SUBJECTS)).append(entries(2_000, containers=1))
    async with connect(NatsConfig(url=server.url, user="a", password="x")) as bus:
        with pytest.raises(
            LogRefused, match=r"does not permit this login to publish to \$js.ack.containerd_events.audit"
        ):
            await take(bus.subscribe("audit", since=1), 2_000)
