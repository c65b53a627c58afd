"""The stream of events on real servers: made as declared, taken when it is as good, refused by name when it is weaker."""

from typing import Any

import pytest

from bridge.errors import ConfigError
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.streams import AS_USUAL, DUPLICATE_WINDOW, Making, declared, ensure_events
from bridge.model.subjects import Subjects
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import STREAM, SUBJECTS, connected


async def config(connection: Connection) -> dict[str, Any]:
    found: dict[str, Any] = (await api(connection, f"STREAM.INFO.{STREAM}"))["config"]
    return found


async def make(connection: Connection, **changes: Any) -> None:
    """Make the stream otherwise than we would; None takes a setting out."""
    wanted = {**declared(SUBJECTS, AS_USUAL, batched=False), **changes}
    await api(connection, f"STREAM.CREATE.{STREAM}", {key: value for key, value in wanted.items() if value is not None})


async def refusal(connection: Connection, making: Making = AS_USUAL) -> str:
    with pytest.raises(ConfigError) as caught:
        await ensure_events(connection, SUBJECTS, making)
    return str(caught.value)


def login(permissions: str) -> str:
    return f"authorization {{ users: [{{ user: u, password: p, permissions: {{ {permissions} }} }}] }}"


@pytest.mark.parametrize(("version", "batched"), [("2.15", True), ("2.10", False), ("2.9", False)])
async def test_it_is_made_as_declared(version: str, batched: bool, nats_server_factory: NatsServerFactory) -> None:
    async with connected(nats_server_factory(version=version).url) as connection:
        stream = await ensure_events(connection, SUBJECTS)
        assert (stream.name, stream.batched) == (STREAM, batched)
        made = await config(connection)
        expected = declared(SUBJECTS, AS_USUAL, batched=batched)
        assert {key: made.get(key) for key in expected} == expected
        assert (made["max_age"], made["duplicate_window"]) == (7 * 86_400 * 10**9, DUPLICATE_WINDOW)


async def test_a_second_time_changes_nothing(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        first = await ensure_events(connection, SUBJECTS)
        before = await api(connection, f"STREAM.INFO.{STREAM}")
        assert await ensure_events(connection, SUBJECTS) == first
        assert (await api(connection, f"STREAM.INFO.{STREAM}"))["created"] == before["created"]


async def test_retention_is_as_set_where_it_is_made_and_left_alone_where_it_is_there(
    nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(nats_url) as connection:
        await ensure_events(connection, SUBJECTS, Making(max_age_s=3_600, max_bytes=1 << 30))
        made = await config(connection)
        assert (made["max_age"], made["max_bytes"]) == (3_600 * 10**9, 1 << 30)
        await ensure_events(connection, SUBJECTS)
        assert caplog.messages == []
        await ensure_events(connection, SUBJECTS, Making(max_age_s=0, max_bytes=1 << 31))
        assert await config(connection) == made
    assert [message.partition(":")[0] for message in caplog.messages] == [
        f"stream {STREAM} has max_age 3600 s, the setting events_max_age says 0 s",
        f"stream {STREAM} has max_bytes {1 << 30}, the setting events_max_bytes says {1 << 31}",
    ]


async def test_two_roots_have_two_streams(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        await ensure_events(connection, SUBJECTS)
        assert (await ensure_events(connection, Subjects("staging"))).name == "STAGING_EVENTS"


@pytest.mark.parametrize(
    "better",
    [
        {"max_age": 0, "duplicate_window": 2 * DUPLICATE_WINDOW},
        {"discard": "new", "max_bytes": 10**9},
        {"subjects": ["containerd.>"]},
        {"compression": "s2"},
        {"deny_delete": False, "deny_purge": False, "allow_direct": False},
    ],
)
async def test_one_that_is_as_good_stays_as_its_owner_made_it(nats_url: str, better: dict[str, Any]) -> None:
    async with connected(nats_url) as connection:
        await make(connection, **better)
        before = await config(connection)
        await ensure_events(connection, SUBJECTS)
        after = await config(connection)
        assert {**before, "allow_batched": None, "metadata": None} == {**after, "allow_batched": None, "metadata": None}


async def test_fast_batches_are_switched_on_where_the_server_can(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        await make(connection)
        assert (await ensure_events(connection, SUBJECTS)).batched
        assert (await config(connection))["allow_batched"]


async def test_where_we_may_not_switch_them_on_somebody_else_has_to(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory(config=login('publish: { deny: "$JS.API.STREAM.UPDATE.>" }'))
    async with connected(server.url, user="u", password="p") as connection:
        await make(connection)
        assert "allow_batched false, needed is true, and it cannot be changed" in await refusal(connection)


@pytest.mark.parametrize(
    ("weaker", "said"),
    [
        ({"storage": "memory"}, "storage is memory, needed is file"),
        ({"subjects": ["containerd.events.>"]}, "subjects is containerd.events.>, needed is containerd.nodes.> too"),
        ({"duplicate_window": 120 * 10**9}, "duplicate_window is 120 s, needed is 1800 s or more"),
        ({"max_msgs_per_subject": 5}, "max_msgs_per_subject is 5, needed is -1"),
        ({"max_msg_size": 1000}, "max_msg_size is 1000, needed is -1"),
        ({"retention": "interest"}, "retention is interest, needed is limits"),
        ({"no_ack": True}, "no_ack is true, needed is unset"),
        (
            {"mirror": {"name": "OTHER"}, "subjects": None, "deny_delete": None},
            "mirror is set (OTHER), needed is unset",
        ),
        (
            {"subject_transform": {"src": "containerd.>", "dest": "x.>"}},
            "subject_transform is set (x.>), needed is unset",
        ),
    ],
)
async def test_one_that_is_weaker_is_refused_by_name_and_left_alone(
    nats_url: str, weaker: dict[str, Any], said: str
) -> None:
    async with connected(nats_url) as connection:
        await make(connection, **weaker)
        before = await config(connection)
        sentence = await refusal(connection)
        assert said in sentence
        assert f"nats stream edit {STREAM}" in sentence
        assert await config(connection) == before


async def test_a_sealed_one_is_refused(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        await make(connection)
        await api(connection, f"STREAM.UPDATE.{STREAM}", {**await config(connection), "sealed": True})
        assert "sealed is true, needed is unset: a sealed stream takes no messages" in await refusal(connection)


async def test_fewer_replicas_than_wanted_are_refused(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        await make(connection)
        assert "num_replicas is 1, needed is 3 or more" in await refusal(connection, Making(replicas=3))


async def test_replicas_without_a_cluster_are_refused(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        sentence = await refusal(connection, Making(replicas=3))
        assert "replicas > 1 not supported in non-clustered mode" in sentence


async def test_subjects_that_another_stream_has_are_refused(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        await api(connection, "STREAM.CREATE.OTHER", {"name": "OTHER", "subjects": ["containerd.nodes.*.started"]})
        assert "subjects overlap with an existing stream" in await refusal(connection)


async def test_without_jetstream_the_sentence_says_how_to_get_it(nats_server_factory: NatsServerFactory) -> None:
    async with connected(nats_server_factory(jetstream=None).url) as connection:
        assert "start nats-server with -js" in await refusal(connection)


async def test_an_account_without_jetstream_is_told_apart(nats_server_factory: NatsServerFactory) -> None:
    without = "A: { users: [{ user: u, password: p }] }"
    accounts = f"accounts: {{ {without}, B: {{ jetstream: enabled, users: [{{ user: b, password: b }}] }} }}"
    server = nats_server_factory(config=accounts)
    async with connected(server.url, user="u", password="p") as connection:
        assert "not enabled for this login's account" in await refusal(connection)


async def test_an_account_that_has_no_room_is_refused(nats_server_factory: NatsServerFactory) -> None:
    accounts = "accounts: { A: { jetstream: { max_streams: 1 }, users: [{ user: u, password: p }] } }"
    server = nats_server_factory(config=accounts)
    async with connected(server.url, user="u", password="p") as connection:
        await api(connection, "STREAM.CREATE.OTHER", {"name": "OTHER", "subjects": ["a"]})
        assert "maximum number of streams reached" in await refusal(connection)


@pytest.mark.parametrize(
    "denied", ["$JS.API.>", "$JS.API.INFO", f"$JS.API.STREAM.INFO.{STREAM}", "$JS.API.STREAM.CREATE.>"]
)
async def test_what_this_login_may_not_do_is_named(denied: str, nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory(config=login(f'publish: {{ deny: "{denied}" }}'))
    async with connected(server.url, user="u", password="p") as connection:
        sentence = await refusal(connection)
        assert sentence.startswith("NATS does not permit this login to publish to $JS.API.")
        assert "permit it in NATS for this login" in sentence


async def test_a_server_that_takes_only_small_messages_is_refused(nats_server_factory: NatsServerFactory) -> None:
    async with connected(nats_server_factory(config="max_payload: 64KB").url) as connection:
        assert await refusal(connection) == (
            "the server's max_payload is 65536 bytes, needed are 525312 or more: "
            "raise max_payload in nats-server's configuration (its default is 1MB)"
        )
