"""What CRIU and containerd's own client have to say about our dumps and restores, on a real host."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.containerd.foreign_checkpoints import container_of
from bridge.containerd.visits import Visits
from bridge.errors import CommandFailed
from bridge.model.checkpoints import CheckpointOptions
from bridge.model.events import TaskCheckpointed
from bridge.ports import Descriptor, NewContainer, Stdio
from bridge.ports.checkpoints import CRIU_TAR, OPTIONS_PART, RW_LAYER, SPEC_PART, CheckpointImage
from tests.contract.checkpointing import LEASE, STUBBORN, WAITS, RealPlace
from tests.contract.conftest import real_host
from tests.contract.test_event_source import Heard
from tests.fix_containerd import ContainerdFactory
from tests.testbed import BUSYBOX, Ctr

PLAIN = CheckpointOptions()
CONFIG = "org.criu.config"

# A server and its client, over the loopback interface of one network: `/said` grows while they talk, and then there is `/over`.
TALKS = f"""
{WAITS}
(nc -l -p 5000 -e cat) & waits; waits; waits
{{ i=0; while :; do i=$((i+1)); echo $i; waits; done; }} | nc 127.0.0.1 5000 >/said
echo over >/over; while :; do waits; done
"""

# What is left when the kernel kills CRIU in the middle of a dump: everything frozen, and a network that lets nothing pass.
KILLED = """#!/bin/sh
nsenter --net=/proc/{pid}/ns/net sh -c '
  iptables -N CRIU; iptables -A CRIU -m mark --mark 0xC114 -j ACCEPT; iptables -A CRIU -j DROP
  iptables -I INPUT -j CRIU; iptables -I OUTPUT -j CRIU'
echo FROZEN >/sys/fs/cgroup/freezer/{group}/freezer.state || echo 1 >/sys/fs/cgroup/{group}/cgroup.freeze
kill -9 $$
"""

# CRIU waits at one of the places at which it runs a script.
HELD = """#!/bin/sh
[ $CRTOOLS_SCRIPT_ACTION = {at} ] || exit 0
touch {directory}/held
while [ ! -e {directory}/go ]; do sleep 0.05; done
"""


@pytest.fixture
async def place(ctr: Ctr) -> AsyncIterator[RealPlace]:
    async with real_host(ctr) as host:
        found = RealPlace(host)
        await found.runtime.leases.create(found.namespace, LEASE, {})
        yield found


def rules(place: RealPlace, network: str) -> str:
    return place.ctr.host.run("nsenter", f"--net={network}", "iptables", "-S").stdout


async def test_a_criu_that_is_killed_leaves_nothing_frozen_and_no_rule(place: RealPlace) -> None:
    await place.run("web.1")
    task = await place.runtime.tasks.get(place.namespace, "web.1")
    assert task is not None
    killed = KILLED.format(pid=task.pid, group=f"{place.namespace}/web.1")
    await asyncio.to_thread(
        place.ctr.host.run, "sh", "-c", "cat >/usr/local/sbin/criu; chmod +x /usr/local/sbin/criu", stdin=killed
    )
    try:
        with pytest.raises(CommandFailed) as failed:
            await place.checkpoints.dump(
                place.namespace, "web.1", place.images("killed"), PLAIN, ends=False, lease=LEASE
            )
    finally:
        await asyncio.to_thread(place.ctr.host.run, "rm", "/usr/local/sbin/criu")
    assert failed.value.code == "failed_precondition"
    assert "CRIU" not in await asyncio.to_thread(rules, place, f"/proc/{task.pid}/ns/net")
    await place.knows("web.1")


async def test_rules_that_were_there_before_stay(place: RealPlace) -> None:
    network = place.ctr.host.shared / f"net-{place.namespace}"
    make = (
        f"touch {network}; unshare --net={network} sh -c "
        "'iptables -N CRIU; iptables -A CRIU -j DROP; iptables -A INPUT -j CRIU; iptables -A INPUT -j ACCEPT'"
    )
    await asyncio.to_thread(place.ctr.host.run, "sh", "-c", make)
    visits = Visits(place.ctr.host.address)
    (before,) = await visits.do(("rules",), net=str(network))
    assert before["iptables"] == ["-N CRIU", "-A INPUT -j CRIU", "-A CRIU -j DROP"]
    more = "-s 127.0.0.1/32 -p tcp -m mark ! --mark 0xc114 -m tcp --sport 5 -j DROP"
    add = f"iptables -I INPUT -j CRIU; iptables -A OUTPUT {more}; iptables -A CRIU -m mark --mark 0xc114 -j ACCEPT"
    await asyncio.to_thread(place.ctr.host.run, "nsenter", f"--net={network}", "sh", "-c", add)
    _, after = await visits.do(("unlock", before), ("rules",), net=str(network))
    assert after["iptables"] == before["iptables"]
    _, after = await visits.do(("unlock", {}), ("rules",), net=str(network))
    assert after["iptables"] == []
    assert "-A INPUT -j ACCEPT" in await asyncio.to_thread(rules, place, str(network))


async def test_a_connection_survives_in_a_network_that_outlives_the_task_or_is_closed(place: RealPlace) -> None:
    namespace, checkpoints, tasks = place.namespace, place.checkpoints, place.runtime.tasks
    network, config = place.ctr.host.shared / f"net-{namespace}", place.ctr.host.shared / f"{namespace}.conf"
    make = f"touch {network}; unshare --net={network} busybox ip link set lo up"
    await asyncio.to_thread(place.ctr.host.run, "sh", "-c", make)
    await asyncio.to_thread(
        place.ctr, "containers", "create", "--with-ns", f"network:{network}", BUSYBOX, "talks", "sh", "-c", TALKS
    )
    record = await place.runtime.containers.get(namespace, "talks")
    await place.runtime.containers.respec(
        namespace, "talks", {**(record.spec or {}), "annotations": {CONFIG: str(config)}}
    )
    await tasks.create(namespace, "talks")
    await tasks.start(namespace, "talks")
    await grows(place)

    with pytest.raises(CommandFailed, match="tcp-established"):
        await checkpoints.dump(namespace, "talks", place.images("refused"), PLAIN, ends=True, lease=LEASE)
    assert "CRIU" not in await asyncio.to_thread(rules, place, str(network))
    options = CheckpointOptions(tcp_established=True)
    for name, restored in (("kept", options), ("closed", CheckpointOptions(tcp_established=True, tcp_close=True))):
        await grows(place)
        images = place.images(name)
        await checkpoints.dump(namespace, "talks", images, options, ends=True, lease=LEASE)
        await tasks.delete(namespace, "talks")
        with pytest.raises(
            CommandFailed
        ):  # nothing in the file yet: CRIU does not know what to do about the connection
            await checkpoints.restore(namespace, "talks", images)
        config.write_text(checkpoints.criu_config(restored))
        await checkpoints.restore(namespace, "talks", images)
        config.unlink()
        assert "CRIU" not in await asyncio.to_thread(rules, place, str(network))
    assert await place.file("talks", "over") == "over"


async def grows(place: RealPlace) -> None:
    """Wait until the two have said more than they have up to now."""
    before = await place.inside("talks", "cat", "said")
    async with asyncio.timeout(60):
        while len(await place.inside("talks", "cat", "said")) <= len(before):
            await asyncio.sleep(0.02)
    assert not await place.inside("talks", "cat", "over")


async def test_what_containerd_cannot_say_to_criu_the_file_of_the_annotation_does(place: RealPlace) -> None:
    namespace, checkpoints = place.namespace, place.checkpoints
    config = place.ctr.host.shared / f"{namespace}.conf"
    await asyncio.to_thread(place.ctr, "containers", "create", BUSYBOX, "first", "sh", "-c", STUBBORN)
    record = await place.runtime.containers.get(namespace, "first")
    await place.runtime.containers.respec(
        namespace, "first", {**(record.spec or {}), "annotations": {CONFIG: str(config)}}
    )
    await place.runtime.tasks.create(namespace, "first")
    await place.runtime.tasks.start(namespace, "first")
    await place.file("first", "ready")
    options = CheckpointOptions(link_remap=True)
    with pytest.raises(CommandFailed, match="link remap"):  # no such file yet, which is no failure of its own
        await checkpoints.dump(namespace, "first", place.images("1"), options, ends=False, lease=LEASE)
    config.write_text(checkpoints.criu_config(options))
    await checkpoints.dump(namespace, "first", place.images("2"), options, ends=False, lease=LEASE)


async def test_output_goes_on_into_the_pipes_of_the_restored_task(place: RealPlace, runtime_pipes: Path) -> None:
    namespace, tasks = place.namespace, place.runtime.tasks
    says = f"{WAITS}; i=0; while :; do i=$((i+1)); echo out $i; echo err $i >&2; waits; done"
    root = f"/run/runc-of-{namespace}"  # an option for runc, that a restore has to have too
    await asyncio.to_thread(place.ctr, "containers", "create", "--runc-root", root, BUSYBOX, "says", "sh", "-c", says)
    first, out, _ = pipes(runtime_pipes / "1")
    await tasks.create(namespace, "says", stdio=first)
    await tasks.start(namespace, "says")
    last = (await line(out)).split()
    images = place.images("says")
    await place.checkpoints.dump(namespace, "says", images, PLAIN, ends=True, lease=LEASE)
    await tasks.delete(namespace, "says")
    second, out, err = pipes(runtime_pipes / "2")
    await place.checkpoints.restore(namespace, "says", images, stdio=second)
    assert (await line(out)).split()[0] == last[0] == "out"
    assert (await line(err)).split()[0] == "err"
    task = await tasks.get(namespace, "says")
    assert task is not None
    assert (task.stdout, task.stderr) == (second.stdout, second.stderr)
    run = place.ctr.host.run
    assert (await asyncio.to_thread(run, "ls", f"{root}/{namespace}")).stdout.split() == ["says"]
    await place.checkpoints.dump(namespace, "says", place.images("again"), PLAIN, ends=True, lease=LEASE)
    await tasks.delete(namespace, "says")
    await place.checkpoints.restore(namespace, "says", images)  # and without any: it can be dumped again all the same
    task = await tasks.get(namespace, "says")
    assert task is not None
    await place.checkpoints.dump(namespace, "says", place.images("once more"), PLAIN, ends=False, lease=LEASE)
    network = f"--net=/proc/{task.pid}/ns/net"
    assert ",UP" in (await asyncio.to_thread(run, "nsenter", network, "busybox", "ip", "link", "show", "lo")).stdout


@pytest.fixture
def runtime_pipes(place: RealPlace) -> Path:
    directory = place.ctr.host.fifo_dir / place.namespace
    directory.mkdir()
    return directory


def pipes(directory: Path) -> tuple[Stdio, int, int]:
    """FIFOs, and our ends of their outputs, which are open before any shim's."""
    directory.mkdir()
    paths = [directory / name for name in ("stdout", "stderr")]
    for path in paths:
        os.mkfifo(path)
    out, err = [os.open(path, os.O_RDONLY | os.O_NONBLOCK) for path in paths]
    return Stdio(stdout=str(paths[0]), stderr=str(paths[1])), out, err


async def line(descriptor: int) -> str:
    """The first line of what comes next."""
    found = b""
    async with asyncio.timeout(60):
        while b"\n" not in found:
            try:
                found += os.read(descriptor, 4096)
            except BlockingIOError:
                await asyncio.sleep(0.01)
    return found.decode().splitlines()[0]


async def test_ctr_restores_what_we_put_into_an_image(place: RealPlace) -> None:
    namespace, checkpoints = place.namespace, place.checkpoints
    await place.run("web.1")
    known = await place.knows("web.1")
    record = await place.runtime.containers.get(namespace, "web.1")
    images = place.images("for-ctr")
    await checkpoints.dump(namespace, "web.1", images, PLAIN, ends=True, lease=LEASE)
    layer = await checkpoints.changes(namespace, "web.1", packed=True, lease=LEASE)
    assert layer is not None
    parts = [
        await checkpoints.write(namespace, media_type, once(data), ref=media_type, lease=LEASE)
        for media_type, data in (
            (CRIU_TAR, packed(images)),
            (SPEC_PART, checkpoints.pack_spec(record.spec or {})),
            (OPTIONS_PART, checkpoints.pack_options(PLAIN, ends=True)),
        )
    ]
    annotations = {
        "org.opencontainers.image.ref.name": record.image,
        "io.containerd.checkpoint.runtime": record.runtime,
        "io.containerd.checkpoint.snapshotter": record.snapshotter,
    }
    name = "example.org/checkpoint/web:1"
    image = CheckpointImage(name=name, manifests=(layer, *parts), annotations=annotations)
    await checkpoints.make_image(namespace, image, labels={}, lease=LEASE)
    await place.runtime.leases.delete(namespace, LEASE, sync=True)

    await place.runtime.tasks.delete(namespace, "web.1")
    await place.runtime.containers.delete(
        namespace, "web.1"
    )  # its spec names its control group: ctr changes nothing of it
    await asyncio.to_thread(place.ctr, "containers", "restore", "--rw", "--live", "web.1", name)
    assert await place.knows("web.1") == known


async def test_we_restore_what_ctr_put_into_an_image(place: RealPlace) -> None:
    namespace, checkpoints = place.namespace, place.checkpoints
    await place.run("web.1")
    known = await place.knows("web.1")
    name = "example.org/checkpoint/by-ctr:1"
    heard = Heard()
    async with place.host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        await asyncio.to_thread(place.ctr, "containers", "checkpoint", "--rw", "--image", "--task", "web.1", name)
        await heard.until("checkpointed")
    told = heard.the("checkpointed")
    assert (told.container, told.time) == ("web.1", heard.the("image-create").time)
    assert told.event == TaskCheckpointed(container_id="web.1", checkpoint=name)
    image = await checkpoints.image(namespace, name)
    parts = {part.media_type: part for part in image.manifests}
    assert image.annotations["org.opencontainers.image.ref.name"] == BUSYBOX
    directory = place.images("from-ctr")
    with tarfile.open(fileobj=io.BytesIO(await whole(place, parts[CRIU_TAR]))) as tar:
        tar.extractall(directory, filter="data")
    spec = checkpoints.unpack_spec(await whole(place, parts[SPEC_PART]))
    spec["linux"]["cgroupsPath"] = f"/{namespace}/web.2"
    content = await place.runtime.images.resolve(namespace, BUSYBOX)
    await place.runtime.snapshots.prepare(namespace, "overlayfs", "web.2", content, labels={}, lease=LEASE)
    await checkpoints.apply(namespace, "overlayfs", "web.2", parts[RW_LAYER], lease=LEASE)
    runtime = image.annotations["io.containerd.checkpoint.runtime"]
    wanted = NewContainer(
        id="web.2", spec=spec, runtime=runtime, image=BUSYBOX, snapshotter="overlayfs", snapshot_key="web.2"
    )
    await place.runtime.containers.create(namespace, wanted, lease=LEASE)
    await checkpoints.restore(namespace, "web.2", directory)
    assert await place.knows("web.2") == known


async def test_a_containerd_that_dies_leaves_no_half_dump_and_no_half_restore(
    containerd_factory: ContainerdFactory,
) -> None:
    """Either it was whole before, or CRIU gave up and the task runs; and a restore without an answer is taken back."""
    with containerd_factory("2.1").fresh_namespace() as ctr:
        async with real_host(ctr) as real:
            place = RealPlace(real)
            namespace, checkpoints = place.namespace, place.checkpoints
            await place.runtime.leases.create(namespace, LEASE, {})
            await place.run("web.1")
            images = place.images("whole")
            work = images.parent / "work"
            dump = asyncio.create_task(checkpoints.dump(namespace, "web.1", images, PLAIN, ends=True, lease=LEASE))
            await place.dumping(work)
            await asyncio.to_thread(ctr.host.restart)
            with contextlib.suppress(CommandFailed):
                await dump
            if await checkpoints.until_over(images) != "finished":
                await place.knows("web.1")
                images = place.images("another")
                await checkpoints.dump(namespace, "web.1", images, PLAIN, ends=True, lease=LEASE)
            assert await checkpoints.until_over(images) == "finished"
            await place.runtime.tasks.delete(namespace, "web.1")
            work = images.parent / "work"

            await place.copy("web.1", "web.2")
            restore = asyncio.create_task(checkpoints.restore(namespace, "web.1", images))
            async with asyncio.timeout(60):
                while not (work / "restore.log").exists() and not restore.done():
                    await asyncio.sleep(0.002)
            await asyncio.to_thread(ctr.host.restart)
            with contextlib.suppress(CommandFailed):
                await restore
                await place.end("web.1")
            assert await place.runtime.tasks.get(namespace, "web.1") is None
            # Its file system may be gone, but nothing is in the way of another one of the same id.
            await place.runtime.containers.delete(namespace, "web.1")
            await place.copy("web.2", "web.1")
            await checkpoints.restore(namespace, "web.1", images)
            await place.knows("web.1")


@pytest.mark.parametrize("at", ["setup-namespaces", "post-restore"])
async def test_what_criu_goes_on_with_behind_a_containerd_that_died_is_taken_away(
    containerd_factory: ContainerdFactory, at: str
) -> None:
    """CRIU, and then runc, come to their end, and the new containerd knows a task without a process at the most."""
    with containerd_factory("2.1").fresh_namespace() as ctr:
        async with real_host(ctr) as real:
            place = RealPlace(real)
            namespace, checkpoints, host = place.namespace, place.checkpoints, ctr.host
            await place.runtime.leases.create(namespace, LEASE, {})
            await place.run("web.1")
            images = place.images("dump")
            await checkpoints.dump(namespace, "web.1", images, PLAIN, ends=True, lease=LEASE)
            await place.runtime.tasks.delete(namespace, "web.1")
            await place.copy("web.1", "web.2")

            script = HELD.format(at=at, directory=host.shared)
            await asyncio.to_thread(
                host.run, "sh", "-c", "mkdir /etc/criu; cat >/etc/criu/held; chmod +x /etc/criu/held", stdin=script
            )
            (host.shared / "default.conf").write_text("action-script /etc/criu/held\n")
            await asyncio.to_thread(host.run, "ln", "-s", host.shared / "default.conf", "/etc/criu/default.conf")
            restore = asyncio.create_task(checkpoints.restore(namespace, "web.1", images))
            async with asyncio.timeout(60):
                while not (host.shared / "held").exists():
                    await asyncio.sleep(0.02)
            await asyncio.to_thread(host.restart)
            over = asyncio.create_task(checkpoints.until_over(images))
            done, _ = await asyncio.wait({over}, timeout=0.5)
            assert not done
            (host.shared / "go").touch()
            await over
            with pytest.raises(CommandFailed):
                await restore
            assert await place.runtime.tasks.get(namespace, "web.1") is None
            listed = await asyncio.to_thread(
                host.run, "runc", "--root", f"/run/containerd/runc/{namespace}", "list", "-q"
            )
            assert listed.stdout.split() == []

            (host.shared / "default.conf").write_text("")
            await checkpoints.restore(namespace, "web.2", images)
            await place.knows("web.2")


async def test_a_checkpoint_by_containerd_s_client_is_told_of_its_container(place: RealPlace) -> None:
    """`ctr task checkpoint` makes the image as docker and nerdctl do; and no other image is taken for one."""
    await place.run("web.1")
    heard = Heard()
    async with place.host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        await asyncio.to_thread(place.ctr, "tasks", "checkpoint", "web.1")
        await heard.until("checkpointed")
        await asyncio.to_thread(place.ctr, "images", "tag", BUSYBOX, "example.org/other:1")
        await subscription.probe()
    told = heard.the("checkpointed")
    assert told.container == "web.1"
    assert told.event.checkpoint.startswith("containerd.io/checkpoint/web.1:")  # type: ignore[union-attr]
    assert container_of(place.ctr.host.address, place.namespace, BUSYBOX) is None
    assert container_of(place.ctr.host.address, place.namespace, "example.org/nothing:1") is None


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def packed(directory: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(directory.iterdir()):
            tar.add(path, arcname=path.name)
    return buffer.getvalue()


async def whole(place: RealPlace, part: Descriptor) -> bytes:
    return b"".join([piece async for piece in place.checkpoints.read(place.namespace, part)])
