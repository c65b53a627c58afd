"""Checkpoints over the whole way: client, bus, bridge, containerd and CRIU; what is in memory goes on, and nothing is left.

One host and one bridge for all of them, a namespace of its own for each; `-m older` repeats them with containerd 1.7.
"""

from __future__ import annotations

import asyncio
import json
import os
import tarfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.client import Bus, Node, connect
from bridge.model import labels
from bridge.model.checkpoints import CheckpointKey
from bridge.model.commands import Checkpoint, CheckpointRemove, Delete, Restore
from bridge.model.outcomes import Outcome
from tests.contract.checkpointing import WAITS, started, starting, until_met
from tests.fix_bridge import Bridge, Stored, until_stored
from tests.integration.every_verb import LENIENT
from tests.integration.test_checkpoint_criu import TALKS
from tests.testbed import BUSYBOX, Containerd, Ctr, NatsServer

pytestmark = pytest.mark.containerd

# It starts nothing else while it waits: see tests/contract/checkpointing.py.
COUNTER = [
    *("sh", "-c"),
    f"{WAITS}\nn=0; echo began >> /log; while :; do n=$((n+1)); echo $n > /dev/shm/n; waits; done",
]
"""Counts in memory; a file in its layer says how often it began."""

CONNECTED = [
    *("sh", "-c"),
    "mkfifo /f; nc -l -p 777 -e cat & (until nc 127.0.0.1 777 < /f; do sleep 0.05; done) & exec 9> /f; " + COUNTER[2],
]
"""The same, with a TCP connection to itself."""


class Here:
    """One bridge, in a namespace that only this test has."""

    def __init__(self, bridge: Bridge, ctr: Ctr, bus: Bus, url: str) -> None:
        self.bridge = bridge
        self.ctr = ctr
        self.bus = bus
        self.url = url
        self.node = Node("n1", bus._sender, bus.subjects, bus.jobs, stdio=bus._stdio)
        self.where: Any = {"namespace": ctr.namespace}

    async def send(self, command: Any, container: str) -> Outcome:
        return await self.node.send(command, container=container, timeout=60, **self.where)

    async def ok(self, command: Any, container: str) -> Any:
        outcome = await self.send(command, container)
        assert outcome.outcome == "ok", outcome.error and outcome.error.message
        return outcome.result

    async def failure(self, command: Any, container: str) -> tuple[str, str]:
        outcome = await self.send(command, container)
        assert outcome.error is not None, outcome
        return outcome.error.code, outcome.error.message

    async def start(self, container: str, *command: str, **options: Any) -> int:
        await asyncio.to_thread(self.ctr.run, container, *(command or COUNTER), **options)
        return await self.count(container)

    def pid(self, container: str) -> int:
        lines = [line.split() for line in self.ctr("tasks", "ls").splitlines()[1:]]
        return next(int(pid) for name, pid, _ in lines if name == container)

    def status(self, container: str) -> str:
        lines = [line.split() for line in self.ctr("tasks", "ls").splitlines()[1:]]
        return next((status for name, _, status in lines if name == container), "none")

    def read(self, container: str, path: str) -> str:
        return self.ctr.host.run("cat", f"/proc/{self.pid(container)}/root{path}", check=False).stdout

    async def connected(self, container: str) -> None:
        """Wait until it has an established connection."""
        table = f"/proc/{self.pid(container)}/net/tcp"
        while " 01 " not in (await asyncio.to_thread(self.ctr.host.run, "cat", table)).stdout:
            await asyncio.sleep(0.02)

    def ports(self, container: str) -> list[str]:
        """The ends of its established connections."""
        table = self.ctr.host.run("cat", f"/proc/{self.pid(container)}/net/tcp").stdout
        return sorted(line.split()[1] + line.split()[2] for line in table.splitlines() if " 01 " in line)

    async def count(self, container: str, beyond: int = 0) -> int:
        """Wait until it has counted beyond that; return how far it is."""
        while not (
            (text := (await asyncio.to_thread(self.read, container, "/dev/shm/n")).strip()) and int(text) > beyond
        ):
            await asyncio.sleep(0.02)
        return int(text)

    def litter(self) -> list[str]:
        found = [f"lease {name}" for name in self.ctr("leases", "ls", "-q").split()]
        found += [f"ingest {line}" for line in self.ctr("content", "active").splitlines()[1:]]
        directory = self.ctr.host.shared / "checkpoints" / "n1"
        found += [f"directory {path}" for path in directory.iterdir()] if directory.is_dir() else []
        return found


@pytest.fixture(scope="module", params=["2.1", pytest.param("1.7", marks=pytest.mark.older)])
def house(
    request: pytest.FixtureRequest,
    _containerds: Callable[[str], Containerd],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Containerd, Bridge, str]]:
    host, directory = _containerds(request.param), tmp_path_factory.mktemp("house")
    (directory / "policy.toml").write_text(LENIENT)
    with (
        NatsServer() as nats,
        Bridge(
            *("--containerd", host.address, "--fifo-dir", host.fifo_dir / "n1", "--nats", nats.url, "--node", "n1"),
            *("--state-dir", directory / "state", "--commands", "all", "--policy", directory / "policy.toml"),
            *("--checkpoint-dir", host.shared / "checkpoints"),
        ) as bridge,
    ):
        bridge.live()
        yield host, bridge, nats.url


@pytest.fixture
async def here(house: tuple[Containerd, Bridge, str]) -> AsyncIterator[Here]:
    host, bridge, url = house
    with host.fresh_namespace() as ctr:
        async with connect(url) as bus:
            yield Here(bridge, ctr, bus, url)


def key(here: Here, container: str, name: str) -> str:
    return CheckpointKey("n1", here.ctr.namespace, container, name).token


async def test_a_counter_goes_on_under_its_own_id_another_one_and_three_clones(here: Here) -> None:
    await here.start("web.1")
    await asyncio.to_thread(here.ctr, "tasks", "exec", "--exec-id", "w", "web.1", "sh", "-c", "echo mine > /kept")
    verdict = (await here.ok(Checkpoint(check=True), "web.1"))["verdict"]
    assert {one["check"] for one in verdict["findings"]} >= {"criu", "tcp", "execs", "space"}

    made = await here.ok(Checkpoint(name="first"), "web.1")
    record = made["record"]
    assert record["stats"]["pages_written"] > 0
    assert record["interrupted_ns"] > 0
    assert (record["exited"], record["status"], record["stdio"]) == (False, "running", "null")
    seen = await here.count("web.1")  # it runs on
    assert here.litter() == []
    assert await here.failure(Checkpoint(name="first"), "web.1") == (
        "already_exists",
        "container web.1 has a checkpoint first already: give another name, or remove that one",
    )

    name = key(here, "web.1", "first")
    names = ["web.2", "clone-1", "clone-2", "clone-3"]
    for other in names:
        restored = await here.ok(Restore(checkpoint=name, tcp_close=True), other)
        assert (restored["pid"], restored["parent"]) == (here.pid(other), record["incarnation"])
        first = await here.count(other)
        assert await here.count(other, beyond=first) > first
        assert (here.read(other, "/log"), here.read(other, "/kept")) == ("began\n", "mine\n")
    code, sentence = await here.failure(Restore(checkpoint=name), "web.1")
    assert (code, "web.1 is running: stop it first" in sentence) == ("failed_precondition", True)

    # Under its own id: the container that is there is used, with its files as they were.
    await asyncio.to_thread(here.ctr, "tasks", "exec", "--exec-id", "w", "web.1", "sh", "-c", "echo later > /kept")
    beyond = await here.count("web.1", beyond=seen + 40)
    await asyncio.to_thread(here.ctr.kill, "web.1")
    await here.ok(Restore(checkpoint=name), "web.1")
    assert (await here.count("web.1")) < beyond
    assert here.read("web.1", "/kept") == "mine\n"
    info = json.loads(await asyncio.to_thread(here.ctr, "containers", "info", "web.1"))
    assert info["Labels"][labels.CHECKPOINT] == name
    assert "annotations" not in info["Spec"]
    assert here.litter() == []

    def told(message: Stored) -> bool:
        return message.word == "restored" and message.data["checkpoint"] == name

    subject = f"containerd.events.n1.{here.ctr.namespace}.web=2E1.>"
    events = await asyncio.to_thread(until_stored, here.url, told, subject)
    [restore] = [one for one in events if told(one)]
    assert restore.data["parent"] == record["incarnation"]
    [checkpointed] = [one for one in events if one.word == "checkpointed"]
    assert checkpointed.data["checkpoint"] == name
    assert checkpointed.event["correlationid"] == record["id"]
    assert checkpointed.event["incarnation"] == record["incarnation"]

    freed = await here.ok(CheckpointRemove(name="first"), "web.1")
    assert freed["freed"] == record["archive"]["size"]
    assert (await here.failure(Restore(checkpoint=name), "web.9"))[0] == "not_found"


async def test_with_exit_it_ends_and_that_is_no_crash(here: Here) -> None:
    await here.start("web.1")
    await here.count("web.1", beyond=10)
    made = await here.ok(Checkpoint(name="last", exit=True), "web.1")
    assert made["record"]["exited"]
    assert here.status("web.1") == "STOPPED"

    def ended(message: Stored) -> bool:
        return message.word == "exit"

    events = await asyncio.to_thread(until_stored, here.url, ended, f"containerd.events.n1.{here.ctr.namespace}.>")
    [exit_] = [one for one in events if ended(one)]
    assert (exit_.data["cause"], exit_.data["exit_status"]) == ("checkpoint", 137)
    assert exit_.event["correlationid"] == made["record"]["id"]
    assert here.litter() == []

    await here.ok(Restore(checkpoint=key(here, "web.1", "last")), "web.1")
    assert await here.count("web.1", beyond=10) > 10
    assert here.read("web.1", "/log") == "began\n"


@pytest.mark.parametrize("to", ["image", "dir", "file"])
async def test_what_lies_elsewhere_is_restored_by_who_trusts_it(here: Here, to: str) -> None:
    await here.start("web.1")
    target = (
        "docker.io/test/checkpoint:1" if to == "image" else str(here.ctr.host.shared / f"{here.ctr.namespace}.{to}")
    )
    wanted = msgspec.convert({"to": to, "target": target}, Checkpoint)
    made = await here.ok(wanted, "web.1")
    assert (made["image"] or made["path"]) == target
    assert (await here.failure(wanted, "web.1"))[0] == "already_exists"
    if to != "image":
        assert os.stat(target).st_mode & 0o077 == 0
        assert not [path for path in Path(target).parent.iterdir() if path.name.startswith(".")]

    def restoring(**more: Any) -> Restore:
        return msgspec.convert({to: target, **more}, Restore)

    code, sentence = await here.failure(restoring(), "web.2")
    assert (code, "give trust" in sentence) == ("failed_precondition", True)
    await here.ok(restoring(trust=True), "web.2")
    first = await here.count("web.2")
    assert await here.count("web.2", beyond=first) > first
    assert here.read("web.2", "/log") == "began\n"
    assert here.litter() == []


async def test_what_the_host_has_not_is_said_before_a_restore(here: Here) -> None:
    """A mount, a network that others are in, a port and a device: each is there, and then is not."""
    host, data = here.ctr.host, f"/srv/{here.ctr.namespace}"
    listens = host.version != "1.7"  # the CRIU there dumps no sockets on newer kernels
    host.run("mkdir", "-p", data)
    await asyncio.to_thread(here.ctr.run, "net", *COUNTER)
    network = f"/proc/{here.pid('net')}/ns/net"
    mount = f"type=bind,src={data},dst=/data,options=rbind:ro"
    await here.start(
        "web.1",
        *("sh", "-c", f"nc -l -p 888 & {COUNTER[2]}" if listens else COUNTER[2]),
        options=("--with-ns", f"network:{network}", "--mount", mount, "--device", "/dev/null"),
    )
    while listens and ":0378 " not in host.run("cat", f"/proc/{here.pid('web.1')}/net/tcp6", check=False).stdout:
        await asyncio.sleep(0.02)
    await here.ok(Checkpoint(name="one"), "web.1")
    (record,) = await here.bus.checkpoints.list(namespace=here.ctr.namespace)
    assert [(one.protocol, one.port) for one in record.listens or ()] == [("tcp", 888)] * listens

    async def found(*checks: str) -> list[tuple[str, str]]:
        wanted = Restore(checkpoint=key(here, "web.1", "one"), check=True)
        by_name = {one["check"]: one for one in (await here.ok(wanted, "web.2"))["verdict"]["findings"]}
        return [(by_name[check]["level"], by_name[check]["says"]) for check in checks]

    ((level, says),) = await found("ports")
    assert level == ("blocks" if listens else "ok")
    assert says.startswith("somebody listens already where it does: tcp " if listens else "it listens nowhere")
    await here.node.stop("web.1", grace=0, **here.where)
    assert [level for level, _ in await found("network", "ports", "mounts", "devices")] == ["ok"] * 4
    host.run("rmdir", data)
    await here.node.stop("net", grace=0, **here.where)
    assert await found("network", "mounts", "devices") == [
        ("blocks", f"a namespace that it is to join is not here: {network}"),
        ("blocks", f"what is mounted into it is not here: {data}"),
        ("ok", "its devices are here"),
    ]
    code, said = await here.failure(Restore(checkpoint=key(here, "web.1", "one")), "web.2")
    assert (code, data in said) == ("failed_precondition", True)


async def test_where_criu_fails_it_runs_on_and_nothing_is_left(here: Here) -> None:
    """The end of CRIU's log says why; of a restore that fails nothing is left either."""
    await here.start("web.1", *CONNECTED)
    await here.connected("web.1")
    code, sentence = await here.failure(Checkpoint(name="first"), "web.1")
    assert (code, "it has established TCP connections (2)" in sentence) == ("failed_precondition", True), sentence
    code, sentence = await here.failure(Checkpoint(name="first", force=True), "web.1")
    # CRIU 4.1 cannot dump sockets on kernels of today at all.
    says = "tcp-established" if here.ctr.host.version == "2.1" else "socket"
    assert (code, says in sentence) == ("failed_precondition", True), sentence
    first = await here.count("web.1")
    assert await here.count("web.1", beyond=first) > first
    assert here.status("web.1") == "RUNNING"
    assert list(await here.bus.checkpoints.list(namespace=here.ctr.namespace)) == []
    assert here.litter() == []

    target = here.ctr.host.shared / f"{here.ctr.namespace}.dir"
    await here.start("web.3")
    await here.ok(Checkpoint(to="dir", target=str(target)), "web.3")
    (target / "core-1.img").write_bytes(b"nothing of the kind")
    code, sentence = await here.failure(Restore(dir=str(target), trust=True, force=True), "web.2")
    assert (code, "Error" in sentence) == ("failed_precondition", True), sentence
    assert (await asyncio.to_thread(here.ctr, "containers", "ls", "-q")).split() == ["web.1", "web.3"]
    snapshots = [line.split()[0] for line in here.ctr("snapshots", "ls").splitlines()[1:] if "Active" in line]
    assert sorted(snapshots) == ["web.1", "web.3"]
    assert here.litter() == []


async def test_what_is_just_starting_a_program_runs_on_for_a_moment_and_is_dumped_then(here: Here) -> None:
    """What CRIU cannot stop while it stands still: the ten seconds after which it gave up are told as well."""
    pid = await starting(here.ctr, "web.1")
    asking = asyncio.create_task(here.ok(Checkpoint(name="first", id="met-at-a-bad-moment"), "web.1"))
    await until_met(here.ctr.host.shared / "checkpoints" / "n1" / "met-at-a-bad-moment" / "work")
    await started(here.ctr, pid)
    record = (await asking)["record"]
    assert record["interrupted_ns"] > 9e9
    assert record["stats"]["frozen_us"] < 9e6
    assert (here.status("web.1"), here.litter()) == ("RUNNING", [])


async def test_a_connection_goes_on_where_criu_ended_the_task(here: Here) -> None:
    """In a network that outlives it; both ends are in the container, and neither notices."""
    network = here.ctr.host.shared / f"{here.ctr.namespace}.net"
    make = f"touch {network}; unshare --net={network} busybox ip link set lo up"
    await asyncio.to_thread(here.ctr.host.run, "sh", "-c", make)
    options = ("--with-ns", f"network:{network}")
    await asyncio.to_thread(here.ctr.run, "web.1", "sh", "-c", TALKS, options=options)
    await here.connected("web.1")
    before = await asyncio.to_thread(here.ports, "web.1")
    ending = Checkpoint(name="first", exit=True, tcp_established=True)
    if here.ctr.host.version == "1.7":  # as above
        assert (await here.failure(ending, "web.1"))[0] == "failed_precondition"
        assert (here.status("web.1"), here.litter()) == ("RUNNING", [])
        return
    made = await here.ok(ending, "web.1")
    assert (made["record"]["exited"], here.status("web.1")) == (True, "STOPPED")
    await here.ok(Restore(checkpoint=key(here, "web.1", "first")), "web.1")
    assert await asyncio.to_thread(here.ports, "web.1") == before
    said = await asyncio.to_thread(here.read, "web.1", "/said")
    while await asyncio.to_thread(here.read, "web.1", "/said") == said:
        await asyncio.sleep(0.02)
    assert here.litter() == []


async def test_a_network_that_is_left_out_is_made_anew(here: Here) -> None:
    before = await here.start("web.1")
    await here.ok(Checkpoint(name="bare", empty_ns=["network"], exit=True), "web.1")
    await here.ok(Delete(force=True), "web.1")
    await here.ok(Restore(checkpoint=key(here, "web.1", "bare")), "web.2")
    assert await here.count("web.2", before) > before
    table = await asyncio.to_thread(here.ctr.host.run, "cat", f"/proc/{here.pid('web.2')}/net/dev")
    assert [line.split(":")[0].strip() for line in table.stdout.splitlines()[2:]] == ["lo"]
    await here.ok(Delete(force=True), "web.2")


async def test_an_image_that_is_not_there_comes_along_and_garbage_is_collected_all_the_while(here: Here) -> None:
    await here.start("web.1")
    over = threading.Event()

    def collect() -> None:
        while not over.is_set():
            here.ctr("leases", "create", "--id", "garbage")
            here.ctr("leases", "rm", "--sync", "garbage")

    collecting = asyncio.create_task(asyncio.to_thread(collect))
    try:
        await here.ok(Checkpoint(name="first"), "web.1")
        await asyncio.to_thread(here.ctr, "images", "rm", "--sync", BUSYBOX)
        restored = await here.ok(Restore(checkpoint=key(here, "web.1", "first")), "web.2")
    finally:
        over.set()
        await collecting
    assert restored["image_brought"]
    assert BUSYBOX in await asyncio.to_thread(here.ctr, "images", "ls", "-q")
    assert await here.count("web.2")
    assert here.litter() == []


async def test_an_image_whose_name_has_moved_is_taken_by_its_digest(here: Here) -> None:
    await here.start("web.1")
    await here.ok(Checkpoint(name="one"), "web.1")
    (record,) = await here.bus.checkpoints.list(namespace=here.ctr.namespace)
    await here.ok(Checkpoint(to="image", target="docker.io/test/other:1"), "web.1")
    here.ctr("images", "tag", "--force", "docker.io/test/other:1", BUSYBOX)
    await here.ok(Restore(checkpoint=key(here, "web.1", "one")), "web.2")
    first = await here.count("web.2")
    assert await here.count("web.2", beyond=first) > first
    assert here.read("web.2", "/log") == "began\n"
    listed = {line.split()[0]: line.split()[2] for line in here.ctr("images", "ls").splitlines()[1:]}
    assert listed[f"{BUSYBOX.rpartition(':')[0]}@{record.image_digest}"] == record.image_digest
    assert listed[BUSYBOX] == listed["docker.io/test/other:1"] != record.image_digest
    again = await here.ok(Checkpoint(name="two"), "web.1")  # it is still made from what it was
    assert again["record"]["image_digest"] == record.image_digest
    assert here.litter() == []


async def test_what_is_hostile_is_refused_over_the_bus(here: Here) -> None:
    target = here.ctr.host.shared / f"{here.ctr.namespace}.tar"
    with tarfile.open(target, "w") as tar:
        tar.addfile(tarfile.TarInfo("../../evil"))
    code, sentence = await here.failure(Restore(file=str(target), trust=True), "web.1")
    assert (code, "evil" in sentence) == ("invalid_argument", True)
    code, sentence = await here.failure(Restore(dir="/tmp/../etc", trust=True), "web.1")
    assert code == "refused"  # no rule can allow what climbs
    assert here.litter() == []
