"""The page on a real nats-server with the ready permission sets: each login sees there whatever it may read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from bridge.client import NatsConfig, connect
from bridge.jetstream.buckets import ensure_buckets
from bridge.jetstream.log import open_log
from bridge.jetstream.state import open_states
from bridge.jetstream.streams import ensure_events
from bridge.model.events import ContainerCreate, TaskCreate, TaskExit, TaskStart
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import NodeGap, NodeHeartbeat
from bridge.ports import EventLog
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import SUBJECTS, connected
from tests.integration.stories import SECOND, Story
from tests.integration.test_permissions import INBOXES, configured
from tests.integration.test_reading import changes
from tests.testbed import NatsServer
from tests.unit.page.served import BEARER, Served, served, stream

BEGAN = Nanos(now() - 3600 * SECOND)
WRITER: Final = '{ user: "writer", password: "x" }'

EVERYWHERE: Final[dict[str, Any]] = {}
IN_SHOP: Final = {"namespaces": ["shop"]}
IN_SHOP_BY_NODE: Final = {"namespaces": ["shop"], "nodes": ["n.1", "n-2"]}


@pytest.fixture
def story() -> Story:
    """`web` in the namespace shop and on another node too, `db` in another namespace, a gap."""
    told = Story(BEGAN)
    told.tell(NodeHeartbeat(probe_ns=1))
    told.tell(ContainerCreate(id="web"), "web", namespace="shop")
    told.tell(TaskCreate(container_id="web", pid=7), "web", namespace="shop")
    told.tell(TaskStart(container_id="web", pid=7), "web", namespace="shop")
    told.tell(TaskStart(container_id="db", pid=8), "db", namespace="other")
    told.tell(TaskStart(container_id="web", pid=9), "web", namespace="shop", node="n-2")
    told.tell(NodeGap(since=Nanos(BEGAN + 6 * SECOND), until=Nanos(BEGAN + 7 * SECOND), reason="restarted"))
    told.tell(NodeHeartbeat(probe_ns=1))
    told.tell(TaskExit(container_id="web", id="web", pid=7, exit_status=3), "web", namespace="shop")
    return told


@pytest.fixture
def server(nats_server_factory: NatsServerFactory) -> NatsServer:
    text = configured("server.conf", "shop")
    return nats_server_factory(config=text.replace("users: [", f"users: [\n      {WRITER}", 1))


@pytest.fixture
async def log(server: NatsServer, story: Story) -> AsyncIterator[EventLog]:
    """The story in the log, and the states beside it."""
    async with connected(server.url, user="writer", password="x") as connection:
        await ensure_events(connection, SUBJECTS)
        await ensure_buckets(connection, SUBJECTS)
        states, found = await open_states(connection, SUBJECTS), await open_log(connection, SUBJECTS)
        await states.write(changes(list(story.states.values())))
        await found.append(story.entries)
        yield found


@asynccontextmanager
async def page_of(server: NatsServer, user: str, **shown: Any) -> AsyncIterator[Served]:
    login = NatsConfig(url=server.url, user=user, password="x", inbox=INBOXES[user])
    async with connect(login, name="page") as bus, served(bus, **shown) as there:
        yield there


@pytest.mark.parametrize(
    ("user", "shown", "sees"),
    [
        ("reader", EVERYWHERE, ["n-2/shop/web", "n.1/other/db", "n.1/shop/web"]),
        ("reader", IN_SHOP, ["n-2/shop/web", "n.1/shop/web"]),
        ("shop", IN_SHOP, ["n-2/shop/web", "n.1/shop/web"]),
        ("shop", IN_SHOP_BY_NODE, ["n-2/shop/web", "n.1/shop/web"]),
    ],
)
async def test_a_login_sees_all_that_it_may_read(
    server: NatsServer, log: EventLog, story: Story, user: str, shown: dict[str, Any], sees: list[str]
) -> None:
    async with page_of(server, user, **shown) as there, stream(there) as messages:
        _, everything = await messages.next()
        rows = {row["key"] for row in everything["rows"]}
        told = {event["n"] for event in everything["events"]}
        wanted = {2, 3, 4, 6, 7, 9} | ({5} if len(sees) == 3 else set())  # no heartbeats
        nodes = everything["nodes"]
        while rows < set(sees) or told < wanted or not any(node["gaps"] for node in nodes):
            _, message = await messages.next()
            assert not message.get("trouble"), message
            rows |= {row["key"] for row in message.get("rows", [])}
            told |= {event["n"] for event in message.get("events", [])}
            nodes = message.get("nodes", nodes)
        assert (rows, told) == (set(sees), wanted)

        before = len(story.entries)
        story.tell(TaskStart(container_id="web", pid=10), "web", namespace="shop", incarnation="web-2")
        story.tell(NodeGap(since=BEGAN, until=BEGAN, reason="again"))
        await log.append(story.entries[before:])
        assert (await messages.until("events", lambda event: event["n"] == before + 1))["word"] == "start"
    async with page_of(server, user, **shown) as there:
        assert (await there.get("extent"))["first"] == (BEGAN + SECOND) // 1_000_000
        life = await there.get("containers/n.1/shop/web/history")
        assert [(step["event"]["n"], step.get("status")) for step in life["steps"]] == [
            *((2, "none"), (3, "created"), (4, "running"), (7, None)),
            *((9, "stopped"), (10, "running"), (11, None)),
        ]
        then = (await there.get("states", at=8))["rows"]
        assert {row["key"]: row["status"] for row in then} == dict.fromkeys(sees, "running")
        at = str(Nanos(BEGAN + 9 * SECOND))
        assert (await there.get("containers/n.1/shop/web/state", at=at))["row"]["exit_status"] == 3


async def test_a_page_that_shows_more_than_its_login_may_read_says_so(server: NatsServer, log: EventLog) -> None:
    async with page_of(server, "shop", namespaces=["other"]) as there, stream(there) as messages:
        _, message = await messages.next()
        while not message.get("trouble"):
            _, message = await messages.next()
        assert "permi" in message["trouble"]
        answer = await there.client.get("/api/extent", headers=BEARER)
        assert answer.status_code == 503
