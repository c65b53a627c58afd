"""A leaf node and its hub: the streams of the hub used from the leaf node, and those of the leaf node with a copy at the hub."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest

from bridge.errors import ConfigError
from bridge.jetstream.api import api
from bridge.jetstream.buckets import ensure_buckets
from bridge.jetstream.commands import JetStreamCommands
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS
from bridge.jetstream.inspection import JetStreamInspector
from bridge.jetstream.keys import Key, WrongRevision
from bridge.jetstream.log import open_log
from bridge.jetstream.objects import JetStreamObjects
from bridge.jetstream.state import open_states
from bridge.jetstream.streams import ensure_events
from bridge.model.nanos import now
from bridge.model.outcomes import CommandState
from bridge.model.subjects import ContainerKey
from bridge.ports import Change
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import STREAM, SUBJECTS, connected, entries, judge, kept, log_on
from tests.pages import blocks
from tests.testbed import NatsServer
from tests.testbed.ports import port_of, reserved

CLAIMED = blocks("docs/topology.md", "python")

ROOMY = "max_memory_store: 64MB, max_file_store: 1GB"


class Pair(NamedTuple):
    """A hub of one server, and a leaf node."""

    hub: NatsServer
    leaf: NatsServer


@pytest.fixture(params=[None, f"domain: edge, {ROOMY}"], ids=["without JetStream", "with JetStream"])
def pair(request: pytest.FixtureRequest, nats_server_factory: NatsServerFactory) -> Iterator[Pair]:
    with reserved() as place:
        yield pair_of(nats_server_factory, port_of(place), request.param)


def pair_of(make: NatsServerFactory, port: int, jetstream: str | None) -> Pair:
    hub = make(config=f'leafnodes {{ listen: "127.0.0.1:{port}" }}', jetstream=f"domain: hub, {ROOMY}")
    remote = f'leafnodes {{ reconnect: "100ms", remotes: [ {{ url: "nats-leaf://127.0.0.1:{port}" }} ] }}'
    return Pair(hub, make(config=remote, jetstream=jetstream))


async def until_asked(connection: Connection) -> None:
    """Wait until the leaf node is connected."""
    async with asyncio.timeout(90):
        while True:
            with suppress(*NATS_ERRORS):
                await api(connection, "INFO", timeout=1)
                return
            await asyncio.sleep(0.05)


@pytest.fixture
async def behind(pair: Pair) -> AsyncIterator[Connection]:
    """A connection to the leaf node that asks the hub's domain."""
    async with connected(pair.leaf.url, domain="hub") as connection:
        await until_asked(connection)
        yield connection


async def test_events_are_appended_behind_a_leaf_node(pair: Pair, behind: Connection) -> None:
    assert behind.way == ", JetStream domain hub through a leaf node"
    sent = entries(3000)
    await ensure_events(behind, SUBJECTS)
    log = await open_log(behind, SUBJECTS)
    await log.append(sent)
    judge(await kept(pair.hub.url), sent)


async def test_keys_are_written_behind_a_leaf_node(pair: Pair, behind: Connection) -> None:
    await ensure_buckets(behind, SUBJECTS)
    states = await open_states(behind, SUBJECTS)
    web = ContainerKey("n1", "default", "web.1")
    assert await states.write([Change(key=web, value=b"1", revision=0)]) == [1]
    assert await states.write([Change(key=web, value=b"2", revision=0)]) == [None]
    assert await states.write([Change(key=web, value=b"3", revision=1)]) == [2]
    assert [entry.value for entry in await states.read()] == [b"3"]
    key = Key(behind, SUBJECTS.node_bucket, "n1")
    assert await key.put(b"x", expected=0) == 1
    with pytest.raises(WrongRevision):
        await key.put(b"y", expected=0)
    async with connected(pair.hub.url) as at_hub:  # whoever is there has the same under the same name
        standing = await Key(at_hub, SUBJECTS.node_bucket, "n1").get()
        assert standing is not None
        assert standing.value == b"x"


async def test_outcomes_of_commands_are_written_behind_a_leaf_node(behind: Connection) -> None:
    await ensure_buckets(behind, SUBJECTS)
    commands = JetStreamCommands(behind, SUBJECTS)
    state = CommandState(
        id="deploy-7",
        verb="stop",
        node="n1",
        stage="started",
        via="job",
        namespace="default",
        container="web.1",
        received_at=now(),
    )
    await commands.write([state])
    assert await commands.get("deploy-7", node="n1") == [state]


async def test_objects_are_stored_behind_a_leaf_node(behind: Connection) -> None:
    objects = JetStreamObjects(behind)
    data = bytes(range(256)) * 1000
    await objects.put("archives", "one", io.BytesIO(data), lambda _: None)
    assert b"".join([piece async for piece in objects.read("archives", "one")]) == data
    await objects.remove("archives", "one")


async def test_who_forgets_the_domain_is_told_of_it(nats_server_factory: NatsServerFactory) -> None:
    with reserved() as place:
        pair = pair_of(nats_server_factory, port_of(place), None)
        async with connected(pair.leaf.url) as connection:
            with pytest.raises(
                ConfigError, match=r"JetStream is not enabled at .*, or set nats\.domain if it is a leaf node"
            ):
                await ensure_events(connection, SUBJECTS)
        async with connected(pair.leaf.url, domain="hob") as connection:
            with pytest.raises(
                ConfigError, match=r"JetStream domain hob does not answer behind .*: see whether its leaf node"
            ):
                await ensure_events(connection, SUBJECTS)
            facts = await JetStreamInspector(connection, SUBJECTS).inspect()
            assert facts.jetstream.startswith("JetStream domain hob does not answer")


async def test_a_copy_at_the_hub_of_a_stream_of_the_leaf_node_is_whole_and_in_order_through_a_cut(
    nats_server_factory: NatsServerFactory,
) -> None:
    with reserved() as place:
        pair = pair_of(nats_server_factory, port_of(place), f"domain: edge, {ROOMY}")
        sent = entries(2000)

        async def until_copied(count: int) -> None:
            async with connected(pair.hub.url) as at_hub, asyncio.timeout(90):
                while (await api(at_hub, f"STREAM.INFO.{STREAM}"))["state"]["messages"] < count:
                    await asyncio.sleep(0.05)

        async with log_on(pair.leaf.url) as (_, log):
            [block] = CLAIMED
            text = block.text
            for theirs, ours in (
                *(("nats://hub1:4222", pair.hub.url), ('("web1", "db1")', '("edge",)')),
                ("num_replicas=3", "num_replicas=1"),
            ):
                assert theirs in text
                text = text.replace(theirs, ours)
            await asyncio.to_thread(exec, compile(text, str(block), "exec"), {})
            await log.append(sent[:1000])
            await until_copied(1000)
            with pair.hub.down():
                await log.append(sent[1000:])  # the leaf node's own log goes on, and can be read there
                judge(await kept(pair.leaf.url), sent)
            await until_copied(2000)
        judge(await kept(pair.hub.url), sent)
