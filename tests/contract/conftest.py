"""What the suites run on: memory always, the real servers where the machine has them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.containerd.inventory import ContainerdInventory
from bridge.containerd.lookup import ContainerdLookup
from bridge.containerd.runtime import ContainerdRuntime
from bridge.jetstream.inbox import MicroInbox
from bridge.jetstream.lines import NatsLines
from bridge.jetstream.output import JetStreamOutput
from bridge.jetstream.output_stream import ensure_output
from bridge.jetstream.sender import NatsSender
from bridge.jetstream.stdio_client import NatsStdio
from bridge.model.subjects import Subjects
from bridge.testing import MemoryBus, MemoryLog, MemoryStdio
from tests.contract.buckets import Buckets, JetStreamBuckets, MemoryBuckets
from tests.contract.buses import Bus
from tests.contract.hosts import Host, MemoryHost, RealHost
from tests.contract.lines import StdioBus
from tests.contract.logs import JetStreamStore, MemoryStore, Store
from tests.fix_containerd import ContainerdFactory
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import connected
from tests.testbed import Ctr

CONTAINERD = pytest.param("containerd", marks=pytest.mark.containerd)
NATS = pytest.param("2.15", marks=pytest.mark.nats)
OLDER_NATS = pytest.param("2.10", marks=pytest.mark.nats)
OLDEST_NATS = pytest.param("2.9", marks=pytest.mark.nats)


@pytest.fixture(params=["memory", CONTAINERD])
async def host(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Host]:
    """A containerd, shared by the session where it is real: leave it up."""
    if request.param == "memory":
        yield MemoryHost(tmp_path)
        return
    async with real_host(request.getfixturevalue("ctr")) as real:
        yield real


@pytest.fixture(params=["memory", CONTAINERD])
async def own_host(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Host]:
    """A containerd that this test may take down."""
    if request.param == "memory":
        yield MemoryHost(tmp_path)
        return
    factory: ContainerdFactory = request.getfixturevalue("containerd_factory")
    with factory("2.1").fresh_namespace() as ctr:
        async with real_host(ctr) as real:
            yield real


@asynccontextmanager
async def real_host(ctr: Ctr) -> AsyncIterator[RealHost]:
    """The containerd that a `ctr` talks to."""
    address = ctr.host.address
    async with ContainerdRuntime(address) as runtime, ContainerdInventory(address) as inventory:
        with ContainerdLookup(address) as lookup, RealHost(ctr, runtime, lookup, inventory).closing() as host:
            yield host


@pytest.fixture(params=["memory", "memory, order of containers", NATS, OLDER_NATS])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An empty log of events: in memory, behind fast ingest, behind one message in flight per container."""
    if request.param.startswith("memory"):
        yield MemoryStore(MemoryLog(in_one_order=request.param == "memory"))
        return
    factory: NatsServerFactory = request.getfixturevalue("nats_server_factory")
    server = factory(version=request.param)
    async with connected(server.url) as connection:
        yield await JetStreamStore.open(server, connection)


@pytest.fixture(params=["memory", NATS, OLDER_NATS, OLDEST_NATS])
async def buckets(request: pytest.FixtureRequest) -> AsyncIterator[Buckets]:
    """Empty buckets of states and of nodes."""
    if request.param == "memory":
        yield MemoryBuckets()
        return
    factory: NatsServerFactory = request.getfixturevalue("nats_server_factory")
    server = factory(version=request.param)
    async with connected(server.url) as connection:
        yield await JetStreamBuckets.open(server, connection)


@pytest.fixture(params=["memory", NATS])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    """A command plane without nodes."""
    subjects = Subjects()
    if request.param == "memory":
        memory = MemoryBus(subjects)
        yield Bus(memory, memory.inbox)
        return
    url: str = request.getfixturevalue("nats_url")
    async with connected(url) as ours, connected(url) as theirs:
        yield Bus(
            NatsSender(theirs, subjects),
            lambda node, **options: MicroInbox(ours, subjects, node, **{"version": "0.0.0", **options}),
        )


@pytest.fixture(params=["memory", NATS, OLDER_NATS, OLDEST_NATS])
async def stdio_bus(request: pytest.FixtureRequest) -> AsyncIterator[StdioBus]:
    """An empty stream of output, and the lines to the processes of node web1."""
    if request.param == "memory":
        memory = MemoryStdio()
        yield StdioBus(memory, memory, memory)
        return
    factory: NatsServerFactory = request.getfixturevalue("nats_server_factory")
    server = factory(version=request.param)
    async with connected(server.url) as ours, connected(server.url) as theirs:
        subjects = Subjects()
        await ensure_output(ours, subjects)
        yield StdioBus(JetStreamOutput(ours, subjects), NatsLines(ours, subjects, "web1"), NatsStdio(theirs, subjects))
