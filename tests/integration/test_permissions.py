"""The permission sets of `deploy/nats/` on real nats-servers: a role can do what it should, and the server refuses the rest."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from nats.aio.client import Client

from bridge.cli import main
from bridge.errors import ConfigError
from bridge.jetstream.identity import check_server, who_asks
from bridge.jetstream.permissions import FILES, IMPORTED, IMPORTED_PREFIX, LEAF, ROLES, rendered
from bridge.model.events import Who
from tests.fix_bridge import Bridge
from tests.fix_nats import NatsServerFactory
from tests.nats_client import connect
from tests.testbed import Ctr, NatsServer

DEPLOY = Path(__file__).parent.parent.parent / "deploy" / "nats"
ENDLESS = ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1; done")
INBOXES = {
    "node": "_INBOX.n1",
    "reader": "_INBOX.reader",
    "shop": "_INBOX.op",
    "web": "_INBOX.op",
    "alice": "_INBOX.op",
}


def configured(file: str, namespace: str) -> str:
    """The text of a file of `deploy/nats/` with what it includes, its names replaced as its README says."""

    def included(match: re.Match[str]) -> str:
        return (DEPLOY / match[1]).read_text("utf-8")

    text = re.sub(r'include "([a-z.-]+)"', included, (DEPLOY / file).read_text("utf-8")).replace("jetstream {}", "")
    for name, value in (
        *(("NAMESPACE", namespace), ("CONTAINER\\b", "web=2E1"), ("READER\\b", "reader"), ("OPERATOR\\b", "op")),
        ("NODE\\b", "n1"),
    ):
        text = re.sub(rf"(?<![A-Z_]){name}(?![A-Z_])", value, text)
    return text.replace("change-me", "x")


@pytest.mark.parametrize("role", ROLES)
def test_the_files_are_what_the_program_says_of_itself(role: Any) -> None:
    assert (DEPLOY / FILES[role]).read_text("utf-8") == rendered(role), "run: python -m bridge.jetstream.permissions"
    assert (DEPLOY / IMPORTED).read_text("utf-8") == rendered("namespace", imported=True)
    assert (DEPLOY / LEAF).read_text("utf-8") == rendered("node", leaf=True)


class Stage:
    """A bridge that follows a containerd over a nats-server which permits it what `node.conf` says, and logins of all roles."""

    def __init__(self, server: NatsServer, ctr: Ctr, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.ctr = ctr
        self._capsys = capsys

    def until_told(self) -> None:
        """Wait until the states say that both containers run."""
        for _ in range(100):
            out = self.as_("reader", "ps", "--namespace", self.ctr.namespace, "--json")[1]
            if out.count('"running"') == 2:
                return
        raise AssertionError(out)

    def as_(self, user: str, *arguments: str) -> tuple[int, str, str]:
        """Status, output and complaints of a command line under this login."""
        self._capsys.readouterr()
        login = ["--nats", self.server.url, "--nats-user", user, "--nats-password", "x", "--nats-inbox", INBOXES[user]]
        login += ["--nats-api-prefix", IMPORTED_PREFIX] if user == "alice" else []
        status = main([*arguments, *login])
        said = self._capsys.readouterr()
        return status, said.out, said.err


@pytest.fixture(params=["2.15", "2.10"])
def stage(
    request: pytest.FixtureRequest,
    nats_server_factory: NatsServerFactory,
    ctr: Ctr,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Stage]:
    server = nats_server_factory(version=request.param, config=configured("server.conf", ctr.namespace))
    with bridge(server, ctr, tmp_path):
        ctr.run("web.1", *ENDLESS, detach=True)
        ctr.run("db.1", *ENDLESS, detach=True)
        stage = Stage(server, ctr, capsys)
        stage.until_told()
        yield stage


def bridge(server: NatsServer, ctr: Ctr, tmp_path: Path, *more: str) -> Bridge:
    return _Live(
        *("--containerd", ctr.host.address, "--nats", server.url, "--node", "n1", "--state-dir", tmp_path / "state"),
        *("--nats-user", "node", "--nats-password", "x", "--nats-inbox", INBOXES["node"], "--commands", "all", *more),
    )


class _Live(Bridge):
    def __enter__(self) -> Self:
        super().__enter__()
        self.live()
        self.until_logged("taking commands")
        return self


@pytest.mark.containerd
def test_every_role_can_do_what_it_should(stage: Stage) -> None:
    namespace = stage.ctr.namespace
    at = ("--node", "n1", "--namespace", namespace)
    for user in ("reader", "shop"):
        status, out, err = stage.as_(user, "ps", "--namespace", namespace, "--json")
        assert (status, {json.loads(line)["container"] for line in out.splitlines()}) == (0, {"web.1", "db.1"}), err
        status, out, err = stage.as_(user, "nodes", "--json")
        assert (status, [json.loads(line)["node"] for line in out.splitlines()], err) == (0, ["n1"], "")
    status, out, err = stage.as_("reader", "history", "web.1", *at)
    assert status == 0, err
    role_of = {
        "reader": ["--role", "reader"],
        "shop": ["--role", "namespace", "--namespace", namespace],
        "web": ["--role", "container", "--namespace", namespace, "--container", "web.1"],
        "node": ["--role", "node", "--node", "n1"],
    }
    for user, role in role_of.items():
        status, out, err = stage.as_(user, "doctor", "--json", *role)
        assert "may not" not in out, out
        assert '"this login may' in out, (out, err)
    assert "permit containerd.commands.*." in stage.as_("reader", "doctor", *role_of["shop"])[1]
    own = ("--namespace", namespace, "--no-follow", "--json")
    for user, choice in (
        ("reader", []),
        ("reader", own),
        ("shop", [*own, "--no-node-events"]),
        ("shop", [*own, "--container", "db.1"]),
        ("web", [*own, "--container", "web.1"]),
    ):
        status, out, err = stage.as_(user, "events", "--no-follow", "--json", *choice)
        assert status == 0, (user, err)
        assert "io.containerd.task.start.v1" in out
    for user, container in (("shop", "db.1"), ("web", "web.1")):
        for command in (
            *(
                ["inspect"],
                ["pause"],
                ["resume"],
                ["pids"],
                ["update", "--pids-limit", "50"],
                ["stats", "--no-stream"],
                ["restart", "--time", "1"],
            ),
            *(["kill", "--signal", "URG", "--durable"], ["stop", "--time", "2"], ["wait"]),
        ):
            status, out, err = stage.as_(user, *command, container, *at)
            assert status == 0, (user, command, out, err)
        kill = until_ended(stage, "kill", container)
        assert (kill["outcome"], kill["who"]) in {("ok", None), ("error", None)}  # it may come after the stop
        status, out, err = stage.as_(user, "delete", container, *at)
        assert status == 0, (user, out, err)
    assert stage.as_("shop", "stats", "--no-stream", *at)[0] == 0
    status, _, err = stage.as_("shop", "jobs", "cancel", "a-1", "--node", "n1")
    assert status == 1, err
    assert "not permit" in err, err


@pytest.mark.containerd
def test_what_is_not_allowed_fails_at_the_server(stage: Stage) -> None:
    namespace = stage.ctr.namespace
    for user, container, where in (
        ("reader", "web.1", namespace),
        ("reader", "db.1", namespace),
        ("shop", "web.1", "default"),
        ("web", "db.1", namespace),
        ("web", "web.1", "other"),
    ):
        status, _, err = stage.as_(user, "stop", container, "--node", "n1", "--namespace", where)
        assert status == 1
        assert "not permit" in err, err
    for user in ("shop", "web"):
        status, _, err = stage.as_(user, "events", "--no-follow")
        assert status == 1, err
        assert "permi" in err
    assert {"web.1", "db.1"} <= {
        json.loads(line)["container"] for line in stage.as_("reader", "ps", "--json")[1].splitlines()
    }


@asynccontextmanager
async def raw(server: NatsServer, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A client that knows nothing of us, and what the server refused it."""
    refused: list[str] = []

    async def on_error(error: Exception) -> None:
        refused.append(str(error).lower())

    client = await connect(server.url, user=user, password="x", error_cb=on_error, allow_reconnect=False)
    try:
        yield client, refused
    finally:
        await client.close()


@pytest.mark.containerd
async def test_a_client_of_its_own_gets_no_further(stage: Stage) -> None:
    namespace = stage.ctr.namespace
    forbidden = {
        "reader": [
            f"containerd.commands.n1.{namespace}.web=2E1.stop",
            f"containerd.events.n1.{namespace}.web=2E1.exit",
            "containerd.nodes.n1.stopped",
            f"$KV.containerd-state.n1.{namespace}.web=2E1",
            "$JS.API.STREAM.DELETE.CONTAINERD_EVENTS",
            "$JS.API.STREAM.PURGE.CONTAINERD_EVENTS",
            "$JS.API.STREAM.MSG.DELETE.CONTAINERD_EVENTS",
            "$JS.API.CONSUMER.CREATE.CONTAINERD_STDIO.c",
        ],
        "shop": [
            f"containerd.commands.n1.{namespace}.web=2E1.exec",
            f"containerd.commands.n1.{namespace}.new.create",
            "containerd.commands.n1.moby.web=2E1.stop",
            f"containerd.events.n1.{namespace}.web=2E1.command",
            "$JS.API.CONSUMER.CREATE.CONTAINERD_EVENTS.c",
            "$JS.API.CONSUMER.CREATE.CONTAINERD_EVENTS.c.containerd.events.>",
            "$JS.API.CONSUMER.CREATE.CONTAINERD_EVENTS.c.containerd.events.*.*.*.*",
            "$JS.API.STREAM.MSG.GET.CONTAINERD_EVENTS",
            "$JS.API.DIRECT.GET.CONTAINERD_EVENTS",
            "$JS.API.CONSUMER.DURABLE.CREATE.CONTAINERD_EVENTS.c",
        ],
        "web": [
            f"containerd.commands.n1.{namespace}.db=2E1.stop",
            f"containerd.commands.n1.{namespace}.-.list",
            "$JS.API.CONSUMER.CREATE.CONTAINERD_EVENTS.c.containerd.events.*.*.web=2E1.*",
        ],
        "node": [
            "containerd.events.n2.default.web=2E1.exit",
            "containerd.nodes.n2.lease",
            "$KV.containerd-nodes.n2",
            f"containerd.commands.n1.{namespace}.web=2E1.stop",
            "$JS.API.STREAM.DELETE.CONTAINERD_EVENTS",
            "$JS.API.STREAM.PURGE.CONTAINERD_EVENTS",
        ],
    }
    for user, subjects in forbidden.items():
        for subject in subjects:
            async with raw(stage.server, user) as (client, refused):
                await client.publish(subject, b"{}")
                await client.flush()
                await until(lambda told=refused: told)  # type: ignore[misc]
                assert "permissions violation for publish" in refused[0], (user, subject, refused)
        for listened in ("_INBOX.>", "_INBOX.other.>", "containerd.commands.n2.>", "containerd.>", ">"):
            async with raw(stage.server, user) as (client, refused):
                await client.subscribe(listened)
                await client.flush()
                await until(lambda told=refused: told)  # type: ignore[misc]
                assert "permissions violation for subscription" in refused[0], (user, listened, refused)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(90):
        while not true():
            await asyncio.sleep(0.01)


@pytest.mark.containerd
def test_a_filter_for_ones_own_is_no_way_to_others(stage: Stage) -> None:
    async def ask(subject: str, filters: dict[str, Any]) -> dict[str, Any]:
        inbox = INBOXES["shop"]
        client = await connect(stage.server.url, user="shop", password="x", inbox_prefix=inbox.encode())
        try:
            body = {"stream_name": "CONTAINERD_EVENTS", "config": {"name": "c", "ack_policy": "none", **filters}}
            answer = await client.request(subject, json.dumps(body).encode(), timeout=90)
            found: dict[str, Any] = json.loads(answer.data)
            return found
        finally:
            await client.close()

    own = f"containerd.events.*.{stage.ctr.namespace}.*.*"
    subject = f"$JS.API.CONSUMER.CREATE.CONTAINERD_EVENTS.c.{own}"
    assert "error" not in asyncio.run(ask(subject, {"filter_subject": own}))
    for filters in ({"filter_subject": "containerd.>"}, {"filter_subjects": ["containerd.>"]}, {}):
        assert "error" in asyncio.run(ask(subject, filters)), filters


# -- who asks


@pytest.mark.containerd
def test_who_asks_is_in_the_record_and_decides(
    nats_server_factory: NatsServerFactory, ctr: Ctr, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = nats_server_factory(config=configured("accounts.conf", ctr.namespace))
    policy = tmp_path / "policy.toml"
    policy.write_text(
        "[[rules]]\nname = 'alice'\neffect = 'allow'\nusers = ['OPERATORS/alice']\nverbs = ['pause', 'resume']\n"
    )
    with bridge(server, ctr, tmp_path, "--request-info", "--policy", str(policy)) as live:
        ctr.run("web.1", *ENDLESS, detach=True)
        stage = Stage(server, ctr, capsys)
        at = ("web.1", "--node", "n1", "--namespace", ctr.namespace)
        assert stage.as_("alice", "pause", *at, "--reason", "a backup", "--as", "cron")[0] == 0
        assert stage.as_("alice", "resume", *at, "--dry-run")[1].startswith("web.1: alice of")
        status, _, err = stage.as_("alice", "stop", *at)
        assert (status, "its default is deny" in err) == (1, True)
        said = commands_of(stage)
        listed = stage.as_("alice", "ps", "--namespace", ctr.namespace, "--json")
        assert (listed[0], json.loads(listed[1])["container"]) == (0, "web.1"), listed
        status, out, err = stage.as_(
            "alice", "events", "--no-follow", "--json", "-n", ctr.namespace, "--no-node-events"
        )
        assert (status, out.count('"pause"') > 0) == (0, True), err
        policy.write_text("default = 'allow'\n")
        live.until_logged("0 rules")
        status, _, err = stage.as_("alice", "pause", *at, "--durable", "--wait", "--id", "job-1")
        assert status == 0, err
        status, out, err = stage.as_("alice", "jobs", "list", "-n", ctr.namespace, "--all", "--json")
        assert [json.loads(line)["id"] for line in out.splitlines() if '"via":"job"' in line] == ["job-1"], (out, err)
        status, out, err = stage.as_("alice", "doctor", "--role", "namespace", "--namespace", ctr.namespace)
        assert "may not" not in out, out
        assert stage.as_("alice", "jobs", "list")[0] == 1
    assert [(one["verb"], one["phase"], one.get("outcome"), one["rule"]) for one in said] == [
        ("pause", "started", None, "alice"),
        ("pause", "finished", "ok", "alice"),
        ("resume", "finished", "ok", "alice"),
        ("stop", "finished", "refused", "default"),
    ]
    assert {(one["who"]["account"], one["who"]["user"]) for one in said} == {("OPERATORS", "alice")}
    assert (said[1]["purpose"], said[1]["claimed"]) == ("a backup", "cron")


def until_ended(stage: Stage, verb: str, container: str) -> dict[str, Any]:
    """Wait for the event of a command's end, and return it."""
    for _ in range(200):
        status, out, err = stage.as_("reader", "events", "--type", "command", "--no-follow", "--json")
        assert status == 0, err
        ends: list[dict[str, Any]] = [json.loads(line)["data"] for line in out.splitlines()]
        for one in ends:
            if (one["verb"], one["container_id"], one["phase"]) == (verb, container, "finished"):
                return one
    raise AssertionError(out)


def commands_of(stage: Stage) -> list[dict[str, Any]]:
    for _ in range(200):
        status, out, err = stage.as_("reader", "events", "--type", "command", "--no-follow", "--json")
        assert status == 0, err
        said = [json.loads(line)["data"] for line in out.splitlines()]
        if any(one["verb"] == "stop" for one in said):
            return said
    raise AssertionError(said)


@pytest.mark.nats
async def test_who_comes_through_an_import_cannot_choose_where_an_answer_goes(
    nats_server_factory: NatsServerFactory,
) -> None:
    server = nats_server_factory(config=configured("accounts.conf", "shop"))
    node = await connect(server.url, user="node", password="x", inbox_prefix=INBOXES["node"].encode())
    alice = await connect(server.url, user="alice", password="x", inbox_prefix=INBOXES["alice"].encode())
    came: list[str] = []

    async def on_request(message: Any) -> None:
        came.append(message.reply)

    await node.subscribe("containerd.commands.n1.>", cb=on_request)
    await node.flush()
    await alice.publish("containerd.commands.n1.shop.web=2E1.stop", b"{}", reply="$KV.containerd-nodes.n1")
    await alice.flush()
    await until(lambda: came)
    assert came[0].startswith("_R_.")
    await alice.close()
    await node.close()


FORGED = '{"acc":"OPERATORS","user":"root"}'


@pytest.mark.nats
@pytest.mark.parametrize(
    "header",
    [
        f"Nats-Request-Info: {FORGED}",
        f"Nats-Request-Info : {FORGED}",
        f" Nats-Request-Info: {FORGED}",
        f"nats-request-info: {FORGED}",
        f"X: a\r\n Nats-Request-Info: {FORGED}",
        f"X: a\nNats-Request-Info: {FORGED}",
        f"Nats-Request-Info: {FORGED}\r\nNats-Request-Info: {FORGED}",
    ],
)
async def test_nobody_can_claim_to_be_somebody_else(nats_server_factory: NatsServerFactory, header: str) -> None:
    server = nats_server_factory(config=configured("accounts.conf", "shop"))
    node = await connect(server.url, user="node", password="x", inbox_prefix=INBOXES["node"].encode())
    came: list[Who | None] = []

    async def on_request(message: Any) -> None:
        came.append(who_asks(message.headers or {}, message.reply))

    await node.subscribe("containerd.commands.n1.>", cb=on_request)
    await node.flush()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"NATS/1.0\r\n{header}\r\n\r\n".encode()
    writer.write(b'CONNECT {"user":"alice","pass":"x","verbose":false,"headers":true}\r\n')
    writer.write(
        b"HPUB containerd.commands.n1.shop.web=2E1.stop _INBOX.op.1 %d %d\r\n%b\r\nPING\r\n"
        % (len(head), len(head), head)
    )
    await writer.drain()
    await until(lambda: came)
    assert came in ([Who(account="OPERATORS", user="alice", host="127.0.0.1")], [None])
    writer.close()
    await node.close()
    del reader


def test_what_comes_without_an_import_is_by_nobody() -> None:
    headers = {"Nats-Request-Info": FORGED}
    assert who_asks(headers, "_INBOX.x.1") is None
    assert who_asks(headers, "_R_.x.1") == Who(account="OPERATORS", user="root")
    assert who_asks({"nats-request-info": FORGED}, "_R_.x.1") is None
    assert who_asks({**headers, "NATS-REQUEST-INFO": FORGED}, "_R_.x.1") is None
    for broken in ("", "[]", '{"acc":"A"}', '{"acc":"A","user":"a\\n"}', '{"acc":"A","user":7}', "[" * 100_000):
        assert who_asks({"Nats-Request-Info": broken}, "_R_.x.1") is None


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ((2, 10, 29), False),
        ((2, 11, 14), False),
        ((2, 11, 15), True),
        ((2, 12, 5), False),
        ((2, 12, 6), True),
        ((2, 15, 1), True),
    ],
)
def test_a_server_that_can_be_made_to_lie_is_not_believed(version: tuple[int, int, int], *, good: bool) -> None:
    if good:
        check_server(version)
    else:
        with pytest.raises(ConfigError, match="CVE-2026-33223"):
            check_server(version)
