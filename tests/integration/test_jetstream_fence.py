"""One writer, by the server's own judgement: whoever was a node's bridge and does not know that it is not any more is refused."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import pytest

from bridge.errors import LogConflict, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.buckets import ensure_buckets
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS
from bridge.jetstream.fence import Fence
from bridge.jetstream.lanes import Lanes
from bridge.jetstream.lease import JetStreamLease
from bridge.jetstream.log import open_log
from bridge.jetstream.reader import JetStreamReader
from bridge.jetstream.streams import Making, ensure_events
from bridge.model.node_events import NodeLease
from bridge.ports import Entry, EventLog, Start
from tests.contract.buckets import record
from tests.integration.jetstream_entries import STREAM, SUBJECTS, Kept, connected, entries, heartbeat, judge, kept
from tests.integration.jetstream_entries import opened as log_without_fence
from tests.integration.test_jetstream_cluster import Cluster, cluster, eventually, log_on
from tests.testbed import NatsServer, Proxy

__all__ = ["cluster"]

LEASES = "containerd.nodes.n1.lease"
PIDS = itertools.count(101)


class Writer(NamedTuple):
    """A bridge's lease and log."""

    connection: Connection
    lease: JetStreamLease
    log: EventLog


@asynccontextmanager
async def writing(url: str, *, lease_s: float = 600.0, replicas: int = 1) -> AsyncIterator[Writer]:
    """A bridge that takes node n1 over from whoever has it, as if that one had ended."""
    async with connected(url) as connection:
        await ensure_events(connection, SUBJECTS, Making(replicas=replicas))
        await ensure_buckets(connection, SUBJECTS, replicas=replicas)
        lease = JetStreamLease(connection, SUBJECTS, record(lease_s=lease_s, pid=next(PIDS)), ended=lambda _: True)
        await lease.acquire()
        yield Writer(connection, lease, await open_log(connection, SUBJECTS, lease))


def of(found: Sequence[Kept], sent: Sequence[Entry]) -> list[int]:
    """The sequences at which these entries stand in the stream."""
    ids = {entry.id for entry in sent}
    return [message.sequence for message in found if message.id in ids]


def leases(found: Sequence[Kept]) -> list[int]:
    return [message.sequence for message in found if message.subject == LEASES]


async def test_the_one_who_does_not_know_it_yet_is_refused_and_told_who_has_the_node(nats_url: str) -> None:
    before, after, late = entries(50), entries(50, log="b"), entries(50, first=51)
    async with writing(nats_url) as first, writing(nats_url) as second:
        # `second` came last; what `first` may still believe is that its lease holds.
        assert first.lease.held
        await second.log.append(after)
        with pytest.raises(LogConflict, match=f"pid {second.lease.record.pid}"):
            await first.log.append(before + late)
        with pytest.raises(LogConflict):
            await first.log.append(late)
        await second.log.append(entries(5, first=51, log="b"))
    found = await kept(nats_url)
    assert (of(found, before), of(found, late), len(of(found, after))) == ([], [], 50)


async def test_the_new_one_appends_only_behind_its_lease_and_the_old_one_only_before(nats_url: str) -> None:
    before, after = entries(50), entries(50, log="b")
    async with writing(nats_url) as first:
        await first.log.append(before)
        async with writing(nats_url) as second:
            await second.log.append(after)
    found = await kept(nats_url)
    one, other = leases(found)
    assert one < min(of(found, before)) <= max(of(found, before)) < other < min(of(found, after))


async def test_bytes_that_hang_in_the_network_are_refused_when_they_arrive(nats_url: str) -> None:
    sent, after = entries(1_900, size=4_000), entries(50, log="b")
    async with Proxy(nats_url.removeprefix("nats://")) as proxy, writing(f"nats://{proxy.address}") as first:
        appending = asyncio.create_task(first.log.append(sent))
        while proxy.relayed["to_server"] < 500_000:
            await asyncio.sleep(0)
        proxy.hold()
        async with writing(nats_url) as second:
            await second.log.append(after)
            proxy.release()
            with pytest.raises(LogConflict, match=f"pid {second.lease.record.pid}"):
                await asyncio.wait_for(appending, 90)
    found = await kept(nats_url)
    assert 0 < len(of(found, sent)) < 1_900
    assert max(of(found, sent)) < leases(found)[-1] < min(of(found, after))


async def test_message_by_message_the_old_one_is_refused_too(nats_url: str) -> None:
    sent = entries(300)
    async with writing(nats_url) as first:
        fence = Fence(first.connection, SUBJECTS, STREAM, first.lease)
        lanes = Lanes(first.connection, STREAM, fence)
        await lanes.open()
        await fence.open()
        await lanes.append(sent[:200])
        async with writing(nats_url):
            with pytest.raises(LogConflict):
                await lanes.append(sent)
    assert len(of(await kept(nats_url), sent)) == 200


async def test_without_a_lease_in_force_nothing_is_sent(nats_url: str) -> None:
    sent = entries(10)
    async with writing(nats_url, lease_s=2.0) as writer:
        async with asyncio.timeout(90):
            while writer.lease.held:
                await asyncio.sleep(0.02)
        with pytest.raises(LogUnavailable, match="lease of node n1 has run out"):
            await writer.log.append(sent)
        assert of(await kept(nats_url), sent) == []
        await writer.lease.renew()
        await writer.log.append(sent)
    assert len(of(await kept(nats_url), sent)) == 10


async def test_on_older_servers_the_lease_alone_decides(older_nats_server: NatsServer) -> None:
    url, sent = older_nats_server.url, entries(10)
    async with writing(url, lease_s=2.0) as first:
        await first.log.append(sent[:5])
        async with writing(url) as second, asyncio.timeout(90):
            while first.lease.held:
                await asyncio.sleep(0.02)
            with pytest.raises(LogUnavailable):
                await first.log.append(sent)
            with pytest.raises(LogConflict):
                await first.lease.renew()
            with pytest.raises(LogConflict, match=f"pid {second.lease.record.pid}"):
                await first.log.append(sent)
    assert len(of(await kept(url), sent)) == 5


async def expire(writer: Writer) -> None:
    """Let everything in the stream expire."""
    config = (await api(writer.connection, f"STREAM.INFO.{STREAM}"))["config"]
    short = config | {"max_age": 200_000_000, "duplicate_window": 200_000_000}
    await api(writer.connection, f"STREAM.UPDATE.{STREAM}", short)
    async with asyncio.timeout(90):
        while (await api(writer.connection, f"STREAM.INFO.{STREAM}"))["state"]["messages"]:
            await asyncio.sleep(0.05)
    await api(writer.connection, f"STREAM.UPDATE.{STREAM}", config)


async def test_a_lease_event_that_expired_is_written_again(nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
    sent = entries(20)
    async with writing(nats_url) as writer:
        await writer.log.append(sent[:10])
        await expire(writer)
        await writer.log.append(sent[10:])
        await writer.log.append(entries(5, first=21))
    found = await kept(nats_url)
    assert [message.subject == LEASES for message in found] == [True] + [False] * 15
    assert "the lease event of node n1 was gone" in caplog.text


async def test_it_is_not_written_again_by_one_whose_lease_has_gone_to_somebody_else(nats_url: str) -> None:
    async with writing(nats_url) as writer:
        await writer.log.append(entries(10))
        await expire(writer)
        other = JetStreamLease(writer.connection, SUBJECTS, record(pid=4712), ended=lambda _: True)
        await other.acquire()
        with pytest.raises(LogConflict, match="pid 4712"):
            await writer.log.append(entries(10, first=11))
    assert await kept(nats_url) == []


async def test_a_refusal_while_the_node_is_ours_is_tried_once_more_and_then_left_to_the_caller(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So says a replicated stream while a fenced message of an append before is still under way (error 10164).
    async with writing(nats_url) as writer:
        mended = []
        mend = Fence.mend

        async def counted(fence: Fence) -> None:
            mended.append(fence.others)
            await mend(fence)

        monkeypatch.setattr(Fence, "mend", counted)
        publisher = writer.log._publisher  # type: ignore[attr-defined]
        store = publisher._store
        refusals = [LogConflict("wrong last sequence (JetStream error 10164)")]

        async def refused_once(sent: Sequence[Entry]) -> object:
            if refusals:
                raise refusals.pop()
            return await store(sent)

        monkeypatch.setattr(publisher, "_store", refused_once)
        await writer.log.append(entries(10))
        refusals += [LogConflict("10164"), LogConflict("10164")]
        with pytest.raises(LogUnavailable):
            await writer.log.append(entries(10, first=11))
    assert len(mended) == 2


async def test_lease_events_count_for_nothing_at_the_end_of_a_node_s_log(
    nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for n in range(1, 6):
        async with writing(nats_url) as writer:
            if n < 4:
                await writer.log.append([*entries(1, first=2 * n - 1), heartbeat(2 * n)])
            end = await writer.log.end("n1")
            assert end is not None
            assert end.position.endswith(f":{min(2 * n, 6)}")
    assert "is no event of ours" not in caplog.text


@pytest.mark.parametrize("plane", ["events", "nodes"])
async def test_a_long_row_of_lease_events_hides_nothing_at_the_end_of_a_node_s_log(nats_url: str, plane: str) -> None:
    numbered = entries(5) if plane == "events" else [heartbeat(n) for n in range(1, 6)]
    async with writing(nats_url) as writer:
        await writer.log.append(numbered)
        [body] = [message.body for message in await kept(nats_url) if message.subject == LEASES]
        await writer.log.append(entries(1, node="n2"))
    async with log_without_fence(nats_url) as log:
        await log.append([Entry(n=n, id=f"l{n}", subject=LEASES, body=body) for n in range(4_100)])
        end = await log.end("n1")
    assert end is not None
    assert (end.stream_sequence, end.position[-2:]) == (6, ":5")


async def test_readers_get_the_lease_event_without_a_position(nats_url: str) -> None:
    async with writing(nats_url), writing(nats_url) as writer:
        reader = JetStreamReader(writer.connection, SUBJECTS)
        found = [event async for event in reader.read([LEASES], Start(sequence=1), follow=False)]
    first, second = (event.recorded for event in found)
    assert isinstance(first.data, NodeLease)
    assert isinstance(second.data, NodeLease)
    assert (first.data.before, second.data.before) == (None, first.data.holder)
    assert second.data.holder == writer.lease.record.holder
    assert second.position is None
    assert "position" not in json.loads(found[0].body)


async def test_another_stream_s_answer_puts_up_no_fence(nats_url: str) -> None:
    async with connected(nats_url) as rogue, writing(nats_url) as writer:

        async def answer(message: object) -> None:
            await message.respond(b'{"stream":"OTHER","seq":1}')  # type: ignore[attr-defined]

        await rogue.client.subscribe(LEASES, cb=answer)
        await rogue.client.flush()
        lease = JetStreamLease(writer.connection, SUBJECTS, record(), ended=lambda _: True)
        await lease.acquire()
        fence = Fence(writer.connection, SUBJECTS, STREAM, lease)
        for _ in range(50):
            try:
                await fence.open()
            except LogUnavailable:
                continue
            break
        assert fence.first.startswith("Nats-Expected-Last-Subject-Sequence: ")
        last = await api(writer.connection, f"STREAM.MSG.GET.{STREAM}", {"last_by_subj": LEASES})
        assert f": {last['message']['seq']}\r\n" in fence.first


@pytest.mark.slow
async def test_on_three_replicas_the_old_one_begins_no_batch_any_more(cluster: Cluster) -> None:
    before, after, late = entries(5_000), entries(3_000, log="b"), entries(3_000, first=5_001)
    async with log_on(cluster.url):  # the three have found each other, and the stream is there
        pass
    async with writing(cluster.url, replicas=3) as first, writing(cluster.url, replicas=3) as second:
        await second.log.append(after)
        with pytest.raises(LogConflict):
            await first.log.append(before + late)
    found = await kept(cluster.servers[0].url)
    assert (of(found, before), of(found, late), len(of(found, after))) == ([], [], 3_000)


@pytest.mark.slow
async def test_on_three_replicas_the_holder_goes_on_through_changes_of_the_leaders(cluster: Cluster) -> None:
    sent = entries(12_000, containers=50)
    async with log_on(cluster.url):
        pass
    async with writing(cluster.url, replicas=3) as writer:
        for start in range(0, len(sent), 1_000):
            appending = asyncio.create_task(eventually(writer.log, sent[start : start + 1_000]))
            await asyncio.sleep(random.uniform(0, 0.05))
            for stream in (STREAM, "KV_containerd-nodes"):
                with suppress(*NATS_ERRORS):
                    await api(writer.connection, f"STREAM.LEADER.STEPDOWN.{stream}", timeout=1)
            await asyncio.wait_for(appending, 90)
        found = await kept((await cluster.leader(writer.connection)).url)
    judge([message for message in found if message.subject != LEASES], sent)
    assert len(leases(found)) == 1
