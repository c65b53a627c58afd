"""Under load the network is cut and the server killed: nothing is missing, nothing comes twice, nothing before its time.

The writer does what delivery does: after each doubt the same entries again. The stream is read by a client that is not ours
until nothing is pending; a reader that gives up on a time-out would see holes that are not there.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

import bridge.jetstream.fast_ingest as fast_ingest_module
import bridge.jetstream.lanes as lanes_module
from bridge.errors import LogRefused, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.reader import JetStreamReader
from bridge.ports import Entry, EventLog, Start
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import STREAM, SUBJECTS, connected, entries, judge, kept, log_on
from tests.testbed import NatsServer, Proxy

BATCH = 2_000


@pytest.fixture(params=("2.15", "2.10", "2.9"))
def server(request: pytest.FixtureRequest, nats_server_factory: NatsServerFactory) -> NatsServer:
    return nats_server_factory(version=request.param)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_ingest_module, "PATIENCE_S", 0.4)
    monkeypatch.setattr(fast_ingest_module, "STALL_S", 1.0)
    monkeypatch.setattr(lanes_module, "PATIENCE_S", 1.0)


class Writer:
    """Appends like delivery, the same again after each doubt, until there were so many doubts and all is in the log."""

    def __init__(self, log: EventLog, *, doubts: int, at_once: int = BATCH) -> None:
        self.sent: list[Entry] = []
        self.position = 0
        self.doubts = 0
        self._wanted = doubts
        self._at_once = at_once
        self._log = log

    async def run(self) -> None:
        while True:
            if self.position == len(self.sent):
                if self.doubts >= self._wanted:
                    return
                self.sent += entries(random.randint(1, self._at_once), first=self.position + 1, containers=50)
            part = self.sent[self.position : self.position + self._at_once]
            try:
                await self._log.append(part)
            except (LogUnavailable, LogRefused):
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
            await link.lost()

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()


async def test_cuts_under_load(server: NatsServer) -> None:
    async with Proxy(server.address) as proxy, log_on(f"nats://{proxy.address}") as (connection, log):
        writer = Writer(log, doubts=20)

        async def cut() -> None:
            match random.randrange(3):
                case 0:
                    await proxy.cut()
                case 1:  # in the midst of a message
                    proxy.cut_after(random.randint(1, 100_000), "to_server")
                case _:  # in the midst of an acknowledgement
                    proxy.cut_after(random.randint(1, 200), "to_client")

        async with trouble(cut, connection, within=0.1):
            await writer.run()
    judge(await kept(server.url), writer.sent)


async def test_acknowledgements_that_never_come(server: NatsServer) -> None:
    async with Proxy(server.address) as proxy, log_on(f"nats://{proxy.address}") as (connection, log):
        writer = Writer(log, doubts=10)

        async def hold() -> None:
            proxy.hold("to_client")
            await asyncio.sleep(random.uniform(0.0, 0.1))
            await proxy.cut()
            proxy.release()

        async with trouble(hold, connection, within=0.1):
            await writer.run()
    judge(await kept(server.url), writer.sent)


async def test_acknowledgements_that_come_late(server: NatsServer) -> None:
    async with Proxy(server.address) as proxy, log_on(f"nats://{proxy.address}") as (_, log):
        sent = entries(2_000, containers=50)
        for part in range(4):
            proxy.hold("to_client")
            with pytest.raises(LogUnavailable, match="does not acknowledge"):
                await log.append(sent[: 500 * (part + 1)])
            proxy.release()
            await log.append(sent[: 500 * (part + 1)])
    judge(await kept(server.url), sent)


async def test_kills_of_the_server_under_load(server: NatsServer) -> None:
    async with log_on(server.url) as (connection, log):
        writer = Writer(log, doubts=6)

        async def kill() -> None:
            await asyncio.to_thread(server.restart)

        async with trouble(kill, connection, within=0.2):
            await writer.run()
    judge(await kept(server.url), writer.sent)


async def test_a_stream_that_now_and_then_does_not_take_events(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Neither network nor server fail: single messages in the midst of an append are turned away, and those behind them are
    # taken. Who sends on, or sends again only what was turned away, has them in another order.
    monkeypatch.setattr(lanes_module, "ABREAST", BATCH)
    async with log_on(server.url) as (connection, log), connected(server.url) as owner:
        writer = Writer(log, doubts=60)
        config = (await api(owner, f"STREAM.INFO.{STREAM}"))["config"]

        def taking(*subjects: str) -> Awaitable[object]:
            return api(owner, f"STREAM.UPDATE.{STREAM}", {**config, "subjects": list(subjects)})

        async def flip() -> None:
            while True:
                await asyncio.sleep(random.uniform(0, 0.03))
                await asyncio.gather(
                    taking("containerd.nodes.>"), taking(*config["subjects"])
                )  # one right behind the other
                await taking(*config["subjects"])

        flipping = asyncio.create_task(flip())
        await writer.run()
        flipping.cancel()
        await asyncio.wait({flipping})
        assert flipping.cancelled()
        assert connection.connected
    judge(await kept(server.url), writer.sent)


async def test_another_writer_begins_while_the_first_ones_bytes_are_on_the_way(server: NatsServer) -> None:
    # The bridge was killed and starts again, and what it had sent is still in the network.
    sent = entries(6_000, containers=50)
    async with Proxy(server.address) as proxy, log_on(f"nats://{proxy.address}") as (_, first):
        await first.append(sent[:1000])
        proxy.hold("to_client")
        hopeless = asyncio.create_task(first.append(sent[1000:3000]))
        await asyncio.sleep(0)
        async with log_on(server.url) as (_, second):
            for start in range(0, 6_000, 700):
                await second.append(sent[start : start + 700])
            await asyncio.wait({hopeless})
        assert isinstance(hopeless.exception(), LogUnavailable)
        proxy.release()
    judge(await kept(server.url), sent)


async def test_a_follower_sees_it_all_once_and_in_order_through_cuts_and_kills(server: NatsServer) -> None:
    async with (
        Proxy(server.address) as proxy,
        log_on(server.url) as (writing, log),
        connected(f"nats://{proxy.address}") as reading,
    ):
        writer = Writer(log, doubts=3, at_once=300)
        sequences: list[int] = []
        news = asyncio.Event()

        async def follow() -> None:
            async for event in JetStreamReader(reading, SUBJECTS).read([], Start(sequence=1), follow=True):
                sequences.append(event.stream_sequence)
                news.set()

        async def kill() -> None:
            await asyncio.to_thread(server.restart)

        following = asyncio.create_task(follow())
        following.add_done_callback(lambda _: news.set())

        async def until(count: int) -> None:
            while len(sequences) < count:
                await news.wait()
                news.clear()
                assert not following.done(), following.exception()

        async with asyncio.timeout(90):
            writer.sent += entries(1)
            await log.append(writer.sent)
            writer.position = 1
            await until(1)  # at its very beginning a reading may say that the log does not answer; after that never
            async with trouble(proxy.cut, reading, within=0.2), trouble(kill, writing, within=0.5):
                await writer.run()
            await until(len(writer.sent))
        following.cancel()
        await asyncio.wait({following})
    assert sequences == list(range(1, len(writer.sent) + 1))
    judge(await kept(server.url), writer.sent)
