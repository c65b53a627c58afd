"""The daemon on a real containerd, through gaps: what the log says afterwards is what containerd lists."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge._pb.containerd.events_pb2 import TaskExit
from bridge.containerd.inventory import ContainerdInventory
from bridge.ports import Inventory
from tests.fix_bridge import Bridge, BridgeFactory, Stored, stored, until_stored
from tests.fix_containerd import ContainerdFactory
from tests.folded import disagreements, effective_exits, folded
from tests.integration.test_serve import ENDLESS, gapless, publish
from tests.testbed import BUSYBOX, Containerd, Ctr

CONTAINERS = 6


def listed(ctr: Ctr) -> Inventory:
    """What containerd lists now in the namespace of `ctr`."""

    async def take() -> Inventory:
        async with ContainerdInventory(ctr.host.address) as inventory:
            return await inventory.take([ctr.namespace])

    return asyncio.run(take())


def agreed(url: str, ctr: Ctr, *, within: float = 90) -> list[Stored]:
    """Read the log until it says what containerd lists, and no task has ended twice; return it."""
    deadline = time.monotonic() + within
    while True:
        messages = stored(url)
        bodies = [message.body for message in messages]
        wrong = disagreements(folded(bodies), listed(ctr))
        if not wrong:
            assert set(effective_exits(bodies).values()) <= {1}
            gapless(messages)
            return messages
        assert time.monotonic() < deadline, wrong
        time.sleep(0.05)


def until(url: str, condition: Callable[[list[Stored]], bool], subject: str = ">") -> list[Stored]:
    """Read the log again and again until it is as it should be; return it."""
    deadline = time.monotonic() + 90
    while not condition(messages := stored(url, subject)):
        assert time.monotonic() < deadline, messages[-20:]
        time.sleep(0.05)
    return messages


def repaired(url: str, ctr: Ctr, count: int) -> list[Stored]:
    """Wait for this many repairs in the log; then it says what containerd lists."""
    until(url, lambda found: [m.word for m in found].count("reconciled") >= count, "containerd.nodes.>")
    return agreed(url, ctr)


def of(messages: list[Stored], container: str, origin: str | None = None) -> list[str]:
    """The words of a container's events, those of one origin or all."""
    return [
        message.word
        for message in messages
        if message.event.get("subject") == container and origin in {None, message.event["origin"]}
    ]


def ends(messages: list[Stored]) -> dict[str, tuple[int | None, str | None]]:
    """How tasks ended and why nobody knows, by container."""
    return {
        message.event["subject"]: (message.data["exit_status"], message.data["reason"])
        for message in messages
        if message.word == "exit"
    }


def until_ready(host: Containerd, pid: int) -> None:
    """Wait until the program of a container has written its file `/ready`."""
    deadline = time.monotonic() + 90
    while host.run("test", "-s", f"/proc/{pid}/root/ready", check=False).returncode:
        assert time.monotonic() < deadline, f"process {pid} does not get ready"


class Setup:
    """A containerd that may be treated badly, a namespace in it, and the options of a bridge that follows it."""

    def __init__(self, host: Containerd, ctr: Ctr, url: str, state_dir: Path) -> None:
        self.host, self.ctr, self.url, self.state_dir = host, ctr, url, state_dir
        self.options = [
            *("--containerd", host.address, "--nats", url, "--node", "n1", "--state-dir", state_dir),
            *("--namespace", ctr.namespace),
        ]


@pytest.fixture
def setup(
    request: pytest.FixtureRequest, containerd_factory: ContainerdFactory, nats_url: str, tmp_path: Path
) -> Iterator[Setup]:
    """On containerd 2.1, or the generation that is the parameter."""
    host = containerd_factory(getattr(request, "param", "2.1"))
    with host.fresh_namespace() as ctr:
        yield Setup(host, ctr, nats_url, tmp_path / "state")


def follow(factory: BridgeFactory, setup: Setup) -> Bridge:
    bridge = factory(*setup.options)
    bridge.live()
    repaired(setup.url, setup.ctr, 1)
    return bridge


def test_what_was_there_before_the_first_start_is_in_the_log_with_its_status(
    bridge_factory: BridgeFactory, setup: Setup
) -> None:
    ctr = setup.ctr
    ctr("containers", "create", "--label", "app=shop", BUSYBOX, "record")
    ctr.run("running", *ENDLESS, options=("--label", "app=web"))
    ctr.run("paused", *ENDLESS)
    ctr("tasks", "pause", "paused")
    ctr.run("stopped", "sh", "-c", "exit 3")
    deadline = time.monotonic() + 90
    while ctr.status("stopped") != "STOPPED":
        assert time.monotonic() < deadline
    follow(bridge_factory, setup)
    messages = agreed(setup.url, ctr)
    assert of(messages, "record") == ["container-create"]
    assert of(messages, "running") == ["container-create", "create", "start"]
    assert of(messages, "paused") == ["container-create", "create", "start", "paused"]
    assert of(messages, "stopped") == ["container-create", "create", "exit"]
    assert ends(messages) == {"stopped": (3, None)}
    running = [message for message in messages if message.event.get("subject") == "running"]
    assert {message.data["labels"]["app"] for message in running} == {"web"}
    [repair] = [message.data for message in messages if message.word == "reconciled"]
    assert (repair["containers"], repair["told"], repair["lost"], repair["unsettled"]) == (4, 11, 0, 0)


def test_what_came_and_went_while_the_bridge_was_down_is_told_at_its_next_start(
    bridge_factory: BridgeFactory, setup: Setup
) -> None:
    ctr = setup.ctr
    for container in ("ends", "goes", "pauses", "changes"):
        ctr.run(container, *ENDLESS)
    bridge = follow(bridge_factory, setup)
    bridge.kill()
    ctr.kill("ends")
    ctr.delete("goes")
    ctr("tasks", "pause", "pauses")
    ctr("containers", "label", "changes", "app=shop")
    ctr.run("comes", *ENDLESS)
    ctr.run("unseen", "true")
    ctr.delete("unseen")
    before = len(stored(setup.url))
    bridge.start()
    messages = repaired(setup.url, ctr, 2)[before:]
    assert of(messages, "ends", "reconciled") == ["exit"]
    assert of(messages, "goes", "reconciled") == ["exit", "delete", "container-delete"]
    assert of(messages, "pauses", "reconciled") == ["paused"]
    assert of(messages, "changes", "reconciled") == ["container-update"]
    assert of(messages, "comes", "reconciled") == ["container-create", "create", "start"]
    assert of(messages, "unseen") == []
    assert ends(messages) == {"ends": (137, None), "goes": (None, "unseen")}
    words = [message.word for message in messages if message.subject.startswith("containerd.nodes.")]
    assert words.index("gap") < words.index("connected") < words.index("reconciled")
    [gap] = [message.data for message in messages if message.word == "gap"]
    assert gap["cause"] == "not-running"


@pytest.mark.parametrize("setup", ["2.1", "1.6"], indirect=True)
def test_tasks_that_end_while_containerd_is_down_end_once(bridge_factory: BridgeFactory, setup: Setup) -> None:
    """Fault 3.

    containerd 1.6 lists them as stopped, and their shims tell it again as soon as they get through. From 1.7 on containerd clears
    away at its start, without a word, every shim whose processes have all ended. What a shim does tell late, when there is
    nobody to hear it, is lost as well; so that all of it comes late here, it is told once more.
    """
    ctr, host, nats_url = setup.ctr, setup.host, setup.url
    stay = host.version == "1.6"
    for number in range(2 * CONTAINERS):
        ctr.run(f"c{number}", "sh", "-c", f"trap 'exit {number}' TERM; echo > /ready; while :; do sleep 0.05; done")
    bridge = follow(bridge_factory, setup)
    pids = {container: info.task.pid for (_, container), info in listed(ctr).containers.items() if info.task}
    for pid in pids.values():
        until_ready(host, pid)
    live = len(bridge.log)
    host.kill()
    lost = bridge.until_logged("lost containerd", after=live)
    meanwhile = [f"c{number}" for number in range(CONTAINERS)]
    for container in meanwhile:
        host.run("sh", "-c", f"kill -TERM {pids[container]}; while kill -0 {pids[container]}; do sleep 0.01; done")
    host.start()
    bridge.live(after=lost)
    messages = repaired(nats_url, ctr, 2)
    expected = {f"c{number}": (number, None) if stay else (None, "shim-lost") for number in range(CONTAINERS)}
    assert ends(messages) == expected
    for number in range(CONTAINERS, 2 * CONTAINERS):
        ctr.kill(f"c{number}", "SIGTERM")
    until(nats_url, lambda found: len(ends(found)) == 2 * CONTAINERS)
    for number, container in enumerate(meanwhile):
        late = TaskExit(container_id=container, id=container, pid=pids[container], exit_status=number)
        late.exited_at.GetCurrentTime()
        publish(ctr, "/tasks/exit", "containerd.events.TaskExit", late.SerializeToString())
    until(nats_url, lambda found: {m.event["subject"] for m in found if m.word == "anomaly"} == {*meanwhile})
    messages = agreed(nats_url, ctr)
    assert ends(messages) == expected | {f"c{number}": (number, None) for number in range(CONTAINERS, 2 * CONTAINERS)}
    late_exit = "second-exit" if stay else "late-exit"
    assert {message.data["reason"] for message in messages if message.word == "anomaly"} == {late_exit}
    states = folded(message.body for message in messages)
    for number, container in enumerate(meanwhile):
        assert states[ctr.namespace, container].exit_status == number
    first, second = [message.data for message in messages if message.word == "gap"]
    assert (first["cause"], second["cause"]) == ("first-start", "stream-ended")


def test_an_exec_that_ends_while_containerd_is_down_ends_once(bridge_factory: BridgeFactory, setup: Setup) -> None:
    ctr, host = setup.ctr, setup.host
    ctr.run("web.1", *ENDLESS)
    bridge = follow(bridge_factory, setup)
    shell = host.popen(
        "ctr", "--namespace", ctr.namespace, "tasks", "exec", "--exec-id", "e1", "web.1", "sleep", "1000"
    )
    try:
        messages = until_stored(setup.url, lambda m: m.word == "exec-started")
        live = len(bridge.log)
        host.kill()
    finally:
        shell.kill()
        shell.wait()
    [started] = [message for message in messages if message.word == "exec-started"]
    lost = bridge.until_logged("lost containerd", after=live)
    host.run("sh", "-c", f"kill -KILL {started.data['pid']}")
    host.start()
    bridge.live(after=lost)
    messages = repaired(setup.url, ctr, 2)
    assert "exec-exit" in of(messages, "web.1")
    states = folded(message.body for message in agreed(setup.url, ctr))
    assert states[ctr.namespace, "web.1"].execs == {}


def test_shims_that_die_while_containerd_is_down_are_named_as_such_and_nothing_runs_on_in_the_log(
    bridge_factory: BridgeFactory, setup: Setup
) -> None:
    """Fault 4: neither an event nor a task is left of them."""
    ctr, host = setup.ctr, setup.host
    for number in range(CONTAINERS):
        ctr.run(f"c{number}", *ENDLESS)
    bridge = follow(bridge_factory, setup)
    live = len(bridge.log)
    host.kill()
    lost = bridge.until_logged("lost containerd", after=live)
    assert host.kill_shims(ctr.namespace) == CONTAINERS
    host.start()
    bridge.live(after=lost)
    messages = repaired(setup.url, ctr, 2)
    assert ends(messages) == {f"c{number}": (None, "shim-lost") for number in range(CONTAINERS)}
    states = folded(message.body for message in messages)
    assert {(state.status, state.lost, state.exit_status) for state in states.values()} == {("none", True, None)}
    repair = [message.data for message in messages if message.word == "reconciled"][-1]
    assert repair["lost"] == CONTAINERS


def test_a_label_a_pause_and_an_exec_s_end_in_the_gap_are_told(bridge_factory: BridgeFactory, setup: Setup) -> None:
    ctr = setup.ctr
    ctr.run("web.1", *ENDLESS)
    bridge = follow(bridge_factory, setup)
    shell = setup.host.popen(
        "ctr", "--namespace", ctr.namespace, "tasks", "exec", "--exec-id", "e1", "web.1", "sleep", "1000"
    )
    try:
        until_stored(setup.url, lambda message: message.word == "exec-started")
        bridge.kill()
    finally:
        ctr("tasks", "kill", "--exec-id", "e1", "--signal", "SIGKILL", "web.1")
        shell.kill()
        shell.wait()
    ctr("tasks", "pause", "web.1")
    ctr("containers", "label", "web.1", "app=shop")
    bridge.start()
    messages = repaired(setup.url, ctr, 2)
    assert of(messages, "web.1", "reconciled")[3:] == ["container-update", "paused", "exec-exit"]
    [end] = [message.data for message in messages if message.word == "exec-exit"]
    assert (end["id"], end["exit_status"], end["reason"]) == ("e1", None, "unseen")


def test_after_another_boot_every_task_of_before_has_ended(bridge_factory: BridgeFactory, setup: Setup) -> None:
    """The note of another boot stands for the reboot; a task that is there all the same is another one."""
    setup.ctr.run("web.1", *ENDLESS)
    bridge = follow(bridge_factory, setup)
    note = setup.state_dir / "boot_id"
    this = note.read_text()
    bridge.kill()
    note.write_text("another\n")
    before = len(stored(setup.url))
    bridge.start()
    messages = repaired(setup.url, setup.ctr, 2)[before:]
    assert of(messages, "web.1") == ["exit", "delete", "create", "start"]
    assert ends(messages) == {"web.1": (None, "host-rebooted")}
    assert [message.data["cause"] for message in messages if message.word == "gap"] == ["rebooted"]
    deadline = time.monotonic() + 90
    while note.read_text() != this:  # once the repair is committed, and no earlier
        assert time.monotonic() < deadline
        time.sleep(0.01)
