"""Every verb with every option of its own: from a client through a real nats-server and a real bridge to a real containerd.

The default run has containerd 2.1, `-m older` repeats it on 1.7 and 1.6. Each test says which verbs and options it shows, and
what it has shown is held against that; the first test holds all of that against what the model knows, so that a verb or an option
that nobody has seen working fails it.
"""

from __future__ import annotations

import asyncio
import io
import platform
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from bridge.client import Node, connect
from bridge.containerd.bundles import BUNDLE_LABEL
from bridge.model.commands import (
    COMMANDS,
    Cancel,
    Checkpoint,
    CheckpointRemove,
    CloseStdin,
    Create,
    Exec,
    Import,
    MountOption,
    Pull,
    Resize,
    Restore,
    Run,
    RuncOptions,
    Stop,
)
from bridge.model.identity import new_ulid
from tests.contract.checkpointing import WAITS
from tests.integration.every_verb import GENERATIONS, NODE, Here, House, options_of, shows
from tests.testbed import BUSYBOX, Certificates, Ctr, Registry
from tests.testbed.image import ARCHITECTURES, archive, content
from tests.testbed.roots import with_containerd

ENDLESS = ("sh", "-c", "trap 'exit 7' TERM; trap 'exit 8' USR1; echo > /dev/shm/ready; while :; do sleep 0.02; done")
DEAF = ("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
SLEEP = ("sleep", "1000")


def generation(version: str) -> Any:
    """One worker has all tests of a generation: they share what the fixture `house` starts."""
    marks = [pytest.mark.xdist_group(f"every verb on {version}"), *([] if version == "2.1" else [pytest.mark.older])]
    return pytest.param(version, marks=marks)


BETWEEN_NODES = {"migrate", "migrate-abandon", "receive"}
"""Verbs that take two nodes: `test_migrate.py`."""


def test_there_is_no_verb_and_no_option_that_nothing_here_shows() -> None:
    tests = [thing for name, thing in vars(sys.modules[__name__]).items() if name.startswith("test_")]
    shown: dict[str, set[str]] = {}
    for test in tests:
        for verb, options in getattr(test, "shows", {}).items():
            shown.setdefault(verb, set()).update(options)
    assert set(shown) == set(COMMANDS) - BETWEEN_NODES
    missing = {verb: sorted(options_of(verb) - shown[verb]) for verb in shown}
    assert {verb: options for verb, options in missing.items() if options} == {}


@pytest.fixture(scope="module", params=[generation(version) for version in GENERATIONS])
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[House]:
    with House(request.param, tmp_path_factory.mktemp("house"), certificates) as opened:
        yield opened


@pytest.fixture
async def here(house: House, request: pytest.FixtureRequest) -> AsyncIterator[Here]:
    with house.host.fresh_namespace() as ctr:
        async with connect(house.nats.url) as bus:
            here = Here(house, ctr, bus)
            yield here
    for verb, options in request.function.shows.items():
        if here.version == "1.6" and verb in {"pull", "checkpoint", "checkpoint-remove", "restore"}:
            continue  # it has no Transfer service, and its CRIU cannot dump on kernels of today
        assert verb in here.heard.done, f"{verb} was not done"
        if here.version == "2.1":
            assert options <= here.heard.done[verb], f"{verb} without {options - here.heard.done[verb]}"


pytestmark = pytest.mark.containerd


def busybox(here: Here) -> bytes:
    return (with_containerd(here.version) / "bin" / "busybox").read_bytes()


async def bundle_goes(here: Here, node: Node, ctr: Ctr) -> None:
    """The bundle of dockerd goes with its container."""
    bundle = here.house.bundles / "web.2"
    (bundle / "rootfs").mkdir(parents=True)
    label = ("--label", f"{BUNDLE_LABEL}={bundle}")
    await asyncio.to_thread(ctr, "containers", "create", *label, "--", BUSYBOX, "web.2", *SLEEP)
    assert (await node.delete("web.2", namespace=ctr.namespace)).left == []
    assert not bundle.exists()


# -- create and run: each option is looked for where it takes effect


@shows(
    create="image command entrypoint env cwd user hostname name labels annotations read_only mounts",
    start="",
    exec="args",
    inspect="",
)
async def test_a_container_is_what_its_options_say(here: Here) -> None:
    given = here.ctr.host.shared / f"{here.ctr.namespace}.d"
    given.mkdir()
    (given / "page").write_text("hello")
    await here.create(
        "web.1",
        "while :; do sleep 0.02; done",
        entrypoint=["sh", "-c"],
        env=["A=1", "B=2", "PATH=/bin:/sbin"],
        cwd="/tmp",
        user="7:8",
        hostname="shop",
        name="the-shop",
        labels={"tier": "web"},
        annotations={"a": "b"},
        read_only=True,
        mounts=[
            MountOption(source=str(given), target="/srv", options=["rbind", "ro"]),
            MountOption(target="/scratch", type="tmpfs", options=["size=1m"]),
        ],
    )
    await here.node.start("web.1", **here.where)
    assert await here.says("web.1", "sh", "-c", "echo $A $B $PATH; pwd; id -u; id -g; hostname; cat /srv/page") == (
        "1 2 /bin:/sbin\n/tmp\n7\n8\nshop\nhello"
    )
    tries = "for f in /x /srv/x; do touch $f 2>/dev/null && echo wrote $f; done; touch /scratch/x && echo fine"
    assert await here.says("web.1", "sh", "-c", tries) == "fine\n"
    found = (await here.node.inspect("web.1", **here.where)).container
    assert (found.name, found.labels["tier"]) == ("the-shop", "web")
    assert (await here.spec("web.1"))["annotations"] == {"a": "b"}


@shows(create="memory cpus pids_limit", start="", stats="containers")
async def test_limits_hold(here: Here) -> None:
    await here.create("web.1", *SLEEP, memory=64 << 20, cpus=0.5, pids_limit=20)
    await here.node.start("web.1", **here.where)
    await here.run("web.2", *SLEEP)
    [found] = await here.node.stats(containers=["web.1"], **here.where)
    assert found.memory is not None
    assert found.pids is not None
    assert (found.memory.limit, found.pids.limit) == (64 << 20, 20)
    assert (await here.spec("web.1"))["linux"]["resources"]["cpu"] == {"quota": 50_000, "period": 100_000}
    assert {one.container for one in await here.node.stats(**here.where)} == {"web.1", "web.2"}


@shows(create="cap_add cap_drop privileged", start="")
async def test_what_a_container_may_do_is_what_was_asked_for(here: Here) -> None:
    await here.create("web.1", *SLEEP, cap_add=["net_admin"], cap_drop=["CHOWN"])
    await here.node.start("web.1", **here.where)
    told = await here.says("web.1", "busybox", "grep", "CapEff", "/proc/1/status")
    effective = int(told.split()[1], 16)
    assert (effective >> 12) & 1 == 1  # CAP_NET_ADMIN
    assert effective & 1 == 0  # CAP_CHOWN
    await here.create("privileged", *SLEEP, privileged=True)
    await here.node.start("privileged", **here.where)
    told = await here.says("privileged", "busybox", "grep", "CapEff", "/proc/1/status")
    bounds = await here.inside("sh", "-c", "grep CapBnd /proc/self/status | cut -f 2")
    assert int(told.split()[1], 16) == int(bounds, 16)  # what its host has itself


@shows(create="network")
async def test_a_network_is_none_or_the_hosts_or_that_of_a_path(here: Here) -> None:
    pid = await here.run("none", *SLEEP)
    await here.create("host", *SLEEP, network="host")
    path = f"/run/netns-{here.ctr.namespace}"
    await here.inside("sh", "-c", f"touch {path} && mount --bind /proc/{pid}/ns/net {path}")
    try:
        await here.create("path", *SLEEP, network=f"ns:{path}")
        for container in ("host", "path"):
            await here.node.start(container, **here.where)
        found = {
            one: await here.says(one, "busybox", "readlink", "/proc/self/ns/net") for one in ("none", "host", "path")
        }
        hosts = await here.inside("readlink", "/proc/self/ns/net")
        assert found["none"] == found["path"] != found["host"] == hosts
    finally:
        await here.inside("umount", path)


@shows(create="spec", start="", wait="")
async def test_a_whole_spec_is_taken_as_it_is(here: Here) -> None:
    await here.create("model", *SLEEP)
    spec = await here.spec("model")
    spec["process"]["args"] = ["sh", "-c", "exit 5"]
    spec["linux"]["cgroupsPath"] = f"/{here.ctr.namespace}/web.1"
    await here.node.create("web.1", Create(image=BUSYBOX, spec=spec), **here.where)
    await here.node.start("web.1", **here.where)
    assert (await here.node.wait("web.1", **here.where)).exit_status == 5


@shows(create="runtime runc snapshotter", start="", stop="", restart="")
async def test_runtime_options_and_snapshotter_are_the_containers_for_good(here: Here) -> None:
    root = f"/run/runc-{here.ctr.namespace}"
    options = RuncOptions(root=root, no_new_keyring=True)
    await here.create("web.1", *ENDLESS, runtime="io.containerd.runc.v2", runc=options, snapshotter="native")
    assert "web.1" in await here.listed("snapshots", "--snapshotter", "native", "ls")
    await here.node.start("web.1", **here.where)
    for _ in range(2):
        await here.ready("web.1")
        assert (await here.inside("ls", f"{root}/{here.ctr.namespace}")).split() == ["web.1"]
        await here.node.restart("web.1", **here.where)
    await here.ready("web.1")
    assert (await here.node.stop("web.1", **here.where)).exit_status == 7
    assert (await here.node.inspect("web.1", **here.where)).container.snapshotter == "native"


@shows(create="tty stdio", start="", wait="", attach="")
async def test_tasks_write_where_the_container_says(here: Here) -> None:
    log = here.ctr.host.shared / f"{here.ctr.namespace}.log"
    await here.create("file", "sh", "-c", "echo to the file", stdio=f"file://{log}")
    await here.node.start("file", **here.where)
    assert (await here.node.wait("file", **here.where)).exit_status == 0
    written = {"to the file"}  # of two streams that come at once the shim now and then leaves one
    await here.until(lambda: log.exists() and set(log.read_text().splitlines()) == written, log.read_bytes)
    assert await here.code(here.create("both", *SLEEP, tty=True, stdio=f"file://{log}")) == "invalid_argument"
    await here.create("terminal", "sh", "-c", "read x; tty", tty=True)
    await here.node.start("terminal", stdio="bus", stdin=True, **here.where)
    process = await here.node.attach("terminal", **here.where)
    await process.write(b"\n")
    assert (await here.read(process)).endswith(b"/dev/pts/0\r\n")


@shows(run="rm", kill="signal", list="filters")
async def test_run_makes_and_starts_and_takes_away_what_has_ended(here: Here) -> None:
    assert await here.run("stays", *SLEEP) > 0
    assert await here.run("goes", *SLEEP, rm=True) > 0
    listed = await here.node.list(here.ctr.namespace, filters=["id==goes"])
    assert [(one.id, one.task and one.task.status) for one in listed] == [("goes", "running")]
    await here.node.kill("goes", signal=9, **here.where)

    async def gone() -> bool:
        return [one.id for one in await here.node.list(here.ctr.namespace)] == ["stays"]

    await here.until(gone)


@shows(run="", delete="force")
async def test_what_cannot_be_started_is_not_left_behind(here: Here) -> None:
    assert await here.code(here.run("broken", "nosuchprogram")) == "unknown"
    assert await here.listed("containers", "ls", "-q") == []
    await here.create("late", "nosuchprogram")
    assert await here.code(here.node.start("late", **here.where)) == "unknown"
    assert (await here.node.delete("late", force=True, **here.where)).left == []
    assert (await here.listed("tasks", "ls", "-q"), await here.listed("leases", "ls", "-q")) == ([], [])
    assert "late" not in await here.listed("snapshots", "ls")
    await here.run("fine", *SLEEP)


# -- the life of a task


@shows(start="stdio stdin", attach="exec_id", close_stdin="exec_id", exec="stdin window", wait="timeout incarnation")
async def test_stdio_is_on_the_bus(here: Here) -> None:
    await here.create("web.1", "sh", "-c", "cat; exit 4")
    await here.node.start("web.1", stdio="bus", stdin=True, **here.where)
    own = await here.node.attach("web.1", **here.where)
    waited = await here.node.wait("web.1", timeout=1.5, **here.where)
    assert (waited.ended, waited.incarnation is not None) == (False, True)

    copy = await here.node.exec("web.1", ["cat"], exec_id="copy.1", stdin=True, window=1 << 16, **here.where)
    beside = asyncio.create_task(here.read(await here.node.attach("web.1", "copy.1", **here.where)))
    reading = asyncio.create_task(here.read(copy))
    await copy.write(b"x" * 200_000)
    await here.ask(CloseStdin(exec_id="copy.1"), "web.1")
    assert await reading == await beside == b"x" * 200_000

    await own.write(b"line\n")
    await here.ask(CloseStdin(), "web.1")
    assert (await here.ask(CloseStdin(), "web.1")).already
    assert await here.read(own) == b"line\n"
    assert (await here.node.wait("web.1", **here.where)).exit_status == 4


@shows(create="stdio stdin", start="window width height", run="window width height", attach="")
async def test_a_container_remembers_that_its_stdio_is_on_the_bus(here: Here) -> None:
    program = ("sh", "-c", "busybox stty size; read x; echo got $x")
    terminal: Any = {"window": 1 << 16, "width": 100, "height": 30}
    await here.create("web.1", *program, tty=True, stdio="bus", stdin=True)
    await here.node.start("web.1", **terminal, **here.where)
    await here.run("web.2", *program, tty=True, stdio="bus", stdin=True, **terminal)
    for container in ("web.1", "web.2"):
        process = await here.node.attach(container, **here.where)
        await process.write(b"it\n")
        said = (await here.read(process)).decode()
        assert "30 100\r\n" in said, said
        assert "got it" in said, said


@shows(exec="args env cwd user capabilities mode exec_id")
async def test_an_exec_is_what_its_options_say(here: Here) -> None:
    await here.run("web.1", *SLEEP, env=["A=1", "B=2"])
    program = "echo $A $B $C; pwd; id -u; id -g; busybox grep CapEff /proc/self/status"
    said = await here.says(
        "web.1",
        *("sh", "-c", program),
        env={"B": "3", "C": "4"},
        cwd="/tmp",
        user="0:8",
        capabilities=["CAP_NET_ADMIN"],
    )
    assert said.split() == ["1", "3", "4", "/tmp", "0", "8", "CapEff:", f"{1 << 12:016x}"]
    await here.ask(Exec(args=["sh", "-c", "exit 5"], mode="attached", exec_id="e.1"), "web.1")
    detached = await here.ask(Exec(args=["sleep", "1000"], mode="detached", exec_id="e.2"), "web.1")
    assert (detached.exec_id, detached.running) == ("e.2", True)
    again = here.ask(Exec(args=["sleep", "1000"], mode="detached", exec_id="e.2"), "web.1")
    assert await here.code(again) == "already_exists"


@shows(exec="exec_id")
async def test_an_exec_that_could_not_be_started_leaves_nothing_not_even_its_id(here: Here) -> None:
    await here.run("web.1", *SLEEP)
    for exec_id, args in (("e.1", ["nosuchprogram"]), ("e.1", ["/etc"]), ("../e", ["true"])):
        failed = here.node.capture("web.1", args, exec_id=exec_id, **here.where)
        assert await here.code(failed) == "invalid_argument"
    await here.until(lambda: list(here.house.fifos.rglob("*")) == [])
    assert (await here.node.inspect("web.1", **here.where)).execs == []
    assert (await here.node.capture("web.1", ["true"], exec_id="e.1", **here.where)).exit_status == 0


@shows(exec="tty width height timeout", resize="width height exec_id")
async def test_a_terminal_has_its_size_and_an_exec_its_time(here: Here) -> None:
    await here.run("web.1", *SLEEP)
    program = "busybox stty size; read x; busybox stty size"
    process = await here.node.exec(
        "web.1", ["sh", "-c", program], tty=True, width=100, height=30, stdin=True, **here.where
    )
    await here.ask(Resize(width=120, height=40, exec_id=process.exec_id), "web.1")
    await process.write(b"\n")
    sizes = (await here.read(process)).decode().split()
    assert sizes[-2:] == ["40", "120"]
    assert sizes[:2] in (["30", "100"], ["40", "120"])  # the second one may come before it has asked
    ended = await here.node.capture("web.1", SLEEP, timeout=0.5, **here.where)
    assert (ended.timed_out, ended.exit_status) == (True, 137)


@shows(pause="", resume="", inspect="", pids="")
async def test_a_task_is_frozen_and_thawed(here: Here) -> None:
    pid = await here.run("web.1", *ENDLESS)
    await here.node.pause("web.1", **here.where)
    assert (await here.node.inspect("web.1", **here.where)).container.task.status == "paused"  # type: ignore[union-attr]
    assert (await here.node.pause("web.1", **here.where)).already
    await here.node.resume("web.1", **here.where)
    assert (await here.node.inspect("web.1", **here.where)).container.task.status == "running"  # type: ignore[union-attr]
    first = (await here.node.pids("web.1", **here.where))[0]
    assert (first.pid, first.name) == (pid, "sh")


@shows(kill="signal all exec_id", wait="exec_id", exec="")
async def test_a_signal_goes_to_the_first_process_to_all_or_to_one_exec(here: Here) -> None:
    await here.run("web.1", *ENDLESS)
    await here.ready("web.1")
    for exec_id in ("e.1", "e.2"):
        await here.node.exec("web.1", SLEEP, exec_id=exec_id, window=None, **here.where)
    first, second = (asyncio.create_task(here.node.wait("web.1", exec_id=one, **here.where)) for one in ("e.1", "e.2"))
    await here.node.inspect("web.1", **here.where)  # those two were sent before it, and ask containerd for less
    await here.node.kill("web.1", exec_id="e.1", signal="SIGKILL", **here.where)
    assert (await first).exit_status == 137
    await here.node.kill("web.1", signal=9, all=True, **here.where)
    assert (await second).exit_status in {137, None}  # with the first process, the kernel ends it too
    assert (await here.node.wait("web.1", **here.where)).exit_status == 137
    await here.run("web.2", *ENDLESS)
    await here.ready("web.2")
    await here.node.kill("web.2", signal="usr1", **here.where)
    assert (await here.node.wait("web.2", **here.where)).exit_status == 8


@shows(stop="grace signal", restart="grace signal")
async def test_a_task_is_asked_to_end_and_then_killed(here: Here) -> None:
    await here.create("web.1", *ENDLESS, labels={"io.containerd.image.config.stop-signal": "SIGUSR1"})
    statuses = []
    for signal in (None, "SIGTERM"):
        await here.node.start("web.1", **here.where)
        await here.ready("web.1")
        statuses.append((await here.node.stop("web.1", signal=signal, **here.where)).exit_status)
    assert statuses == [8, 7]
    await here.run("deaf", *DEAF)
    ended = (await here.node.restart("deaf", grace=0.2, signal="SIGINT", **here.where)).ended
    assert ended is not None
    assert (ended.exit_status, ended.killed) == (137, True)
    stopped = await here.node.stop("deaf", grace=0.2, **here.where)
    assert (stopped.exit_status, stopped.killed) == (137, True)


@shows(
    update=(
        "memory memory_swap memory_reservation cpus cpu_shares cpu_quota cpu_period cpuset_cpus cpuset_mems pids_limit "
        "blkio_weight annotations task_only device_read_bps device_write_bps device_read_iops device_write_iops"
    )
)
async def test_limits_are_changed(here: Here) -> None:
    await here.run("web.1", *SLEEP)
    await here.node.update(
        "web.1",
        memory="64m",
        memory_swap="128m",
        memory_reservation="32m",
        cpu_shares=512,
        cpu_quota=20_000,
        cpu_period=50_000,
        cpuset_cpus="0",
        cpuset_mems="0",
        pids_limit=30,
        annotations={"a": "b"},
        **here.where,
    )
    spec = await here.spec("web.1")
    found = spec["linux"]["resources"]
    assert found["memory"] == {"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20}
    assert found["cpu"] == {"shares": 512, "quota": 20_000, "period": 50_000, "cpus": "0", "mems": "0"}
    assert (found["pids"]["limit"], spec["annotations"]) == (30, {"a": "b"})
    await here.node.update("web.1", cpus=0.5, pids_limit=40, task_only=True, **here.where)
    [stats] = await here.node.stats("web.1", **here.where)
    assert stats.pids is not None
    assert stats.pids.limit == 40
    assert (await here.spec("web.1"))["linux"]["resources"] == found
    await here.create("web.2", *SLEEP)  # whether a task may have a weight is its kernel's affair: this has none
    rates = {f"device_{way}_{what}": {"8:0": 1 << 20} for way in ("read", "write") for what in ("bps", "iops")}
    await here.node.update("web.2", blkio_weight=200, **rates, **here.where)  # type: ignore[arg-type]
    block = (await here.spec("web.2"))["linux"]["resources"]["blockIO"]
    assert block.pop("weight") == 200
    assert list(block.values()) == [[{"major": 8, "minor": 0, "rate": 1 << 20}]] * 4


@shows(delete="force keep_snapshot", version="")
async def test_containers_are_deleted(here: Here) -> None:
    await here.run("web.1", *DEAF)
    assert await here.code(here.node.delete("web.1", **here.where)) == "failed_precondition"
    ended = await here.node.delete("web.1", force=True, **here.where)
    assert (ended.exit_status, ended.killed, ended.left) == (137, True, [])
    await here.create("web.2", *SLEEP)
    assert (await here.node.delete("web.2", keep_snapshot=True, **here.where)).left == []
    snapshots = await here.listed("snapshots", "ls")
    assert ("web.1" in snapshots, "web.2" in snapshots) == (False, True)
    assert await here.listed("containers", "ls", "-q") == []
    assert (await here.node.version()).containerd.lstrip("v").startswith(here.version)


@shows(create="", start="", kill="signal", delete="force", inspect="")
@pytest.mark.parametrize("namespace", ["moby", "k8s.io"])
async def test_containers_of_dockerd_and_of_the_kubelet_have_a_switch_of_their_own(here: Here, namespace: str) -> None:
    ctr = await asyncio.to_thread(here.ctr.host.namespace, namespace)
    try:
        where: Any = {"namespace": namespace}
        wanted = Create(image=BUSYBOX, command=list(DEAF))
        with here.house.foreign() as name:
            allowed = here.of(name)
            assert await here.code(here.node.create("web.1", wanted, **where)) == "refused"
            await allowed.create("web.1", wanted, **where)
            for refused in (here.node.start, here.node.kill, here.node.delete):
                assert await here.code(refused("web.1", **where)) == "refused"
            assert (await here.node.inspect("web.1", **where)).container.task is None  # looking is allowed
            await allowed.start("web.1", **where)
            await allowed.kill("web.1", signal=9, **where)
            await allowed.delete("web.1", force=True, **where)
            if namespace == "moby":
                await bundle_goes(here, allowed, ctr)
    finally:
        await asyncio.to_thread(ctr.remove)


@shows(cancel="command")
async def test_a_command_is_taken_back(here: Here) -> None:
    await here.run("web.1", *DEAF)
    stopping, waiting = Stop(id=new_ulid(), grace=600), Stop(id=new_ulid(), grace=600)
    under_way = asyncio.create_task(here.node.send(stopping, container="web.1", **here.where))
    sent = asyncio.create_task(here.node.send(waiting, container="web.1", **here.where))

    for command, outcome, began in ((waiting, sent, False), (stopping, under_way, True)):

        async def taken_back(command: Stop = command, began: bool = began) -> bool:
            told = await here.node.send(Cancel(command=command.id or ""))
            # Else it is not there yet, or not yet where it waits.
            return told.outcome == "ok" and told.result["began"] is began

        await here.until(taken_back)
        assert (await outcome).error.code == "cancelled"  # type: ignore[union-attr]


# -- images


@shows(pull="image platform snapshotter labels username password stall")
async def test_an_image_is_pulled(here: Here) -> None:
    """containerd does it itself, from 1.7 on, and 1.6 says so."""
    with here.house.registry(content(busybox(here)), login=("ann", "secret")) as registry:
        wanted = Pull(
            image=registry.image,
            platform=f"linux/{ARCHITECTURES[platform.machine()]}",
            snapshotter="native",
            labels={"tier": "web"},
            username="ann",
            password="secret",
            stall=60,
        )
        if here.version == "1.6":
            assert await here.code(here.node.pull(wanted, **here.where)) == "unimplemented"
            return
        assert (await here.node.pull(wanted, **here.where)).labels["tier"] == "web"
    started, finished = await here.recorded("pull")
    assert (started["phase"], finished["phase"], finished["outcome"]) == ("started", "finished", "ok")
    assert "secret" not in str([started, finished])
    [found] = await here.node.images(filters=[f'name=="{registry.image}"'], sizes=True, **here.where)
    assert found.size == sum(len(blob) for blob in content(busybox(here))[:-1])
    assert len(await here.listed("snapshots", "--snapshotter", "native", "ls")) == 2
    await here.node.run("web.1", Run(image=registry.image, command=list(SLEEP)), **here.where)


@shows(pull="image plain_http hosts_dir")
async def test_registries_without_tls_and_the_hosts_own_ways_to_them(here: Here) -> None:
    """From 2.0 on; the Transfer service of 1.7 knows neither, and says nothing of what it does not know."""
    with Registry(content(busybox(here))) as registry:
        plain = Pull(image=registry.image, plain_http=True)
        address = registry.image.partition("/")[0]
        hosts = here.ctr.host.shared / f"{here.ctr.namespace}.hosts" / f"{address.replace(':', '_')}_"
        hosts.mkdir(parents=True)
        (hosts / "hosts.toml").write_text(f'server = "http://{address}"\n')
        configured = Pull(image=registry.image, hosts_dir=str(hosts.parent))
        for wanted in (plain, configured):
            if here.version != "2.1":
                assert await here.code(here.node.pull(wanted, **here.where)) == "unimplemented"
                continue
            assert (await here.node.pull(wanted, **here.where)).name == registry.image
            await here.node.rmi(registry.image, sync=True, **here.where)
    if here.version == "1.7":
        with here.house.registry(content(busybox(here))) as registry:
            assert (await here.node.pull(Pull(image=registry.image), **here.where)).name == registry.image


@shows(**{"import": "bucket object name"}, rmi="image force sync", images="filters sizes")
async def test_an_image_is_taken_in_and_its_name_removed(here: Here) -> None:
    data = archive(busybox(here), name="")
    async with here.bus.transport.archive(io.BytesIO(data), lambda _: None) as command:
        given = Import(id=command.id, bucket=command.bucket, object=command.object, name="shop:1")
        [image] = await here.node.import_archive(given, **here.where)
    assert image.name == "docker.io/library/shop:1"
    assert [(one["phase"], one["options"]["name"]) for one in await here.recorded("import")] == [
        ("started", "shop:1"),
        ("finished", "shop:1"),
    ]
    found = await here.node.images(filters=["name~=shop"], sizes=False, **here.where)
    assert [(one.name, one.size) for one in found] == [(image.name, None)]
    await here.node.run("web.1", Run(image=image.name, command=list(SLEEP)), **here.where)
    assert await here.code(here.node.rmi(image.name, **here.where)) == "failed_precondition"
    assert (await here.node.rmi(image.name, force=True, sync=True, **here.where)).used_by == ["web.1"]
    assert [one.name for one in await here.node.images(**here.where)] == [BUSYBOX]


# -- checkpoints


@shows(
    checkpoint="name exit rw to target check force expires tcp_established tcp_skip_in_flight file_locks ext_unix terminal "
    "link_remap empty_ns cgroups_mode",
    checkpoint_remove="name of",
    restore="checkpoint image dir file tcp_close trust check force stdio",
)
async def test_what_is_in_memory_is_kept_and_gone_on_with(here: Here) -> None:
    """test_checkpoints.py shows what comes of it; here is every option once."""
    await here.run("web.1", "sh", "-c", f"{WAITS}\nwhile :; do waits; done")
    every = Checkpoint(
        check=True,
        exit=True,
        rw=False,
        file_locks=False,
        terminal=True,
        link_remap=True,
        tcp_skip_in_flight=True,
        empty_ns=["network"],
        cgroups_mode="soft",
    )
    found = await here.ask(every, "web.1")
    assert [one.check for one in found.verdict.blocking if one.check == "options"] == ["options", "options"]
    if here.version == "1.6":
        assert await here.code(here.node.checkpoint("web.1", Checkpoint(name="none"), **here.where))
        return
    kept = Checkpoint(name="kept", expires=3600, force=True, tcp_established=True, ext_unix=True)
    record = (await here.node.checkpoint("web.1", kept, **here.where)).record
    assert record is not None
    assert record.expires_at is not None
    shared = here.ctr.host.shared / here.ctr.namespace
    places: dict[str, str] = {"image": "docker.io/test/kept:1", "dir": f"{shared}.dir", "file": f"{shared}.file"}
    for to, target in places.items():
        await here.node.checkpoint("web.1", msgspec.convert({"to": to, "target": target}, Checkpoint), **here.where)
        restoring = msgspec.convert({to: target, "trust": True, "force": True}, Restore)
        assert (await here.node.restore(f"of-{to}", restoring, **here.where)).pid
    token = record.key.token
    checked = await here.node.restore("web.2", Restore(checkpoint=token, check=True), **here.where)
    assert checked.verdict.findings
    await here.node.restore("web.2", Restore(checkpoint=token, tcp_close=True, stdio="null"), **here.where)
    removed = await here.ask(CheckpointRemove(name="kept", of=NODE), "web.1")
    assert removed.freed == record.archive.size
