"""Appending to a real stream: everything once and in order, and refusals that say why; by fast batches and by lanes."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg

import bridge.jetstream.fast_ingest as fast_ingest_module
import bridge.jetstream.lanes as lanes_module
import bridge.jetstream.log as log_module
from bridge.errors import ConfigError, LogRefused, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Silent
from bridge.jetstream.fast_ingest import FastIngest
from bridge.jetstream.lanes import Lanes
from bridge.jetstream.log import JetStreamLog, open_log
from bridge.jetstream.streams import ensure_events
from bridge.model.limits import MAX_BODY
from bridge.ports import Entry, EventLog, LogEnd
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import (
    LOG,
    STREAM,
    SUBJECTS,
    connected,
    entries,
    heartbeat,
    judge,
    kept,
    opened,
)
from tests.nats_client import connect
from tests.testbed import NatsServer

EVERY_PUBLISHER = ("2.15", "2.10", "2.9")


@pytest.fixture(params=EVERY_PUBLISHER)
def server(request: pytest.FixtureRequest, nats_server_factory: NatsServerFactory) -> NatsServer:
    """Each generation of servers: the first takes fast batches, the others do not."""
    return nats_server_factory(version=request.param)


@pytest.fixture
async def connection(server: NatsServer) -> AsyncIterator[Connection]:
    async with connected(server.url) as open_connection:
        yield open_connection


@pytest.fixture
async def log(connection: Connection) -> EventLog:
    await ensure_events(connection, SUBJECTS)
    return await open_log(connection, SUBJECTS)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_ingest_module, "PATIENCE_S", 0.1)
    monkeypatch.setattr(fast_ingest_module, "STALL_S", 0.25)
    monkeypatch.setattr(lanes_module, "PATIENCE_S", 0.3)


async def change(connection: Connection, **fields: Any) -> None:
    """Change the stream's settings."""
    config = (await api(connection, f"STREAM.INFO.{STREAM}"))["config"]
    await api(connection, f"STREAM.UPDATE.{STREAM}", {**config, **fields})


# -- what is stored


@pytest.mark.parametrize("count", [1, 2, 3, 499, 500, 501, 1000, 1001, 2000, 2001, 4500])
async def test_everything_is_stored_once_and_in_order(log: EventLog, server: NatsServer, count: int) -> None:
    sent = entries(count)
    await log.append(sent)
    judge(await kept(server.url), sent)


async def test_a_fast_batch_keeps_the_order_across_containers_too(nats_url: str) -> None:
    async with opened(nats_url) as log:
        sent = entries(1500)
        await log.append(sent)
    assert [message.id for message in await kept(nats_url)] == [entry.id for entry in sent]


async def test_appending_nothing_does_nothing(log: EventLog, server: NatsServer) -> None:
    await log.append([])
    assert await kept(server.url) == []


async def test_bodies_and_subjects_arrive_as_they_were(log: EventLog, server: NatsServer) -> None:
    sent = entries(20)
    await log.append(sent)
    found = await kept(server.url)
    assert {(m.id, m.subject, m.body) for m in found} == {(e.id, e.subject, e.body) for e in sent}


async def test_messages_say_what_they_are(log: EventLog, server: NatsServer) -> None:
    (entry,) = entries(1)
    await log.append([entry])
    client = await nats.connect(server.url)
    message = await client.jetstream(timeout=60).get_msg(STREAM, 1)
    await client.close()
    assert message.headers == {"Nats-Msg-Id": entry.id, "Content-Type": "application/cloudevents+json"}


@pytest.mark.parametrize("stored", [0, 1, 700, 1999, 2000])
async def test_what_is_stored_already_is_not_stored_again(log: EventLog, server: NatsServer, stored: int) -> None:
    sent = entries(2000)
    await log.append(sent[:stored])
    await log.append(sent)
    await log.append(sent)
    judge(await kept(server.url), sent)


async def test_a_lone_entry_may_be_repeated(log: EventLog, server: NatsServer) -> None:
    sent = entries(1)
    for _ in range(3):
        await log.append(sent)
    judge(await kept(server.url), sent)


async def test_appends_that_come_together_are_taken_one_after_another(log: EventLog, server: NatsServer) -> None:
    first, second = entries(900), entries(900, first=901)
    await asyncio.gather(log.append(first), log.append(second))
    judge(await kept(server.url), [*first, *second])


async def test_the_largest_events_are_taken(log: EventLog, server: NatsServer) -> None:
    sent = entries(60, size=MAX_BODY - 2000)
    assert MAX_BODY - 2000 < len(sent[0].body) <= MAX_BODY
    await log.append(sent)
    judge(await kept(server.url), sent)


async def test_it_works_again_after_a_restart_of_the_server(log: EventLog, server: NatsServer) -> None:
    sent = entries(100)
    await log.append(sent[:50])
    server.restart()
    await eventually(log, sent[50:])
    judge(await kept(server.url), sent)


async def eventually(log: EventLog, sent: list[Entry]) -> None:
    """Append, again after each doubt."""
    async with asyncio.timeout(90):
        while True:
            try:
                await log.append(sent)
            except LogUnavailable:
                await asyncio.sleep(0.01)
            else:
                return


# -- which publisher


@pytest.mark.parametrize(("version", "kind"), [("2.15", FastIngest), ("2.10", Lanes), ("2.9", Lanes)])
async def test_the_publisher_is_chosen_by_what_the_server_can_and_said(
    version: str,
    kind: type[FastIngest | Lanes],
    nats_server_factory: NatsServerFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with opened(nats_server_factory(version=version).url) as log:
        assert isinstance(log, JetStreamLog)
        assert type(log._publisher) is kind
    assert f"nats-server {version}." in caplog.text
    assert ("in fast batches" if kind is FastIngest else "one message in flight per container") in caplog.text


async def test_lanes_work_on_new_servers_too(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        await ensure_events(connection, SUBJECTS)
        publisher = Lanes(connection, STREAM)
        await publisher.open()
        sent = entries(1000, containers=300)
        await publisher.append(sent)
        await publisher.append(sent)
    judge(await kept(nats_url), sent)


async def test_without_a_stream_there_is_no_log(connection: Connection) -> None:
    with pytest.raises(ConfigError, match=f"stream {STREAM} refuses: stream not found"):
        await open_log(connection, SUBJECTS)


# -- refusals


async def test_a_full_stream_refuses_and_goes_on_where_it_stopped(
    log: EventLog, connection: Connection, server: NatsServer
) -> None:
    await change(connection, discard="new", max_msgs=30)
    sent = entries(100)
    for _ in range(2):
        with pytest.raises(LogRefused, match="maximum messages exceeded"):
            await log.append(sent)
    await change(connection, discard="new", max_msgs=1000)
    await log.append(sent)
    judge(await kept(server.url), sent)


async def test_a_stream_that_is_gone_is_a_refusal(log: EventLog, connection: Connection) -> None:
    await log.append(entries(5))
    await api(connection, f"STREAM.DELETE.{STREAM}")
    with pytest.raises(LogRefused, match=f"stream {STREAM} is gone: it is made anew"):
        await log.append(entries(5))


async def test_a_stream_that_went_and_came_back_takes_everything(
    log: EventLog, connection: Connection, server: NatsServer
) -> None:
    await log.append(entries(5))
    await api(connection, f"STREAM.DELETE.{STREAM}")
    await ensure_events(connection, SUBJECTS)
    sent = entries(50)
    await log.append(sent)
    judge(await kept(server.url), sent)


async def test_a_stream_that_lost_our_subjects_is_a_refusal(log: EventLog, connection: Connection) -> None:
    await change(connection, subjects=["containerd.nodes.>"])
    with pytest.raises(LogRefused, match=r"does not take containerd\.events\.n1\.demo\.c=2E1\.start"):
        await log.append(entries(5))


async def test_a_sealed_stream_is_a_refusal(log: EventLog, connection: Connection) -> None:
    await change(connection, sealed=True)
    with pytest.raises(LogRefused, match="sealed"):
        await log.append(entries(5))


async def test_a_limit_on_message_size_is_a_refusal(log: EventLog, connection: Connection) -> None:
    await change(connection, max_msg_size=300)
    with pytest.raises(LogRefused, match="message size exceeds maximum allowed"):
        await log.append(entries(5))


async def test_fast_batches_switched_off_behind_our_back_are_a_refusal(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        await ensure_events(connection, SUBJECTS)
        log = await open_log(connection, SUBJECTS)
        await change(connection, allow_batched=False)
        with pytest.raises(LogRefused, match="batch publish is disabled"):
            await log.append(entries(5))


async def test_an_event_that_the_server_cannot_take_is_refused_before_it_breaks_the_connection(
    log: EventLog, connection: Connection, server: NatsServer
) -> None:
    link = connection.link
    too_large = Entry(n=2, id="2", subject=SUBJECTS.event("n1", "demo", "c", "start"), body=bytes(1024 * 1024))
    with pytest.raises(LogRefused, match=r"event 2 on containerd\.events\.n1\.demo\.c\.start has 1048576 bytes"):
        await log.append([*entries(1), too_large])
    assert link.alive
    assert await kept(server.url) == []


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB x 0\r\n", "a" * 2000, "ä"])
async def test_a_subject_that_would_break_the_protocol_is_refused(
    subject: str, log: EventLog, connection: Connection
) -> None:
    link = connection.link
    with pytest.raises(LogRefused, match="event 1 cannot be sent"):
        await log.append([Entry(n=1, id="1", subject=subject, body=b"{}")])
    assert link.alive


@pytest.mark.parametrize("version", EVERY_PUBLISHER)
async def test_a_login_that_may_not_publish_events_is_told_so_at_once(
    version: str, nats_server_factory: NatsServerFactory
) -> None:
    denied = 'permissions: { publish: { deny: ["containerd.events.n1.demo.c=2E3.>"] } }'
    server = nats_server_factory(
        version=version, config=f"authorization {{ users: [{{ user: u, password: p, {denied} }}] }}"
    )
    async with opened(server.url, user="u", password="p") as log:
        with pytest.raises(
            LogRefused, match=r"not permit this login to publish to containerd\.events\.n1\.demo\.c=2e3"
        ):
            await log.append(entries(20))


async def test_a_log_that_is_away_is_no_refusal(log: EventLog, server: NatsServer) -> None:
    server.kill()
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            await log.append(entries(5))


async def frozen(server: NatsServer) -> None:
    """Stop the server, and wait until each of its threads stands."""
    server.freeze()
    while not stands(server.pid):
        await asyncio.sleep(0.001)


def stands(pid: int) -> bool:
    states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_says_nothing_is_no_refusal(log: EventLog, server: NatsServer) -> None:
    sent = entries(5)
    await eventually(log, sent[:1])
    await frozen(server)
    with pytest.raises(LogUnavailable, match="does not acknowledge within"):
        await log.append(sent)
    server.thaw()
    await eventually(log, sent)
    judge(await kept(server.url), sent)


# -- others on the bus


ROGUES: dict[str, Callable[[Msg], bytes]] = {
    "an ack of another stream": lambda _: b'{"stream":"OTHER","seq":7}',
    "an ack of another stream for the batch": lambda message: json.dumps(
        {"stream": "OTHER", "seq": 7, "batch": message.reply.split(".")[2], "count": 5}
    ).encode(),
    "no JSON": lambda _: b"hello",
    "nothing": lambda _: b"",
    "the message itself": lambda message: message.data,
    "a list": lambda _: b"[1]",
    "an ack of nothing": lambda _: b'{"stream":"CONTAINERD_EVENTS","seq":0}',
}


@pytest.mark.parametrize("rogue", ROGUES)
async def test_who_else_answers_is_not_taken_for_the_stream(rogue: str, log: EventLog, server: NatsServer) -> None:
    client = await connect(server.url)

    async def answer(message: Msg) -> None:
        await client.publish(message.reply, ROGUES[rogue](message))

    await client.subscribe("containerd.>", cb=answer)
    await client.flush()
    try:
        sent = entries(5)
        await log.append(sent)
        judge(await kept(server.url), sent)
    finally:
        await client.close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("rogue", ROGUES)
async def test_who_answers_without_a_stream_does_not_make_events_stored(
    rogue: str, log: EventLog, connection: Connection, server: NatsServer
) -> None:
    client = await connect(server.url)

    async def answer(message: Msg) -> None:
        await client.publish(message.reply, ROGUES[rogue](message))

    await client.subscribe("containerd.>", cb=answer)
    await client.flush()
    await api(connection, f"STREAM.DELETE.{STREAM}")
    try:
        with pytest.raises(LogUnavailable, match="does not acknowledge"):
            await log.append(entries(5))
    finally:
        await client.close()


# -- the end of the log


async def test_an_empty_log_has_no_end(log: EventLog) -> None:
    assert await log.end("n1") is None


async def test_the_end_is_the_nodes_own_last_event(log: EventLog) -> None:
    for n in range(1, 11):
        await log.append(entries(1, first=n))
    await log.append(entries(3, node="n2", containers=1))
    assert await log.end("n1") == LogEnd(10, f"{LOG}:10")
    assert await log.end("n2") == LogEnd(13, f"{LOG}:3")
    assert await log.end("n3") is None


@pytest.mark.parametrize("count", [3999, 4000, 4001, 9000])
async def test_the_end_of_a_long_log_is_found_behind_others(log: EventLog, count: int) -> None:
    await log.append(entries(count))
    await log.append(entries(count, node="n2"))
    end = await log.end("n1")
    assert end is not None
    assert end.position == f"{LOG}:{count}"


async def test_the_end_is_before_the_first_event_that_is_missing(log: EventLog) -> None:
    made = entries(12)
    for entry in [*made[:5], *made[6:9], made[11]]:  # as a publisher with many lanes leaves it when it is killed
        await log.append([entry])
    end = await log.end("n1")
    assert end is not None
    assert end.position == f"{LOG}:5"
    await log.append(made)
    end = await log.end("n1")
    assert end is not None
    assert end.position == f"{LOG}:12"


@pytest.mark.parametrize("after", [0, 3, 10])
async def test_the_end_is_found_where_consumers_fall_silent(
    log: EventLog, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    messages = Consumer.messages

    async def silent(self: Consumer, **how: Any) -> AsyncIterator[Any]:
        count = 0
        async for each in messages(self, **how):
            if count == after:
                break
            count += 1
            yield each
        raise Silent("silence")

    monkeypatch.setattr(Consumer, "messages", silent)
    await log.append(entries(12))
    await log.append(entries(3, node="n2"))
    for node, n in (("n1", 12), ("n2", 3)):
        end = await log.end(node)
        assert end is not None
        assert end.position == f"{LOG}:{n}"


async def test_if_the_very_first_event_is_missing_there_is_no_end(log: EventLog) -> None:
    await log.append(entries(12)[1:])
    assert await log.end("n1") is None


async def test_a_log_whose_beginning_is_too_old_to_be_kept_ends_where_it_ends(
    log: EventLog, connection: Connection
) -> None:
    await log.append(entries(50, containers=1))
    await change(connection, max_msgs=10)
    assert await log.end("n1") == LogEnd(50, f"{LOG}:50")


async def test_the_newest_of_two_logs_counts(log: EventLog) -> None:
    await log.append(entries(20, containers=1))
    await log.append(entries(3, containers=1, log="99999999-2222-3333-4444-555555555555"))
    assert await log.end("n1") == LogEnd(23, "99999999-2222-3333-4444-555555555555:3")


async def test_events_of_the_node_itself_count_for_the_end(log: EventLog) -> None:
    await log.append([*entries(2), heartbeat(3)])
    assert await log.end("n1") == LogEnd(3, f"{LOG}:3")
    await log.append(entries(1, first=4))
    assert await log.end("n1") == LogEnd(4, f"{LOG}:4")


async def test_names_that_begin_alike_are_other_nodes(log: EventLog) -> None:
    await log.append(entries(1, node="n1.local"))
    assert await log.end("n1") is None
    assert await log.end("n1.local") == LogEnd(1, f"{LOG}:1")


async def test_what_others_put_at_the_end_is_passed_over_with_a_warning(
    log: EventLog, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await log.append([heartbeat(1)])
    await connection.request(SUBJECTS.event("n1", "demo", "c", "start"), b"no event")
    assert await log.end("n1") == LogEnd(1, f"{LOG}:1")
    assert "is no event of ours" in caplog.text


async def test_the_end_of_a_log_that_is_away_is_unknown(log: EventLog, server: NatsServer) -> None:
    server.kill()
    with pytest.raises(LogUnavailable):
        await log.end("n1")


async def test_a_stream_that_is_gone_is_a_refusal_at_first_and_then_made_anew_as_at_the_start(
    log: EventLog, connection: Connection, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (await api(connection, f"STREAM.INFO.{STREAM}"))["config"]
    await api(connection, f"STREAM.DELETE.{STREAM}")
    monkeypatch.setattr(log_module, "GONE_S", 60.0)
    with pytest.raises(LogRefused, match=f"stream {STREAM} is gone: it is made anew"):
        await log.end("n1")
    monkeypatch.setattr(log_module, "GONE_S", 0.0)
    assert await log.end("n1") is None
    assert (await api(connection, f"STREAM.INFO.{STREAM}"))["config"] == before
    sent = entries(20)
    await log.append(sent)
    judge(await kept(server.url), sent)
