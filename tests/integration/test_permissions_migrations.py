"""The register of migrations on real nats-servers that permit each login only its set: who writes which entry, and who none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from bridge.config import NatsConfig
from bridge.jetstream.buckets import bucket_stream, ensure_buckets, key_subject
from bridge.jetstream.connection import Connection
from bridge.jetstream.connection import connect as connect_to
from bridge.jetstream.migration_facts import register_facts
from bridge.jetstream.migrations import JetStreamMigrations
from bridge.jetstream.permissions import listed, permitted
from bridge.jetstream.stored import sent_to, written_of
from bridge.model.codec import encode_any
from bridge.model.subjects import Subjects
from bridge.ports import Registered
from tests.contract.test_migration_register import ENTRY as ANY
from tests.fix_nats import NatsServerFactory
from tests.integration.test_permissions import raw, until
from tests.testbed import NatsServer

pytestmark = pytest.mark.nats

SUBJECTS = Subjects()
BUCKET = SUBJECTS.migration_bucket
STREAM = bucket_stream(BUCKET)
ENTRY = replace(ANY, source="n1", target="n2")
SUBJECT = key_subject(BUCKET, ENTRY.key.token)


def config() -> str:
    sets, users = [], []
    for user in ("n1", "n2", "n3", "reader"):
        found = permitted("reader" if user == "reader" else "node", SUBJECTS, inbox=f"_INBOX.{user}", node=user)
        sets.append(listed(f"OF_{user}", found))
        users.append(f'{{ user: "{user}", password: "x", permissions: $OF_{user} }}')
    return "".join(sets) + f"authorization {{ users: [ {', '.join(users)} ] }}\n"


@asynccontextmanager
async def connected(server: NatsServer, user: str) -> AsyncIterator[Connection]:
    login = NatsConfig(url=server.url, user=user, password="x", inbox=f"_INBOX.{user}")
    async with connect_to(login, name="test") as connection:
        yield connection


@pytest.fixture(params=["2.15", "2.10", "2.9"])
def server(request: pytest.FixtureRequest, nats_server_factory: NatsServerFactory) -> NatsServer:
    return nats_server_factory(version=request.param, config=config())


async def test_a_reader_who_has_answers_sent_to_an_entry_holds_nothing_up(
    server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(server, "n1") as one, connected(server, "n2") as two:
        await ensure_buckets(one, SUBJECTS)
        source, target = JetStreamMigrations(one, SUBJECTS), JetStreamMigrations(two, SUBJECTS)
        made = await source.change(Registered(None, 0), ENTRY)
        await source.change(made, replace(ENTRY, state="offered"))
        async with raw(server, "reader") as (reader, _):
            consumer = b'{"stream_name":"KV_containerd-nodes","config":{"name":"c","ack_policy":"none"}}'
            questions = [
                ("$JS.API.INFO", b""),
                ("$JS.API.STREAM.INFO.KV_containerd-nodes", b""),
                # What a consumer delivers is stored as what it was; that there is nothing is an answer like the others.
                ("$JS.API.CONSUMER.CREATE.KV_containerd-nodes.c", consumer),
                ("$JS.API.CONSUMER.MSG.NEXT.KV_containerd-nodes.c", b'{"batch":1,"no_wait":true}'),
            ]
            if server.version != "2.9":
                questions.append(("$SYS.REQ.USER.INFO", b""))
            async with asyncio.timeout(90):
                for number, (question, body) in enumerate(
                    questions, 1
                ):  # one by one: none may come after the last look
                    await reader.publish(question, body, reply=SUBJECT)
                    while (await written_of(one, STREAM, SUBJECT)).foreign < number:
                        await asyncio.sleep(0.01)
        standing = await target.get(ENTRY.key)
        assert standing.migration is not None
        assert standing.migration.state == "offered"
        assert f"under {ENTRY.key.token} stand messages" in caplog.text
        taken = await target.change(standing, replace(ENTRY, state="taken", by="target"))
        assert await source.get(ENTRY.key) == taken
        assert (await written_of(one, STREAM, SUBJECT)).foreign == 0


async def test_a_reader_is_told_what_is_under_way_and_what_nobody_has_written(server: NatsServer) -> None:
    async with connected(server, "n1") as one, connected(server, "reader") as reader:
        assert (await register_facts(reader, SUBJECTS)).absent
        await ensure_buckets(one, SUBJECTS)
        assert (await register_facts(reader, SUBJECTS)).found == []
        register = JetStreamMigrations(one, SUBJECTS)
        made = await register.change(Registered(None, 0), ENTRY)
        await register.change(made, replace(ENTRY, state="offered"))
        await reader.client.publish("$JS.API.INFO", b"", reply=SUBJECT)
        async with asyncio.timeout(90):
            while not (facts := await register_facts(reader, SUBJECTS)).found[0].foreign:
                await asyncio.sleep(0.01)
        [found] = facts.found
        assert found.entry == replace(ENTRY, state="offered")
        assert (found.key, found.foreign, 0 <= found.age_s < 3600) == (ENTRY.key.token, 1, True)
        assert facts.faults == []


async def test_only_the_two_ends_may_write_an_entry(server: NatsServer) -> None:
    async with connected(server, "n1") as one:
        await ensure_buckets(one, SUBJECTS)
        for user in ("n1", "n2"):
            async with connected(server, user) as connection:
                register = JetStreamMigrations(connection, SUBJECTS)
                mine = replace(ENTRY, id=f"by-{user}")
                assert (await register.change(Registered(None, 0), mine)).migration == mine
        for user in ("n3", "reader"):
            async with raw(server, user) as (each, refused):
                await each.publish(SUBJECT, encode_any(ENTRY), headers=sent_to(STREAM))
                await each.flush()
                await until(lambda told=refused: told)  # type: ignore[misc]
                assert "permissions violation for publish" in refused[0]
        assert await JetStreamMigrations(one, SUBJECTS).get(ENTRY.key) == Registered(None, 0)


@pytest.mark.parametrize("verb", ["STREAM.UPDATE", "STREAM.MSG.DELETE", "STREAM.DELETE"])
async def test_no_node_may_let_an_earlier_entry_stand_again(server: NatsServer, verb: str) -> None:
    async with raw(server, "n1") as (each, refused):
        await each.publish(f"$JS.API.{verb}.{STREAM}", b"{}")
        await each.flush()
        await until(lambda: refused)
        assert "permissions violation for publish" in refused[0]
