"""Output on a real server, several pieces under way at once: others write between them, connections end."""

import asyncio
import hashlib
import random
from contextlib import aclosing, suppress

import pytest

from bridge.errors import LogConflict, LogUnavailable
from bridge.jetstream.connection import Connection
from bridge.jetstream.output import JetStreamOutput
from bridge.jetstream.output_stream import OutputMaking, ensure_output
from bridge.jetstream.stdio_client import NatsStdio
from bridge.model.identity import new_ulid
from bridge.model.stdio import Chunk
from bridge.model.subjects import StdioSubject, Subjects
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import connected
from tests.integration.test_jetstream_cluster import Cluster
from tests.testbed.proxy import Proxy

pytestmark = pytest.mark.nats

SUBJECTS = Subjects()
OURS, THEIRS = (StdioSubject("n1", "default", "web", exec_id, "stdout") for exec_id in ("ours", "theirs"))
SESSION, OTHER = "01M8D1CCT33KNKYP5QGT272D76", "01M8D1CD16F760CVCTK8D8HD95"
VERSIONS = ["2.15", "2.10", "2.9"]


class Written:
    """A stream of output as a session writes it: what is not stored is given again, cut in another way."""

    def __init__(self, output: JetStreamOutput, subject: StdioSubject, session: str, data: bytes) -> None:
        self.output, self.subject, self.session, self.data = output, subject, session, data
        self.short = 0
        """Appends of which not all was stored."""
        self.doubts = 0
        self.place = self.offset = 0

    async def run(self, random_: random.Random) -> None:
        """Write all of it."""
        while self.offset < len(self.data):
            pieces: list[Chunk] = []
            at = self.offset
            while at < len(self.data) and len(pieces) < 8:
                data = self.data[at : at + random_.randrange(1, 3_000)]
                pieces.append(Chunk(session=self.session, offset=at, data=data))
                at += len(data)
            try:
                places = await self.output.append(self.subject, *pieces, after=self.place)
            except (LogUnavailable, LogConflict):
                self.doubts += 1
                await self._locate()
                continue
            self.short += len(places) < len(pieces)
            last = pieces[len(places) - 1]
            self.place, self.offset = places[-1], last.offset + len(last.data)

    async def _locate(self) -> None:
        while True:
            with suppress(LogUnavailable):
                there = await self.output.end(self.subject, self.session)
                self.place, self.offset = there.place, there.offset
                return
            await asyncio.sleep(0.01)


async def stored(connection: Connection, subject: StdioSubject, session: str) -> bytes:
    """What is stored, which must be without hole or repetition."""
    data = bytearray()
    async with aclosing(NatsStdio(connection, SUBJECTS).read(subject, session, after=0, follow=False)) as pieces:
        async for one in pieces:
            assert isinstance(one.piece, Chunk)
            assert one.piece.offset == len(data)
            data += one.piece.data
    return bytes(data)


def some(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("version", VERSIONS)
async def test_another_bridge_that_writes_between_makes_no_hole(
    nats_server_factory: NatsServerFactory, version: str
) -> None:
    server = nats_server_factory(version=version)
    async with connected(server.url) as one, connected(server.url) as two:
        await ensure_output(one, SUBJECTS)
        met = tries = 0
        async with asyncio.timeout(100):
            while not met:  # on a machine that is busy one may be through before the other begins
                tries += 1
                to = [subject._replace(container=f"{subject.container}.{tries}") for subject in (OURS, THEIRS)]
                ours = Written(JetStreamOutput(one, SUBJECTS), to[0], new_ulid(), some(400_000))
                theirs = Written(JetStreamOutput(two, SUBJECTS), to[1], new_ulid(), some(400_000, 1))
                await asyncio.gather(ours.run(random.Random(2)), theirs.run(random.Random(3)))
                for written in (ours, theirs):
                    assert await stored(one, written.subject, written.session) == written.data
                met = ours.short + theirs.short
                assert ours.doubts + theirs.doubts == 0


@pytest.mark.parametrize("version", VERSIONS)
async def test_connections_that_end_in_the_middle_neither_lose_nor_repeat(
    nats_server_factory: NatsServerFactory, version: str
) -> None:
    server = nats_server_factory(version=version)
    random_ = random.Random(4)
    async with (
        Proxy(server.address) as proxy,
        connected(server.url) as reader,
        connected(f"nats://{proxy.address}") as connection,
    ):
        await ensure_output(reader, SUBJECTS)
        written = Written(JetStreamOutput(connection, SUBJECTS), OURS, SESSION, some(1_000_000))

        async def cut() -> None:
            while True:
                proxy.cut_after(random_.randrange(5_000, 150_000), "to_server")
                lost = connection.client.link
                while connection.client.link is lost or connection.client.link is None:
                    await asyncio.sleep(0.002)

        async with asyncio.timeout(90):
            cutting = asyncio.create_task(cut())
            await written.run(random.Random(5))
            cutting.cancel()
        assert written.doubts > 0
        assert await stored(reader, OURS, SESSION) == written.data


async def test_how_much_is_given_at_once_grows_on_a_quick_line_and_has_a_limit_for_all(
    nats_server_factory: NatsServerFactory,
) -> None:
    async with connected(nats_server_factory().url) as connection:
        await ensure_output(connection, SUBJECTS)
        output = JetStreamOutput(connection, SUBJECTS)
        first = output.portion
        assert first == output.largest
        written = Written(output, OURS, SESSION, b"")
        data = bytes(output.largest)
        for _ in range(8):
            count = output.portion // output.largest
            at = written.offset
            pieces = [Chunk(session=SESSION, offset=at + n * len(data), data=data) for n in range(count)]
            places = await output.append(OURS, *pieces, after=written.place)
            written.place, written.offset = places[-1], at + len(places) * len(data)
        assert output.portion == 2 << 20
        pieces = [Chunk(session=OTHER, offset=n * len(data), data=data) for n in range(30)]
        beside = asyncio.create_task(output.append(THEIRS, *pieces, after=0))
        await asyncio.sleep(0)
        assert output.portion < 2 << 20
        await beside
        assert output.portion == 2 << 20


@pytest.mark.slow
async def test_a_replicated_stream_takes_it_whole(nats_server_factory: NatsServerFactory) -> None:
    cluster = Cluster(nats_server_factory)
    async with connected(cluster.url) as connection:
        async with asyncio.timeout(90):
            while True:
                with suppress(LogUnavailable):
                    await ensure_output(connection, SUBJECTS, OutputMaking(replicas=3))
                    break
                await asyncio.sleep(0.1)
            written = Written(JetStreamOutput(connection, SUBJECTS), OURS, SESSION, some(300_000))
            await written.run(random.Random(6))
        data = await stored(connection, OURS, SESSION)
        assert hashlib.sha256(data).digest() == hashlib.sha256(written.data).digest()
