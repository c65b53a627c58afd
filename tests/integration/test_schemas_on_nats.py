"""Schemas on the bus, asked for by a client that knows nothing of us: each by its names, of any node or of one, or why not."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from bridge.config import NatsConfig
from bridge.jetstream.connection import connect
from bridge.jetstream.permissions import listed, permitted
from bridge.jetstream.schemas import telling_schemas
from bridge.model.catalogue import document, short_names
from bridge.model.envelope import EVENT_TYPES
from bridge.model.schema import dataschema_of
from bridge.model.subjects import Subjects, quote
from tests import nats_client
from tests.fix_nats import NatsServerFactory

WITHIN_S = 90


@asynccontextmanager
async def telling(url: str, *nodes: str, root: str = "containerd", **login: Any) -> AsyncIterator[None]:
    """Bridges of these nodes, as far as schemas go; the version says which one answers."""
    async with AsyncExitStack() as stack:
        for node in nodes:
            connection = await stack.enter_async_context(connect(NatsConfig(url=url, **login), name="test"))
            await stack.enter_async_context(telling_schemas(connection, Subjects(root), node, version=f"0.1.{node}"))
        yield


@asynccontextmanager
async def asking(url: str, **options: Any) -> AsyncIterator[Client]:
    client = await nats_client.connect(url, **options)
    try:
        yield client
    finally:
        await client.close()


async def ask(client: Client, subject: str) -> Msg:
    return await client.request(subject, b"", timeout=WITHIN_S)


async def test_every_document_is_told_under_its_names(nats_url: str) -> None:
    async with telling(nats_url, "1"), asking(nats_url) as client:
        for short, name in short_names().items():
            reply = await ask(client, f"containerd.schemas.{quote(name)}")
            told = json.loads(reply.data)
            assert told["$id"] == f"{name}.json"
            assert (reply.headers or {})["Content-Type"] == "application/schema+json"
            assert (await ask(client, f"containerd.schemas.{quote(short)}")).data == reply.data
        for event in EVENT_TYPES.values():
            by_envelope = await ask(client, f"containerd.schemas.{quote(dataschema_of(event))}")
            assert json.loads(by_envelope.data)["title"] == event.__name__
        assert json.loads(by_envelope.data) == document(event.type)
        for name in ("index", "asyncapi"):
            assert json.loads((await ask(client, f"containerd.schemas.{name}")).data) == document(name)


async def test_any_node_answers_once_or_the_one_that_is_named(nats_url: str) -> None:
    async with telling(nats_url, "1", "2"), asking(nats_url) as client:
        for _ in range(10):
            await ask(client, "containerd.schemas.exit")
        counted = 0
        for node in ("1", "2"):
            reply = await ask(client, f"containerd.schemas.exit.{node}")
            headers = reply.headers or {}
            assert (headers["Bridge-Node"], headers["Bridge-Version"]) == (node, f"0.1.{node}")
        async for stats in both(client, "$SRV.STATS.containerd-bridge-schemas"):
            counted += stats["endpoints"][0]["num_requests"]
        assert counted == 10


async def both(client: Client, subject: str) -> AsyncIterator[dict[str, Any]]:
    """The answers of two nodes to one question."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish(subject, b"", reply=inbox)
    for _ in range(2):
        yield json.loads((await subscription.next_msg(timeout=WITHIN_S)).data)


async def test_what_is_not_there_is_an_error_that_says_what_is(nats_url: str) -> None:
    async with telling(nats_url, "1"), asking(nats_url) as client:
        for subject, code, said in (
            ("containerd.schemas.nobody", "404", "ask for 'index'"),
            ("containerd.schemas.a=2x", "400", "not a quoted subject token"),
        ):
            reply = await ask(client, subject)
            headers = reply.headers or {}
            assert (reply.data, headers["Nats-Service-Error-Code"]) == (b"", code)
            assert said in headers["Nats-Service-Error"]
        with pytest.raises(nats.errors.NoRespondersError):
            await ask(client, "containerd.schemas.exit.nobody")
        stats = json.loads((await ask(client, "$SRV.STATS.containerd-bridge-schemas")).data)
        endpoint = stats["endpoints"][0]
        assert (endpoint["num_requests"], endpoint["num_errors"]) == (2, 2)


async def test_what_is_larger_than_a_message_may_be_is_not_half_told(nats_server_factory: NatsServerFactory) -> None:
    url = nats_server_factory(config="max_payload: 64KB").url
    async with telling(url, "1"), asking(url) as client:
        headers = (await ask(client, "containerd.schemas.asyncapi")).headers or {}
        assert headers["Nats-Service-Error-Code"] == "413"
        assert "containerd-bridge schema asyncapi" in headers["Nats-Service-Error"]
        assert json.loads((await ask(client, "containerd.schemas.envelope")).data)["title"] == "Recorded"


async def test_another_root_has_its_own_subjects_in_its_documents(nats_url: str) -> None:
    async with telling(nats_url, "1", root="lab"), asking(nats_url) as client:
        told = json.loads((await ask(client, "lab.schemas.asyncapi")).data)
        assert told["channels"]["nodeEvents"]["address"] == "lab.nodes.{node}.{event}"
        assert "`LAB_EVENTS`" in told["channels"]["nodeEvents"]["description"]


async def test_a_reader_may_ask_and_a_node_may_answer(nats_server_factory: NatsServerFactory) -> None:
    sets = [
        listed(role.upper(), permitted(role, Subjects(), inbox=f"_INBOX.{role}", node="1"))
        for role in ("reader", "node")
    ]
    users = ", ".join(
        f'{{ user: "{role}", password: "x", permissions: ${role.upper()} }}' for role in ("reader", "node")
    )
    url = nats_server_factory(config="\n".join([*sets, f"authorization {{ users: [ {users} ] }}"])).url
    async with (
        telling(url, "1", user="node", password="x", inbox="_INBOX.node"),
        asking(url, user="reader", password="x", inbox_prefix="_INBOX.reader") as client,
    ):
        for subject in ("containerd.schemas.exit", "containerd.schemas.exit.1"):
            assert json.loads((await ask(client, subject)).data)["title"] == "TaskExit"


async def test_a_bridge_that_may_not_answer_says_so_and_goes_on(
    nats_server_factory: NatsServerFactory, caplog: pytest.LogCaptureFixture
) -> None:
    denied = 'permissions: { subscribe: { deny: "containerd.schemas.>" } }'
    users = f'{{ user: "node", password: "x", {denied} }}, {{ user: "other", password: "x" }}'
    url = nats_server_factory(config=f"authorization {{ users: [ {users} ] }}").url
    with caplog.at_level(logging.WARNING):
        async with telling(url, "1", user="node", password="x"), asking(url, user="other", password="x") as client:
            with pytest.raises(nats.errors.NoRespondersError):
                await ask(client, "containerd.schemas.exit")
            with pytest.raises(nats.errors.NoRespondersError):
                await ask(client, "$SRV.PING.containerd-bridge-schemas")
    assert "containerd.schemas.*, so node 1 tells nobody its schemas" in caplog.text
