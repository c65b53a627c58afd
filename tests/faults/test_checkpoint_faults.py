"""Fault 22: what checkpoints and restores need is full, fails, or is taken away meanwhile.

Whatever it is, the container runs on, the outcome says in a sentence what is the matter and what to do about it, and nothing is
left: no directory, lease, snapshot, content, image, object, record, rule in a firewall, nor anything frozen. On a containerd with
CRIU whose checkpoints lie on a disk of 24 MiB.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from msgspec import convert

from bridge.client import connect
from bridge.jetstream.api import api
from bridge.model.checkpoints import CheckpointKey
from bridge.model.commands import Checkpoint, Pause, Restore, Resume
from tests.contract.checkpointing import WAITS
from tests.fix_bridge import WITHIN_S, Bridge
from tests.integration.every_verb import LENIENT
from tests.integration.jetstream_entries import connected
from tests.integration.test_checkpoints import Here
from tests.testbed import Containerd, NatsServer

pytestmark = [pytest.mark.faults, pytest.mark.containerd, pytest.mark.timeout(300)]

MIB = 1 << 20
IMAGE = "docker.io/test/checkpoint:1"
SMALL = 24 * MIB

SCRIPT = """
n=0; dd if=/dev/urandom of=/big bs=1M count=4 2>/dev/null; echo began >> /log
while :; do n=$((n+1)); echo $n > /dev/shm/n; waits; done
"""
COUNTER = ("sh", "-c", f"{WAITS}\n{SCRIPT}")
"""Counts in memory, and has written 4 MiB that no compression makes smaller."""


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Containerd, Bridge, str]]:
    directory = tmp_path_factory.mktemp("ground")
    (directory / "policy.toml").write_text(LENIENT)
    with (
        Containerd("2.1", small=SMALL) as host,
        NatsServer() as nats,
        Bridge(
            *("--containerd", host.address, "--fifo-dir", host.fifo_dir / "n1", "--nats", nats.url, "--node", "n1"),
            *("--state-dir", directory / "state", "--commands", "all", "--policy", directory / "policy.toml"),
            *("--checkpoint-dir", host.small),
        ) as bridge,
    ):
        bridge.live()
        yield host, bridge, nats.url


@pytest.fixture
async def here(ground: tuple[Containerd, Bridge, str]) -> AsyncIterator[Here]:
    host, bridge, url = ground
    with host.fresh_namespace() as ctr:
        async with connect(url) as bus:
            here = Here(bridge, ctr, bus, url)
            await here.start("web.1", *COUNTER)
            yield here


class World:
    """All that a checkpoint or a restore may leave, as it was before."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._pid = here.pid("web.1")
        self._before = self._look()

    def _look(self) -> dict[str, Any]:
        ctr, host = self._here.ctr, self._here.ctr.host
        ctr.collect_garbage()
        group = f"{ctr.namespace}/web.1"
        frozen = f"cat /sys/fs/cgroup/freezer/{group}/freezer.state /sys/fs/cgroup/{group}/cgroup.freeze 2>/dev/null"
        return {
            "tasks": [(name, status) for name, _, status in map(str.split, ctr("tasks", "ls").splitlines()[1:])],
            "containers": ctr("containers", "ls", "-q").split(),
            "snapshots": sorted(line.split()[0] for line in ctr("snapshots", "ls").splitlines()[1:]),
            "images": sorted(ctr("images", "ls", "-q").split()),
            "content": sorted(ctr("content", "ls", "-q").split()),
            "ingests": ctr("content", "active").splitlines()[1:],
            "leases": ctr("leases", "ls", "-q").split(),
            "directories": [str(path) for path in host.small.glob("n1/*")],
            "rules": host.run("nsenter", f"--net=/proc/{self._pid}/ns/net", "iptables", "-S").stdout.split("\n"),
            "frozen": host.run("sh", "-c", frozen, check=False).stdout,
        }

    async def is_as_before(self) -> None:
        """Wait until nothing is left, and the container counts on."""
        found: dict[str, Any] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHIN_S):
                while (found := await asyncio.to_thread(self._look)) != self._before:
                    await asyncio.sleep(0.1)
        assert found == self._before, self._here.bridge.log[-20:]
        counted = await self._here.count("web.1")
        await self._here.count("web.1", beyond=counted)


def fill(host: Containerd, free: int) -> None:
    """Leave so many bytes of the small disk."""
    with (host.small / "filler").open("wb") as file:
        found = os.statvfs(host.small)
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - free)


@pytest.fixture
def room(ground: tuple[Containerd, Bridge, str]) -> Iterator[Callable[[int], None]]:
    """`room(free)` leaves so many bytes of the disk on which checkpoints lie, until the test is over."""
    host = ground[0]
    yield lambda free: fill(host, free)
    (host.small / "filler").unlink()


@contextlib.contextmanager
def full_store(host: Containerd) -> Iterator[None]:
    """containerd's content store takes no more than a quarter of a mebibyte."""
    ingest = "/run/containerd-root/io.containerd.content.v1.content/ingest"
    host.run("mount", "-t", "tmpfs", "-o", "size=262144", "full", ingest)
    try:
        yield
    finally:
        host.run("umount", "-l", ingest)


@contextlib.contextmanager
def criu_dies(host: Containerd, at: str) -> Iterator[None]:
    """CRIU is killed at one of the moments at which it runs a script, as the kernel does it for want of memory."""
    script = f"#!/bin/sh\n[ $CRTOOLS_SCRIPT_ACTION != {at} ] || kill -9 $PPID\n"
    host.run("sh", "-c", "mkdir -p /etc/criu; cat >/etc/criu/dies; chmod +x /etc/criu/dies", stdin=script)
    host.run("sh", "-c", "cat >/etc/criu/default.conf", stdin="action-script /etc/criu/dies\n")
    try:
        yield
    finally:
        host.run("rm", "/etc/criu/default.conf")


def to(where: str, target: object = "", **more: Any) -> Checkpoint:
    return convert({"to": where, "target": str(target), **more}, Checkpoint)


async def test_a_full_disk_for_dumps(here: Here, room: Callable[[int], None]) -> None:
    """Too full to begin, for CRIU's log, for its images, for the layer."""
    world = World(here)
    room(0)
    code, sentence = await here.failure(Checkpoint(), "web.1")
    assert (code, "make room, or let checkpoint_dir be where there is more" in sentence) == (
        "failed_precondition",
        True,
    )
    for free in (0, 3 * 4096, 16 * 4096, 2 * MIB):
        room(free)
        for exits in (False, True):
            code, sentence = await here.failure(Checkpoint(force=True, exit=exits), "web.1")
            assert (code, "make room" in sentence) == ("exhausted", True), (free, sentence)
        await world.is_as_before()
    room(16 * 4096)
    assert "CRIU says: " in (await here.failure(Checkpoint(force=True), "web.1"))[1]


async def test_a_full_disk_of_the_host(here: Here, room: Callable[[int], None]) -> None:
    """There is room for the dump, and none for a second copy."""
    world, target = World(here), here.ctr.host.small / "target"
    room(6 * MIB)
    for where in ("dir", "file"):
        code, sentence = await here.failure(to(where, target, force=True), "web.1")
        assert (code, sentence) == (
            "exhausted",
            f"{target}: No space left on device: make room there, or give another path",
        )
        assert sorted(path.name for path in here.ctr.host.small.iterdir()) == ["filler", "n1"]
    await world.is_as_before()


async def test_a_full_disk_for_what_is_restored(here: Here, room: Callable[[int], None]) -> None:
    made = await here.ok(Checkpoint(name="first"), "web.1")
    world = World(here)
    for free in (0, 3 * 4096, 16 * 4096, 2 * MIB):
        room(free)
        restoring = Restore(checkpoint=key(here, "first"), force=True)
        code, sentence = await here.failure(restoring, "web.2")
        assert (code, "make room" in sentence) == ("exhausted", True), (free, sentence)
    await world.is_as_before()
    assert made["record"]["name"] == "first"


async def test_a_full_content_store(here: Here) -> None:
    await here.ok(Checkpoint(name="first"), "web.1")
    world = World(here)
    with full_store(here.ctr.host):
        for command, container in (
            (to("catalogue"), "web.1"),
            (to("image", IMAGE), "web.1"),
            (Restore(checkpoint=key(here, "first")), "web.2"),
        ):
            code, sentence = await here.failure(command, container)
            assert (code, "make room on the disk of containerd" in sentence) == ("exhausted", True), sentence
    await world.is_as_before()


async def test_a_full_object_store(here: Here) -> None:
    """The server refuses in the middle of an archive; nothing of that is left, and there is room for what is smaller."""
    world = World(here)
    async with connected(here.url) as connection:
        stream = "OBJ_containerd-checkpoints"
        config = (await api(connection, f"STREAM.INFO.{stream}"))["config"]
        info = await api(connection, f"STREAM.INFO.{stream}")
        await api(connection, f"STREAM.UPDATE.{stream}", config | {"max_bytes": info["state"]["bytes"] + 2 * MIB})
        try:
            for exits in (False, True):
                code, sentence = await here.failure(Checkpoint(name="first", exit=exits), "web.1")
                assert (code, "checkpoint rm" in sentence) == ("exhausted", True), sentence
            await world.is_as_before()
            assert await here.bus.checkpoints.list(namespace=here.ctr.namespace) == []
            after = await api(connection, f"STREAM.INFO.{stream}")
            assert after["state"]["bytes"] < info["state"]["bytes"] + MIB
        finally:
            await api(connection, f"STREAM.UPDATE.{stream}", config)
    await here.ok(Checkpoint(name="first"), "web.1")


async def test_garbage_is_collected_all_the_while(here: Here) -> None:
    over = threading.Event()

    def collect() -> None:
        while not over.is_set():
            here.ctr.collect_garbage()

    collecting = asyncio.create_task(asyncio.to_thread(collect))
    try:
        target = here.ctr.host.shared / f"{here.ctr.namespace}.dir"
        for number, command in enumerate((to("catalogue", name="first"), to("image", IMAGE), to("dir", target))):
            made = await here.ok(command, "web.1")
            source = ("checkpoint", key(here, "first")) if command.to == "catalogue" else (command.to, command.target)
            await here.ok(convert(dict([source, ("trust", True)]), Restore), f"copy.{number}")
            assert here.read(f"copy.{number}", "/log") == "began\n"
            assert made["record"]["rw"]
    finally:
        over.set()
        await collecting
    assert here.litter() == []


@pytest.mark.parametrize("at", ["network-lock", "post-dump"])
async def test_a_criu_that_dies_over_a_dump(here: Here, at: str) -> None:
    """Whoever has paused the container: it stands as before, and can be resumed."""
    world = World(here)
    with criu_dies(here.ctr.host, at):
        for exits in (False, True):
            code, sentence = await here.failure(Checkpoint(exit=exits), "web.1")
            assert (code, "CRIU says: " in sentence) == ("failed_precondition", True), sentence
            await world.is_as_before()
        await here.ok(Pause(), "web.1")
        code, sentence = await here.failure(Checkpoint(), "web.1")
        assert (code, "CRIU says: " in sentence) == ("failed_precondition", True), sentence
        assert here.status("web.1") == "PAUSED"
        await here.ok(Resume(), "web.1")
        await world.is_as_before()


async def test_a_criu_that_dies_over_a_restore(here: Here) -> None:
    await here.ok(Checkpoint(name="first"), "web.1")
    world = World(here)
    with criu_dies(here.ctr.host, "pre-restore"):
        code, sentence = await here.failure(Restore(checkpoint=key(here, "first")), "web.2")
        assert (code, "CRIU says: " in sentence) == ("failed_precondition", True), sentence
    await world.is_as_before()
    await here.ok(Restore(checkpoint=key(here, "first")), "web.2")


def key(here: Here, name: str) -> str:
    return CheckpointKey("n1", here.ctr.namespace, "web.1", name).token
