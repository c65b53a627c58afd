"""Checkpoints that others read, and others' that are read here: `checkpointctl` and Docker Engine, the real ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from bridge.checkpoints import Contents, copy_dump, criu_version, inventory, pack, read_directory, stats_of
from bridge.containerd.runtime import ContainerdRuntime
from bridge.model.checkpoints import CheckpointOptions
from bridge.ports import Stdio
from tests.contract.checkpointing import LEASE, WAITS, RealPlace
from tests.contract.conftest import real_host
from tests.fix_containerd import ContainerdFactory
from tests.testbed import Ctr, Docker, docker_on
from tests.unit.checkpoints.archives import RECORD

PLAIN = CheckpointOptions()

# It counts in memory, and adds how far it has come to a file that the test can see. It starts no program: see `WAITS`.
COUNTS = f"""
{WAITS}
i=0; while :; do i=$((i+1)); echo $i >>/counted/totals; waits; done
"""


async def test_checkpointctl_reads_our_archive(ctr: Ctr) -> None:
    async with real_host(ctr) as host:
        place = RealPlace(host)
        await place.runtime.leases.create(place.namespace, LEASE, {})
        await place.run("web.1")
        images = place.images("dump")
        await place.checkpoints.dump(place.namespace, "web.1", images, PLAIN, ends=False, lease=LEASE)
    work = images.parent / "work"
    given = Contents(
        record=msgspec.structs.replace(RECORD, image="docker.io/library/busybox:local"),
        spec=ctr("containers", "info", "--spec", "web.1").encode(),
        images=images,
        log=work / "dump.log",
        stats=work / "stats-dump",
    )
    path = images.parent / "archive"
    archive = await pack(given)
    path.write_bytes(b"".join([piece async for piece in archive()]))

    shown = ctr.host.run("checkpointctl", "show", path).stdout
    assert "web.1" in shown
    assert "docker.io/library/busybox:local" in shown
    assert "io.containerd.runc.v2" in shown
    assert "containerd" in shown
    tree = ctr.host.run("checkpointctl", "inspect", "--all", path).stdout
    stats = stats_of(work)
    assert stats is not None
    assert f"Pages written: {stats.pages_written}\n" in tree
    assert f"Pages scanned: {stats.pages_scanned}\n" in tree
    assert "Destination: /proc" in tree
    assert "[REG 3]  /log" in tree  # a file that the process has open
    assert inventory((images / "inventory.img").read_bytes()).version == 2
    assert criu_version((work / "dump.log").read_bytes())


async def test_docker_s_checkpoint_goes_on_here_and_ours_in_docker(containerd_factory: ContainerdFactory) -> None:
    """One counter in memory: begun by Docker Engine, restored by us from its directory, and by it from ours."""
    host = containerd_factory("2.1")
    counted = host.shared / "counted"
    counted.mkdir()

    def total() -> int:
        totals = counted / "totals"
        return int(totals.read_text().split()[-1]) if totals.exists() else 0

    with docker_on(host) as docker, host.fresh_namespace(busybox=False) as ctr, contextlib.ExitStack() as stack:
        run = ("run", "--detach", "--security-opt", "seccomp=unconfined")
        docker(
            *run,
            "--network",
            "none",
            "--name",
            "network",
            "busybox:local",
            "sh",
            "-c",
            f"{WAITS}; while :; do waits; done",
        )
        shared = ("--network", "container:network", "--volume", f"{counted}:/counted")
        web = docker(*run, *shared, "--name", "web", "busybox:local", "sh", "-c", COUNTS)
        await until(lambda: total() > 5)
        spec = json.loads(Ctr(host, "moby")("containers", "info", "--spec", web))
        docker("checkpoint", "create", "web", "theirs")
        begun = total()

        arrived = host.shared / "arrived"
        arrived.mkdir(mode=0o700)
        theirs = await brought(docker.checkpoint(web, "theirs"), arrived)
        assert "inventory.img" in theirs
        make(ctr, "web", root(docker), spec)
        async with ContainerdRuntime(host.address) as runtime:
            await runtime.leases.create(ctr.namespace, LEASE, {})
            checkpoints = runtime.checkpoints
            # Docker gives pipes; what gets something else for them at a restore cannot be dumped again.
            pipes = Stdio(stdout=pipe(stack, host.fifo_dir / "out"), stderr=pipe(stack, host.fifo_dir / "err"))
            assert await checkpoints.restore(ctr.namespace, "web", arrived / "checkpoint", stdio=pipes) > 0
            await until(lambda: total() > begun + 5)
            images = host.shared / "ours" / "images"
            images.mkdir(mode=0o700, parents=True)
            await checkpoints.dump(ctr.namespace, "web", images, PLAIN, ends=True, lease=LEASE)
            await runtime.tasks.delete(ctr.namespace, "web")
        here = total()
        assert here > begun + 5

        ours = docker.checkpoint(web, "ours")
        ours.mkdir(mode=0o700)
        await laid_down(images, ours)
        docker("start", "--checkpoint", "ours", "web")
        await until(lambda: total() > here + 5)
        assert docker("inspect", "--format", "{{.State.Running}}", "web") == "true"
        docker("rm", "--force", "web", "network")


def pipe(stack: contextlib.ExitStack, path: Path) -> str:
    """A FIFO that has a reader until the end."""
    os.mkfifo(path)
    stack.callback(os.close, os.open(path, os.O_RDWR | os.O_NONBLOCK))
    return str(path)


async def brought(source: Path, target: Path) -> list[str]:
    from_, to = os.open(source, os.O_RDONLY), os.open(target, os.O_RDONLY)
    try:
        arrived = await read_directory(from_, to)
        assert arrived.told.record is None
        return list(arrived.images)
    finally:
        os.close(from_)
        os.close(to)


async def laid_down(images: Path, target: Path) -> None:
    from_, to = os.open(images, os.O_RDONLY), os.open(target, os.O_RDONLY)
    try:
        await copy_dump(from_, to)
    finally:
        os.close(from_)
        os.close(to)


def root(docker: Docker) -> str:
    """What the image has, in a directory of its own: Docker takes its container's away while that does not run."""
    docker.host.run("sh", "-c", f"mkdir /run/root && tar -xf {docker.host.shared}/busybox-layer.tar -C /run/root")
    docker.host.run("mkdir", "-p", *(f"/run/root/{name}" for name in ("proc", "sys", "dev", "etc", "counted")))
    docker.host.run("touch", *(f"/run/root/etc/{name}" for name in ("hosts", "hostname", "resolv.conf")))
    docker.host.run("mkfifo", "/run/root/waits")
    return "/run/root"


def make(ctr: Ctr, container: str, path: str, spec: dict[str, object]) -> None:
    """Make a container of Docker's spec, with its own root."""
    file = ctr.host.shared / "spec.json"
    file.write_text(json.dumps(spec | {"root": {"path": path}}))
    ctr("containers", "create", "--config", str(file), container)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.02)
