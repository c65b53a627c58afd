"""The doctor on real nats-servers that lack one thing each."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import pytest

from bridge.cli import main
from bridge.jetstream.api import api
from bridge.jetstream.buckets import ensure_buckets
from bridge.jetstream.checkpoint_buckets import CheckpointMaking, ensure_checkpoints
from bridge.jetstream.inspection import granted
from bridge.jetstream.job_store import JetStreamJobStore
from bridge.jetstream.job_streams import ensure_jobs
from bridge.jetstream.log import open_log
from bridge.jetstream.output_stream import ensure_output
from bridge.jetstream.streams import AS_USUAL, declared, ensure_events
from bridge.model.codec import encode
from bridge.model.commands import COMMANDS
from bridge.model.envelope import Recorded, format_source
from bridge.model.identity import new_ulid
from bridge.model.nanos import now
from bridge.model.node_events import NodeDisconnected, NodeEvent, NodeHeartbeat
from bridge.ports import Entry
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import STREAM, SUBJECTS, connected

USERS = """authorization {{ users: [
    {{ user: bridge, password: x }},
    {{ user: reader, password: x, permissions: {{ publish: [{publish}], subscribe: ["_INBOX.>"] }} }}
] }}"""
READING = ["$JS.API.STREAM.INFO.>", "$JS.API.CONSUMER.>", "$SYS.REQ.USER.INFO", "$SRV.INFO.>"]


class Said(NamedTuple):
    status: int
    findings: list[dict[str, Any]]

    def of(self, area: str) -> list[tuple[str, str]]:
        return [(one["level"], one["message"]) for one in self.findings if one["area"] == area]

    @property
    def wrong(self) -> list[tuple[str, str]]:
        return [(one["level"], one["area"]) for one in self.findings if one["level"] != "ok"]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Any:
    """`doctor(url, *options)`: what it finds."""

    def ask(url: str, *options: str) -> Said:
        capsys.readouterr()
        status = main(["doctor", "--json", "--nats", url, *options])
        return Said(status, [json.loads(line) for line in capsys.readouterr().out.splitlines()])

    return ask


def prepared(url: str, *events: tuple[str, NodeEvent], user: str | None = None) -> None:
    """Make the stream and the buckets, and record these events of nodes as of now."""

    async def prepare() -> None:
        login = {"user": user, "password": "x"} if user else {}
        async with connected(url, **login) as connection:
            await ensure_events(connection, SUBJECTS)
            await ensure_buckets(connection, SUBJECTS)
            log = await open_log(connection, SUBJECTS)
            await log.append([_entry(n, node, event) for n, (node, event) in enumerate(events, 1)])

    asyncio.run(prepare())


def _entry(n: int, node: str, event: Any) -> Entry:
    recorded: Recorded[Any] = Recorded(
        specversion="1.0", datacontenttype="application/json", id=new_ulid(), type=event.type,
        source=format_source(node, None), time=now(), recordedtime=now(),
        position=f"11111111-2222-3333-4444-555555555555:{n}", origin="live", data=event,
    )  # fmt: skip
    return Entry(n=n, id=recorded.id, subject=SUBJECTS.node(node, event.word), body=encode(recorded))


def changed(url: str, **settings: Any) -> None:
    """Change the stream."""

    async def change() -> None:
        async with connected(url) as connection:
            config = declared(SUBJECTS, AS_USUAL, batched=True) | settings
            await api(connection, f"STREAM.UPDATE.{STREAM}", config)

    asyncio.run(change())


BEAT = NodeHeartbeat(probe_ns=1)


def test_where_all_is_in_order_nothing_fails(doctor: Any, nats_url: str) -> None:
    prepared(nats_url, ("n.1", BEAT))

    said = doctor(nats_url)

    assert (said.status, said.wrong) == (0, [])
    [(_, kept), (_, lasts)] = said.of("retention")
    assert kept.startswith("1 events, ")
    assert lasts.startswith("an event is kept for 7 d, the oldest goes in 7 d")
    assert said.of("node n.1")[0][1].startswith("live, its last event was stored ")
    assert ("ok", "containerd-state is there") in said.of("buckets")
    assert ("ok", "this login may read the log") in said.of("permissions")
    assert ("ok", "this login may send lifecycle commands") in said.of("permissions")


def test_the_command_side_is_looked_at(doctor: Any, nats_url: str) -> None:
    prepared(nats_url, ("n1", BEAT))
    assert ("ok", "no bridge on this bus takes commands yet") in doctor(nats_url).of("commands")

    async def take_commands() -> None:
        async with connected(nats_url) as connection:
            await ensure_jobs(connection, SUBJECTS)
            await ensure_output(connection, SUBJECTS)
            command = SUBJECTS.job(SUBJECTS.command("n1", "default", "web", "stop"))
            await JetStreamJobStore(connection, SUBJECTS).submit(command, b"{}", command_id="a-1", name="n1.a-1")

    asyncio.run(take_commands())
    said = doctor(nats_url)
    assert (said.status, said.wrong) == (0, [])
    assert [message.partition(",")[0] for _, message in said.of("commands")] == [
        "CONTAINERD_JOBS has 1 jobs that wait or are carried out",
        "CONTAINERD_QUARANTINE has 0 jobs that were put aside",
        "CONTAINERD_STDIO has 0 pieces of output",
        "KV_containerd-commands has 0 commands that are told of",
        "KV_containerd-checkpoints is not there: no bridge on this bus makes checkpoints yet",
        "OBJ_containerd-checkpoints is not there: no bridge on this bus makes checkpoints yet",
    ]

    async def spoil() -> None:
        async with connected(nats_url) as connection:
            await ensure_checkpoints(connection, SUBJECTS, CheckpointMaking())
            archives = (await api(connection, "STREAM.INFO.OBJ_containerd-checkpoints"))["config"]
            await api(connection, "STREAM.UPDATE.OBJ_containerd-checkpoints", archives | {"allow_rollup_hdrs": False})
            there = (await api(connection, "STREAM.INFO.CONTAINERD_STDIO"))["config"]
            await api(connection, "STREAM.UPDATE.CONTAINERD_STDIO", there | {"discard": "new", "max_bytes": 1 << 20})

    asyncio.run(spoil())
    said = doctor(nats_url)
    assert (said.status, said.wrong) == (1, [("fail", "commands"), ("fail", "commands")])
    output, archives = [text for level, text in said.of("commands") if level == "fail"]
    assert output.startswith("CONTAINERD_STDIO: discard is new, needed is old")
    assert archives.startswith("OBJ_containerd-checkpoints: allow_rollup_hdrs is ")
    assert "KV_containerd-checkpoints has 0 records of checkpoints, 0 bytes, without another limit" in [
        text for _, text in said.of("commands")
    ]


def test_older_servers_do_not_tell_what_a_login_may_do(doctor: Any, nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory(version="2.9")
    prepared(server.url, ("n1", BEAT))

    said = doctor(server.url)

    assert (said.status, said.wrong) == (0, [])
    assert said.of("permissions") == [("ok", "the server does not tell what this login may do")]


def test_a_server_without_jetstream_fails(doctor: Any, nats_server_factory: NatsServerFactory) -> None:
    said = doctor(nats_server_factory(jetstream=None).url)

    assert (said.status, said.wrong) == (1, [("fail", "jetstream")])


def test_a_bus_without_bridges_fails(doctor: Any, nats_url: str) -> None:
    said = doctor(nats_url)

    assert said.status == 1
    assert said.wrong == [("fail", "stream"), ("warn", "buckets"), ("warn", "buckets")]
    assert said.of("stream")[0][1] == f"there is no stream {STREAM}: a bridge makes it at its first start"


def test_a_stream_that_is_too_weak_fails(doctor: Any, nats_url: str) -> None:
    prepared(nats_url, ("n1", BEAT))
    changed(nats_url, duplicate_window=60 * 10**9, max_msgs_per_subject=5)

    said = doctor(nats_url)

    assert said.status == 1
    assert [message.partition(" is ")[0] for _, message in said.of("stream")] == [
        f"{STREAM}: duplicate_window",
        f"{STREAM}: max_msgs_per_subject",
    ]


def test_a_stream_that_is_full_and_refuses_fails(doctor: Any, nats_url: str) -> None:
    prepared(nats_url, ("n1", BEAT), ("n1", BEAT))
    changed(nats_url, max_msgs=2, discard="new")

    said = doctor(nats_url)

    assert ("fail", "the stream has 100% of the 2 events that it keeps and takes no more: bridges wait") in said.of(
        "retention"
    )


def test_a_node_that_has_lost_its_containerd_has_an_open_gap(doctor: Any, nats_url: str) -> None:
    prepared(nats_url, ("n1", BEAT), ("n2", BEAT), ("n2", NodeDisconnected(reason="socket closed")))

    said = doctor(nats_url)

    assert (said.status, said.wrong) == (0, [("warn", "node n2")])
    assert said.of("node n2")[0][1].startswith(
        "an open gap: it has lost its containerd (socket closed), its last event"
    )


def test_what_a_login_may_not_do_is_told_of(doctor: Any, nats_server_factory: NatsServerFactory) -> None:
    allowed = [*READING, "containerd.commands.*.*.*.list", "containerd.commands.n1.>"]
    server = nats_server_factory(config=USERS.format(publish=", ".join(f'"{one}"' for one in allowed)))
    prepared(server.url, ("n1", BEAT), user="bridge")

    said = doctor(server.url, "--nats-user", "reader", "--nats-password", "x")

    assert said.status == 0

    def some(group: str) -> str:
        verbs = [verb for verb, command in COMMANDS.items() if command.group == group and verb != "list"]
        return ", ".join(f"containerd.commands.*.*.*.{verb}" for verb in verbs)

    groups = list(dict.fromkeys(command.group for command in COMMANDS.values()))
    assert said.of("permissions") == [
        ("ok", "this login may receive answers"),
        ("ok", "this login may read the log"),
        ("ok", "this login may read the states"),
        ("ok", "this login may find nodes"),
        *(("ok", f"this login may send {group} commands in some places: {some(group)}") for group in groups),
        ("warn", "this login may not send durable jobs"),
        ("warn", "this login may not see how commands stand"),
        ("warn", "this login may not look after jobs"),
        ("ok", "this login may read the output of processes"),
        ("warn", "this login may not write to processes"),
        ("ok", "this login may look at checkpoints"),
        ("ok", "this login may export checkpoints"),
    ]


def test_a_login_that_may_not_read_fails(doctor: Any, nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory(config=USERS.format(publish='"$JS.API.STREAM.INFO.>", "$SYS.REQ.USER.INFO"'))
    prepared(server.url, ("n1", BEAT), user="bridge")

    said = doctor(server.url, "--nats-user", "reader", "--nats-password", "x")

    assert said.status == 1
    [(level, message)] = said.of("nodes")
    assert (level, message.startswith("the log cannot be read: ")) == ("fail", True)
    assert ("warn", "this login may not read the log") in said.of("permissions")


def test_a_server_that_is_not_there_fails(doctor: Any) -> None:
    said = doctor("nats://127.0.0.1:1")

    assert (said.status, said.wrong) == (1, [("fail", "nats")])


@pytest.mark.parametrize(
    ("allow", "deny", "subject", "expected"),
    [
        (None, None, "a.b", "all"),
        ([], [], "a.b", "all"),
        (["a.>"], [], "a.*", "all"),
        (["a.b"], [], "a.*", "some"),
        (["b.>"], [], "a.*", "none"),
        (["a.> q"], [], "a.b", "all"),
        (["a.>"], ["a.>"], "a.b", "none"),
        (["a.>"], ["a.b"], "a.*", "some"),
        (None, ["b.>"], "a.*", "all"),
    ],
)
def test_what_a_pattern_grants(allow: list[str] | None, deny: list[str] | None, subject: str, expected: str) -> None:
    assert granted({"allow": allow, "deny": deny}, subject) == expected
