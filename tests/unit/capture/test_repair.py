"""The repair, between a containerd in memory and a real recorder with its outbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.capture import reconcile
from bridge.capture import repair as repair_module
from bridge.capture.outbox import Outbox
from bridge.capture.recorder import Recorder
from bridge.capture.repair import Gap, Repair
from bridge.errors import SourceLost
from bridge.model.codec import decode
from bridge.model.envelope import Event, Recorded, Unrecognized
from bridge.model.events import HOST_REBOOTED, SHIM_LOST, UNSEEN, TaskExecExit, TaskExit
from bridge.model.node_events import NodeReconciled
from bridge.model.state import ContainerState
from bridge.model.subjects import Subjects
from bridge.ports import ContainerId, Entry, Inventory, Observed
from bridge.testing import MemoryContainerd, Program
from tests.folded import disagreements, effective_exits, folded

NAMESPACE = "default"
Action = Callable[[], None]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AGAIN_S", "TWICE_S", "FIRST_PAUSE_S", "LONGEST_PAUSE_S"):
        monkeypatch.setattr(repair_module, name, 0.001)


class Bridge:
    """The event path up to the outbox, of one containerd; it can be left and entered again."""

    def __init__(self, directory: Path, containerd: MemoryContainerd) -> None:
        self.containerd = containerd
        self.path = directory / "outbox.db"
        self.bodies: list[bytes] = []
        """What was committed in all runs."""
        self.takes = 0
        self.done_with: list[int] = []
        """How much was committed whenever a repair was said to be done."""
        self.while_listed: list[Action] = []
        """What happens after each list was made and before it is handed over; the last one again and again."""
        self.before_list: list[Action] = []
        """What happens before each list, as above."""

    async def take(
        self, namespaces: Collection[str] | None = None, *, execs_of: Collection[ContainerId] = ()
    ) -> Inventory:
        _next(self.before_list, self.takes)
        inventory = await self.containerd.inventory.take(namespaces, execs_of=execs_of)
        _next(self.while_listed, self.takes)
        self.takes += 1
        return inventory

    def done(self) -> None:
        self.done_with.append(len(self.bodies))

    @asynccontextmanager
    async def following(self, gap: Gap | None = None, **options: float) -> AsyncIterator[Repair]:
        """Follow containerd, and repair what the gap before left out."""
        async with self.recording() as recorder, self.repairing(recorder, gap or Gap(), **options) as repair:
            yield repair

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[Recorder]:
        failures: list[BaseException] = []

        def committed(entries: Sequence[Entry], _states: Sequence[ContainerState]) -> None:
            self.bodies += [entry.body for entry in entries]

        with Outbox(self.path) as outbox:
            recorder = Recorder(
                outbox,
                "n1",
                Subjects(),
                self.containerd.lookup,
                committed=committed,
                acknowledged=lambda: 0,
                failed=failures.append,
            )
            recorder.start()
            try:
                yield recorder
            finally:
                assert await asyncio.to_thread(recorder.stop, 10)
                assert failures == []

    @asynccontextmanager
    async def repairing(self, recorder: Recorder, gap: Gap, *, audit_s: float = 1000) -> AsyncIterator[Repair]:
        repair = Repair(self, recorder, audit_s=audit_s)
        async with self.containerd.source().subscribe(recorder.submit) as subscription:
            await subscription.probe()
            running = asyncio.create_task(repair.run(subscription, gap, self.done))
            try:
                yield repair
            finally:
                running.cancel()
                await asyncio.wait((running,))
                if not running.cancelled() and not isinstance(running.exception(), SourceLost):
                    running.result()

    @property
    def recorded(self) -> list[Recorded[Event] | Recorded[Unrecognized]]:
        return [decode(body) for body in self.bodies]

    def words(self, container: str, origin: str = "reconciled") -> list[str]:
        """The events of a container by their last word."""
        found = [one for one in self.recorded if one.container == container and one.origin == origin]
        return [one.data.word for one in found if not isinstance(one.data, Unrecognized)]

    @property
    def repairs(self) -> list[NodeReconciled]:
        return [one.data for one in self.recorded if isinstance(one.data, NodeReconciled)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(90):
            while not condition():
                await asyncio.sleep(0.001)

    async def repaired(self, count: int = 1) -> None:
        """Wait until this many repairs stand in the log, and check that it says what containerd lists."""
        await self.until(lambda: len(self.repairs) >= count)
        inventory = await self.containerd.inventory.take()
        await self.until(lambda: not disagreements(folded(self.bodies), inventory))
        assert set(effective_exits(self.bodies).values()) <= {1}


def _next(actions: list[Action], n: int) -> None:
    if actions:
        actions[min(n, len(actions) - 1)]()


@pytest.fixture
async def containerd() -> MemoryContainerd:
    return MemoryContainerd()


@pytest.fixture
async def bridge(containerd: MemoryContainerd, tmp_path: Path) -> Bridge:
    return Bridge(tmp_path, containerd)


async def every_status(containerd: MemoryContainerd, prefix: str) -> None:
    """A container in each status that there is."""
    containerd.add(NAMESPACE, f"{prefix}-none", labels={"app": "shop"})
    containerd.add(NAMESPACE, f"{prefix}-created")
    await containerd.runtime.tasks.create(NAMESPACE, f"{prefix}-created")
    for status in ("running", "paused", "stopped"):
        await containerd.run(NAMESPACE, f"{prefix}-{status}", labels={"app": status})
    await containerd.runtime.tasks.pause(NAMESPACE, f"{prefix}-paused")
    containerd.end(NAMESPACE, f"{prefix}-stopped", 3)


async def test_what_was_there_before_the_first_start_is_told(bridge: Bridge, containerd: MemoryContainerd) -> None:
    await every_status(containerd, "old")
    async with bridge.following() as repair:
        assert repair.pending
        await bridge.repaired()
        await bridge.until(lambda: repair.pending is None)
    [told] = bridge.repairs
    assert (told.containers, told.told, told.lost, told.unsettled, told.audit) == (5, 13, 0, 0, False)
    assert bridge.recorded[-1].data == told
    assert bridge.words("old-stopped") == ["container-create", "create", "exit"]


async def test_what_happened_while_nobody_was_subscribed_is_told(bridge: Bridge, containerd: MemoryContainerd) -> None:
    await every_status(containerd, "kept")
    await every_status(containerd, "gone")
    async with bridge.following():
        await bridge.repaired()
    containerd.end(NAMESPACE, "kept-running", 7)
    await containerd.runtime.tasks.resume(NAMESPACE, "kept-paused")
    containerd.label(NAMESPACE, "kept-none", {"app": "store"})
    await containerd.runtime.tasks.start(NAMESPACE, "kept-created")
    await containerd.runtime.tasks.delete(NAMESPACE, "kept-stopped")
    for status in ("none", "stopped", "running"):
        if status == "running":
            containerd.end(NAMESPACE, "gone-running", 9)
        if status != "none":
            await containerd.runtime.tasks.delete(NAMESPACE, f"gone-{status}")
        await containerd.runtime.containers.delete(NAMESPACE, f"gone-{status}")
    await every_status(containerd, "new")
    already = len(bridge.bodies)
    async with bridge.following() as repair:
        await bridge.repaired(2)
        assert repair.statistics().lost == 1
    del bridge.bodies[:already]
    assert bridge.words("kept-running") == ["exit"]
    assert bridge.words("kept-paused") == ["resumed"]
    assert bridge.words("kept-none") == ["container-update"]
    assert bridge.words("kept-created") == ["start"]
    assert bridge.words("kept-stopped") == ["delete"]
    assert bridge.words("gone-none") == ["container-delete"]
    assert bridge.words("gone-stopped") == ["delete", "container-delete"]
    assert bridge.words("gone-running") == ["exit", "delete", "container-delete"]
    assert bridge.words("gone-paused") == []
    [lost] = [one.data for one in bridge.recorded if isinstance(one.data, TaskExit) and one.data.exit_status is None]
    assert (lost.container_id, lost.reason) == ("gone-running", UNSEEN)


async def test_nothing_is_told_where_nothing_was_missed(bridge: Bridge, containerd: MemoryContainerd) -> None:
    await every_status(containerd, "c")
    async with bridge.following():
        await bridge.repaired()
    async with bridge.following():
        await bridge.repaired(2)
    assert bridge.repairs[1].told == 0


async def test_the_gap_says_why_nobody_knows(bridge: Bridge, containerd: MemoryContainerd) -> None:
    for container in ("a", "b"):
        await containerd.run(NAMESPACE, container)
    async with bridge.following():
        await bridge.repaired()
    containerd.containers[NAMESPACE, "a"].task = None
    async with bridge.following(Gap(unseen=SHIM_LOST)):
        await bridge.repaired(2)
    position = len(bridge.bodies)
    async with bridge.following(Gap(ended_before=position)):
        await bridge.repaired(3)
    ends = [one.data for one in bridge.recorded if isinstance(one.data, TaskExit)]
    assert [(end.container_id, end.reason) for end in ends] == [("a", SHIM_LOST), ("b", HOST_REBOOTED)]


async def test_execs_that_ended_unseen_are_told(bridge: Bridge, containerd: MemoryContainerd) -> None:
    async with bridge.following():
        await bridge.repaired()
        await containerd.run(NAMESPACE, "web")
        containerd.exec(NAMESPACE, "web", "stays")
        containerd.exec(NAMESPACE, "web", "ends")
        await bridge.until(lambda: bridge.words("web", "live").count("exec-started") == 2)
    await containerd.runtime.tasks.kill(NAMESPACE, "web", 9, exec_id="ends")
    async with bridge.following():
        await bridge.repaired(2)
    ends = [one.data for one in bridge.recorded if isinstance(one.data, TaskExecExit)]
    assert [(end.id, end.exit_status, end.reason) for end in ends] == [("ends", None, UNSEEN)]


# -- while things move


async def test_what_the_stream_tells_meanwhile_is_not_repaired_from_an_older_list(
    bridge: Bridge, containerd: MemoryContainerd
) -> None:
    await containerd.run(NAMESPACE, "web")
    async with bridge.following():
        await bridge.repaired()
    bridge.takes = 0
    bridge.while_listed = [lambda: containerd.end(NAMESPACE, "web", 5), lambda: None]
    already = len(bridge.bodies)
    async with bridge.following() as repair:
        await bridge.repaired(2)
        assert repair.statistics().unsettled == 0
    del bridge.bodies[:already]
    assert bridge.takes == 2
    assert bridge.words("web") == []
    assert bridge.words("web", "live") == ["exit"]


async def test_what_never_stands_still_is_left_to_the_audit(
    bridge: Bridge, containerd: MemoryContainerd, caplog: pytest.LogCaptureFixture
) -> None:
    containerd.add(NAMESPACE, "web")
    async with bridge.following():
        await bridge.repaired()
    bridge.takes = 0
    bridge.while_listed = [lambda: containerd.label(NAMESPACE, "web", {"n": str(bridge.takes)})]
    async with bridge.following(audit_s=0.001) as repair:
        await bridge.until(lambda: len(bridge.repairs) == 2)
        assert bridge.takes >= repair_module.LOOKS
        assert bridge.repairs[1].unsettled == 1
        assert "never stood still" in caplog.text
        bridge.while_listed = []
        await bridge.until(lambda: repair.statistics().audited_at is not None)
        await bridge.repaired(2)
        await bridge.until(lambda: repair.statistics().unsettled == 0)
        assert repair.statistics().divergences == 0
    assert "reconciled" not in {one.origin for one in bridge.recorded if one.data.word == "container-update"}  # type: ignore[union-attr]


# -- while nothing should differ


def silently(containerd: MemoryContainerd, action: Action) -> None:
    """Let something happen that containerd never tells."""
    containerd.exchange.silent = True
    action()
    containerd.exchange.silent = False


async def test_what_was_never_told_while_live_is_counted_named_and_repaired(
    bridge: Bridge, containerd: MemoryContainerd, caplog: pytest.LogCaptureFixture
) -> None:
    await containerd.run(NAMESPACE, "web")
    async with bridge.following(audit_s=0.001) as repair:
        await bridge.repaired()
        await bridge.until(lambda: repair.statistics().audited_at is not None)
        assert repair.statistics().divergences == 0
        silently(containerd, lambda: containerd.end(NAMESPACE, "web", 5))
        await bridge.repaired(2)
        await bridge.until(lambda: repair.statistics().divergences == 1)
    told = bridge.repairs[1]
    assert (told.audit, told.told, told.lost) == (True, 1, 0)
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.getMessage() == (
        f"containerd never told what became of web in {NAMESPACE}: the log said running, process 1001, "
        "containerd lists stopped; told now: exit"
    )


async def test_what_containerd_had_no_time_to_say_is_told_later_and_is_no_divergence(
    bridge: Bridge, containerd: MemoryContainerd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(containerd.lookup, "describe", lambda _: {})
    async with bridge.following(audit_s=0.001) as repair:
        await bridge.repaired()
        containerd.add(NAMESPACE, "web", labels={"app": "shop"})
        await bridge.repaired(2)
        assert repair.statistics().divergences == 0
    assert bridge.words("web", "reconciled") == ["container-update"]
    assert "never told" not in caplog.text


async def test_what_is_only_under_way_is_no_divergence(bridge: Bridge, containerd: MemoryContainerd) -> None:
    await containerd.run(NAMESPACE, "web")
    async with bridge.following(audit_s=0.1) as repair:
        await bridge.repaired()
        bridge.takes = 0

        def begin() -> None:
            containerd.exchange.swap()  # holds the event until the next one comes
            containerd.end(NAMESPACE, "web", 5)

        bridge.before_list = [begin, lambda: containerd.add(NAMESPACE, "other"), lambda: None]
        await bridge.until(lambda: bridge.takes >= 4)
        assert repair.statistics().divergences == 0
    assert bridge.words("web", "live") == ["exit"]
    assert len(bridge.repairs) == 1


# -- while containerd does not list


async def test_a_gap_stays_open_until_containerd_lists(
    bridge: Bridge, containerd: MemoryContainerd, caplog: pytest.LogCaptureFixture
) -> None:
    await containerd.run(NAMESPACE, "web")
    containerd.inventory.failing = "it is busy"
    async with bridge.following() as repair:
        await bridge.until(lambda: repair.statistics().failures > 3)
        assert repair.pending == "cannot list the namespaces: it is busy"
        assert bridge.repairs == []
        containerd.inventory.failing = ""
        await bridge.repaired()
        await bridge.until(lambda: repair.pending is None)
    assert [record.levelno for record in caplog.records if "stays open" in record.getMessage()] == [logging.WARNING]


async def test_an_audit_that_cannot_list_is_left_out(bridge: Bridge, containerd: MemoryContainerd) -> None:
    async with bridge.following(audit_s=0.001) as repair:
        await bridge.repaired()
        containerd.inventory.failing = "it is busy"
        await bridge.until(lambda: repair.statistics().failures > 1)
        assert repair.pending is None
        containerd.inventory.failing = ""
        before = repair.statistics().audited_at or 0
        await bridge.until(lambda: (repair.statistics().audited_at or 0) > before)


async def test_a_comparison_that_fails_ends_neither_recorder_nor_repair(
    bridge: Bridge, containerd: MemoryContainerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    await containerd.run(NAMESPACE, "web")
    real = reconcile.differences
    failing = ["once", "twice"]

    def differences(*args: object, **options: object) -> object:
        if failing:
            raise KeyError(failing.pop())
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(repair_module, "differences", differences)
    async with bridge.following() as repair:
        await bridge.repaired()
        assert repair.statistics().failures == 2


async def test_a_subscription_that_ends_meanwhile_ends_the_repair(bridge: Bridge, containerd: MemoryContainerd) -> None:
    async with bridge.recording() as recorder:
        repair = Repair(bridge, recorder)
        async with containerd.source(probe_timeout_s=0.01).subscribe(recorder.submit) as subscription:

            def fall_silent() -> None:
                containerd.exchange.silent = True

            bridge.while_listed = [fall_silent]
            with pytest.raises(SourceLost, match="a probe did not come back"):
                await repair.run(subscription, Gap(), bridge.done)
        assert repair.pending
        assert bridge.done_with == []


async def test_a_repair_is_done_when_all_of_it_is_committed(bridge: Bridge, containerd: MemoryContainerd) -> None:
    for number in range(20):
        await containerd.run(NAMESPACE, f"c{number}")
    async with bridge.following():
        await bridge.until(lambda: bool(bridge.done_with))
        [committed] = bridge.done_with
    told = [one for one in bridge.recorded[:committed] if isinstance(one.data, NodeReconciled)]
    assert [one.told for one in bridge.repairs] == [
        one.data.told for one in told if isinstance(one.data, NodeReconciled)
    ]
    assert bridge.repairs


async def test_a_gap_that_was_not_repaired_is_repaired_with_the_next_one(
    bridge: Bridge, containerd: MemoryContainerd
) -> None:
    await containerd.run(NAMESPACE, "web")
    async with bridge.following():
        await bridge.repaired()
    position = len(bridge.bodies)
    async with bridge.recording() as recorder:
        repair = Repair(bridge, recorder)
        containerd.inventory.failing = "it is busy"
        async with containerd.source().subscribe(recorder.submit) as subscription:
            first = asyncio.create_task(repair.run(subscription, Gap(ended_before=position), bridge.done))
            await bridge.until(lambda: repair.statistics().failures > 0)
            first.cancel()
            await asyncio.wait((first,))
            containerd.inventory.failing = ""
            second = asyncio.create_task(repair.run(subscription, Gap(unseen=SHIM_LOST), bridge.done))
            assert len(bridge.done_with) == 1
            await bridge.repaired(2)
            await bridge.until(lambda: len(bridge.done_with) == 2)
            second.cancel()
            await asyncio.wait((second,))
    [end] = [one.data for one in bridge.recorded if isinstance(one.data, TaskExit)]
    assert end.reason == HOST_REBOOTED


async def test_late_truths_make_no_second_exit(bridge: Bridge, containerd: MemoryContainerd) -> None:
    await containerd.run(NAMESPACE, "seen")
    await containerd.run(NAMESPACE, "lost", Program())
    async with bridge.following():
        await bridge.repaired()
    exits: list[Observed] = []
    heard = containerd.source().subscribe(exits.append)
    async with heard as witness:
        containerd.end(NAMESPACE, "seen", 3)
        containerd.end(NAMESPACE, "lost", 4)
        await witness.probe()
    containerd.containers[NAMESPACE, "lost"].task = None
    async with bridge.following():
        await bridge.repaired(2)
        for one in exits:
            containerd.emit(one.event, namespace=one.namespace, container=one.container, time=one.time)
        await bridge.until(lambda: bridge.words("lost", "live").count("anomaly") == 1)
        await bridge.repaired(2)
    states = folded(bridge.bodies)
    assert bridge.words("seen", "live") == ["anomaly"]
    assert (states[NAMESPACE, "lost"].exit_status, states[NAMESPACE, "lost"].lost) == (4, False)
    assert states[NAMESPACE, "seen"].exit_status == 3
