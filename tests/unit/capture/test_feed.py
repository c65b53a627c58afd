"""The feed keeps a subscription, proves it, and says in the log when there was none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from bridge.capture import feed as feed_module
from bridge.capture import handover as handover_module
from bridge.capture.boot import Boot
from bridge.capture.feed import Feed
from bridge.capture.handover import Handover, Inherited
from bridge.capture.repair import Gap
from bridge.errors import SourceLost
from bridge.model.envelope import Event
from bridge.model.events import SHIM_LOST, UNSEEN, TaskStart
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import NodeConnected, NodeDisconnected, NodeGap, NodeHeartbeat
from bridge.ports import Deliver, Observed, RuntimeVersion, Subscription


class StubbornSource:
    """A source that fails as often as it is told, and whose subscriptions end when they are told to."""

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.probe_failures: list[str] = []
        self.run: str | None = None
        self.subscriptions = 0
        self.open = 0
        self.asked = self.answered = Nanos(0)
        self.deliver: Deliver | None = None
        self._lost: asyncio.Future[SourceLost] | None = None

    async def version(self) -> RuntimeVersion:
        if self.refusals:
            raise SourceLost(self.refusals.pop(0))
        return RuntimeVersion("2.1.9", "abc")

    async def instance(self) -> str | None:
        return self.run

    @asynccontextmanager
    async def subscribe(self, deliver: Deliver) -> AsyncIterator[StubbornSource]:
        self.subscriptions += 1
        self.open += 1
        self.deliver = deliver
        self._lost = asyncio.get_running_loop().create_future()
        try:
            yield self
        finally:
            self.open -= 1

    async def probe(self) -> int:
        self.asked = now()
        await asyncio.sleep(0)
        if self.probe_failures:
            raise SourceLost(self.probe_failures.pop(0))
        self.answered = now()
        return 1234

    async def ended(self) -> SourceLost:
        assert self._lost is not None
        return await asyncio.shield(self._lost)

    def lose(self, reason: str) -> None:
        assert self._lost is not None
        self._lost.set_result(SourceLost(reason))


class Notes:
    """What the feed hands to the recorder."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.proven: Nanos | None = None
        self.refusal: str | None = None
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def prove(self, moment: Nanos) -> None:
        self.proven = moment
        self.events_before_proof = len(self.events)

    def submit(self, observed: Observed) -> None:
        self.events.append(observed.event)
        task = asyncio.get_running_loop().create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(90), self._news:
            await self._news.wait_for(condition)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


class Mender:
    """Mends nothing, and remembers what it should have."""

    def __init__(self) -> None:
        self.gaps: list[Gap] = []
        self.repaired: Callable[[], None] | None = None
        self.under_way = 0
        self.failure: asyncio.Future[SourceLost] | None = None

    async def run(self, subscription: Subscription, gap: Gap, repaired: Callable[[], None]) -> NoReturn:
        self.gaps.append(gap)
        self.repaired = repaired
        self.under_way += 1
        self.failure = asyncio.get_running_loop().create_future()
        try:
            raise await self.failure
        finally:
            self.under_way -= 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(feed_module, "LONGEST_PAUSE_S", 0.002)
    monkeypatch.setattr(feed_module, "CHECK_S", 0.001)


@asynccontextmanager
async def feeding(
    source: StubbornSource,
    notes: Notes,
    *,
    mending: Mender | None = None,
    heartbeat_s: float = 60,
    proven: Nanos | None = None,
    **more: Any,
) -> AsyncIterator[Feed]:
    mending = mending or Mender()
    feed = Feed(source, notes, mending, heartbeat_s=heartbeat_s, proven=proven, **more)  # type: ignore[arg-type]
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        task.cancel()
        await asyncio.wait((task,))
        assert source.open == 0


async def test_nothing_is_called_live_before_a_probe_came_back() -> None:
    source, notes = StubbornSource(), Notes()
    source.probe_failures = ["no echo", "no echo"]
    async with feeding(source, notes) as feed:
        await notes.until(lambda: bool(notes.of(NodeConnected)))
        assert feed.live.is_set()
    assert source.subscriptions == 3
    assert [type(event) for event in notes.events] == [NodeGap, NodeConnected]


async def test_the_first_gap_has_no_beginning() -> None:
    source, notes = StubbornSource(), Notes()
    async with feeding(source, notes):
        await notes.until(lambda: bool(notes.of(NodeConnected)))
    gap = notes.events[0]
    assert isinstance(gap, NodeGap)
    assert (gap.since, gap.reason) == (None, "first start")


async def test_after_a_restart_the_gap_begins_where_the_last_run_had_its_last_proof() -> None:
    source, notes = StubbornSource(), Notes()
    async with feeding(source, notes, proven=Nanos(42)):
        await notes.until(lambda: bool(notes.of(NodeConnected)))
    gap = notes.events[0]
    assert isinstance(gap, NodeGap)
    assert (gap.since, gap.reason) == (42, "the bridge was not running")


async def test_a_clock_that_stepped_back_makes_no_gap_that_ends_before_it_begins() -> None:
    source, notes = StubbornSource(), Notes()
    async with feeding(source, notes, proven=Nanos(2**62)):
        await notes.until(lambda: bool(notes.of(NodeConnected)))
    gap = notes.events[0]
    assert isinstance(gap, NodeGap)
    assert gap.since is not None
    assert gap.since <= gap.until < 2**62


async def test_a_gap_reaches_to_where_the_first_probe_came_back() -> None:
    """Until then the subscription may not have begun, and what was published before that is lost."""
    source, notes = StubbornSource(), Notes()
    async with feeding(source, notes):
        await notes.until(lambda: bool(notes.of(NodeConnected)))
    gap = notes.events[0]
    assert isinstance(gap, NodeGap)
    assert source.asked < source.answered <= gap.until
    assert notes.proven is not None
    assert notes.proven <= source.asked


async def test_the_proof_is_written_down_behind_the_gap_that_it_ends() -> None:
    source, notes = StubbornSource(), Notes()
    async with feeding(source, notes):
        await notes.until(lambda: bool(notes.of(NodeConnected)))
    assert notes.events_before_proof == 2
    assert isinstance(notes.events[0], NodeGap)
    assert notes.proven is not None
    assert notes.proven <= notes.events[0].until


async def test_every_end_of_a_subscription_is_one_gap_with_its_reason() -> None:
    source, notes = StubbornSource(), Notes()
    async with feeding(source, notes) as feed:
        await notes.until(lambda: len(notes.of(NodeConnected)) == 1)
        proven = notes.proven
        source.refusals = ["still away"] * 3
        source.lose("stream removed")
        await notes.until(lambda: len(notes.of(NodeConnected)) == 2)
        assert feed.statistics().gaps == {"first-start": 1, "stream-ended": 1}
    assert [type(event) for event in notes.events[2:]] == [NodeDisconnected, NodeGap, NodeConnected]
    lost, gap = notes.events[2:4]
    assert isinstance(lost, NodeDisconnected)
    assert isinstance(gap, NodeGap)
    assert lost.reason == gap.reason == "stream removed"
    assert gap.since == proven
    assert gap.since is not None
    assert gap.since <= gap.until


async def test_heartbeats_move_the_proof_forward() -> None:
    source, notes = StubbornSource(), Notes()
    async with feeding(source, notes, heartbeat_s=0.001) as feed:
        await notes.until(lambda: len(notes.of(NodeHeartbeat)) >= 2)
        assert feed.probe_ns == 1234
        assert notes.proven is not None
        first = notes.of(NodeConnected)[0]
        assert notes.events.index(first) < notes.events.index(notes.of(NodeHeartbeat)[0])


async def test_a_heartbeat_that_does_not_come_back_ends_a_subscription_that_looks_alive() -> None:
    source, notes = StubbornSource(), Notes()
    async with feeding(source, notes, heartbeat_s=0.001):
        await notes.until(lambda: bool(notes.of(NodeHeartbeat)))
        source.probe_failures = ["no echo within 5 s"]
        await notes.until(lambda: len(notes.of(NodeConnected)) == 2)
    lost = notes.of(NodeDisconnected)[0]
    assert isinstance(lost, NodeDisconnected)
    assert lost.reason == "no echo within 5 s"


async def test_a_disk_that_does_not_keep_up_costs_a_gap_and_not_memory() -> None:
    source, notes = StubbornSource(), Notes()
    async with feeding(source, notes):
        await notes.until(lambda: bool(notes.of(NodeConnected)))
        notes.refusal = "100001 events wait to be written down: the disk does not keep up"
        await notes.until(lambda: bool(notes.of(NodeDisconnected)))
        assert source.open == 0
        subscriptions = source.subscriptions
        notes.refusal = None
        await notes.until(lambda: len(notes.of(NodeConnected)) == 2)
        assert source.subscriptions == subscriptions + 1
    gap = notes.of(NodeGap)[-1]
    assert isinstance(gap, NodeGap)
    assert "the disk does not keep up" in gap.reason
    assert gap.cause == "no-room"


def booted(directory: Path, name: str | None, *, log: str = "u", last_n: int = 7) -> Boot:
    boot = Boot(directory / "boot_id", name, log=log, last_n=last_n)
    boot.begin()
    return boot


async def causes(
    boot: Boot, proven: Nanos | None, *, repair: bool = True, **more: Any
) -> tuple[list[str | None], list[Gap]]:
    """The causes of the first gap of a run and of the one after its subscription was lost, and what they meant."""
    source, notes, mending = StubbornSource(), Notes(), Mender()
    async with feeding(source, notes, mending=mending, proven=proven, boot=boot, **more):
        for count in (1, 2):
            await notes.until(lambda count=count: len(notes.of(NodeConnected)) == count)  # type: ignore[misc]
            while len(mending.gaps) < count:
                await asyncio.sleep(0)
            assert mending.repaired is not None
            if repair:
                mending.repaired()
            if count == 1:
                source.lose("stream removed")
    return [event.cause for event in notes.events if isinstance(event, NodeGap)], mending.gaps


async def test_a_gap_says_its_cause_and_what_it_means_for_the_tasks_of_before(tmp_path: Path) -> None:
    assert await causes(booted(tmp_path, "a"), None) == (["first-start", "stream-ended"], [Gap(), Gap()])
    assert await causes(booted(tmp_path, "a"), Nanos(1)) == (["not-running", "stream-ended"], [Gap(), Gap()])
    after = Gap(unseen=UNSEEN, ended_before=7)
    assert await causes(booted(tmp_path, "b"), Nanos(1)) == (["rebooted", "stream-ended"], [after, Gap()])
    assert await causes(booted(tmp_path, "b"), Nanos(1)) == (["not-running", "stream-ended"], [Gap(), Gap()])


async def test_a_reboot_is_known_until_what_it_left_is_in_the_log(tmp_path: Path) -> None:
    """However many runs end before that. What they record themselves is of the new boot already."""
    booted(tmp_path, "a").keep()
    after = Gap(ended_before=7)
    for last_n in (7, 9, 11):
        boot = booted(tmp_path, "b", last_n=last_n)
        found = await causes(boot, Nanos(1), repair=False)
        assert found == (["rebooted", "stream-ended"], [after, after])
    boot = booted(tmp_path, "c", last_n=20)
    assert await causes(boot, Nanos(1)) == (["rebooted", "stream-ended"], [Gap(ended_before=20), Gap()])
    assert booted(tmp_path, "c", last_n=22).ended_before is None


async def test_a_new_outbox_counts_from_its_own_beginning(tmp_path: Path) -> None:
    booted(tmp_path, "a").keep()
    assert booted(tmp_path, "b", log="u", last_n=500).ended_before == 500
    assert booted(tmp_path, "b", log="v", last_n=0).ended_before == 0
    assert booted(tmp_path, "b", log="v", last_n=30).ended_before == 0


async def test_a_reboot_and_a_damaged_outbox_are_both_told(tmp_path: Path) -> None:
    booted(tmp_path, "a").keep()
    source, notes, mending = StubbornSource(), Notes(), Mender()
    boot = booted(tmp_path, "b", log="new", last_n=0)
    async with feeding(source, notes, mending=mending, proven=Nanos(1), boot=boot, damage="the file is no database"):
        await notes.until(lambda: bool(notes.of(NodeConnected)))
        await asyncio.sleep(0)
    gap = notes.events[0]
    assert isinstance(gap, NodeGap)
    assert gap.cause == "outbox-lost"
    assert "the file is no database" in gap.reason
    assert "rebooted" in gap.reason
    assert mending.gaps == [Gap(ended_before=0)]


@pytest.mark.parametrize(
    ("before", "after", "unseen"),
    [("1", "2", SHIM_LOST), ("1", "1", UNSEEN), (None, "2", UNSEEN), ("1", None, UNSEEN), (None, None, UNSEEN)],
)
async def test_shims_are_called_lost_only_where_containerd_is_known_to_be_another(
    before: str | None, after: str | None, unseen: str
) -> None:
    """A bridge that was suspended, or a probe that did not come back in time, loses none."""
    source, notes, mending = StubbornSource(), Notes(), Mender()
    source.run = before
    async with feeding(source, notes, mending=mending):
        await notes.until(lambda: len(notes.of(NodeConnected)) == 1)
        source.run = after
        source.lose("a probe did not come back within 5 s")
        await notes.until(lambda: len(notes.of(NodeConnected)) == 2)
        await asyncio.sleep(0)
    assert mending.gaps == [Gap(), Gap(unseen=unseen)]


async def test_a_lost_outbox_is_a_cause_of_its_own() -> None:
    source, notes = StubbornSource(), Notes()
    async with feeding(source, notes, proven=Nanos(1), damage="the file is no database"):
        await notes.until(lambda: bool(notes.of(NodeConnected)))
    gap = notes.events[0]
    assert isinstance(gap, NodeGap)
    assert gap.cause == "outbox-lost"
    assert "the file is no database" in gap.reason


async def test_a_boot_is_noted_when_its_repair_is_committed_and_no_earlier(tmp_path: Path) -> None:
    source, notes, mending = StubbornSource(), Notes(), Mender()
    async with feeding(source, notes, mending=mending, boot=booted(tmp_path, "a")):
        await notes.until(lambda: len(notes.of(NodeConnected)) == 1)
        while mending.repaired is None:
            await asyncio.sleep(0)
        assert not (tmp_path / "boot_id").exists()
        mending.repaired()
        assert (tmp_path / "boot_id").read_text() == "a\n"


def test_a_kernel_without_boots_has_never_another_one(tmp_path: Path) -> None:
    booted(tmp_path, "a").keep()
    assert booted(tmp_path, "a").ended_before is None
    assert booted(tmp_path, "b").ended_before == 7
    boot = booted(tmp_path, None)
    boot.keep()
    assert boot.ended_before is None
    assert (tmp_path / "boot_id").read_text() == "a\nb u 7\n"


@pytest.mark.parametrize("text", ["", "a", "a\n", "a\nhalf", "a\nb u x\n", "a\nb u 7 8\n"])
def test_a_note_that_is_not_whole_is_read_as_far_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "boot_id").write_text(text)
    assert booted(tmp_path, "b", last_n=9).ended_before == (9 if text else None)


async def test_mending_goes_with_its_subscription_and_may_end_it() -> None:
    source, notes, mending = StubbornSource(), Notes(), Mender()
    async with feeding(source, notes, mending=mending):
        await notes.until(lambda: len(notes.of(NodeConnected)) == 1)
        source.lose("stream removed")
        await notes.until(lambda: len(notes.of(NodeConnected)) == 2)
        await asyncio.sleep(0)
        assert mending.under_way == 1
        assert mending.failure is not None
        mending.failure.set_result(SourceLost("a probe did not come back"))
        await notes.until(lambda: len(notes.of(NodeConnected)) == 3)
    assert mending.under_way == 0
    lost = notes.of(NodeDisconnected)[-1]
    assert isinstance(lost, NodeDisconnected)
    assert lost.reason == "a probe did not come back"


# -- what was taken over from another bridge


class Heir:
    """A successor between its predecessor's stop and its own first event: its source, what it records, and its feed."""

    def __init__(self, state: Path) -> None:
        self.source, self.notes = StubbornSource(), Notes()
        self.handover = Handover(state, leave=lambda _why: None)
        self._state = state

    async def inherit(self) -> Inherited:
        """Follow, as `Handover.ask` has it, and have the cut at the first probe, as the former bridge wrote it down."""
        self.handover._kept = []
        closing = AsyncExitStack()
        subscription = await closing.enter_async_context(self.source.subscribe(self.handover.deliver))
        self.handover.probed("01NAME/1", mine=True)
        (self._state / "handed-over").write_text("01NAME/1")
        inherited = self.handover.inherit(subscription, closing)
        assert inherited is not None
        self.handover.begin(self.notes.submit)
        return inherited

    def feeding(self, inherited: Inherited, **more: Any) -> AbstractAsyncContextManager[Feed]:
        more = {"proven": Nanos(7), **more}
        return feeding(self.source, self.notes, handover=self.handover, inherited=inherited, **more)

    def start(self, pid: int) -> TaskStart:
        """Have containerd send an event."""
        event = TaskStart(container_id="web", pid=pid)
        assert self.source.deliver is not None
        self.source.deliver(
            Observed(event=event, namespace="default", container="web", time=Nanos(pid), recorded=Nanos(pid))
        )
        return event


@pytest.fixture
def heir(tmp_path: Path) -> Heir:
    return Heir(tmp_path)


async def test_what_was_taken_over_goes_on_without_a_gap(heir: Heir) -> None:
    inherited = await heir.inherit()
    kept = heir.start(1)
    async with heir.feeding(inherited):
        await heir.notes.until(lambda: kept in heir.notes.events)
        later = heir.start(2)
        assert [type(event) for event in heir.notes.events] == [NodeConnected, TaskStart, TaskStart]
        assert heir.notes.events[1:] == [kept, later]


async def told_after(heir: Heir, inherited: Inherited, **more: Any) -> NodeGap:
    """The gap of an ordinary start, behind which everything is recorded and nothing of what was kept."""
    async with heir.feeding(inherited, heartbeat_s=0.001, **more):
        await heir.notes.until(lambda: bool(heir.notes.of(NodeHeartbeat)))
        assert heir.source.subscriptions == 2
        assert heir.notes.of(TaskStart) == []
        after = heir.start(3)
        assert heir.notes.of(TaskStart) == [after]
    gap, connected = heir.notes.events[:2]
    assert isinstance(gap, NodeGap)
    assert isinstance(connected, NodeConnected)
    return gap


async def test_a_subscription_that_is_lost_before_it_is_released_is_a_gap_and_no_more(heir: Heir) -> None:
    inherited = await heir.inherit()
    heir.start(1)
    heir.source.probe_failures = ["containerd was restarted"]
    gap = await told_after(heir, inherited)
    assert (gap.since, gap.cause) == (7, "not-running")
    assert gap.reason == "the bridge was not running, and what it had taken over was lost: containerd was restarted"


async def test_more_than_could_be_kept_until_the_release_is_a_gap(heir: Heir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover_module, "ROOM", 2)
    inherited = await heir.inherit()
    for pid in (1, 2, 3):
        heir.start(pid)
    gap = await told_after(heir, inherited)
    assert (gap.since, gap.cause) == (7, "not-running")
    assert "more than 2 events came" in gap.reason


async def test_a_damaged_outbox_is_told_after_a_handover_too(heir: Heir) -> None:
    gap = await told_after(heir, await heir.inherit(), damage="the file is no database")
    assert gap.cause == "outbox-lost"
    assert gap.reason == "the outbox was damaged (the file is no database) and a new one began"
