"""The buckets on real servers: as other people's KV clients see them, and when something is wrong with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import nats
import pytest
from nats.js.errors import KeyNotFoundError

import bridge.jetstream.lanes as lanes_module
from bridge.errors import ConfigError, LogConflict, LogRefused, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.buckets import ensure_buckets
from bridge.jetstream.connection import Connection
from bridge.jetstream.keys import Key, WrongRevision
from bridge.jetstream.lease import JetStreamLease
from bridge.jetstream.nodes import JetStreamNodes
from bridge.jetstream.state import JetStreamStates, open_states
from bridge.model.codec import decode_as
from bridge.model.nodes import NodeRecord
from bridge.model.subjects import Subjects
from tests.contract.buckets import gone, key, put, record
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import SUBJECTS, connected
from tests.nats_client import entries_of
from tests.testbed import NatsServer, Proxy

STATES, NODES = "KV_containerd-state", "KV_containerd-nodes"


async def states_on(connection: Connection) -> JetStreamStates:
    await ensure_buckets(connection, SUBJECTS)
    return await open_states(connection, SUBJECTS)


@pytest.fixture(params=["2.15", "2.10", "2.9"])
def any_server(request: pytest.FixtureRequest, nats_server_factory: NatsServerFactory) -> NatsServer:
    return nats_server_factory(version=request.param)


# -- other people's clients


async def test_another_client_reads_what_stands_there(any_server: NatsServer) -> None:
    async with connected(any_server.url) as connection, await nats.connect(any_server.url) as theirs:
        states = await states_on(connection)
        await states.write([put(b"one", "a"), put(b"two", "b"), gone("b")])
        kv = await theirs.jetstream(timeout=60).key_value("containerd-state")
        assert (await kv.get(Subjects.state_key(key("a")))).value == b"one"
        with pytest.raises(KeyNotFoundError):
            await kv.get(Subjects.state_key(key("b")))
        assert [one.key for one in await entries_of(await kv.watchall(ignore_deletes=True), 1)] == ["n1.k8s=2Eio.a"]
        status = await kv.status()
        assert (status.history, status.ttl or 0, status.stream_info.config.allow_direct) == (1, 0, True)


async def test_another_client_watches_what_changes(any_server: NatsServer) -> None:
    async with connected(any_server.url) as connection, await nats.connect(any_server.url) as theirs:
        states = await states_on(connection)
        await states.write([put(b"one", "a")])
        kv = await theirs.jetstream(timeout=60).key_value("containerd-state")
        watcher: Any = await kv.watch("n1.*.*")
        seen = await entries_of(watcher, 1)
        for change in (put(b"two", "a"), gone("a")):  # one by one: of a key that changes quickly only the last is seen
            await states.write([change])
            seen += await entries_of(watcher, 1)
        await watcher.stop()
    assert [(one.key, one.value, one.operation) for one in seen] == [
        ("n1.k8s=2Eio.a", b"one", None),
        ("n1.k8s=2Eio.a", b"two", None),
        ("n1.k8s=2Eio.a", b"", "DEL"),
    ]


async def test_we_see_what_another_client_writes_deletes_and_purges(any_server: NatsServer) -> None:
    async with connected(any_server.url) as connection, await nats.connect(any_server.url) as theirs:
        states = await states_on(connection)
        kv = await theirs.jetstream(timeout=60).key_value("containerd-state")
        for name in ("a", "b", "c"):
            await kv.put(Subjects.state_key(key(name)), b"x")
        await kv.put("no-key-of-ours", b"x")
        async with aclosing(states.follow()) as entries, asyncio.timeout(90):
            assert {(await anext(entries)).key.container for _ in range(3)} == {"a", "b", "c"}  # type: ignore[union-attr]
            assert await anext(entries) is None
            await kv.delete(Subjects.state_key(key("a")))
            await kv.purge(Subjects.state_key(key("b")))
            found = [await anext(entries), await anext(entries)]
        assert [entry and (entry.key.container, entry.value) for entry in found] == [("a", None), ("b", None)]
        assert [entry.key.container for entry in await states.read()] == ["c"]


async def test_another_client_reads_who_holds_a_node(any_server: NatsServer) -> None:
    async with connected(any_server.url) as connection, await nats.connect(any_server.url) as theirs:
        await ensure_buckets(connection, SUBJECTS)
        lease = JetStreamLease(connection, SUBJECTS, record("a.b"))
        await lease.acquire()
        kv = await theirs.jetstream(timeout=60).key_value("containerd-nodes")
        value = (await kv.get("a=2Eb")).value
        assert value is not None
        assert decode_as(value, NodeRecord) == lease.record
        await lease.release()
        with pytest.raises(KeyNotFoundError):
            await kv.get("a=2Eb")


# -- making sure of them


async def test_buckets_that_are_there_are_taken_as_they_are(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        for _ in range(2):
            await ensure_buckets(connection, SUBJECTS)
        config = (await api(connection, f"STREAM.INFO.{STATES}"))["config"]
    assert (config["allow_direct"], config["max_msgs_per_subject"], config["storage"]) == (True, 1, "file")


async def test_a_bucket_that_forgets_is_refused_and_left_as_it_is(nats_url: str) -> None:
    async with connected(nats_url) as connection, await nats.connect(nats_url) as theirs:
        await theirs.jetstream(timeout=60).create_key_value(bucket="containerd-nodes", ttl=60)
        with pytest.raises(
            ConfigError, match=r"bucket containerd-nodes is not strong enough: max_age is 60 s.*stream edit"
        ):
            await ensure_buckets(connection, SUBJECTS)


async def test_a_login_that_may_not_make_a_bucket_is_told_so(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory(
        config="authorization { users: [{ user: u, password: p, permissions: { "
        'publish: { deny: ["$JS.API.STREAM.CREATE.KV_containerd-state"] }, subscribe: ">" } }] }'
    )
    async with connected(server.url.replace("//", "//u:p@")) as connection:
        with pytest.raises(ConfigError, match="make the bucket containerd-state there yourself"):
            await ensure_buckets(connection, SUBJECTS)


async def test_reading_a_bucket_that_is_not_there(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        states = await open_states(connection, SUBJECTS)
        with pytest.raises(LogRefused, match="there is no bucket containerd-state"):
            await states.read()
        with pytest.raises(LogRefused, match="there is no bucket containerd-state"):
            await anext(states.follow())
        assert await JetStreamNodes(connection, SUBJECTS).records() == []


# -- writing


async def test_a_write_without_an_answer_is_reported(
    nats_server_factory: NatsServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes_module, "PATIENCE_S", 1.5)
    server = nats_server_factory()
    async with connected(server.url) as connection:
        states = await states_on(connection)
        server.freeze()
        with pytest.raises(LogUnavailable, match="does not acknowledge"):
            await states.write([put(b"x", f"c{n}") for n in range(200)])
        server.thaw()
        await states.write([put(b"y", f"c{n}") for n in range(200)])
        assert {entry.value for entry in await states.read()} == {b"y"}


async def test_cut_in_the_midst_of_writing_each_key_has_one_of_its_values_in_order(nats_url: str) -> None:
    changes = [put(b"%d" % n, f"c{n % 50}") for n in range(5_000)]
    async with Proxy(nats_url.removeprefix("nats://")) as proxy, connected(f"nats://{proxy.address}") as connection:
        states = await states_on(connection)
        for cut in (20_000, 150_000, 400_000):
            proxy.cut_after(cut, "to_server")
            with pytest.raises(LogUnavailable):
                await states.write(changes)
            await connection.linked()
        await states.write(changes)
        there = {entry.key.container: entry.value for entry in await states.read()}
    assert there == {f"c{n % 50}": b"%d" % n for n in range(4_950, 5_000)}


async def test_the_next_value_of_a_key_is_sent_when_the_one_before_is_acknowledged(nats_url: str) -> None:
    async with Proxy(nats_url.removeprefix("nats://")) as proxy, connected(f"nats://{proxy.address}") as connection:
        states = await states_on(connection)
        proxy.hold("to_client")
        writing = asyncio.create_task(states.write([put(b"1", "a"), put(b"2", "a"), put(b"1", "b"), put(b"3", "a")]))
        async with connected(nats_url) as witness:
            theirs = await open_states(witness, SUBJECTS)
            async with asyncio.timeout(90):
                while len(await theirs.read()) < 2:
                    await asyncio.sleep(0.02)
            assert {entry.key.container: entry.value for entry in await theirs.read()} == {"a": b"1", "b": b"1"}
            assert (await api(witness, f"STREAM.INFO.{STATES}"))["state"]["last_seq"] == 2
        proxy.release()
        await asyncio.wait_for(writing, 90)
        assert {entry.key.container: entry.value for entry in await states.read()} == {"a": b"3", "b": b"1"}


@asynccontextmanager
async def hammered(states: JetStreamStates, count: int) -> AsyncIterator[None]:
    """Keys that are written again and again, as quickly as it goes."""

    async def hammer() -> None:
        while True:
            await states.write([put(b"x", f"c{n}") for n in range(count)])

    await states.write([put(b"x", f"c{n}") for n in range(count)])
    task = asyncio.create_task(hammer())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_no_key_is_missed_while_all_of_them_are_written_again(any_server: NatsServer) -> None:
    async with connected(any_server.url) as connection, connected(any_server.url) as witness:
        theirs = await open_states(witness, SUBJECTS)
        async with hammered(await states_on(connection), 20), asyncio.timeout(90):
            for _ in range(20):
                assert {entry.key.container for entry in await theirs.read()} == {f"c{n}" for n in range(20)}


async def test_no_node_is_missed_while_all_of_them_are_renewed(any_server: NatsServer) -> None:
    async with connected(any_server.url) as connection, connected(any_server.url) as witness:
        await ensure_buckets(connection, SUBJECTS)
        leases = [JetStreamLease(connection, SUBJECTS, record(f"n{n}")) for n in range(3)]

        async def hammer(lease: JetStreamLease) -> None:
            while True:
                await lease.renew()

        for lease in leases:
            await lease.acquire()
        tasks = [asyncio.create_task(hammer(lease)) for lease in leases]
        async with asyncio.timeout(90):
            for _ in range(50):
                records = await JetStreamNodes(witness, SUBJECTS).records()
                assert [one.node for one in records] == ["n0", "n1", "n2"]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_what_is_denied_is_refused_and_named(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory(
        config="authorization { users: [{ user: u, password: p, permissions: { "
        'publish: { deny: ["$KV.containerd-state.n2.>"] }, subscribe: ">" } }] }'
    )
    async with connected(server.url.replace("//", "//u:p@")) as connection:
        states = await states_on(connection)
        await states.write([put(b"x", node="n1")])
        with pytest.raises(LogRefused, match="permit it in NATS"):
            await states.write([put(b"x", node="n2")])


async def test_a_follower_goes_on_when_the_bucket_was_made_anew(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        states = await states_on(connection)
        await states.write([put(b"1", "a"), put(b"1", "b")])
        async with aclosing(states.follow()) as entries, asyncio.timeout(90):
            while await anext(entries) is not None:
                pass
            await api(connection, f"STREAM.DELETE.{STATES}")
            await ensure_buckets(connection, SUBJECTS)
            await states.write([put(b"2", "a")])
            seen: dict[str, bytes | None] = {}
            while len(seen) < 2:
                entry = await anext(entries)
                assert entry is not None
                seen[entry.key.container] = entry.value
    assert seen == {"a": b"2", "b": None}


async def test_a_reader_that_stops_early_leaves_no_consumer(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        states = await states_on(connection)
        async with aclosing(states.follow()) as entries:
            await anext(entries)
        assert (await api(connection, f"STREAM.INFO.{STATES}"))["state"]["consumer_count"] == 0


# -- a key


async def test_a_key_is_written_only_where_it_stands_as_expected(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        await ensure_buckets(connection, SUBJECTS)
        one = Key(connection, "containerd-nodes", "k")
        assert await one.get() is None
        first = await one.put(b"1", expected=0)
        for wrong in (0, first + 1):
            with pytest.raises(WrongRevision):
                await one.put(b"2", expected=wrong)
            with pytest.raises(WrongRevision):
                await one.remove(expected=wrong)
        standing = await one.get()
        assert standing is not None
        assert (standing.value, standing.revision) == (b"1", first)
        age = await one.age(standing)
        assert age is not None
        assert 0 <= age < 60
        mark = await one.remove(expected=first)
        standing = await one.get()
        assert standing is not None
        assert (standing.value, standing.revision) == (None, mark)
        assert await one.put(b"", expected=mark) > mark


async def test_what_answers_in_a_bucket_s_place_is_not_believed(nats_url: str) -> None:
    async with connected(nats_url) as rogue, connected(nats_url) as connection:

        async def answer(message: Any) -> None:
            await message.respond(b"stored!")

        await rogue.client.subscribe("$KV.containerd-nodes.k", cb=answer)
        await rogue.client.flush()
        with pytest.raises(LogUnavailable, match="something else answers"):
            await Key(connection, "containerd-nodes", "k").put(b"1", expected=0)


# -- a lease whose bucket suffers


async def test_a_lease_whose_record_is_gone_is_written_again(nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(nats_url) as connection:
        await ensure_buckets(connection, SUBJECTS)
        lease = JetStreamLease(connection, SUBJECTS, record())
        await lease.acquire()
        await api(connection, f"STREAM.PURGE.{NODES}")
        await lease.renew()
        assert lease.held
        assert len(await JetStreamNodes(connection, SUBJECTS).records()) == 1
    assert "record of node n1 is gone" in caplog.text


async def test_what_anybody_has_a_server_write_over_a_lease_costs_nobody_the_node(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        await ensure_buckets(connection, SUBJECTS)
        lease = JetStreamLease(connection, SUBJECTS, record())
        await lease.acquire()
        await connection.client.publish("$JS.API.INFO", b"", reply=f"$KV.{SUBJECTS.node_bucket}.n1")
        await connection.client.flush()
        key = Key(connection, SUBJECTS.node_bucket, "n1")
        async with asyncio.timeout(90):
            while b"account_info_response" not in ((await key.get()) or pytest.fail("gone")).value:  # type: ignore[operator]
                await asyncio.sleep(0.01)
        await lease.renew()
        assert lease.held
        standing = await key.get()
        assert standing is not None
        assert standing.value is not None
        assert decode_as(standing.value, NodeRecord).holder == lease.record.holder


async def test_a_lease_goes_on_where_its_bucket_went_back_to_an_older_holder(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        await ensure_buckets(connection, SUBJECTS)
        older, lease = (JetStreamLease(connection, SUBJECTS, record(), ended=lambda _: True) for _ in range(2))
        for _ in range(5):
            await Key(connection, "containerd-nodes", "other").put(b"x", expected=await _revision(connection))
        await lease.acquire()
        await api(connection, f"STREAM.DELETE.{NODES}")
        await ensure_buckets(connection, SUBJECTS)
        await older.acquire()
        await lease.renew()
        assert lease.held
        with pytest.raises(LogConflict):
            await older.renew()


async def _revision(connection: Connection) -> int:
    standing = await Key(connection, "containerd-nodes", "other").get()
    return 0 if standing is None else standing.revision


async def test_a_renewal_whose_answer_was_lost_is_no_conflict(nats_url: str) -> None:
    async with Proxy(nats_url.removeprefix("nats://")) as proxy, connected(f"nats://{proxy.address}") as connection:
        await ensure_buckets(connection, SUBJECTS)
        lease = JetStreamLease(connection, SUBJECTS, record(lease_s=60.0))
        await lease.acquire()
        before = lease.record.renewed
        proxy.hold("to_client")
        renewing = asyncio.create_task(lease.renew())
        async with connected(nats_url) as witness:
            nodes = JetStreamNodes(witness, SUBJECTS)
            async with asyncio.timeout(90):
                while (await nodes.records())[0].renewed == before:
                    await asyncio.sleep(0.02)
        await proxy.cut()
        proxy.release()
        with pytest.raises(LogUnavailable):
            await renewing
        await connection.linked()
        await lease.renew()
        assert lease.held


async def test_a_holder_is_told_when_the_bucket_is_gone(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        await ensure_buckets(connection, SUBJECTS)
        lease = JetStreamLease(connection, SUBJECTS, record(lease_s=0.8))
        await lease.acquire()
        await api(connection, f"STREAM.DELETE.{NODES}")
        with pytest.raises(LogRefused, match="bucket containerd-nodes is gone: start the bridge again"):
            await asyncio.wait_for(lease.keep(), 90)


async def test_a_record_that_cannot_be_read_is_waited_for_like_any_other(
    nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with connected(nats_url) as connection:
        await ensure_buckets(connection, SUBJECTS)
        await Key(connection, "containerd-nodes", "n1").put(b"{}", expected=0)
        lease = JetStreamLease(connection, SUBJECTS, record(lease_s=2.0))
        await asyncio.wait_for(lease.acquire(), 90)
        assert lease.held
    assert "record of node n1 cannot be read" in caplog.text


async def test_what_the_server_says_is_long_lapsed_is_taken_without_watching(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        await ensure_buckets(connection, SUBJECTS)
        await JetStreamLease(connection, SUBJECTS, record(lease_s=0.1)).acquire()
        await asyncio.sleep(0.4)  # the length of the silence itself, no wait for a condition
        second = JetStreamLease(connection, SUBJECTS, record())
        looks = 0
        get = second._key.get

        async def counted() -> Any:
            nonlocal looks
            looks += 1
            return await get()

        second._key.get = counted  # type: ignore[method-assign]
        await second.acquire()
        assert looks == 1


# -- the right to write, and a bucket that is not what it was


async def test_without_the_lease_nothing_is_written(any_server: NatsServer) -> None:
    async with connected(any_server.url) as connection:
        await ensure_buckets(connection, SUBJECTS)
        lease = JetStreamLease(connection, SUBJECTS, record())
        states = await open_states(connection, SUBJECTS, lease)
        with pytest.raises(LogUnavailable, match="has run out"):
            await states.write([put(b"1", "a")])
        await lease.acquire()
        await states.write([put(b"1", "a")])
        lease.lost = LogConflict("node n1 now has another bridge")
        with pytest.raises(LogConflict, match="another bridge"):
            await states.write([put(b"2", "a")])
        assert [entry.value for entry in await states.read()] == [b"1"]


async def test_a_lease_that_runs_out_in_the_middle_of_a_write_ends_it(any_server: NatsServer) -> None:
    """So it is with a bridge that was suspended there: it goes on where it stood."""

    class Lapsing:
        looks = 3

        def check(self) -> None:
            self.looks -= 1
            if self.looks < 0:
                raise LogUnavailable("the lease has run out")

    async with connected(any_server.url) as connection:
        await ensure_buckets(connection, SUBJECTS)
        states = await open_states(connection, SUBJECTS, Lapsing())
        with pytest.raises(LogUnavailable, match="the lease has run out"):
            await states.write([put(b"%d" % n, "a") for n in range(100)])
        [entry] = await states.read()
        assert entry.value in {b"0", b"1"}


async def test_a_bucket_that_went_back_is_another_one_to_whoever_wrote_there(any_server: NatsServer) -> None:
    async with connected(any_server.url) as connection:
        states = await states_on(connection)
        for n in range(3):
            await states.write([put(b"%d" % n, "a")])
        before = states.session
        await states.write([put(b"3", "a")])
        assert states.session == before
        await api(connection, f"STREAM.DELETE.{STATES}")
        await ensure_buckets(connection, SUBJECTS)
        await states.write([put(b"4", "a")])
        assert states.session != before


async def test_a_bucket_that_is_gone_is_not_made_anew_at_once_since_it_may_come_back(any_server: NatsServer) -> None:
    async with connected(any_server.url) as connection:
        states = await states_on(connection)
        await api(connection, f"STREAM.DELETE.{STATES}")
        with pytest.raises(LogRefused, match="bucket containerd-state is gone: it is made anew unless it comes back"):
            await states.write([put(b"1", "a")])
        with pytest.raises(LogRefused, match="bucket containerd-state is gone: it is made anew unless it comes back"):
            await states.ensure()
        await ensure_buckets(connection, SUBJECTS)  # it comes back
        await states.ensure()
        await states.write([put(b"1", "a")])
