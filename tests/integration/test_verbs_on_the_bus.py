"""Every verb of the groups observe and lifecycle, from a client through NATS and a real bridge to a real containerd and back.

The default run has containerd 2.1; `-m older` repeats all of it with 1.6 and 1.7. `ctr` and the host's own files bear witness.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.client import Bus, CommandFailed, Node, connect
from bridge.containerd.bundles import BUNDLE_LABEL
from bridge.model.usage import usage
from tests.fix_bridge import Bridge, BridgeFactory
from tests.testbed import BUSYBOX, Containerd, Ctr

pytestmark = pytest.mark.containerd

GENERATIONS = [pytest.param("2.1"), *(pytest.param(version, marks=pytest.mark.older) for version in ("1.7", "1.6"))]

ENDLESS = ("sh", "-c", "trap 'exit 7' TERM; echo ready > /ready; while :; do sleep 0.05; done")
STUBBORN = ("sh", "-c", "trap '' TERM; echo ready > /ready; while :; do sleep 0.05; done")
DEAF = ("sh", "-c", "trap 'echo heard > /heard' TERM; echo ready > /ready; while :; do sleep 0.05; done")
EXECED = ("tasks", "exec", "--exec-id")


class Here:
    """A container's whole way: client, bridge, containerd."""

    def __init__(self, ctr: Ctr, bus: Bus, bridge: Bridge, root: Path) -> None:
        self.ctr = ctr
        self.bus = bus
        self.bridge = bridge
        self.bundles = root
        self.node = Node("n1", bus._sender, bus.subjects)
        self.where: Any = {"namespace": ctr.namespace}

    async def run(self, container: str, *command: str) -> None:
        await asyncio.to_thread(self.ctr.run, container, *command)
        if "ready" in "".join(command):
            pid = (await self.inspect(container)).container.task.pid
            ready = f"/proc/{pid}/root/ready"
            await self.until(lambda: self.ctr.host.run("test", "-s", ready, check=False).returncode == 0)

    async def create(self, container: str, *command: str, options: tuple[str, ...] = ()) -> None:
        # The `ctr` of 1.6 would take a program's `-c` for its own without the dashes.
        await asyncio.to_thread(self.ctr, "containers", "create", *options, "--", BUSYBOX, container, *command)

    async def inspect(self, container: str = "web.1") -> Any:
        return await self.node.inspect(container, **self.where)

    async def status(self, container: str = "web.1") -> str | None:
        return await asyncio.to_thread(self.ctr.status, container)

    async def control_group(self, file: str, container: str = "web.1") -> str:
        """What stands in a file of the container's control group: its path begins with the controller's name."""
        controller = file.partition(".")[0]
        path = f"/sys/fs/cgroup/{controller}/{self.ctr.namespace}/{container}/{file}"
        if not await asyncio.to_thread(Path(path).exists):
            pytest.skip(f"this kernel has no {file} of version 1: what is sent for version 2 the unit tests say")
        return (await asyncio.to_thread(Path(path).read_text)).strip()

    async def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 90
        while not await asyncio.to_thread(condition):
            assert time.monotonic() < deadline, "it did not come true in time"
            await asyncio.sleep(0.05)

    async def exec(self, exec_id: str, *command: str, container: str = "web.1") -> Any:
        """Let `ctr` run an exec, on the side; return when it runs."""
        process = self.ctr.host.popen("ctr", "--namespace", self.ctr.namespace, *EXECED, exec_id, container, *command)
        await self.until(lambda: exec_id in self.ctr("tasks", "ps", container))
        return process


@pytest.fixture(params=GENERATIONS)
def host(request: pytest.FixtureRequest, _containerds: Callable[[str], Containerd]) -> Containerd:
    """containerd 2.1, and with `-m older` 1.7 and 1.6."""
    return _containerds(request.param)


@pytest.fixture
async def here(host: Containerd, bridge_factory: BridgeFactory, nats_url: str, tmp_path: Path) -> AsyncIterator[Here]:
    root = tmp_path / "bundles"
    root.mkdir()
    policy = tmp_path / "policy.toml"
    policy.write_text("default = 'allow'\nshow = 'full'\n[spec]\nruntime_options = ['root']\n")
    daemon = await asyncio.to_thread(
        bridge_factory,
        *("--containerd", host.address, "--nats", nats_url, "--node", "n1", "--bundle-root", root),
        *("--state-dir", tmp_path / "state", "--commands", "observe,lifecycle", "--foreign"),
        *("--policy", policy),
    )
    await asyncio.to_thread(daemon.live)
    with host.fresh_namespace() as ctr:
        async with connect(nats_url) as bus:
            yield Here(ctr, bus, daemon, root)


@pytest.fixture
async def dockerds(here: Here, host: Containerd) -> AsyncIterator[Here]:
    """The same in dockerd's own namespace: the only one in which containers have bundles."""
    ctr = await asyncio.to_thread(host.namespace, "moby", busybox=True)
    try:
        yield Here(ctr, here.bus, here.bridge, here.bundles)
    finally:
        await asyncio.to_thread(ctr.remove)


async def code(awaitable: Awaitable[Any]) -> str:
    with pytest.raises(CommandFailed) as failed:
        await awaitable
    return failed.value.code


# -- lifecycle


async def test_restart_runs_it_anew_and_tells_how_it_ended(here: Here) -> None:
    await here.run("web.1", *ENDLESS)
    before = (await here.inspect()).container.task.pid
    done = await here.node.restart("web.1", **here.where)
    assert done.ended is not None
    assert (done.ended.exit_status, done.ended.killed) == (7, False)
    assert done.pid != before
    assert await here.status() == "RUNNING"
    await here.node.stop("web.1", grace=0, **here.where)
    assert (await here.node.restart("web.1", **here.where)).ended is None
    assert await here.status() == "RUNNING"


async def test_limits_reach_the_control_group_and_the_next_task(here: Here) -> None:
    await here.run("web.1", *STUBBORN)
    await here.node.update(
        "web.1",
        memory="64m",
        memory_swap="128m",
        cpus=0.5,
        cpu_shares=512,
        cpuset_cpus="0",
        pids_limit=50,
        **here.where,
    )

    async def limits() -> list[str]:
        files = ["memory.limit_in_bytes", "cpu.cfs_quota_us", "cpu.shares", "cpuset.cpus", "pids.max"]
        return [await here.control_group(file) for file in files]

    assert await limits() == [str(64 << 20), "50000", "512", "0", "50"]
    await here.node.update("web.1", pids_limit=60, task_only=True, **here.where)
    assert (await limits())[4] == "60"
    await here.node.restart("web.1", grace=0, **here.where)
    assert await limits() == [str(64 << 20), "50000", "512", "0", "50"]
    await here.node.update("web.1", memory=-1, memory_swap=-1, cpu_quota=-1, pids_limit=-1, **here.where)
    assert (await limits())[1] == "-1"
    assert (await limits())[4] == "max"


async def test_limits_that_the_kernel_does_not_take_are_one_sentence_and_nothing_changes(here: Here) -> None:
    await here.run("web.1", *STUBBORN)
    before = (await here.inspect()).container.spec
    with pytest.raises(
        CommandFailed, match=r"^container web\.1 does not take these limits: [^\n]*4096[^\n]*$"
    ) as failed:
        await here.node.update("web.1", memory=4096, **here.where)
    assert failed.value.code == "failed_precondition"
    assert (await here.inspect()).container.spec == before


async def test_kill_takes_names_numbers_all_and_one_exec(here: Here) -> None:
    await here.run("web.1", *STUBBORN)
    execed = await here.exec("look.1", "sleep", "1000")
    await here.node.kill("web.1", exec_id="look.1", signal=9, **here.where)
    assert await asyncio.to_thread(execed.wait, 90) == 137
    assert await here.status() == "RUNNING"
    assert await code(here.node.kill("web.1", exec_id="look.1", all=True, **here.where)) == "invalid_argument"
    assert await code(here.node.kill("web.1", exec_id="look.1", **here.where)) == "not_found"
    execed = await here.exec("look.2", "sleep", "1000")
    await here.node.kill("web.1", signal="sigkill", all=True, **here.where)
    assert await asyncio.to_thread(execed.wait, 90) == 137
    assert (await here.node.wait("web.1", **here.where)).exit_status == 137


async def test_whoever_kills_passes_a_restart_that_waits_for_the_end(here: Here) -> None:
    await here.run("web.1", *DEAF)
    before = (await here.inspect()).container.task.pid
    restarting = asyncio.create_task(here.node.restart("web.1", grace=86_400, **here.where))
    heard = f"/proc/{before}/root/heard"
    await here.until(lambda: here.ctr.host.run("test", "-s", heard, check=False).returncode == 0)
    await here.node.kill("web.1", signal="KILL", **here.where)
    ended = (await restarting).ended
    assert ended is not None
    assert ended.exit_status == 137
    assert (await here.inspect()).container.task.pid != before


@pytest.mark.parametrize("paused", [False, True])
async def test_delete_with_force_ends_many_processes_paused_or_not(here: Here, paused: bool) -> None:
    await here.run("web.1", "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo ready > /ready; wait")
    await here.until(lambda: here.ctr("tasks", "ps", "web.1").count("\n") >= 10)
    if paused:
        await here.node.pause("web.1", **here.where)
    done = await here.node.delete("web.1", force=True, **here.where)
    assert (done.exit_status, done.killed, done.left) == (137, True, [])
    assert "web.1" not in await asyncio.to_thread(here.ctr, "snapshots", "ls")


async def test_a_bundle_goes_with_its_container_inside_the_allowed_directory_only(
    here: Here, dockerds: Here, tmp_path: Path
) -> None:
    ours, other = here.bundles / "ours", tmp_path / "other"
    for path in (ours, other):
        (path / "rootfs").mkdir(parents=True)
        await dockerds.create(path.name, "true", options=("--label", f"{BUNDLE_LABEL}={path}"))
    # Another of the same id in another namespace, with a label that somebody else chose.
    await here.create("ours", "true", options=("--label", f"{BUNDLE_LABEL}={ours}"))
    left = (await here.node.delete("ours", **here.where)).left
    assert left == [f"bundle {ours} stays: dockerd has no containers in namespace {here.ctr.namespace}"]
    assert ours.exists()

    assert (await here.node.delete("ours", **dockerds.where)).left == []
    assert not ours.exists()
    left = (await here.node.delete("other", **dockerds.where)).left
    assert left == [f"bundle {other} stays: it is not right in {here.bundles}"]
    assert other.exists()
    assert "other" not in await asyncio.to_thread(dockerds.ctr, "containers", "ls", "-q")


# -- observe


async def test_wait_tells_how_it_ended_also_when_its_task_is_deleted_at_once(here: Here) -> None:
    await here.run("web.1", *ENDLESS)
    waiting = [asyncio.create_task(here.node.wait("web.1", **here.where)) for _ in range(3)]
    assert not (await here.node.wait("web.1", timeout=0.2, **here.where)).ended
    await here.node.delete("web.1", force=True, **here.where)
    ends = await asyncio.gather(*waiting)
    assert {(end.ended, end.exit_status) for end in ends} == {(True, 137)}
    assert {end.incarnation for end in ends} != {None}
    later = await here.node.wait("web.1", **here.where)  # container and task are gone; the log remembers
    assert (later.exit_status, later.exited_at) == (137, ends[0].exited_at)


async def test_wait_for_one_exec(here: Here) -> None:
    await here.run("web.1", *STUBBORN)
    execed = await here.exec("look.1", "sh", "-c", "sleep 0.5; exit 5")
    assert (await here.node.wait("web.1", exec_id="look.1", **here.where)).exit_status == 5
    assert await asyncio.to_thread(execed.wait, 90) == 5
    assert await code(here.node.wait("web.1", exec_id="look.1", **here.where)) == "not_found"


async def test_wait_goes_on_when_the_bridge_is_stopped_killed_and_started_again(here: Here) -> None:
    await here.run("web.1", *ENDLESS)
    waiting = asyncio.create_task(here.node.wait("web.1", **here.where))
    assert not (await here.node.wait("web.1", timeout=1.5, **here.where)).ended  # the other one has been heard by then
    assert await asyncio.to_thread(here.bridge.stop) == 0
    lines = len(here.bridge.lines)
    await asyncio.to_thread(here.bridge.start)
    await asyncio.to_thread(here.bridge.live, after=lines)
    await here.node.kill("web.1", **here.where)
    assert (await asyncio.wait_for(waiting, 90)).exit_status == 7


async def test_inspect_shows_execs_the_state_in_the_log_and_its_last_events(here: Here) -> None:
    await here.run("web.1", *STUBBORN)
    execed = await here.exec("look.1", "sleep", "1000")
    try:
        found = await here.inspect()
        [exec_] = found.execs
        assert (exec_.exec_id, exec_.status) == ("look.1", "running")
        assert exec_.pid in [process.pid for process in found.processes if process.exec_id == "look.1"]
        assert found.state is not None
        assert (found.state.status, found.state.pid) == ("running", found.container.task.pid)
        assert (found.state.incarnation is not None, found.state.incarnations, found.state.ooms) == (True, 1, 0)
        assert set(found.state.execs) == {"look.1"}
    finally:
        await here.node.kill("web.1", exec_id="look.1", signal=9, **here.where)
        await asyncio.to_thread(execed.wait, 90)


async def test_pids_have_names_and_command_lines(here: Here) -> None:
    await here.run("web.1", "sh", "-c", "sleep 1000 & wait")
    await here.until(lambda: here.ctr("tasks", "ps", "web.1").count("\n") == 3)
    shell, sleep = await here.node.pids("web.1", **here.where)
    assert (shell.name, shell.command, shell.uid) == ("sh", ["sh", "-c", "sleep 1000 & wait"], 0)
    assert (sleep.name, sleep.command, sleep.parent) == ("sleep", ["sleep", "1000"], shell.pid)
    assert shell.started_at is not None
    assert abs(shell.started_at - time.time_ns()) < 120 * 10**9


async def test_stats_are_what_the_control_groups_say(here: Here) -> None:
    await here.run("busy", "sh", "-c", "while :; do :; done")
    await here.run("idle", *STUBBORN)
    await here.node.update("idle", memory="64m", pids_limit=50, **here.where)

    before = {one.container: one for one in await here.node.stats(**here.where)}
    await asyncio.sleep(0.5)
    after = {one.container: one for one in await here.node.stats(**here.where)}

    assert set(before) == set(after) == {"busy", "idle"}
    used = {name: usage(before[name], after[name]) for name in after}
    assert (used["busy"].cpu_percent or 0) > (used["idle"].cpu_percent or 0)
    idle = after["idle"]
    assert idle.memory is not None
    assert idle.pids is not None
    assert (idle.memory.limit, idle.pids.limit) == (64 << 20, 50)
    assert idle.network == []  # a network of its own with nothing but a loopback in it
    assert (used["idle"].memory_percent or 0) > 0
    told = int(await here.control_group("memory.usage_in_bytes", "idle"))
    assert abs(idle.memory.usage - told) < 16 << 20
    [one] = await here.node.stats("busy", **here.where)
    assert one.container == "busy"
    every = await here.node.stats(containers=["busy", "idle"])
    assert {one.container for one in every if one.namespace == here.ctr.namespace} == {"busy", "idle"}
    assert await code(here.node.stats("nobody", **here.where)) == "not_found"


async def test_the_oldest_verbs_do_what_they_say(here: Here) -> None:
    await here.create("web.1", *ENDLESS)
    assert (await here.node.start("web.1", **here.where)).pid > 0
    await here.node.pause("web.1", **here.where)
    assert await here.status() == "PAUSED"
    assert (await here.node.pause("web.1", **here.where)).already
    await here.node.resume("web.1", **here.where)
    listed = await here.node.list(here.ctr.namespace)
    assert [(one.id, one.task and one.task.status) for one in listed] == [("web.1", "running")]
    assert (await here.node.stop("web.1", grace=0.2, **here.where)).exit_status in {7, 137}
    assert (await here.node.delete("web.1", keep_snapshot=True, **here.where)).left == []
    assert "web.1" in await asyncio.to_thread(here.ctr, "snapshots", "ls")
    assert (await here.node.version()).containerd.startswith(here.ctr.host.version)


# -- what dockerd's own client of containerd gets wrong


async def test_the_runtime_options_of_a_container_outlive_the_bridge(here: Here) -> None:
    """A restart of the daemon makes that client forget a container's runtime options: its next task is made without them."""
    await asyncio.to_thread(here.ctr.run, "web.1", "sleep", "1000", options=("--runc-root", "/run/other-runc"))
    await here.node.stop("web.1", grace=0, **here.where)
    await asyncio.to_thread(here.bridge.kill)
    lines = len(here.bridge.lines)
    await asyncio.to_thread(here.bridge.start)
    await asyncio.to_thread(here.bridge.live, after=lines)
    await here.node.start("web.1", **here.where)
    kept = await asyncio.to_thread(here.ctr.host.run, "ls", f"/run/other-runc/{here.ctr.namespace}")
    assert kept.stdout.split() == ["web.1"]


async def test_a_record_that_somebody_else_changes_is_read_again(here: Here) -> None:
    """That client keeps labels and spec as they were when it loaded the container."""
    await here.create("web.1", "sh", "-c", "trap 'exit 9' USR1; echo ready > /ready; while :; do sleep 0.05; done")
    await here.node.start("web.1", **here.where)
    label = "io.containerd.image.config.stop-signal=SIGUSR1"
    await asyncio.to_thread(here.ctr, "containers", "label", "web.1", label)
    pid = (await here.inspect()).container.task.pid
    await here.until(lambda: here.ctr.host.run("test", "-s", f"/proc/{pid}/root/ready", check=False).returncode == 0)
    assert (await here.node.stop("web.1", **here.where)).exit_status == 9


async def test_what_another_container_needs_is_not_deleted(here: Here) -> None:
    """That client removes what it finds under a name, also where others use it."""
    await here.create("web.1", *STUBBORN)
    layers = [line.split()[0] for line in here.ctr("snapshots", "ls").splitlines()[1:] if "Committed" in line]
    images = here.ctr("images", "ls", "-q")
    assert layers
    await here.node.delete("web.1", **here.where)
    after = here.ctr("snapshots", "ls")
    assert all(layer in after for layer in layers)
    assert here.ctr("images", "ls", "-q") == images
    assert here.ctr("content", "ls", "-q").split()


async def test_a_failed_start_leaves_nothing_and_can_be_deleted(here: Here) -> None:
    """That client leaves a task, its FIFOs and its container after a start that failed."""
    await here.create("web.1", "nosuchprogram")
    assert (
        await code(here.node.start("web.1", **here.where)) == "unknown"
    )  # and not "not found", whatever the sentence says
    assert await here.status() is None
    bundles = f"/run/containerd/io.containerd.runtime.v2.task/{here.ctr.namespace}"
    left = await asyncio.to_thread(here.ctr.host.run, "ls", bundles, check=False)
    assert "web.1" not in left.stdout
    assert (await here.node.delete("web.1", **here.where)).left == []
    assert "web.1" not in await asyncio.to_thread(here.ctr, "snapshots", "ls")


async def test_a_task_whose_shim_is_gone_can_be_deleted(here: Here) -> None:
    await here.run("web.1", *STUBBORN)
    task = (await here.inspect()).container.task
    assert await asyncio.to_thread(here.ctr.host.kill_shims, here.ctr.namespace) == 1
    # containerd clears it away itself; whoever comes in the middle of that may be refused, and comes again.
    with contextlib.suppress(CommandFailed):
        await here.node.delete("web.1", force=True, **here.where)
    if "web.1" in await asyncio.to_thread(here.ctr, "containers", "ls", "-q"):
        await here.until(lambda: here.ctr.status("web.1") is None)
        await here.node.delete("web.1", force=True, **here.where)
    assert "web.1" not in await asyncio.to_thread(here.ctr, "containers", "ls", "-q")
    assert "web.1" not in await asyncio.to_thread(here.ctr, "snapshots", "ls")
    await asyncio.to_thread(here.ctr.host.run, "kill", "-9", str(task.pid), check=False)


async def test_what_cannot_be_removed_is_no_silent_success(dockerds: Here) -> None:
    """That client writes into its log that a bundle could not be removed, and reports success."""
    path = dockerds.bundles / "web.1"
    path.mkdir()
    await dockerds.create("web.1", "true", options=("--label", f"{BUNDLE_LABEL}={path}"))
    await asyncio.to_thread(_mount, path)
    try:
        left = (await dockerds.node.delete("web.1", **dockerds.where)).left
        assert left == [f"bundle {path} stays: something is mounted on {path}"]
        assert (path / "precious").exists()
    finally:
        await asyncio.to_thread(_unmount, path)


def _mount(path: Path) -> None:
    assert os.spawnlp(os.P_WAIT, "mount", "mount", "-t", "tmpfs", "tmpfs", str(path)) == 0
    (path / "precious").write_text("")


def _unmount(path: Path) -> None:
    assert os.spawnlp(os.P_WAIT, "umount", "umount", str(path)) == 0
    shutil.rmtree(path)
