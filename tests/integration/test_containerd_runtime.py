"""Commands against real containerd: `ContainerdRuntime` alone, and behind the `Dispatcher`.

`ctr` makes the containers and bears witness; what changes them is ours. The default run has containerd 2.1; `-m older`
repeats the part that depends on containerd's generation with 1.6 and 1.7.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from bridge.containerd.runtime import ContainerdRuntime
from bridge.control.dispatch import Dispatcher
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord
from bridge.errors import CommandFailed
from bridge.model.commands import GROUPS
from bridge.model.events import CommandRecorded
from bridge.model.outcomes import Outcome
from bridge.model.subjects import CommandSubject
from bridge.ports import CommandRequest, ContainerRuntime
from tests.testbed import BUSYBOX, Containerd, Ctr
from tests.unit.policy.specs import LENIENT

SLEEP = ("sleep", "1000")
STUBBORN = ("sh", "-c", "trap 'echo TERM > /asked' TERM; echo ready > /ready; while :; do sleep 0.05; done")
POLITE = ("sh", "-c", "trap 'exit 7' TERM; echo ready > /ready; while :; do sleep 0.05; done")

pytestmark = pytest.mark.containerd

GENERATIONS = [pytest.param("2.1"), *(pytest.param(version, marks=pytest.mark.older) for version in ("1.7", "1.6"))]


class Node:
    """A dispatcher on a real containerd, asked as the bus would ask it."""

    def __init__(self, runtime: ContainerRuntime, ctr: Ctr) -> None:
        self.runtime = runtime
        self.ctr = ctr
        self.recorded: list[CommandRecorded] = []
        self.dispatcher = Dispatcher(
            "node", runtime, policy=Policy(groups=GROUPS, book=LENIENT), record=CommandRecord(self._record)
        )

    def _record(self, _namespace: object, _container: object, event: CommandRecorded, _id: object) -> None:
        if event.phase == "finished":
            self.recorded.append(event)

    async def __call__(self, verb: str, container: str | None = "web.1", **options: Any) -> Outcome:
        subject = CommandSubject("node", self.ctr.namespace if verb != "version" else None, container, verb)
        return await self.dispatcher.handle(CommandRequest(subject=subject, body=json.dumps(options).encode()))

    async def ok(self, verb: str, container: str | None = "web.1", **options: Any) -> Any:
        outcome = await self(verb, container, **options)
        assert outcome.outcome == "ok", outcome.error
        return outcome.result

    async def failure(self, verb: str, container: str = "web.1", **options: Any) -> tuple[str, str]:
        outcome = await self(verb, container, **options)
        assert outcome.error is not None, outcome
        return outcome.error.code, outcome.error.message

    async def create(self, *command: str, container: str = "web.1", options: tuple[str, ...] = ()) -> None:
        """`ctr containers create`: a record and a snapshot, no task."""
        await asyncio.to_thread(create, self.ctr, container, *command, options=options)

    async def run(
        self, *command: str, container: str = "web.1", ready: bool = False, options: tuple[str, ...] = ()
    ) -> None:
        """A container that runs, made by ctr; with `ready`, its process has got as far as to say so."""
        await asyncio.to_thread(self.ctr.run, container, *command, options=options)
        if ready:
            await self.until(lambda: self.has_file(container, "/ready"))

    def has_file(self, container: str, path: str) -> bool:
        pid = next(line.split()[1] for line in self.ctr("tasks", "ls").splitlines() if line.split()[0] == container)
        return self.ctr.host.run("test", "-s", f"/proc/{pid}/root{path}", check=False).returncode == 0

    async def status(self, container: str = "web.1") -> str | None:
        return await asyncio.to_thread(self.ctr.status, container)

    async def until(self, condition: Callable[[], bool]) -> None:
        await eventually(lambda: asyncio.to_thread(condition))


def written(host: Containerd, pid: int) -> int:
    """Bytes that a process has written so far."""
    counters = dict(line.split(": ") for line in host.run("cat", f"/proc/{pid}/io").stdout.splitlines())
    return int(counters["wchar"])


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 90
    while not await condition():
        assert time.monotonic() < deadline, "it did not come true within 20 s"
        await asyncio.sleep(0.02)


def create(ctr: Ctr, container: str, *command: str, options: tuple[str, ...] = ()) -> None:
    ctr("containers", "create", *options, BUSYBOX, container, *command)


@pytest.fixture(params=GENERATIONS)
def host(request: pytest.FixtureRequest, _containerds: Callable[[str], Containerd]) -> Containerd:
    """containerd 2.1, and with `-m older` 1.7 and 1.6."""
    return _containerds(request.param)


@pytest.fixture
async def node(host: Containerd) -> AsyncIterator[Node]:
    with host.fresh_namespace() as ctr:
        async with ContainerdRuntime(host.address) as runtime:
            yield Node(runtime, ctr)


# -- start


async def test_start_makes_a_task_where_there_is_none(node: Node) -> None:
    await node.create(*SLEEP)
    assert (await node.ok("start")).pid > 0
    assert await node.status() == "RUNNING"


async def test_start_replaces_a_task_that_has_ended(node: Node) -> None:
    await node.create(*SLEEP)
    first = await node.ok("start")
    await node.ok("stop", grace=0)
    second = await node.ok("start")
    assert second.pid != first.pid
    assert await node.status() == "RUNNING"


async def test_start_runs_a_task_that_is_created(node: Node) -> None:
    await node.create(*SLEEP)
    pid = await node.runtime.tasks.create(node.ctr.namespace, "web.1")
    assert (await node.ok("start")).pid == pid
    assert await node.status() == "RUNNING"


async def test_a_second_start_is_a_failed_precondition(node: Node) -> None:
    await node.run(*SLEEP)
    assert await node.failure("start") == (
        "failed_precondition",
        "container web.1 is running: there is nothing to start",
    )


async def test_start_of_a_paused_container_says_resume(node: Node) -> None:
    await node.run(*SLEEP)
    await node.ok("pause")
    assert await node.failure("start") == ("failed_precondition", "container web.1 is paused: resume it first")


async def test_start_of_no_container_is_not_found(node: Node) -> None:
    namespace = node.ctr.namespace
    assert await node.failure("start") == ("not_found", f"container web.1 does not exist in namespace {namespace}")


async def test_a_program_that_does_not_exist_leaves_no_task(node: Node) -> None:
    await node.create("nosuchprogram")
    code, sentence = await node.failure("start")
    assert code == "unknown"
    assert "nosuchprogram" in sentence
    assert await node.status() is None


async def test_a_task_of_ours_that_cannot_be_started_is_removed_again(node: Node) -> None:
    await node.create(*SLEEP)

    async with ContainerdRuntime(node.ctr.host.address) as runtime:
        run = runtime.tasks.start

        async def killed_first(namespace: str, container: str, exec_id: str | None = None) -> int:
            await runtime.tasks.kill(namespace, container, 9)  # somebody ends it between create and start
            await runtime.tasks.wait(namespace, container)
            return await run(namespace, container)

        runtime.tasks.start = killed_first  # type: ignore[method-assign]
        assert (await Node(runtime, node.ctr).failure("start"))[0] in {"failed_precondition", "unknown"}
    assert await node.status() is None


async def test_a_container_with_a_terminal_runs_without_anybody_at_it(node: Node) -> None:
    await node.create("yes", options=("--tty",))
    pid = (await node.ok("start")).pid
    await node.until(lambda: written(node.ctr.host, pid) > 1_000_000)  # more than any buffer holds: nothing holds it up
    task = (await node.ok("inspect")).container.task
    assert (task.status, task.terminal, task.stdin) == ("running", True, "")


async def test_the_runtime_options_of_the_record_are_those_of_the_task(node: Node) -> None:
    await node.run(*SLEEP, options=("--runc-root", "/run/other-runc"))
    await node.ok("stop", grace=0)
    await node.ok("start")
    kept = node.ctr.host.run("ls", f"/run/other-runc/{node.ctr.namespace}")
    assert kept.stdout.split() == ["web.1"]


# -- pause, resume, kill


async def test_pause_and_resume_do_what_they_say(node: Node) -> None:
    await node.run(*SLEEP)
    assert not (await node.ok("pause")).already
    assert await node.status() == "PAUSED"
    assert not (await node.ok("resume")).already
    assert await node.status() == "RUNNING"


async def test_what_is_so_already_is_success(node: Node) -> None:
    await node.run(*SLEEP)
    assert (await node.ok("resume")).already
    await node.ok("pause")
    assert (await node.ok("pause")).already


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_a_stopped_container_is_neither_paused_nor_resumed(node: Node, verb: str) -> None:
    await node.run("true")
    await node.until(lambda: node.ctr.status("web.1") == "STOPPED")
    assert await node.failure(verb) == ("failed_precondition", "container web.1 is stopped: start it first")


@pytest.mark.parametrize("verb", ["pause", "resume", "kill", "pids"])
async def test_what_needs_a_task_says_that_there_is_none(node: Node, verb: str) -> None:
    await node.create(*SLEEP)
    assert await node.failure(verb) == ("not_found", "container web.1 has no task: start it first")


@pytest.mark.parametrize("call", ["pause", "resume", "delete", "start"])
async def test_containerds_word_for_a_wrong_state_is_a_failed_precondition(node: Node, call: str) -> None:
    await node.run(*SLEEP)
    if call == "pause":
        await node.ok("pause")
    with pytest.raises(CommandFailed) as failed:
        await getattr(node.runtime.tasks, call)(node.ctr.namespace, "web.1")
    assert (failed.value.code, bool(failed.value.containerd)) == ("failed_precondition", True)


async def test_kill_sends_the_signal(node: Node) -> None:
    await node.run(*POLITE, ready=True)
    await node.ok("kill", signal="term")
    ended = await node.runtime.tasks.wait(node.ctr.namespace, "web.1")
    assert ended.exit_status == 7


async def test_kill_of_what_has_ended_is_not_found(node: Node) -> None:
    await node.run("true")
    await node.until(lambda: node.ctr.status("web.1") == "STOPPED")
    assert (await node.failure("kill"))[0] == "not_found"


async def test_kill_reaches_an_exec_by_its_id(node: Node) -> None:
    await node.run(*SLEEP)
    execing = node.ctr.host.popen(
        "ctr", "--namespace", node.ctr.namespace, "tasks", "exec", "--exec-id", "look.1", "web.1", "sleep", "1000"
    )

    async def there() -> bool:
        return "look.1" in [process.exec_id for process in (await node.ok("pids")).processes]

    await eventually(there)
    await node.ok("kill", exec_id="look.1", signal=9)
    assert await asyncio.to_thread(execing.wait, 90) == 137
    assert await node.status() == "RUNNING"


async def test_kill_of_an_exec_that_is_not_there_is_not_found(node: Node) -> None:
    await node.run(*SLEEP)
    assert (await node.failure("kill", exec_id="look.1"))[0] == "not_found"


# -- stop


async def test_stop_lets_a_process_end_by_itself(node: Node) -> None:
    await node.run(*POLITE, ready=True)
    ended = await node.ok("stop")
    assert (ended.exit_status, ended.killed) == (7, False)
    assert ended.exited_at is not None


async def test_stop_kills_a_process_that_ignores_the_signal(node: Node) -> None:
    await node.run(*STUBBORN, ready=True)
    began = time.monotonic()
    ended = await node.ok("stop", grace=0.5)
    assert (ended.exit_status, ended.killed) == (137, True)
    assert time.monotonic() - began >= 0.5


async def test_stop_of_a_paused_container_lets_it_end_by_itself(node: Node) -> None:
    await node.run(*POLITE, ready=True)
    await node.ok("pause")
    ended = await node.ok("stop")
    assert (ended.exit_status, ended.killed) == (7, False)


async def test_stop_sends_the_images_own_signal(node: Node) -> None:
    await node.run("sh", "-c", "trap 'exit 9' USR1; echo ready > /ready; while :; do sleep 0.05; done", ready=True)
    label = "io.containerd.image.config.stop-signal=SIGUSR1"
    await asyncio.to_thread(node.ctr, "containers", "label", "web.1", label)
    assert (await node.ok("stop")).exit_status == 9


async def test_stop_of_what_has_stopped_returns_the_exit_that_was(node: Node) -> None:
    await node.run("sh", "-c", "exit 3")
    await node.until(lambda: node.ctr.status("web.1") == "STOPPED")
    ended = await node.ok("stop")
    assert (ended.exit_status, ended.killed) == (3, False)
    assert ended.exited_at is not None


async def test_stop_ends_a_task_that_was_never_started(node: Node) -> None:
    await node.create(*SLEEP)
    await node.runtime.tasks.create(node.ctr.namespace, "web.1")
    await node.ok("stop", grace=5)
    assert await node.status() == "STOPPED"


async def test_stop_goes_on_when_containerd_is_restarted_in_its_grace(
    host: Containerd, containerd_factory: Callable[..., Containerd]
) -> None:
    own = containerd_factory(host.version)
    with own.fresh_namespace() as ctr:
        async with ContainerdRuntime(own.address) as runtime:
            node = Node(runtime, ctr)
            await node.run(*STUBBORN, ready=True)
            stopping = asyncio.create_task(node.ok("stop", grace=3))
            await node.until(lambda: node.has_file("web.1", "/asked"))
            await asyncio.to_thread(own.restart)
            ended = await stopping
    assert (ended.exit_status, ended.killed) == (137, True)


# -- delete


async def test_delete_removes_record_and_snapshot(node: Node) -> None:
    await node.run("sh", "-c", "exit 3")
    await node.until(lambda: node.ctr.status("web.1") == "STOPPED")
    ended = await node.ok("delete")
    assert (ended.exit_status, ended.killed) == (3, False)
    assert "web.1" not in node.ctr("containers", "ls", "-q")
    assert "web.1" not in node.ctr("snapshots", "ls")


async def test_delete_of_what_runs_needs_force(node: Node) -> None:
    await node.run(*SLEEP)
    assert await node.failure("delete") == (
        "failed_precondition",
        "container web.1 is running: stop it first, or delete it with force",
    )
    assert await node.status() == "RUNNING"


@pytest.mark.parametrize("paused", [False, True])
async def test_delete_with_force_kills_first(node: Node, paused: bool) -> None:
    await node.run(*STUBBORN, ready=True)
    if paused:
        await node.ok("pause")
    ended = await node.ok("delete", force=True)
    assert (ended.exit_status, ended.killed) == (137, True)
    assert "web.1" not in node.ctr("containers", "ls", "-q")


async def test_delete_takes_a_task_that_was_never_started_along(node: Node) -> None:
    await node.create(*SLEEP)
    await node.runtime.tasks.create(node.ctr.namespace, "web.1")
    await node.ok("delete")
    assert "web.1" not in node.ctr("tasks", "ls")
    assert "web.1" not in node.ctr("containers", "ls", "-q")


async def test_delete_of_a_container_without_a_task_knows_of_no_exit(node: Node) -> None:
    await node.create(*SLEEP)
    ended = await node.ok("delete")
    assert (ended.exit_status, ended.exited_at, ended.killed) == (None, None, False)


async def test_delete_of_no_container_is_not_found(node: Node) -> None:
    assert (await node.failure("delete"))[0] == "not_found"


async def test_a_kept_snapshot_outlives_containerds_garbage_collector(node: Node) -> None:
    await node.create(*SLEEP)
    await node.ok("delete", keep_snapshot=True)
    await asyncio.to_thread(node.ctr, "images", "rm", "--sync", BUSYBOX)  # collects now what nothing refers to
    assert "web.1" in node.ctr("snapshots", "ls")


async def test_a_snapshot_that_is_gone_already_is_no_hindrance(node: Node) -> None:
    await node.create(*SLEEP)
    await asyncio.to_thread(node.ctr, "snapshots", "rm", "web.1")
    await node.ok("delete")
    assert "web.1" not in node.ctr("containers", "ls", "-q")


async def test_a_record_is_never_removed_under_a_task(node: Node) -> None:
    await node.run(*SLEEP)
    with pytest.raises(CommandFailed) as failed:
        await node.runtime.containers.delete(node.ctr.namespace, "web.1")
    assert failed.value.code == "failed_precondition"
    assert "web.1" in node.ctr("snapshots", "ls")


# -- list, inspect, pids, version


async def test_list_joins_containers_and_their_tasks(node: Node) -> None:
    await node.run(*SLEEP, container="a.running")
    await node.create(*SLEEP, container="b.record")
    listed = (await node.ok("list", None)).containers
    assert [(one.id, one.task and one.task.status) for one in listed] == [("a.running", "running"), ("b.record", None)]
    assert {(one.node, one.namespace, one.image, one.spec) for one in listed} == {
        ("node", node.ctr.namespace, BUSYBOX, None)
    }


async def test_list_takes_containerds_filters(node: Node) -> None:
    await node.create(*SLEEP, container="a")
    await node.create(*SLEEP, container="b")
    listed = (await node.ok("list", None, filters=["id==b"])).containers
    assert [one.id for one in listed] == ["b"]


async def test_a_filter_that_containerd_cannot_read_is_an_invalid_argument(node: Node) -> None:
    outcome = await node("list", None, filters=["id=="])
    assert outcome.error is not None
    assert (outcome.error.code, bool(outcome.error.containerd)) == ("invalid_argument", True)


async def test_list_of_no_namespace_is_of_every_one(node: Node) -> None:
    with node.ctr.host.fresh_namespace() as other:
        create(other, "web.2", *SLEEP)
        await node.create(*SLEEP)
        listed = await node.runtime.containers.list(None)
    found = {(one.namespace, one.id) for one in listed}
    assert {(node.ctr.namespace, "web.1"), (other.namespace, "web.2")} <= found


async def test_a_namespace_with_a_dot_is_like_any_other(host: Containerd) -> None:
    name = f"a.{uuid4().hex}"
    ctr = host.namespace(name)
    try:
        async with ContainerdRuntime(host.address) as runtime:
            node = Node(runtime, ctr)
            await node.create(*SLEEP)
            await node.ok("start")
            assert [one.namespace for one in (await node.ok("list", None)).containers] == [name]
            await node.ok("delete", force=True)
    finally:
        ctr.remove()


async def test_inspect_shows_record_spec_task_and_processes(node: Node) -> None:
    await node.run(*SLEEP)
    result = await node.ok("inspect")
    container = result.container
    assert container.spec["process"]["args"] == ["sleep", "********"]
    assert container.created_at is not None
    assert container.runtime == "io.containerd.runc.v2"
    assert (container.snapshotter, container.snapshot_key) == ("overlayfs", "web.1")
    assert [process.pid for process in result.processes] == [container.task.pid]
    assert (container.task.status, container.task.exit_status, container.task.exited_at) == ("running", None, None)


async def test_inspect_of_a_stopped_task_has_its_exit(node: Node) -> None:
    await node.run("sh", "-c", "exit 3")
    await node.until(lambda: node.ctr.status("web.1") == "STOPPED")
    task = (await node.ok("inspect")).container.task
    assert (task.status, task.exit_status) == ("stopped", 3)
    assert task.exited_at is not None


async def test_pids_are_those_of_the_container(node: Node) -> None:
    await node.run("sh", "-c", "sleep 1000 & wait")
    await node.until(lambda: node.ctr("tasks", "ps", "web.1").count("\n") == 3)
    processes = (await node.ok("pids")).processes
    told = node.ctr("tasks", "ps", "web.1").splitlines()[1:]
    assert sorted(process.pid for process in processes) == sorted(int(line.split()[0]) for line in told)


async def test_version_is_containerds_own(node: Node) -> None:
    version = await node.ok("version", None)
    assert version.containerd.startswith(node.ctr.host.version)
    assert version.node == "node"


# -- the adapter itself


async def test_a_socket_without_containerd_is_unavailable(tmp_path: Any) -> None:
    async with ContainerdRuntime(tmp_path / "containerd.sock") as runtime:
        with pytest.raises(CommandFailed) as failed:
            await runtime.version()
    assert failed.value.code == "unavailable"


async def test_the_runtime_finds_containerd_again_after_a_restart(
    host: Containerd, containerd_factory: Callable[..., Containerd]
) -> None:
    own = containerd_factory(host.version)
    async with ContainerdRuntime(own.address) as runtime:
        await runtime.version()
        await asyncio.to_thread(own.restart)
        failures: list[str] = []

        async def answers() -> bool:
            try:
                await runtime.version()
            except CommandFailed as error:
                failures.append(error.code)
                return False
            return True

        await eventually(answers)
        assert set(failures) <= {"unavailable"}


async def test_every_command_that_changes_is_recorded_with_its_outcome(node: Node) -> None:
    await node.create(*SLEEP)
    await node.ok("start")
    await node.failure("start")
    await node.ok("inspect")
    await node.ok("delete", force=True)
    told = [(event.verb, event.outcome, event.options.get("force")) for event in node.recorded]
    assert told == [("start", "ok", None), ("start", "error", None), ("delete", "ok", True)]
