"""A log that went back gets again what it lost, in order and once, as far as the outbox keeps it; the rest is said."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from bridge.capture import delivery as delivery_module
from bridge.capture.delivery import Delivery
from bridge.capture.outbox import Outbox
from bridge.capture.outbox_reader import OutboxReader
from bridge.capture.room import Limits
from bridge.errors import LogConflict
from bridge.model.codec import decode, encode
from bridge.model.envelope import Position
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import NodeGap
from bridge.testing import MemoryLog
from tests.integration.jetstream_entries import entries


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(delivery_module, "LONGEST_PAUSE_S", 0.002)
    monkeypatch.setattr(delivery_module, "SURE_S", 0.0)


@pytest.fixture(params=["in one order", "order of containers"])
def log(request: pytest.FixtureRequest) -> MemoryLog:
    return MemoryLog(in_one_order=request.param == "in one order")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Host:
    """An outbox, and delivery from it."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.outbox = Outbox(path, Limits(retention_s=60), clock=self.clock)
        self.gaps: list[NodeGap] = []

    def commit(self, count: int, *, acknowledged: int = 0) -> None:
        fresh = entries(count, first=self.outbox.last_n + 1, containers=3, log=self.outbox.log)
        self.outbox.commit(fresh, [], acknowledged, None)

    def delivery(self, log: MemoryLog, reader: OutboxReader) -> Delivery:
        delivery = Delivery(
            log,
            reader,
            node="n1",
            outbox_log=self.outbox.log,
            acknowledged=self.outbox.acknowledged,
            last_n=self.outbox.last_n,
            acknowledged_at=self.outbox.acknowledged_at,
        )
        delivery.tell_gaps(self.gaps.append)
        return delivery

    @asynccontextmanager
    async def delivering(self, log: MemoryLog) -> AsyncIterator[Delivery]:
        reader = OutboxReader(self.outbox.path)
        delivery = self.delivery(log, reader)
        await delivery.resume()
        task = asyncio.create_task(delivery.run())
        try:
            await asyncio.wait_for(delivery.settled(), 90)
            yield delivery
            await asyncio.wait_for(delivery.settled(), 90)
        finally:
            task.cancel()
            await asyncio.wait((task,))
            reader.close()

    async def deliver(self, log: MemoryLog) -> None:
        async with self.delivering(log) as delivery:
            position = delivery.position
        self.outbox.commit([], [], position, None)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path / "outbox.db")
    host.outbox.open()
    return host


def judge(log: MemoryLog, *, first: int = 1, last: int) -> None:
    """Each container's events are there once and in order, from `first` to `last`."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for message in log.messages:
        numbers[message.subject].append(Position.parse(decode(message.body).position or "").n)
    for found in numbers.values():
        assert found == sorted(set(found))
    assert sorted(n for found in numbers.values() for n in found) == list(range(first, last + 1))


@pytest.mark.parametrize("lost", [1, 7, 40, 100])
async def test_between_two_runs(host: Host, log: MemoryLog, lost: int) -> None:
    host.commit(100)
    await host.deliver(log)
    log.go_back(lost)
    host.commit(5, acknowledged=100)
    await host.deliver(log)
    judge(log, last=105)
    assert host.gaps == []


async def test_while_it_runs(host: Host, log: MemoryLog) -> None:
    host.commit(100)
    async with host.delivering(log) as delivery:
        log.go_back(30)
        fresh = entries(3, first=101, containers=3, log=host.outbox.log)
        host.outbox.commit(fresh, [], 100, None)
        delivery.committed(fresh)
    assert delivery.statistics().replayed == 30
    assert delivery.statistics().troubles == {"went_back": 1}
    judge(log, last=103)


async def test_twice(host: Host, log: MemoryLog) -> None:
    host.commit(100)
    await host.deliver(log)
    for lost in (60, 20, 100):
        log.go_back(lost)
        await host.deliver(log)
        judge(log, last=100)


async def test_what_it_has_of_one_container_is_not_stored_twice_beyond_the_duplicate_window(host: Host) -> None:
    """Of one container more is left than of the others, as happens where only the order of each is kept."""
    log = MemoryLog(in_one_order=False)
    host.commit(99)
    await host.deliver(log)
    mine = [message for message in log.messages if message.subject.endswith("c=2E1.start")]
    log.messages[:] = mine[:5]
    log.forget_ids()
    await host.deliver(log)
    for message in log.messages:
        assert [other.body for other in log.messages].count(message.body) == 1
    judge(log, last=99)


async def test_a_log_that_was_purged_and_remembers_the_ids_gets_them_all_the_same(host: Host, log: MemoryLog) -> None:
    host.commit(50)
    await host.deliver(log)
    del log.messages[:]  # the ids stay known
    await host.deliver(log)
    judge(log, last=50)


async def test_a_purge_after_a_lost_acknowledgement_leaves_no_hole(host: Host, log: MemoryLog) -> None:
    """The log remembers the ids of what it had stored and not been able to acknowledge."""
    host.commit(50)
    await host.deliver(log)
    fresh = entries(10, first=51, containers=3, log=host.outbox.log)
    host.outbox.commit(fresh, [], 50, None)
    await log.append(fresh[:4])
    del log.messages[:]  # the ids stay known
    await host.deliver(log)
    judge(log, last=60)


async def test_that_the_log_went_back_is_told_with_where_to(host: Host, log: MemoryLog) -> None:
    host.commit(99)
    await host.deliver(log)
    log.go_back(30)
    backs: list[int] = []
    async with host.delivering(log) as delivery:
        delivery.tell_backs(backs.append)
        [back] = backs
        assert back == 69 if log.in_one_order else back <= 69
        log.go_back(30)
        fresh = entries(3, first=100, containers=3, log=host.outbox.log)
        host.outbox.commit(fresh, [], 99, None)
        delivery.committed(fresh)
    assert len(backs) == 2


async def test_what_the_outbox_keeps_no_longer_is_said_with_its_positions(
    host: Host, log: MemoryLog, caplog: pytest.LogCaptureFixture
) -> None:
    host.commit(40)
    await host.deliver(log)
    before = now()
    host.clock.now += 100
    for _ in range(3):
        host.commit(20, acknowledged=40)
    await host.deliver(log)
    log.go_back(90)
    await host.deliver(log)
    [gap] = host.gaps
    # Where containers overtake each other nobody can tell what was there: then it says more, and never less.
    assert f"events {11 if log.in_one_order else 1} to 40 of outbox" in gap.reason
    assert gap.since is not None
    assert gap.since <= gap.until <= before + 10**12
    assert [record for record in caplog.records if record.levelname == "ERROR" and gap.reason in record.getMessage()]
    numbers = sorted(Position.parse(decode(message.body).position or "").n for message in log.messages)
    assert len(numbers) == 70
    assert numbers[10:] == list(range(41, 101))

    log.forget_ids()
    host.commit(5, acknowledged=100)
    await host.deliver(log)
    assert len(host.gaps) == 1, "said once"
    assert len(log.messages) == 75


async def test_what_has_expired_from_the_log_is_not_put_back(host: Host) -> None:
    class Forgetful(MemoryLog):
        async def keeps(self, moment: Nanos) -> bool:
            assert moment == host.outbox.acknowledged_at
            return False

    log = Forgetful()
    host.commit(50)
    await host.deliver(log)
    log.go_back(50)
    host.commit(2, acknowledged=50)
    await host.deliver(log)
    judge(log, first=51, last=52)


async def test_an_outbox_that_was_put_back_behind_another_one_s_back_is_a_conflict(
    host: Host, log: MemoryLog, tmp_path: Path
) -> None:
    host.commit(50)
    await host.deliver(log)
    other = Host(tmp_path / "other.db")
    other.outbox.open()
    for entry in entries(5, containers=3, log=other.outbox.log):
        body = encode(msgspec.structs.replace(decode(entry.body), recordedtime=now()))  # type: ignore[arg-type]
        await log.append([msgspec.structs.replace(entry, body=body)])
    reader = OutboxReader(host.outbox.path)
    with pytest.raises(LogConflict, match=r"another outbox .* has written as this node since"):
        await host.delivery(log, reader).resume()
    reader.close()


async def test_another_outbox_that_was_there_before_is_none(host: Host, log: MemoryLog, tmp_path: Path) -> None:
    """The log went back so far that the last events in it are those of the outbox before this one."""
    before = Host(tmp_path / "before.db")
    before.outbox.open()
    before.commit(10)
    await before.deliver(log)
    host.commit(20)
    await host.deliver(log)
    log.go_back(20)
    await host.deliver(log)
    del log.messages[:10]
    judge(log, last=20)


async def test_what_was_stored_and_not_acknowledged_is_recognised_behind_an_old_hole(
    host: Host, log: MemoryLog
) -> None:
    host.commit(50)
    await host.deliver(log)
    del log.messages[20]  # somebody deleted one message
    fresh = entries(10, first=51, containers=3, log=host.outbox.log)
    host.outbox.commit(fresh, [], 50, None)
    await log.append(fresh[:4])
    log.forget_ids()
    await host.deliver(log)
    assert len(log.messages) == 59
    assert host.gaps == []
