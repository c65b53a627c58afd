"""What is read of a stream comes whole and once: where portions end exactly, and where consumers keep silent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import nats.errors
import pytest

import bridge.jetstream.stored as stored_module
from bridge.errors import LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.buckets import ensure_states
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Silent
from bridge.jetstream.log import open_log
from bridge.jetstream.pace import Pace
from bridge.jetstream.parser import Delivered
from bridge.jetstream.patience import SILENT_CONSUMERS
from bridge.jetstream.reader import JetStreamReader
from bridge.jetstream.state import JetStreamStates
from bridge.jetstream.stored import each_of
from bridge.jetstream.streams import ensure_events
from bridge.model.subjects import ContainerKey
from bridge.ports import Change, Start
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import SUBJECTS, connected, entries

STREAM = "S"
HEADERS = {"A": "b"}


@pytest.fixture(params=("2.15", "2.10", "2.9"))
async def connection(
    request: pytest.FixtureRequest, nats_server_factory: NatsServerFactory
) -> AsyncIterator[Connection]:
    async with connected(nats_server_factory(version=request.param).url) as opened:
        await api(opened, f"STREAM.CREATE.{STREAM}", {"name": STREAM, "subjects": ["s.>"], "storage": "memory"})
        yield opened


@pytest.fixture
def consumers(monkeypatch: pytest.MonkeyPatch) -> list[Consumer]:
    """Those that were made since."""
    made: list[Consumer] = []
    init = Consumer.__init__

    def count(self: Consumer, *args: Any) -> None:
        made.append(self)
        init(self, *args)

    monkeypatch.setattr(Consumer, "__init__", count)
    return made


class Mute:
    """Lets consumers fall silent behind so many messages each, and so many of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, after: int, many: int = 10**6) -> None:
        self.said = 0
        messages = Consumer.messages

        async def silent(consumer: Consumer, **how: Any) -> AsyncIterator[Any]:
            if self.said == many:
                async for each in messages(consumer, **how):
                    yield each
                return
            count = 0
            async for each in messages(consumer, **how):
                if count == after:
                    break
                count += 1
                yield each
            self.said += 1
            raise Silent("silence: a consumer has said nothing")

        monkeypatch.setattr(Consumer, "messages", silent)


async def fill(connection: Connection, count: int) -> None:
    for n in range(count):
        await connection.request(f"s.{n % 3}", b"x" * 100, headers=HEADERS, timeout=60)


async def read(connection: Connection, **how: Any) -> list[tuple[int, Delivered]]:
    return [(place.stream_sequence, message) async for message, place in each_of(connection, STREAM, "s.>", **how)]


@pytest.mark.parametrize("headers_only", [False, True], ids=["whole", "headers"])
async def test_a_portion_that_ends_exactly_with_a_message_is_no_silence(
    connection: Connection, consumers: list[Consumer], headers_only: bool
) -> None:
    await fill(connection, 5)
    first = (await read(connection, headers_only=headers_only))[0][1]
    size = sum(map(len, (first.subject, first.reply, first.raw_headers, first.data)))
    for messages in (1, 2):
        consumers.clear()
        found = await read(connection, headers_only=headers_only, pace=lambda most=messages: Pace(most * size))
        assert [sequence for sequence, _ in found] == [1, 2, 3, 4, 5]
        assert len(consumers) == 1


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_where_consumers_keep_silent_each_message_comes_once_all_the_same(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    await fill(connection, 5)
    spoken = await read(connection)
    mute = Mute(monkeypatch, after=after)
    found = await read(connection)
    assert [(sequence, message.subject, dict(message.headers), message.data) for sequence, message in found] == [
        (sequence, message.subject, dict(message.headers), message.data) for sequence, message in spoken
    ]
    assert mute.said >= (SILENT_CONSUMERS if after == 0 else 1)
    assert await read(connection, after=5) == []


async def test_the_last_of_each_subject_comes_once_where_a_consumer_falls_silent(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(connection, 5)
    Mute(monkeypatch, after=1, many=1)
    assert [sequence for sequence, _ in await read(connection, last_per_subject=True)] == [3, 4, 5]


async def test_what_the_api_cannot_tell_is_said_not_to_be_readable(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_module, "PAUSE_S", 0.001)
    await fill(connection, 5)
    mute = Mute(monkeypatch, after=0)
    with pytest.raises(nats.errors.Error, match="stream S cannot be read: silence: a consumer has said nothing"):
        await read(connection, last_per_subject=True)
    assert mute.said == SILENT_CONSUMERS


async def test_a_reader_takes_another_consumer_and_gives_up_with_a_sentence(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ensure_events(connection, SUBJECTS)
    log, reader = await open_log(connection, SUBJECTS), JetStreamReader(connection, SUBJECTS)
    await log.append(entries(5))

    async def events() -> list[int]:
        found = reader.read([], Start(sequence=1), follow=False)
        return [event.stream_sequence async for event in found]

    with monkeypatch.context() as patch:
        Mute(patch, after=0, many=SILENT_CONSUMERS - 1)
        assert await events() == [1, 2, 3, 4, 5]
    with monkeypatch.context() as patch:
        Mute(patch, after=0, many=SILENT_CONSUMERS - 1)
        assert len(await reader.latest([])) == 5
    mute = Mute(monkeypatch, after=0)
    for reading in (events(), reader.latest([])):
        mute.said = 0
        with pytest.raises(LogUnavailable, match="gets nowhere: silence: a consumer has said nothing"):
            await reading
        assert mute.said == SILENT_CONSUMERS


async def test_a_follower_of_states_takes_another_consumer_and_gives_up_with_a_sentence(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ensure_states(connection, SUBJECTS)
    states = JetStreamStates(connection, SUBJECTS)
    await states.write([Change(key=ContainerKey("n1", "demo", "web"), value=b"{}", revision=0)])
    with monkeypatch.context() as patch:
        Mute(patch, after=0, many=SILENT_CONSUMERS - 1)
        assert [entry.value for entry in await states.read()] == [b"{}"]
    mute = Mute(monkeypatch, after=0)
    with pytest.raises(LogUnavailable, match="cannot be read: silence: a consumer has said nothing"):
        await states.read()
    assert mute.said == SILENT_CONSUMERS
