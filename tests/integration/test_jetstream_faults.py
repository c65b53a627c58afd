"""Under load the network is cut and the server killed: nothing is missing, nothing comes twice, nothing before its time.

The writer does what delivery does: after each doubt the same entries again. The stream is read by a client that is not ours
until nothing is pending; a reader that gives up on a time-out would see holes that are not there.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

import bridge.jetstream.fast_ingest as fast_ingest_module
import bridge.jetstream.lanes as lanes_module
from bridge.errors import LogUnavailable
from bridge.jetstream.connection import Connection
from bridge.jetstream.reader import JetStreamReader
from bridge.ports import Entry, EventLog, Start
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import SUBJECTS, connected, entries, judge, kept, log_on
from tests.testbed import NatsServer, Proxy

BATCH = 2_000


@pytest.fixture(params=("2.15", "2.10", "2.9"))
def server(request: pytest.FixtureRequest, nats_server_factory: NatsServerFactory) -> NatsServer:
    return nats_server_factory(version=request.param)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_ingest_module, "PATIENCE_S", 0.2)
    monkeypatch.setattr(fast_ingest_module, "STALL_S", 0.5)
    monkeypatch.setattr(lanes_module, "PATIENCE_S", 0.6)


class Writer:
    """Appends like delivery: what is pending now, up to 2,000, and the same again after each doubt."""

    def __init__(self, log: EventLog, sent: Sequence[Entry]) -> None:
        self.doubts = 0
        self.position = 0
        self.longest = BATCH
        self._log = log
        self._sent = sent

    async def run(self) -> None:
        while self.position < len(self._sent):
            part = self._sent[self.position : self.position + random.randint(1, self.longest)]
            try:
                await self._log.append(part)
            except LogUnavailable:
                self.doubts += 1
                await asyncio.sleep(random.uniform(0, 0.02))
            else:
                self.position += len(part)


@asynccontextmanager
async def trouble(
    happen: Callable[[], Awaitable[None]], connection: Connection, *, within: float
) -> AsyncIterator[None]:
    """Let it happen again and again while inside: each time at random in so many seconds of a connection that stands."""

    async def go_on() -> None:
        while True:
            link = await connection.linked()
            await asyncio.sleep(random.uniform(0, within))
            await happen()
            await link.lost

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()


async def test_cuts_under_load(server: NatsServer) -> None:
    sent = entries(30_000, containers=50)
    async with Proxy(server.address) as proxy, log_on(f"nats://{proxy.address}") as (connection, log):
        writer = Writer(log, sent)

        async def cut() -> None:
            match random.randrange(3):
                case 0:
                    await proxy.cut()
                case 1:  # in the midst of a message
                    proxy.cut_after(random.randint(1, 100_000), "to_server")
                case _:  # in the midst of an acknowledgement
                    proxy.cut_after(random.randint(1, 200), "to_client")

        async with trouble(cut, connection, within=0.15):
            await writer.run()
    judge(await kept(server.url), sent)
    assert writer.doubts >= 5


async def test_acknowledgements_that_never_come(server: NatsServer) -> None:
    sent = entries(10_000, containers=50)
    async with Proxy(server.address) as proxy, log_on(f"nats://{proxy.address}") as (connection, log):
        writer = Writer(log, sent)

        async def hold() -> None:
            proxy.hold("to_client")
            await asyncio.sleep(random.uniform(0.0, 0.1))
            await proxy.cut()
            proxy.release()

        async with trouble(hold, connection, within=0.15):
            await writer.run()
    judge(await kept(server.url), sent)
    assert writer.doubts >= 1


async def test_acknowledgements_that_come_late(server: NatsServer) -> None:
    sent = entries(2_000, containers=50)
    async with Proxy(server.address) as proxy, log_on(f"nats://{proxy.address}") as (_, log):
        for part in range(4):
            proxy.hold("to_client")
            appending = asyncio.create_task(Writer(log, sent[: 500 * (part + 1)]).run())
            await asyncio.sleep(0.8)  # more than the publisher's patience
            proxy.release()
            await appending
    judge(await kept(server.url), sent)


async def test_kills_of_the_server_under_load(server: NatsServer) -> None:
    sent = entries(30_000, containers=50)
    async with log_on(server.url) as (_, log):
        writer = Writer(log, sent)
        writing = asyncio.create_task(writer.run())
        for part in range(1, 6):
            while writer.position < part * 5_000 - random.randint(0, 3_000):
                await asyncio.sleep(0)
            await asyncio.to_thread(server.restart)
        await writing
    judge(await kept(server.url), sent)
    assert writer.doubts >= 3


async def test_another_writer_begins_while_the_first_ones_bytes_are_on_the_way(server: NatsServer) -> None:
    # The bridge was killed and starts again, and what it had sent is still in the network.
    sent = entries(6_000, containers=50)
    async with Proxy(server.address) as proxy, log_on(f"nats://{proxy.address}") as (_, first):
        await first.append(sent[:1000])
        proxy.hold("to_client")
        hopeless = asyncio.create_task(first.append(sent[1000:3000]))
        await asyncio.sleep(0)
        async with log_on(server.url) as (_, second):
            writer = Writer(second, sent)
            await asyncio.gather(writer.run(), asyncio.wait({hopeless}))
        assert isinstance(hopeless.exception(), LogUnavailable)
        proxy.release()
    judge(await kept(server.url), sent)


async def test_a_follower_sees_it_all_once_and_in_order_through_cuts_and_kills(server: NatsServer) -> None:
    sent = entries(12_000, containers=50)
    async with (
        Proxy(server.address) as proxy,
        log_on(server.url) as (_, log),
        connected(f"nats://{proxy.address}") as reading,
    ):
        writer = Writer(log, sent)
        writer.longest = 300
        writing = asyncio.create_task(writer.run())
        sequences: list[int] = []

        async def follow() -> None:
            async for event in JetStreamReader(reading, SUBJECTS).read([], Start(sequence=1), follow=True):
                sequences.append(event.stream_sequence)
                if len(sequences) == len(sent):
                    return

        async with trouble(proxy.cut, reading, within=0.2):
            following = asyncio.create_task(follow())
            while writer.position < 4_000:
                await asyncio.sleep(0)
            await asyncio.to_thread(server.restart)
            await writing
            await asyncio.wait_for(following, 60)
    assert sequences == list(range(1, len(sent) + 1))
    judge(await kept(server.url), sent)
