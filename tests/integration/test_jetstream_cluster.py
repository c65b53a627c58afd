"""A stream of three replicas: leaders come and go, and what is acknowledged is on more than one server."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest

import bridge.jetstream.fast_ingest as fast_ingest_module
from bridge.errors import ConfigError, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.buckets import bucket_stream, ensure_buckets
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS
from bridge.jetstream.log import open_log
from bridge.jetstream.state import open_states
from bridge.jetstream.streams import Making, ensure_events
from bridge.model.subjects import ContainerKey
from bridge.ports import Change, Entry, EventLog
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import STREAM, SUBJECTS, connected, entries, judge, kept
from tests.testbed import NatsServer
from tests.testbed.ports import port_of, reserved

pytestmark = pytest.mark.slow


class Cluster:
    """Three nats-servers that are one."""

    def __init__(self, make: NatsServerFactory) -> None:
        with ExitStack() as closing:  # until they listen
            ports = [port_of(closing.enter_context(reserved())) for _ in range(3)]
            routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
            self.servers: list[NatsServer] = [
                make(config=f'cluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{routes}] }}') for port in ports
            ]

    @property
    def url(self) -> str:
        return ",".join(server.url for server in self.servers)

    async def leader(self, connection: Connection) -> NatsServer:
        """The server that leads the stream."""
        async with asyncio.timeout(90):
            while True:
                with suppress(*NATS_ERRORS):
                    info = await api(connection, f"STREAM.INFO.{STREAM}", timeout=1)
                    leader = info["cluster"].get("leader")
                    for server in self.servers:
                        if leader == server.directory.name:
                            return server
                await asyncio.sleep(0.05)


@pytest.fixture
def cluster(nats_server_factory: NatsServerFactory) -> Iterator[Cluster]:
    made = Cluster(nats_server_factory)
    yield made
    for server in made.servers:
        with suppress(ProcessLookupError):
            server.thaw()


@asynccontextmanager
async def log_on(url: str) -> AsyncIterator[tuple[Connection, EventLog]]:
    async with connected(url) as connection, asyncio.timeout(100):
        while True:  # until the three have found each other
            try:
                await ensure_events(connection, SUBJECTS, Making(replicas=3))
                break
            except (LogUnavailable, ConfigError) as error:
                if not re.search("no suitable peers|not available|unavailable|no answer|JetStream", str(error)):
                    raise
                await asyncio.sleep(0.2)
        yield connection, await open_log(connection, SUBJECTS)


async def eventually(log: EventLog, sent: list[Entry]) -> int:
    """Append, again after each doubt; return how many there were."""
    doubts = 0
    while True:
        try:
            await log.append(sent)
        except LogUnavailable:
            doubts += 1
            await asyncio.sleep(0.02)
        else:
            return doubts


async def test_order_and_completeness_through_changes_of_the_leader(cluster: Cluster) -> None:
    sent = entries(12_000, containers=50)
    async with log_on(cluster.url) as (connection, log):
        doubts = 0
        for start in range(0, len(sent), 2000):
            appending = asyncio.create_task(eventually(log, sent[start : start + 2000]))
            await asyncio.sleep(random.uniform(0, 0.05))
            with suppress(*NATS_ERRORS):
                await api(connection, f"STREAM.LEADER.STEPDOWN.{STREAM}", timeout=1)
            doubts += await appending
        leader = await cluster.leader(connection)
        appending = asyncio.create_task(eventually(log, sent[:2000]))
        await asyncio.to_thread(leader.restart)
        doubts += await appending
        judge(await kept((await cluster.leader(connection)).url), sent)
    assert doubts >= 1


async def test_what_is_not_replicated_is_not_stored_though_the_server_says_so(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The leader skips the second append's messages as duplicates of those that it has proposed and nobody has confirmed,
    # and acknowledges it (nats-server 2.15).
    monkeypatch.setattr(fast_ingest_module, "PATIENCE_S", 0.6)
    monkeypatch.setattr(fast_ingest_module, "STALL_S", 2.0)
    monkeypatch.setattr(fast_ingest_module, "CONFIRM_S", 0.5)
    async with log_on(cluster.url) as (connection, _):
        leader = await cluster.leader(connection)
    async with log_on(leader.url) as (connection, log):
        await eventually(log, entries(10))
        sent = entries(50, first=11)
        followers = [server for server in cluster.servers if server is not leader]
        for server in followers:
            server.freeze()
        await asyncio.sleep(0.2)
        with pytest.raises(LogUnavailable, match="does not acknowledge within"):
            await log.append(sent)
        with pytest.raises(LogUnavailable, match=r"acknowledged event \d+, and does not have it"):
            await log.append(sent)
        for server in followers:
            server.thaw()
        await eventually(log, sent)


async def test_states_are_written_at_their_revisions_through_changes_of_the_leader(cluster: Cluster) -> None:
    """Many keys at once, of each only one message under way: else a replicated stream would refuse them."""
    keys = [ContainerKey("n1", "k8s.io", f"c{n}") for n in range(300)]
    stream = bucket_stream(SUBJECTS.state_bucket)
    async with log_on(cluster.url) as (connection, _):
        await ensure_buckets(connection, SUBJECTS, replicas=3)
        states = await open_states(connection, SUBJECTS, replicas=3)
        at = dict.fromkeys(keys, 0)
        for turn in range(6):
            changes = [Change(key=key, value=b"%d" % turn, revision=at[key]) for key in keys]
            writing = asyncio.create_task(states.write(changes))
            if turn % 2:
                await asyncio.sleep(random.uniform(0, 0.02))
                with suppress(*NATS_ERRORS):
                    await api(connection, f"STREAM.LEADER.STEPDOWN.{stream}", timeout=1)
            try:
                made = await writing
            except LogUnavailable:
                made = []
            if not turn % 2 and made:
                assert None not in made
            async with asyncio.timeout(90):  # what was in doubt is looked at, and then written
                while True:
                    with suppress(LogUnavailable):
                        at |= {entry.key: entry.revision for entry in await states.read()}
                        left = [Change(key=c.key, value=c.value, revision=at[c.key]) for c in changes]
                        if None not in await states.write(left):
                            break
            at = {entry.key: entry.revision for entry in await states.read()}
        assert {entry.value for entry in await states.read()} == {b"5"}
        assert set(at) == set(keys)
