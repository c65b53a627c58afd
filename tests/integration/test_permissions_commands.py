"""The whole command side on a real nats-server that permits each login only its set of `deploy/nats/`, and on a real containerd.

Every verb, with stdio, as a job, with progress, with an archive, taken back; and the server's own log says that it had nothing to
refuse, of the bridge either. What a set does not have the server refuses. Afterwards everything that was kept anywhere is
searched for what nobody should keep.
"""

from __future__ import annotations

import asyncio
import io
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import nats
import pytest

from bridge.client import Bus, CommandFailed, Node, Sending, connect
from bridge.client.remarks import Remarks
from bridge.config import NatsConfig
from bridge.jetstream.permissions import listed, main, permitted
from bridge.model.commands import COMMANDS, GROUPS, Checkpoint, Create, Pull, Restore, Run
from bridge.model.outcomes import Progress
from bridge.model.subjects import Subjects
from tests.contract.checkpointing import WAITS
from tests.fix_bridge import BridgeFactory
from tests.fix_containerd import ContainerdFactory
from tests.fix_nats import NatsServerFactory
from tests.integration.test_images import busybox
from tests.integration.test_permissions import raw, until
from tests.testbed import BUSYBOX, Certificates, Ctr, NatsServer, Registry
from tests.testbed.image import archive, content

pytestmark = pytest.mark.containerd

ENDLESS = ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done"]
MARK = "canary-of-8a1f"
PASSWORD = "canary-of-a-registry"
POLICY = "default = 'allow'\n[spec]\nannotations = ['*']\n"

ROLES: dict[str, tuple[Any, dict[str, Any]]] = {
    "node": ("node", {"node": "n1"}),
    "all": ("namespace", {"groups": GROUPS}),
    "shop": ("namespace", {}),
    "web": ("container", {"container": "web.1"}),
    "reader": ("reader", {}),
}
"""Login -> its role, and how it is narrowed down."""


def server_config(namespace: str) -> str:
    """One account with a login for each role."""
    sets, users = [], []
    for user, (role, names) in ROLES.items():
        found = permitted(role, Subjects(), inbox=f"_INBOX.{user}", namespace=namespace, **names)
        sets.append(listed(f"OF_{user}", found))
        users.append(f'{{ user: "{user}", password: "x", permissions: $OF_{user} }}')
    # Whoever only bears witness may do everything.
    users.append('{ user: "witness", password: "x" }')
    return "".join(sets) + f"authorization {{ users: [ {', '.join(users)} ] }}\n"


OPERATORS = set(COMMANDS) - {"receive"}
"""The verbs that people send; `receive` is for the bridges of other nodes alone."""


class Place(NamedTuple):
    """A bridge whose NATS permits little."""

    server: NatsServer
    ctr: Ctr
    state: Path
    registry: Registry
    bridge: Any
    http: str

    def config(self, user: str) -> NatsConfig:
        return NatsConfig(url=self.server.url, user=user, password="x", inbox=f"_INBOX.{user}")

    @asynccontextmanager
    async def bus(self, user: str) -> AsyncIterator[Bus]:
        async with connect(self.config(user)) as bus:
            yield bus

    def refused(self, *users: str) -> set[str]:
        """The subjects that the server refused these logins, as its log says."""
        lines = [line for line in self.server.log.splitlines() if "Violation" in line]
        # From 2.12 on the log says `"$G/user:NAME"`, before `User "NAME"`.
        return {
            line.rpartition("Subject ")[2].strip('"')
            for line in lines
            if any(f'user:{user}"' in line or f'User "{user}"' in line for user in users)
        }


@pytest.fixture(params=["2.15", pytest.param("2.10", marks=pytest.mark.older)])
def place(
    request: pytest.FixtureRequest,
    nats_server_factory: NatsServerFactory,
    containerd_factory: ContainerdFactory,
    bridge_factory: BridgeFactory,
    certificates: Certificates,
    tmp_path: Path,
) -> Iterator[Place]:
    host = containerd_factory("2.1")
    host.run("sh", "-c", "mkdir -p /etc/ssl/certs && cat > /etc/ssl/certs/test.pem", stdin=certificates.ca.read_text())
    pair = (certificates.server, certificates.server_key)
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    with (
        Registry(content(busybox(host)), certificate=pair, login=("ann", PASSWORD)) as registry,
        host.fresh_namespace() as ctr,
    ):
        server = nats_server_factory(version=request.param, config=server_config(ctr.namespace))
        bridge = bridge_factory(
            *("--containerd", host.address, "--nats", server.url, "--node", "n1", "--state-dir", tmp_path / "state"),
            *("--nats-user", "node", "--nats-password", "x", "--nats-inbox", "_INBOX.node", "--commands", "all"),
            *(
                "--checkpoint-dir",
                host.shared / "checkpoints",
                "--fifo-dir",
                host.fifo_dir,
                "--policy",
                policy,
                "--http",
                "127.0.0.1:0",
                "--record-observing",
            ),
            *("--log-level", "debug"),
        )
        bridge.live()
        at = bridge.until_logged("http://")
        http = "http://" + bridge.log[at - 1].partition("http://")[2].split()[0].rstrip("/")
        yield Place(server, ctr, tmp_path / "state", registry, bridge, http)


async def everything(place: Place, bus: Bus) -> set[str]:
    """Send every verb as the operator of a namespace who may do all; return those that were sent."""
    node: Node = await bus.node("n1")
    where: Any = {"namespace": place.ctr.namespace}
    await node.version()
    told: list[Progress] = []
    pull = Pull(id="pull-1", image=place.registry.image, username="ann", password=PASSWORD)
    async with bus.transport.progress("n1", "pull-1", told.append):
        assert (await node.pull(pull, **where)).name == place.registry.image
    assert told
    data = archive(busybox(place.ctr.host), name="docker.io/library/taken:1")
    async with bus.transport.archive(io.BytesIO(data), told.append) as taken:
        await node.import_archive(taken, **where)
    assert {image.name for image in await node.images(**where)} >= {BUSYBOX, "docker.io/library/taken:1"}
    await node.rmi("docker.io/library/taken:1", **where)

    env = [f"TOKEN={MARK}"]
    made = Create(image=BUSYBOX, command=[*ENDLESS, MARK], env=env, annotations={"note": MARK}, labels={"a": "b"})
    judged = await node.remarking(Remarks(dry_run=True)).send(made, container="web.1", **where)
    assert judged.outcome == "ok", judged
    await node.create("web.1", made, **where)
    await node.start("web.1", **where)
    await node.run("db.1", Run(image=BUSYBOX, command=ENDLESS, rm=True), **where)
    process = await node.exec("web.1", ["cat"], stdin=True, env={"TOKEN": MARK}, **where)
    await process.write(b"from afar")
    await process.close_stdin()
    assert b"".join([piece.data async for piece in process.output()]) == b"from afar"
    assert (await process.wait()).exit_status == 0
    shell = await node.exec("web.1", ["sh"], stdin=True, tty=True, **where)
    await shell.resize(width=100, height=30)
    same = await node.attach("web.1", shell.exec_id, **where)
    await same.write(b"exit 3\n")
    assert (await shell.wait()).exit_status == 3
    waiting = await node.exec("web.1", ["cat"], stdin=True, **where)
    await node.send(COMMANDS["close-stdin"](exec_id=waiting.exec_id), container="web.1", **where)  # type: ignore[call-arg]
    assert (await node.capture("web.1", ["echo", "hi"], **where)).exit_status == 0

    await node.pause("web.1", **where)
    task = (await node.inspect("web.1", **where)).container.task
    assert task is not None
    assert task.status == "paused"
    await node.resume("web.1", **where)
    await node.update("web.1", pids_limit=50, **where)
    assert len(await node.pids("web.1", **where)) >= 1
    assert [one.container for one in await node.stats("web.1", **where)] == ["web.1"]
    assert len(await node.stats(**where)) == 2
    assert {one.id for one in await node.list(**where)} == {"web.1", "db.1"}
    await node.kill("web.1", signal="URG", **where)
    durable = node.sending(Sending(durable=True, wait=True, id="job-1", timeout=90))
    await durable.restart("web.1", grace=1, **where)
    [view] = await bus.jobs.show("job-1", **where)
    assert (view.standing, view.outcome and view.outcome.outcome) == ("finished", "ok")

    stopping = asyncio.create_task(node.sending(Sending(id="stop-1")).stop("db.1", grace=60, signal="URG", **where))
    await until_shown(bus, "stop-1", "started", place.ctr.namespace)
    await cancelled(node, "stop-1", place.ctr.namespace)
    with pytest.raises(CommandFailed) as taken_back:
        await stopping
    assert taken_back.value.code == "cancelled"
    assert {"job-1", "stop-1"} <= {view.id for view in await bus.jobs.list(**where)}
    ending = asyncio.create_task(node.wait("db.1", **where))
    await node.stop("db.1", grace=1, **where)
    await ending
    await node.stop("web.1", grace=1, **where)
    await node.delete("web.1", **where)

    quiet = ["sh", "-c", f"{WAITS}\nwhile :; do waits; done"]
    await node.run("keep.1", Run(image=BUSYBOX, command=quiet), **where)
    kept = (await node.checkpoint("keep.1", Checkpoint(name="kept"), **where)).record
    assert kept is not None
    await node.restore("keep.2", Restore(checkpoint=kept.key.token), **where)
    assert (await bus.checkpoints.find("kept", namespace=place.ctr.namespace)).id == kept.id
    await node.checkpoint_remove("keep.1", "kept", **where)
    # There is no other node: what they do is shown elsewhere, here is that they are heard.
    for verb in ("migrate", "migrate-abandon"):
        heard = await node.send(COMMANDS[verb](), container="keep.1", **where)
        assert heard.outcome == "error", heard
    for name in ("keep.1", "keep.2"):
        await node.delete(name, force=True, **where)
    return OPERATORS


async def until_shown(bus: Bus, command_id: str, standing: str, namespace: str) -> None:
    async with asyncio.timeout(90):
        while True:
            if [view for view in await bus.jobs.show(command_id, namespace=namespace) if view.standing == standing]:
                return
            await asyncio.sleep(0.02)


async def cancelled(node: Node, command_id: str, namespace: str) -> None:
    """Take it back as soon as its verb waits where it can be interrupted."""
    async with asyncio.timeout(90):
        while True:
            try:
                await node.cancel(command_id, namespace=namespace)
            except CommandFailed as error:
                if error.code != "failed_precondition":
                    raise
            else:
                return


async def test_every_verb_works_and_nothing_secret_is_kept_anywhere(place: Place) -> None:
    async with place.bus("all") as bus:
        assert await everything(place, bus) == OPERATORS
    assert place.refused("node") == set()
    # What waits for its node is everybody's, so it is asked for in vain.
    assert place.refused("all") == {"$JS.API.STREAM.MSG.GET.CONTAINERD_JOBS"}
    sent = {event["data"]["verb"] for event in await events_of_commands(place)}
    assert sent == {*OPERATORS, "stdin"}  # input is no command, and recorded all the same
    metrics = await asyncio.to_thread(lambda: urllib.request.urlopen(f"{place.http}/metrics").read())
    kept = [(str(path), path.read_bytes()) for path in sorted(place.state.rglob("*")) if path.is_file()]
    streams = [(str(path), path.read_bytes()) for path in sorted(place.server.directory.rglob("*")) if path.is_file()]
    told = [("log", "\n".join(json.dumps(line) for line in place.bridge.lines).encode()), ("metrics", metrics)]
    assert any(b"pull-1" in data for _, data in streams), "the streams are not where they were looked for"
    for where, data in [*kept, *streams, *told]:
        assert PASSWORD.encode() not in data, where
        if not Path(where).name.startswith("journal.db"):
            assert MARK.encode() not in data, where


async def events_of_commands(place: Place) -> list[dict[str, Any]]:
    client = await nats.connect(place.server.url, user="witness", password="x")
    try:
        stream = client.jetstream(timeout=60)
        found: list[dict[str, Any]] = []
        consumer = await stream.pull_subscribe("containerd.events.*.*.*.command", stream="CONTAINERD_EVENTS")
        pending = (await consumer.consumer_info()).num_pending or 0
        while len(found) < pending:
            found += [json.loads(message.data) for message in await consumer.fetch(100, timeout=90)]
        return found
    finally:
        await client.close()


# -- their own, and nobody else's


async def test_operators_wait_for_and_list_their_own_commands(place: Place) -> None:
    where: Any = {"namespace": place.ctr.namespace}
    for name in ("web.1", "db.1"):
        await asyncio.to_thread(place.ctr.run, name, *ENDLESS, detach=True)
    async with place.bus("shop") as shop, place.bus("web") as web:
        node = await shop.node("n1")
        await node.sending(Sending(durable=True, wait=True, id="of-db", timeout=90)).kill("db.1", signal="URG", **where)
        node = await web.node("n1")
        await node.sending(Sending(durable=True, wait=True, id="of-web", timeout=90)).kill(
            "web.1", signal="URG", **where
        )
        assert {view.id for view in await shop.jobs.list(**where)} == {"of-db", "of-web"}
        own = await web.jobs.list(**where, container="web.1")
        assert [(view.id, view.standing) for view in own] == [("of-web", "finished")]
        assert [view.id for view in await web.jobs.show("of-web", **where, container="web.1")] == ["of-web"]
        with pytest.raises(CommandFailed, match=r"no command 'of-db' for web\.1"):
            await node.cancel("of-db", **where, container="web.1")
        assert place.refused("node") == set()
        for asked in (
            web.jobs.list(**where),
            web.jobs.list(**where, container="db.1"),
            web.jobs.outcome("of-db", "n1", **where, container="db.1", timeout=90),
            shop.jobs.list(),
            shop.jobs.list(namespace="other"),
        ):
            with pytest.raises(Exception, match="permi"):
                await asked


FORBIDDEN = {
    "shop": [
        "containerd.commands.n1.{ns}.web=2E1.exec",
        "containerd.jobs.n1.{ns}.web=2E1.exec",
        "containerd.jobs.n1.{ns}.web=2E1.run",
        "containerd.jobs.n1.other.web=2E1.stop",
        "containerd.commands.n1.-.-.cancel",
        "containerd.commands.n1.other.web=2E1.cancel",
        "$JS.API.CONSUMER.CREATE.KV_containerd-commands.c.$KV.containerd-commands.>",
        "$JS.API.CONSUMER.CREATE.KV_containerd-commands.c.$KV.containerd-commands.*.*.*.*",
        "$JS.API.CONSUMER.CREATE.KV_containerd-commands.c",
        "$JS.API.STREAM.MSG.GET.KV_containerd-commands",
        "$JS.API.DIRECT.GET.KV_containerd-commands",
        "$JS.API.STREAM.MSG.GET.CONTAINERD_JOBS",
        "$JS.API.CONSUMER.CREATE.CONTAINERD_JOBS.c",
        "$JS.API.STREAM.MSG.DELETE.CONTAINERD_JOBS",
        "$JS.API.STREAM.MSG.GET.CONTAINERD_QUARANTINE",
        "$JS.API.CONSUMER.CREATE.CONTAINERD_STDIO.c.containerd.stdio.*.{ns}.*.*.*",
        "containerd.stdio.n1.{ns}.web=2E1.x.stdin",
        "$KV.containerd-commands.n1.{ns}.web=2E1.a-1",
        "$O.containerd-archives.C.x",
        "containerd.progress.n1.a-1",
    ],
    "all": [
        "containerd.commands.n1.other.web=2E1.exec",
        "containerd.stdio.n1.other.web=2E1.x.stdin",
        "containerd.stdio.n1.{ns}.web=2E1.x.stdout",
        "$JS.API.CONSUMER.CREATE.CONTAINERD_STDIO.c",
        "$JS.API.CONSUMER.CREATE.CONTAINERD_STDIO.c.containerd.stdio.*.*.*.*.*",
        "$JS.API.STREAM.MSG.GET.CONTAINERD_STDIO",
        "$JS.API.STREAM.DELETE.OBJ_containerd-archives",
    ],
    "web": [
        "containerd.commands.n1.{ns}.db=2E1.cancel",
        "containerd.commands.n1.{ns}.-.stats",
        "containerd.jobs.n1.{ns}.db=2E1.stop",
        "$JS.API.CONSUMER.CREATE.KV_containerd-commands.c.$KV.containerd-commands.*.{ns}.*.*",
    ],
    "reader": [
        "containerd.jobs.n1.{ns}.web=2E1.stop",
        "$JS.API.CONSUMER.CREATE.KV_containerd-commands.c",
        "$JS.API.STREAM.INFO.KV_containerd-commands",
        "$JS.API.CONSUMER.CREATE.CONTAINERD_JOBS.c",
    ],
    "node": [
        "containerd.jobs.n1.{ns}.web=2E1.stop",
        "containerd.progress.n2.a-1",
        "containerd.quarantine.n2",
        "containerd.stdio.n2.{ns}.web=2E1.x.stdout",
        "$KV.containerd-commands.n2.{ns}.web=2E1.a-1",
        "$JS.API.STREAM.DELETE.CONTAINERD_JOBS",
        "$JS.API.STREAM.DELETE.KV_containerd-commands",
        "$O.containerd-archives.C.x",
    ],
}
LISTENED = {
    "shop": [
        "$KV.containerd-commands.>",
        "$KV.containerd-commands.*.other.*.*",
        "containerd.progress.>",
        "containerd.jobs.>",
    ],
    "all": ["containerd.stdio.>", "$KV.>", "containerd.progress.>"],
    "web": ["$KV.containerd-commands.*.{ns}.*.*", "$KV.containerd-commands.*.{ns}.db=2E1.*"],
    "node": ["containerd.jobs.>", "$KV.>", "containerd.stdio.n2.>"],
}


async def test_what_a_set_does_not_have_the_server_refuses(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory(config=server_config("shop"))
    for user, subjects in FORBIDDEN.items():
        for subject in subjects:
            async with raw(server, user) as (client, refused):
                await client.publish(subject.format(ns="shop"), b"{}")
                await client.flush()
                await until(lambda told=refused: told)  # type: ignore[misc]
                assert "permissions violation for publish" in refused[0], (user, subject, refused)
    for user, subjects in LISTENED.items():
        for subject in subjects:
            async with raw(server, user) as (client, refused):
                await client.subscribe(subject.format(ns="shop"))
                await client.flush()
                await until(lambda told=refused: told)  # type: ignore[misc]
                assert "permissions violation for subscription" in refused[0], (user, subject, refused)


def test_a_set_is_printed_with_names_in_their_places(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["--namespace", "k8s.io", "--inbox", "_INBOX.ann", "--groups", "exec"]
    assert main(["--print", "namespace", *names]) == 0
    printed = capsys.readouterr().out
    assert '"containerd.commands.*.k8s=2Eio.*.exec"' in printed
    assert '"_INBOX.ann.>"' in printed
    assert "NAMESPACE" not in printed.partition("{")[2]
    assert ".stop" not in printed
