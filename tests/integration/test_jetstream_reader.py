"""Reading a real stream: from anywhere, filtered, to its end or for ever, without hole or repetition whatever happens."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import nats
import pytest

import bridge.jetstream.consumer as consumer_module
import bridge.jetstream.reader as reader_module
from bridge.errors import LogRefused, LogUnavailable, LogWentBack
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.log import open_log
from bridge.jetstream.reader import JetStreamReader
from bridge.jetstream.streams import ensure_events
from bridge.model.codec import decode
from bridge.model.limits import MAX_BODY
from bridge.model.nanos import Nanos
from bridge.ports import Entry, EventLog, Start, StoredEvent
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import STREAM, SUBJECTS, connected, entries, heartbeat, kept
from tests.testbed import NatsServer, Proxy

ALL = Start(sequence=1)


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


@pytest.fixture
def reader(connection: Connection) -> JetStreamReader:
    return JetStreamReader(connection, SUBJECTS)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "PATIENCE_S", 0.5)
    monkeypatch.setattr(consumer_module, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(consumer_module, "SILENCE_S", 0.5)


async def read(reader: JetStreamReader, filters: Sequence[str] = (), start: Start = ALL) -> list[StoredEvent]:
    """Read to the end."""
    return [event async for event in reader.read(filters, start, follow=False)]


def ids(events: Sequence[StoredEvent | Entry]) -> list[str]:
    return [event.id if isinstance(event, Entry) else event.recorded.id for event in events]


class Following:
    """A reader that follows, in a task of its own."""

    def __init__(self, reader: JetStreamReader, filters: Sequence[str] = (), start: Start = ALL) -> None:
        self.events: list[StoredEvent] = []
        self._news = asyncio.Event()
        self.task = asyncio.create_task(self._run(reader.read(filters, start, follow=True)))
        self.task.add_done_callback(lambda _: self._news.set())

    async def _run(self, events: AsyncGenerator[StoredEvent, None]) -> None:
        async with aclosing(events) as open_events:
            async for event in open_events:
                self.events.append(event)
                self._news.set()

    async def until(self, count: int) -> list[StoredEvent]:
        async with asyncio.timeout(90):
            while len(self.events) < count and not self.task.done():
                await self._news.wait()
                self._news.clear()
        if self.task.done():
            self.task.result()
        return self.events


@asynccontextmanager
async def following(
    reader: JetStreamReader, filters: Sequence[str] = (), start: Start = ALL
) -> AsyncIterator[Following]:
    follower = Following(reader, filters, start)
    try:
        yield follower
    finally:
        follower.task.cancel()
        await asyncio.wait({follower.task})


async def consumers(connection: Connection) -> int:
    return int((await api(connection, f"STREAM.INFO.{STREAM}"))["state"]["consumer_count"])


async def until_consumers(connection: Connection, count: int) -> None:
    async with asyncio.timeout(90):
        while await consumers(connection) != count:
            await asyncio.sleep(0.01)


# -- to the end


async def test_an_empty_stream_ends_at_once(reader: JetStreamReader) -> None:
    async with asyncio.timeout(90):
        assert await read(reader) == []


@pytest.mark.parametrize("count", [1, 2, 499, 500, 501, 2500])
async def test_everything_is_read_in_the_order_of_the_stream(
    reader: JetStreamReader, log: EventLog, server: NatsServer, count: int
) -> None:
    await log.append(entries(count))
    found = await read(reader)
    assert [(e.stream_sequence, e.subject, e.body) for e in found] == [
        (m.sequence, m.subject, m.body) for m in await kept(server.url)
    ]


async def test_an_event_comes_with_what_it_says_and_where_it_stands(reader: JetStreamReader, log: EventLog) -> None:
    (entry,) = entries(1)
    await log.append([entry])
    (found,) = await read(reader)
    assert found.recorded == decode(entry.body)
    assert (found.stream_sequence, found.subject, found.body) == (1, entry.subject, entry.body)
    assert found.stored_at > 1_600_000_000_000_000_000


async def test_it_ends_where_the_log_ended_when_it_began(reader: JetStreamReader, log: EventLog) -> None:
    await log.append(entries(1200))
    found = []
    async for event in reader.read([], ALL, follow=False):
        found.append(event)
        if len(found) == 1:
            await log.append(entries(50, first=1201))
    assert len(found) == 1200


async def test_it_ends_there_though_nothing_at_the_end_matched_and_more_came(
    reader: JetStreamReader, log: EventLog
) -> None:
    await log.append([*entries(600), *entries(5, node="n2")])
    found = []
    async for event in reader.read([SUBJECTS.event_filter("n1")], ALL, follow=False):
        found.append(event)
        if len(found) == 1:
            await log.append(entries(50, first=601))
    assert len(found) == 600


async def test_the_largest_events_are_read(reader: JetStreamReader, log: EventLog) -> None:
    sent = entries(40, size=MAX_BODY - 2000, containers=1)
    await log.append(sent)
    assert ids(await read(reader)) == ids(sent)


async def test_a_message_larger_than_a_portion_does_not_stop_it(
    reader: JetStreamReader, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "PORTION_BYTES", 3000)
    sent = [*entries(3), *entries(1, first=4, size=20_000), *entries(3, first=5)]
    await log.append(sent[:3])
    await log.append(sent[3:4])
    await log.append(sent[4:])
    async with asyncio.timeout(90):
        assert sorted(ids(await read(reader))) == sorted(ids(sent))


# -- from where


async def test_it_begins_at_a_sequence(reader: JetStreamReader, log: EventLog) -> None:
    sent = entries(20, containers=1)
    await log.append(sent)
    assert ids(await read(reader, start=Start(sequence=15))) == ids(sent[14:])


async def test_a_sequence_beyond_the_end_has_nothing(reader: JetStreamReader, log: EventLog) -> None:
    await log.append(entries(5))
    assert await read(reader, start=Start(sequence=6)) == []
    assert await read(reader, start=Start(sequence=1000)) == []


async def test_it_begins_at_a_time(reader: JetStreamReader, log: EventLog) -> None:
    sent = entries(20, containers=1)
    await log.append(sent[:10])
    await log.append(sent[10:])
    tenth, eleventh = (await read(reader))[9:11]
    assert ids(await read(reader, start=Start(time=eleventh.stored_at))) == ids(sent[10:])
    assert ids(await read(reader, start=Start(time=Nanos(tenth.stored_at + 1)))) == ids(sent[10:])
    assert len(await read(reader, start=Start(time=Nanos(0)))) == 20


async def test_without_a_start_only_what_comes_is_read(reader: JetStreamReader, log: EventLog) -> None:
    sent = entries(20, containers=1)
    await log.append(sent[:10])
    assert await read(reader, start=Start()) == []
    async with following(reader, start=Start()) as follower:
        await until_consumers(reader._connection, 1)
        await log.append(sent[10:])
        assert ids(await follower.until(10)) == ids(sent[10:])


async def test_what_comes_between_the_start_and_the_first_event_survives_a_restart(
    reader: JetStreamReader, log: EventLog, server: NatsServer, connection: Connection
) -> None:
    await log.append(entries(5))
    sent = entries(5, first=6, containers=1)
    async with following(reader, start=Start()) as follower:
        await until_consumers(connection, 1)
        link = connection.link
        server.kill()
        await link.lost()
        server.start()
        # Somebody is quicker than the reader.
        async with connected(server.url) as other:
            await (await open_log(other, SUBJECTS)).append(sent)
        assert ids(await follower.until(5)) == ids(sent)


# -- filters


FILTERS = {
    "a container": [SUBJECTS.event_filter("n1", "demo", "c.1")],
    "two containers": [SUBJECTS.event_filter("n1", "demo", "c.1"), SUBJECTS.event_filter("n1", "demo", "c.2")],
    "filters that overlap": [
        SUBJECTS.event_filter("n1", "demo", "c.1"),
        SUBJECTS.event_filter(event="start", node="n2"),
    ],
    "filters that partly overlap": [
        SUBJECTS.event_filter("n1", None, "c.1"),
        SUBJECTS.event_filter(None, "demo", "c.1"),
    ],
    "one filter within another": [SUBJECTS.event_filter("n1"), SUBJECTS.event_filter("n1", "demo", "c.1")],
    "the same filter twice": [SUBJECTS.event_filter("n1"), SUBJECTS.event_filter("n1")],
    "both planes": [SUBJECTS.event_filter("n2"), SUBJECTS.node_filter("n1")],
    "nothing that is there": [SUBJECTS.event_filter("n9")],
    "two things that are not there": [SUBJECTS.event_filter("n9"), SUBJECTS.event_filter("n8")],
    "everything": [],
}


@pytest.mark.parametrize("what", FILTERS)
async def test_what_matches_one_of_the_filters_is_read_once(what: str, reader: JetStreamReader, log: EventLog) -> None:
    await log.append([*entries(40), heartbeat(41), *entries(40, first=42, node="n2"), heartbeat(90, node="n2")])
    everything = await read(reader)
    assert len(everything) == 82
    wanted = [
        event
        for event in everything
        if not FILTERS[what] or any(_matches(pattern, event.subject) for pattern in FILTERS[what])
    ]
    async with asyncio.timeout(90):
        assert ids(await read(reader, FILTERS[what])) == ids(wanted)


def _matches(pattern: str, subject: str) -> bool:
    ours, theirs = pattern.split("."), subject.split(".")
    return len(ours) == len(theirs) and all(a in {"*", b} for a, b in zip(ours, theirs, strict=True))


async def test_a_filtered_reading_ends_though_the_last_message_does_not_match(
    reader: JetStreamReader, log: EventLog
) -> None:
    await log.append([*entries(3), *entries(600, first=4, node="n2")])
    async with asyncio.timeout(90):
        assert len(await read(reader, [SUBJECTS.event_filter("n1")])) == 3


# -- following


async def test_following_goes_on_with_what_comes(reader: JetStreamReader, log: EventLog) -> None:
    sent = entries(1500, containers=1)
    await log.append(sent[:700])
    async with following(reader) as follower:
        await follower.until(700)
        await log.append(sent[700:])
        assert ids(await follower.until(1500)) == ids(sent)


async def test_a_quiet_stream_keeps_its_consumer(
    reader: JetStreamReader,
    connection: Connection,
    log: EventLog,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer_module, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(consumer_module, "SILENCE_S", 3.0)
    caplog.set_level(logging.DEBUG, "bridge.jetstream.reader")
    async with following(reader) as follower:
        await until_consumers(connection, 1)
        await asyncio.sleep(4.5)  # one and a half times the silence that would be the end of it
        await log.append(entries(1))
        await follower.until(1)
    assert "with another consumer" not in caplog.text


async def test_a_cut_leaves_neither_hole_nor_repetition(
    log: EventLog, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "PORTION", 500)  # so that each cut meets events on their way
    sent = entries(5000, containers=1)
    await log.append(sent)
    async with (
        Proxy(server.address) as proxy,
        connected(f"nats://{proxy.address}") as cut,
        following(JetStreamReader(cut, SUBJECTS)) as follower,
    ):
        for part in range(1, 6):
            await follower.until(part * 500)
            link = cut.link
            proxy.cut_after(20_000, "to_client")
            await link.lost()
        assert ids(await follower.until(5000)) == ids(sent)


async def test_what_was_lost_with_the_connection_comes_though_nothing_follows(
    log: EventLog, server: NatsServer, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "SILENCE_S", 3_600.0)  # after which a consumer is given up anyway
    async with (
        Proxy(server.address) as proxy,
        connected(f"nats://{proxy.address}") as cut,
        following(JetStreamReader(cut, SUBJECTS)) as follower,
    ):
        await until_consumers(connection, 1)
        proxy.hold("to_client")
        await log.append(entries(3, containers=1))
        link = cut.link
        await proxy.cut()
        await link.lost()
        proxy.release()
        async with asyncio.timeout(90):
            assert len(await follower.until(3)) == 3


async def test_a_restart_of_the_server_leaves_neither_hole_nor_repetition(
    reader: JetStreamReader, log: EventLog, server: NatsServer, connection: Connection
) -> None:
    sent = entries(300, containers=1)
    async with following(reader) as follower:
        for part in range(3):
            await log.append(sent[part * 100 : part * 100 + 50])
            link = connection.link
            server.restart()
            await link.lost()
            await connection.linked()
            async with asyncio.timeout(90):
                while True:
                    try:
                        await log.append(sent[part * 100 : part * 100 + 100])
                        break
                    except LogUnavailable:
                        await asyncio.sleep(0.01)
        assert ids(await follower.until(300)) == ids(sent)


async def test_a_reading_that_is_to_end_survives_a_restart_too(
    reader: JetStreamReader, log: EventLog, server: NatsServer
) -> None:
    sent = entries(2000, containers=1)
    await log.append(sent)
    found = []
    async for event in reader.read([], ALL, follow=False):
        found.append(event)
        if len(found) == 700:
            server.restart()
    assert ids(found) == ids(sent)


@pytest.mark.usefixtures("impatient")
async def test_a_consumer_that_somebody_removes_is_replaced(
    reader: JetStreamReader, log: EventLog, connection: Connection
) -> None:
    sent = entries(20, containers=1)
    async with following(reader) as follower:
        await log.append(sent[:10])
        await follower.until(10)
        for name in (await api(connection, f"CONSUMER.NAMES.{STREAM}"))["consumers"]:
            await api(connection, f"CONSUMER.DELETE.{STREAM}.{name}")
        await log.append(sent[10:])
        assert ids(await follower.until(20)) == ids(sent)


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_falls_silent_is_waited_for(
    reader: JetStreamReader, log: EventLog, server: NatsServer
) -> None:
    sent = entries(20, containers=1)
    async with following(reader) as follower:
        await log.append(sent[:10])
        await follower.until(10)
        server.freeze()
        await asyncio.sleep(1.0)
        server.thaw()
        await log.append(sent[10:])
        assert ids(await follower.until(20)) == ids(sent)


async def test_a_slow_caller_gets_everything(reader: JetStreamReader, log: EventLog) -> None:
    sent = entries(1200, containers=1)
    await log.append(sent)
    found = []
    async for event in reader.read([], ALL, follow=False):
        found.append(event)
        if len(found) % 300 == 0:
            await asyncio.sleep(0.1)
    assert ids(found) == ids(sent)


async def test_another_stream_of_the_same_name_is_read_from_its_beginning(
    reader: JetStreamReader, log: EventLog, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(reader) as follower:
        await log.append(entries(10))
        await follower.until(10)
        await api(connection, f"STREAM.DELETE.{STREAM}")
        await ensure_events(connection, SUBJECTS)
        sent = entries(3, containers=1)
        with pytest.raises(LogWentBack):  # they are stored all the same
            await log.append(sent)
        assert ids((await follower.until(13))[10:]) == ids(sent)
    assert "is another than before" in caplog.text


async def test_a_stream_that_is_gone_ends_the_following(
    reader: JetStreamReader, log: EventLog, connection: Connection
) -> None:
    async with following(reader) as follower:
        await log.append(entries(1))
        await follower.until(1)
        await api(connection, f"STREAM.DELETE.{STREAM}")
        with pytest.raises(LogRefused, match=f"there is no stream {STREAM}"):
            await follower.until(2)


# -- what is no event


async def test_what_is_no_event_is_skipped_with_one_warning(
    reader: JetStreamReader, log: EventLog, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    bad = SUBJECTS.event("n1", "demo", "c", "start")
    await log.append(entries(2, containers=1))
    for body in (b"", b"no JSON", b'{"type": 5}'):
        await connection.request(bad, body)
    await log.append(entries(2, first=3, containers=1))
    assert [event.stream_sequence for event in await read(reader)] == [1, 2, 6, 7]
    lines = [record.getMessage() for record in caplog.records if "skip" in record.getMessage()]
    assert len(lines) == 2
    assert lines[0].startswith(f"skipping message 3 on {bad}: not a CloudEvent")
    assert lines[1] == f"skipped 3 messages of stream {STREAM} that are no events of ours"


async def test_an_event_of_a_newer_version_is_no_stranger(reader: JetStreamReader, connection: Connection) -> None:
    body = entries(1)[0].body.replace(b"io.containerd.task.start.v1", b"io.containerd.task.teleported.v1")
    await connection.request(SUBJECTS.event("n1", "demo", "c", "teleported"), body)
    (event,) = await read(reader)
    assert event.recorded.type == "io.containerd.task.teleported.v1"


# -- the end of it


async def test_nothing_stays_at_the_server_after_the_end(
    reader: JetStreamReader, log: EventLog, connection: Connection
) -> None:
    await log.append(entries(10))
    await read(reader)
    await until_consumers(connection, 0)


async def test_nothing_stays_at_the_server_when_one_stops_early(
    reader: JetStreamReader, log: EventLog, connection: Connection
) -> None:
    await log.append(entries(10))
    async with aclosing(reader.read([], ALL, follow=True)) as events:
        async for _ in events:
            break
    await until_consumers(connection, 0)
    async with following(reader) as follower:
        await follower.until(10)
    await until_consumers(connection, 0)


async def test_nothing_stays_with_the_client_either(
    reader: JetStreamReader, log: EventLog, connection: Connection
) -> None:
    await log.append(entries(10))
    await read(reader)
    before = len(connection.client._subs)
    for _ in range(5):
        await read(reader)
    assert len(connection.client._subs) == before
    assert connection.client._listeners == {}


async def test_without_a_stream_there_is_nothing_to_read(reader: JetStreamReader, connection: Connection) -> None:
    await api(connection, f"STREAM.DELETE.{STREAM}")
    for follow in (False, True):
        with pytest.raises(LogRefused, match=f"there is no stream {STREAM}: a bridge makes it at its first start"):
            async for _ in reader.read([], ALL, follow=follow):
                pass


@pytest.mark.usefixtures("impatient")
async def test_a_log_that_is_away_at_the_beginning_is_unavailable(
    reader: JetStreamReader, server: NatsServer, connection: Connection
) -> None:
    link = connection.link
    server.kill()
    await link.lost()
    for follow in (False, True):
        with pytest.raises(LogUnavailable):
            async for _ in reader.read([], ALL, follow=follow):
                pass


@pytest.mark.usefixtures("impatient")
async def test_a_reading_that_is_to_end_gives_up_on_a_log_that_stays_away(
    reader: JetStreamReader, log: EventLog, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "PORTION", 500)  # so that some are still on the server
    await log.append(entries(1500))
    reading = reader.read([], ALL, follow=False)
    async for _ in reading:
        break
    server.kill()

    async def rest() -> None:
        async for _ in reading:
            pass

    with pytest.raises(LogUnavailable):
        await rest()


@pytest.mark.parametrize("denied", ["STREAM.INFO.>", "CONSUMER.CREATE.>", "CONSUMER.MSG.NEXT.>"])
@pytest.mark.parametrize("follow", [False, True])
async def test_a_login_that_may_not_read_is_told_so_at_once(
    denied: str, follow: bool, nats_server_factory: NatsServerFactory
) -> None:
    reading = f'{{ user: u, password: p, permissions: {{ publish: {{ deny: "$JS.API.{denied}" }} }} }}'
    server = nats_server_factory(config=f"authorization {{ users: [{{ user: a, password: a }}, {reading}] }}")
    async with connected(server.url, user="a", password="a") as writing:
        await ensure_events(writing, SUBJECTS)
        await (await open_log(writing, SUBJECTS)).append(entries(5))
    async with connected(server.url, user="u", password="p") as connection, asyncio.timeout(90):
        with pytest.raises(LogRefused, match="NATS does not permit this login"):
            async for _ in JetStreamReader(connection, SUBJECTS).read([], ALL, follow=follow):
                pass


async def test_what_a_client_that_is_not_ours_appends_is_read(reader: JetStreamReader, server: NatsServer) -> None:
    (entry,) = entries(1)
    client = await nats.connect(server.url)
    await client.jetstream(timeout=60).publish(entry.subject, entry.body)
    await client.close()
    assert ids(await read(reader)) == [entry.id]
