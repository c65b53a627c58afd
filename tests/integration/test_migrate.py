"""Moving a container between two nodes for real: two containerds, two bridges, one nats-server, and CRIU.

Both hosts are on this machine, and the second one has control groups of its own: else one container would be in the other's.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing
from typing import Any

import pytest

from bridge.client import Bus, Node, connect
from bridge.failpoint import VARIABLE
from bridge.jetstream.buckets import bucket_stream, key_subject
from bridge.jetstream.permissions import permitted
from bridge.jetstream.stored import written_of
from bridge.model.commands import Command, Delete, Migrate, MigrateAbandon, Run
from bridge.model.migrations import MigrationKey
from bridge.model.outcomes import Outcome
from bridge.model.subjects import Subjects
from tests.contract.checkpointing import WAITS
from tests.fix_bridge import WITHIN_S, Bridge, Stored, is_end, until_stored
from tests.integration.every_verb import LENIENT
from tests.integration.jetstream_entries import connected
from tests.testbed import BUSYBOX, Containerd, Ctr, NatsServer
from tests.testbed.wire import NETWORK, PORT, Wire

pytestmark = [pytest.mark.containerd, pytest.mark.xdist_group("migrate")]

COUNTER = f"{WAITS}\nn=0; echo began >> /log; while :; do n=$((n+1)); echo $n > /dev/shm/n; waits; done"
"""Counts in memory; a file in its layer says how often it began."""


def of_node(name: str) -> str:
    """A login with the permissions of a node."""
    allowed = permitted("node", Subjects(), inbox=f"_INBOX.{name}", node=name)
    publish, subscribe = (json.dumps(subjects) for subjects in allowed)
    permissions = f"{{ publish: {{ allow: {publish} }}, subscribe: {{ allow: {subscribe} }} }}"
    return f"{{ user: {name}, password: x, permissions: {permissions} }}"


AUTHORIZATION = f"authorization {{ users: [ {{ user: all, password: x }}, {of_node('n1')}, {of_node('n2')} ] }}"


class End:
    """One of the two nodes, in a namespace that only this test has there."""

    def __init__(self, name: str, host: Containerd, bridge: Bridge, namespace: str) -> None:
        self.name = name
        self.bridge = bridge
        self.ctr: Ctr = host.namespace(namespace)

    def tasks(self) -> dict[str, tuple[int, str]]:
        """Pid and status of each task."""
        lines = [line.split() for line in self.ctr("tasks", "ls").splitlines()[1:]]
        return {name: (int(pid), status) for name, pid, status in lines}

    def read(self, container: str, path: str) -> str:
        pid, _ = self.tasks().get(container, (0, ""))
        return self.ctr.host.run("cat", f"/proc/{pid}/root{path}", check=False).stdout if pid else ""

    async def count(self, container: str, beyond: int = 0) -> int:
        """Wait until it has counted beyond that; return how far it is."""
        while not (
            (text := (await asyncio.to_thread(self.read, container, "/dev/shm/n")).strip()) and int(text) > beyond
        ):
            await asyncio.sleep(0.02)
        return int(text)

    def there(self) -> dict[str, list[str]]:
        """All that is here in this namespace but images."""
        directory = self.ctr.host.shared / "checkpoints" / self.name
        return {
            "containers": self.ctr("containers", "ls", "-q").split(),
            "tasks": sorted(self.tasks()),
            "snapshots": [line.split()[0] for line in self.ctr("snapshots", "ls").splitlines()[1:] if "Active" in line],
            "leases": self.ctr("leases", "ls", "-q").split(),
            "directories": [path.name for path in directory.iterdir()] if directory.is_dir() else [],
        }


NOTHING: dict[str, list[str]] = {"containers": [], "tasks": [], "snapshots": [], "leases": [], "directories": []}


def only(*containers: str) -> dict[str, list[str]]:
    return {**NOTHING, **{kind: list(containers) for kind in ("containers", "tasks", "snapshots")}}


def started(bridge: Bridge, environ: dict[str, str] | None) -> None:
    """Start a bridge again, with another environment."""
    before = len(bridge.lines)
    bridge.environ = environ
    bridge.start()
    bridge.live(after=before)


class Two:
    """Both of them, and the bus."""

    def __init__(self, ends: tuple[End, End], bus: Bus, url: str) -> None:
        self.source, self.target = ends
        self.bus = bus
        self.url = url
        self.namespace = self.source.ctr.namespace

    async def send(self, command: Command, container: str, *, to: str = "n1") -> Outcome:
        node = Node(to, self.bus._sender, self.bus.subjects, self.bus.jobs, stdio=self.bus._stdio)
        return await node.send(command, container=container, namespace=self.namespace, timeout=90)

    async def ok(self, command: Command, container: str, *, to: str = "n1") -> Any:
        outcome = await self.send(command, container, to=to)
        assert outcome.outcome == "ok", (outcome.error, self.source.bridge.log[-10:], self.target.bridge.log[-10:])
        return outcome.result

    async def failure(self, command: Command, container: str, *, to: str = "n1") -> tuple[str, str]:
        outcome = await self.send(command, container, to=to)
        assert outcome.error is not None, outcome
        return outcome.error.code, outcome.error.message

    async def answered(self, subject: str) -> None:
        """Have nats-server answer there, and wait until it has."""
        async with connected(self.url) as connection:
            stream, before = bucket_stream(self.bus.subjects.migration_bucket), 0
            for _ in range(3):
                await connection.client.publish("$JS.API.INFO", b"", reply=subject)
            async with asyncio.timeout(WITHIN_S):
                while before < 3:
                    before = (await written_of(connection, stream, subject)).foreign
                    await asyncio.sleep(0.02)

    async def start(self, container: str, script: str = COUNTER) -> int:
        await asyncio.to_thread(self.source.ctr.run, container, "sh", "-c", script)
        return await self.source.count(container)


def versions(source: str, target: str, *marks: pytest.MarkDecorator) -> Any:
    return pytest.param((source, target), id=f"{source}-{target}", marks=marks)


@pytest.fixture(
    scope="module",
    params=[
        versions("2.1", "2.1"),
        versions("1.7", "1.7", pytest.mark.older),
        versions("1.7", "2.1", pytest.mark.older),
    ],
)
def harbours(
    request: pytest.FixtureRequest,
    _containerds: Callable[[str], Containerd],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[dict[str, tuple[Containerd, Bridge]], str]]:
    source, target = request.param
    directory = tmp_path_factory.mktemp("harbours")
    (directory / "policy.toml").write_text(LENIENT)
    with ExitStack() as closing:
        # Each bridge has the permissions of a node, and no more.
        server = closing.enter_context(NatsServer(config=AUTHORIZATION))
        port = server.url.rpartition(":")[2]
        url = f"nats://all:x@127.0.0.1:{port}"
        hosts = {"n1": _containerds(source), "n2": closing.enter_context(Containerd(target, own_cgroups=True))}
        found = {}
        for name, host in hosts.items():
            bridge = Bridge(
                *("--containerd", host.address, "--fifo-dir", host.fifo_dir / name, "--node", name),
                *("--nats", server.url, "--nats-user", name, "--nats-password", "x", "--nats-inbox", f"_INBOX.{name}"),
                *("--state-dir", directory / name, "--commands", "all", "--policy", directory / "policy.toml"),
                *("--checkpoint-dir", host.shared / "checkpoints"),
            )
            found[name] = (host, closing.enter_context(bridge))
        for _, bridge in found.values():
            bridge.live()
        yield found, url


@pytest.fixture
async def two(harbours: tuple[dict[str, tuple[Containerd, Bridge]], str]) -> AsyncIterator[Two]:
    nodes, url = harbours
    with nodes["n1"][0].fresh_namespace() as ctr:
        first, second = (End(name, *nodes[name], ctr.namespace) for name in ("n1", "n2"))
        if first.ctr.host.version != second.ctr.host.version:  # each has a busybox of its own, under the same name
            archive = second.ctr.host.shared / "source.tar"
            shutil.copy(first.ctr.host.busybox_archive(), archive)
            second.ctr("images", "import", str(archive))
        async with connect(url) as bus:
            yield Two((first, second), bus, url)
        for image in second.ctr("images", "ls", "-q").split():
            second.ctr("images", "rm", image)


async def test_a_counter_goes_on_at_the_other_node(two: Two) -> None:
    await two.start("web.1")
    two.source.ctr("tasks", "exec", "--exec-id", "w", "web.1", "sh", "-c", "echo mine > /kept")
    before = await two.source.count("web.1")
    moved = await two.ok(Migrate(to="n2", verify=True), "web.1")
    assert two.source.there() == NOTHING
    assert two.target.there() == only("web.1")
    assert moved["node"] == "n2"
    assert moved["pid"] == two.target.tasks()["web.1"][0]
    assert moved["verified"] == ["archives", "spec", "processes"]
    assert await two.target.count("web.1", beyond=before) > before
    assert (two.target.read("web.1", "/log"), two.target.read("web.1", "/kept")) == ("began\n", "mine\n")


@pytest.mark.parametrize("harbours", [versions("1.7", "2.1")], indirect=True)
async def test_it_goes_on_under_later_versions_and_is_told_that_there_is_no_way_back(two: Two) -> None:
    """An older CRIU restores nothing of a later one's: that is said before anything stands still."""
    before = await two.start("web.1")
    moved = await two.ok(Migrate(to="n2", pre_copy=1), "web.1")
    assert moved["pid"] == two.target.tasks()["web.1"][0]
    before = await two.target.count("web.1", beyond=before)
    assert two.target.read("web.1", "/log") == "began\n"
    assert (two.source.there(), two.target.there()) == (NOTHING, only("web.1"))
    code, said = await two.failure(Migrate(to="n1"), "web.1", to="n2")
    assert (code, "dumped by CRIU 4.2" in said, "install CRIU 4.2" in said) == ("failed_precondition", True, True)
    assert (two.source.there(), two.target.there()) == (NOTHING, only("web.1"))
    await two.target.count("web.1", beyond=before)


async def test_memory_is_sent_before_it_stands_still(two: Two) -> None:
    before = await two.start("web.1")
    moved = await two.ok(Migrate(to="n2", pre_copy=2), "web.1")
    assert moved["rounds"] == 2
    assert 0 < moved["sent_frozen"] < moved["sent"]
    assert await two.target.count("web.1", beyond=before) > before
    assert (two.source.there(), two.target.there()) == (NOTHING, only("web.1"))
    if two.source.ctr.host.version != two.target.ctr.host.version:
        return  # CRIU goes no way back
    # And back again, though the first one has had that id.
    back = await two.ok(Migrate(to="n1", pre_copy=-1), "web.1", to="n2")
    assert back["node"] == "n1"
    assert (two.source.there(), two.target.there()) == (only("web.1"), NOTHING)
    assert two.source.read("web.1", "/log") == "began\n"
    await two.source.count("web.1", beyond=before)


async def test_an_image_that_the_target_lacks_comes_along(two: Two) -> None:
    await two.start("web.1")
    image = two.source.ctr("images", "ls", "-q").split()[0]
    two.target.ctr("images", "rm", "--sync", image)
    await two.ok(Migrate(to="n2"), "web.1")
    assert two.target.ctr("images", "ls", "-q").split() == [image]
    assert (two.source.there(), two.target.there()) == (NOTHING, only("web.1"))


async def test_what_cannot_be_restored_stays_where_it_is(two: Two) -> None:
    """A restore that fails at the target leaves it running at the source, and nothing at the target."""
    await two.start("web.1")
    criu = two.target.ctr.host
    criu.run("mv", "/usr/sbin/criu", "/usr/sbin/criu.away")
    criu.run("sh", "-c", "printf '#!/bin/sh\\nexit 1\\n' > /usr/sbin/criu; chmod +x /usr/sbin/criu")
    try:
        code, said = await two.failure(Migrate(to="n2", force=True), "web.1")
    finally:
        criu.run("mv", "-f", "/usr/sbin/criu.away", "/usr/sbin/criu")
    assert code == "failed_precondition"
    assert "was not moved, and runs on on node n1: node n2: " in said
    assert (two.source.there(), two.target.there()) == (only("web.1"), NOTHING)
    assert two.source.tasks()["web.1"][1] == "RUNNING"
    await two.source.count("web.1", beyond=await two.source.count("web.1"))


async def test_what_would_fail_is_said_before_and_nothing_is_done(two: Two) -> None:
    await two.start("web.1")
    checked = await two.ok(Migrate(to="n2", check=True), "web.1")
    said = {one["says"].split(":")[0] for one in checked["verdict"]["findings"]}
    assert said == {"node n1", "node n2"}
    assert (two.source.there(), two.target.there()) == (only("web.1"), NOTHING)

    two.source.ctr.host.run("mkdir", "-p", "/srv/only-here")
    options = ("--mount", "type=bind,src=/srv/only-here,dst=/data,options=rbind:ro")
    await asyncio.to_thread(two.source.ctr.run, "web.2", "sh", "-c", COUNTER, options=options)
    code, text = await two.failure(Migrate(to="n2", check=True), "web.2")
    assert (code, "what is mounted into it is not here: /srv/only-here" in text) == ("failed_precondition", True)
    assert (two.source.there(), two.target.there()) == (only("web.1", "web.2"), NOTHING)

    code, text = await two.failure(Migrate(to="n3"), "web.1")
    assert (code, "n3" in text) == ("unavailable", True)
    code, text = await two.failure(Migrate(to="n1"), "web.1")
    assert (code, text) == ("invalid_argument", "container web.1 is on node n1 already: give another one")
    await asyncio.to_thread(two.target.ctr.run, "web.1", "sh", "-c", COUNTER)
    code, text = await two.failure(Migrate(to="n2"), "web.1")
    assert (code, "web.1 exists already" in text) == ("already_exists", True)
    assert two.target.tasks()["web.1"][1] == "RUNNING"
    two.source.ctr("tasks", "pause", "web.1")
    code, text = await two.failure(Migrate(to="n2"), "web.1")
    assert (code, text) == (
        "failed_precondition",
        "container web.1 is paused, and only what runs is moved: resume it first",
    )


async def test_both_nodes_tell_one_story(two: Two) -> None:
    await two.start("web.1")
    await two.ok(Migrate(id=f"move-{two.namespace}", to="n2"), "web.1")

    def mine(message: Stored) -> bool:
        return message.event.get("correlationid") == f"move-{two.namespace}"

    def is_over(message: Stored) -> bool:
        return mine(message) and is_end(message) and message.data["verb"] == "migrate"

    told = await asyncio.to_thread(until_stored, two.url, is_over, "containerd.events.>")
    commands = [
        (message.event["source"], message.data["verb"]) for message in told if mine(message) and is_end(message)
    ]
    at = [f"/containerd/{node}/{two.namespace}" for node in ("n1", "n2")]
    assert commands == [*[(at[1], "receive")] * 3, (at[0], "migrate")]
    restored = [message for message in told if mine(message) and message.word == "restored"]
    assert [message.event["source"] for message in restored] == [at[1]]
    # It is the next life of the one that it was made of.
    lives = {
        message.event["incarnation"] for message in told if message.event["source"] == at[0] and message.word == "start"
    }
    assert {message.data["parent"] for message in restored} == lives


async def test_what_is_killed_while_it_stands_still_does_nothing_any_more(two: Two) -> None:
    """As the source removes its copy once it runs elsewhere: not one of many processes runs on for a moment."""
    host, shared = two.source.ctr.host, two.source.ctr.host.shared / two.namespace
    shared.mkdir()
    loops = "for i in 1 2 3 4 5; do (while :; do echo >> /shared/$i; done) & done; wait"
    mount = f"type=bind,src={shared},dst=/shared,options=rbind:rw"
    await asyncio.to_thread(two.source.ctr.run, "web.1", "sh", "-c", loops, options=("--mount", mount))
    while len(list(shared.iterdir())) < 5:
        await asyncio.sleep(0.02)
    while two.source.tasks()["web.1"][1] != "PAUSED":
        two.source.ctr("tasks", "pause", "web.1", check=False)  # runc does not get hold of what is so busy each time
    before = {path.name: path.stat().st_size for path in shared.iterdir()}
    await two.ok(Delete(force=True), "web.1")
    assert {path.name: path.stat().st_size for path in shared.iterdir()} == before
    assert two.source.there() == NOTHING
    host.run("rm", "-rf", str(shared))


async def test_an_operator_decides_where_a_target_stays_away(two: Two) -> None:
    """Until then it stands still at the source, and a target that comes back after that removes what it has.

    That somebody has answers of nats-server stored over the entry meanwhile changes nothing.
    """
    before = await two.start("web.1")
    stopped = two.target.bridge
    await asyncio.to_thread(stopped.stop)
    await asyncio.to_thread(started, stopped, {**os.environ, VARIABLE: "receive-take"})
    key = MigrationKey("n1", "n2", two.namespace, "web.1", f"away-{two.namespace}")
    moving = asyncio.create_task(two.send(Migrate(id=key.migration, to="n2"), "web.1"))
    await asyncio.to_thread(stopped.process.wait)
    while two.source.tasks()["web.1"][1] != "PAUSED":
        await asyncio.sleep(0.05)
    await two.answered(key_subject(two.bus.subjects.migration_bucket, key.token))
    code, said = await two.failure(MigrateAbandon(), "web.1")
    assert (code, "has taken container web.1 and may run it" in said) == ("failed_precondition", True)
    await two.ok(MigrateAbandon(force=True), "web.1")
    outcome = await moving
    assert outcome.error is not None
    assert outcome.error.message.endswith("runs on on node n1: an operator has taken it back")
    await two.source.count("web.1", beyond=before)
    assert await two.failure(MigrateAbandon(), "web.1") == (
        "not_found",
        "no migration of container web.1 away from node n1 is under way",
    )
    await asyncio.to_thread(started, stopped, None)
    async with asyncio.timeout(WITHIN_S):
        while (two.source.there(), two.target.there()) != (only("web.1"), NOTHING):
            await asyncio.sleep(0.05)


async def test_what_it_writes_to_the_bus_goes_on_under_the_other_node(two: Two) -> None:
    script = f"{WAITS}\nn=0; while :; do n=$((n+1)); echo $n; echo $n > /dev/shm/n; waits; done"
    await two.ok(Run(image=BUSYBOX, command=["sh", "-c", script], stdio="bus"), "web.1")
    before = await two.source.count("web.1")
    await two.ok(Migrate(to="n2"), "web.1")
    at = await two.bus.locate("web.1", node="n2", namespace=two.namespace)
    process = await at.node.attach("web.1", namespace=two.namespace)
    written = b""
    async with aclosing(process.output(since={"stdout": 0})) as pieces:
        async for piece in pieces:
            written += piece.data
            if written.count(b"\n") > 5:
                break
    numbers = [int(line) for line in written.splitlines()[:5]]
    assert numbers[0] > before
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert (two.source.there(), two.target.there()) == (NOTHING, only("web.1"))


ECHOES = f"""
busybox mkfifo /waits; exec 4<>/waits
nc -l -p {PORT} -e cat &
n=0; while :; do n=$((n+1)); echo $n > /dev/shm/n; read -t 0.02 nothing <&4; done
"""


@pytest.mark.parametrize("harbours", [versions("2.1", "2.1")], indirect=True)
async def test_a_connection_goes_on_where_its_address_goes_along(two: Two) -> None:
    """CRIU 4.1 cannot dump sockets on kernels of today. Nobody takes the wire away before all is over at the source."""
    async with Wire([two.source.ctr.host, two.target.ctr.host]) as wire:
        await wire.plug(two.source.ctr.host)
        options = ("--with-ns", f"network:{NETWORK}")
        await asyncio.to_thread(two.source.ctr.run, "web.1", "sh", "-c", ECHOES, options=options)
        await two.source.count("web.1")
        await wire.talk()
        heard = await wire.heard()

        code, said = await two.failure(Migrate(to="n2"), "web.1")
        assert (code, "it has established TCP connections (1)" in said) == ("failed_precondition", True)
        assert "use --tcp-established; to move it without them, --tcp-close; or end them" in said
        heard = await wire.heard(beyond=heard)

        # A move that comes to nothing lets the connection go on where it was.
        criu = two.target.ctr.host
        criu.run("sh", "-c", "mv /usr/sbin/criu /usr/sbin/criu.away; ln -s /bin/false /usr/sbin/criu")
        try:
            code, said = await two.failure(Migrate(to="n2", tcp_established=True, force=True), "web.1")
        finally:
            criu.run("mv", "-f", "/usr/sbin/criu.away", "/usr/sbin/criu")
        assert (code, "runs on on node n1" in said) == ("failed_precondition", True)
        heard = await wire.heard(beyond=heard)

        for source, target in ((two.source, two.target), (two.target, two.source)):  # and back again, where it was held
            await two.ok(Migrate(to=target.name, tcp_established=True), "web.1", to=source.name)
            assert (source.there(), target.there()) == (NOTHING, only("web.1"))
            await wire.plug(target.ctr.host)
            heard = await wire.heard(beyond=heard + 5)
