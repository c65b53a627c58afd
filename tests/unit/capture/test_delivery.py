"""Delivery brings the outbox into the log: everything, once as far as ids go, in order, through every kind of doubt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.capture import delivery as delivery_module
from bridge.capture.delivery import APPEND, Delivery
from bridge.capture.outbox import Outbox, OutboxError
from bridge.capture.outbox_reader import OutboxReader
from bridge.capture.tail import TAIL_BYTES
from bridge.errors import LogConflict, LogError, LogRefused, LogUnavailable
from bridge.model.identity import ulid_time
from bridge.model.nanos import Nanos
from bridge.ports import Entry, LogEnd, StoredEvent


class UnreliableLog:
    """A log that recognises ids, and does to each append what its script says; after that it works."""

    def __init__(self, *script: Callable[[int], tuple[int, LogError | None]]) -> None:
        self.stored: list[Entry] = []
        self.appends: list[int] = []
        self.last: LogEnd | None = None
        self.in_one_order = True
        self.outbox_log = ""
        self._script = list(script)

    async def append(self, entries: Sequence[Entry]) -> int:
        self.appends.append(len(entries))
        await asyncio.sleep(0)
        stored, error = self._script.pop(0)(len(entries)) if self._script else (len(entries), None)
        known = {entry.id for entry in self.stored}
        self.stored += [entry for entry in entries[:stored] if entry.id not in known]
        if error is not None:
            raise error
        return sum(entry.id in known for entry in entries)

    async def end(self, node: str) -> LogEnd | None:
        n = self.stored[-1].n if self.stored else 0
        return self.last or (LogEnd(n, f"{self.outbox_log}:{n}") if n else None)

    async def keeps(self, moment: Nanos) -> bool:
        return True

    async def newest(self, node: str) -> AsyncIterator[StoredEvent]:
        for event in list[StoredEvent]():
            yield event


def nothing_stored(count: int) -> tuple[int, LogError | None]:
    return 0, LogUnavailable("nobody answers")


def half_stored(count: int) -> tuple[int, LogError | None]:
    return count // 2, LogUnavailable("the connection broke")


def all_stored_ack_lost(count: int) -> tuple[int, LogError | None]:
    return count, LogUnavailable("no acknowledgement came")


def full(count: int) -> tuple[int, LogError | None]:
    return 0, LogRefused("the stream is full")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(delivery_module, "LONGEST_PAUSE_S", 0.002)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    box = Outbox(tmp_path / "outbox.db")
    box.open()
    return box


def commit(outbox: Outbox, count: int, *, size: int = 10) -> list[Entry]:
    first = outbox.last_n + 1
    entries = [Entry(n=n, id=f"id{n}", subject="s", body=b"b" * size) for n in range(first, first + count)]
    outbox.commit(entries, [], 0, None)
    return entries


def make(
    log: UnreliableLog,
    outbox: Outbox,
    *,
    acknowledged: int | None = None,
    reader: OutboxReader | None = None,
    tail_bytes: int = TAIL_BYTES,
) -> Delivery:
    log.outbox_log = outbox.log
    return Delivery(
        log,
        reader or OutboxReader(outbox.path),
        node="node",
        outbox_log=outbox.log,
        acknowledged=outbox.acknowledged if acknowledged is None else acknowledged,
        last_n=outbox.last_n,
        tail_bytes=tail_bytes,
    )


@asynccontextmanager
async def running(log: UnreliableLog, outbox: Outbox, tail_bytes: int = TAIL_BYTES) -> AsyncIterator[Delivery]:
    reader = OutboxReader(outbox.path)
    delivery = make(log, outbox, reader=reader, tail_bytes=tail_bytes)
    task = asyncio.create_task(delivery.run())
    try:
        yield delivery
    finally:
        task.cancel()
        await asyncio.wait((task,))
        reader.close()


@pytest.mark.parametrize(
    "script",
    [(), (nothing_stored,), (half_stored, half_stored), (all_stored_ack_lost,), (full, nothing_stored, half_stored)],
)
async def test_everything_is_in_the_log_once_and_in_order_whatever_the_log_does(
    outbox: Outbox, script: tuple[Callable[[int], tuple[int, LogError | None]], ...]
) -> None:
    log = UnreliableLog(*script)
    async with running(log, outbox) as delivery:
        for _ in range(5):
            delivery.committed(commit(outbox, 7))
            await asyncio.sleep(0)
        await asyncio.wait_for(delivery.settled(), 90)
    assert [entry.n for entry in log.stored] == list(range(1, 36))
    assert delivery.behind == 0


async def test_what_gathers_during_one_append_goes_with_the_next(outbox: Outbox) -> None:
    log = UnreliableLog()
    async with running(log, outbox) as delivery:
        delivery.committed(commit(outbox, 1))
        while not log.appends:
            await asyncio.sleep(0)
        delivery.committed(commit(outbox, APPEND + 5))
        await asyncio.wait_for(delivery.settled(), 90)
    assert log.appends == [1, APPEND, 5]


async def test_what_an_earlier_run_left_is_read_from_disk_first(outbox: Outbox) -> None:
    commit(outbox, APPEND + 3)
    log = UnreliableLog(half_stored)
    async with running(log, outbox) as delivery:
        delivery.committed(commit(outbox, 2))
        await asyncio.wait_for(delivery.settled(), 90)
    assert [entry.n for entry in log.stored] == list(range(1, APPEND + 6))


@pytest.mark.parametrize("limit", [1_000, 5_000])
async def test_memory_stays_bounded_while_the_bus_is_away_and_nothing_is_lost_for_it(
    outbox: Outbox, limit: int
) -> None:
    log = UnreliableLog(*[nothing_stored] * 3)
    async with running(log, outbox, tail_bytes=limit) as delivery:
        for _ in range(10):
            delivery.committed(commit(outbox, 20, size=100))
            assert delivery.held_bytes <= limit
        await asyncio.wait_for(delivery.settled(), 90)
    assert [entry.n for entry in log.stored] == list(range(1, 201))


async def test_while_the_log_refuses_it_says_why_and_not_afterwards(outbox: Outbox) -> None:
    asked = asyncio.Event()

    def refuse(count: int) -> tuple[int, LogError | None]:
        asked.set()
        return full(count)

    log = UnreliableLog(*[refuse] * 3)
    async with running(log, outbox) as delivery:
        delivery.committed(commit(outbox, 1))
        await asked.wait()
        while delivery.refused is None:
            await asyncio.sleep(0)
        assert delivery.refused == "the stream is full"
        await asyncio.wait_for(delivery.settled(), 90)
        assert delivery.refused is None


async def test_resuming_skips_what_the_log_has_of_this_outbox_already(outbox: Outbox) -> None:
    commit(outbox, 5)
    log = UnreliableLog()
    log.last = LogEnd(stream_sequence=99, position=f"{outbox.log}:3")
    delivery = make(log, outbox)
    await delivery.resume()
    assert (delivery.position, delivery.behind) == (3, 2)


@pytest.mark.parametrize("position", ["another:4", "another:9"])
async def test_resuming_heeds_no_other_log(outbox: Outbox, position: str) -> None:
    commit(outbox, 5)
    log = UnreliableLog()
    log.last = LogEnd(stream_sequence=99, position=position)
    delivery = make(log, outbox)
    await delivery.resume()
    assert delivery.position == 0


async def test_a_log_that_is_ahead_of_the_outbox_is_a_conflict_and_not_numbered_over(outbox: Outbox) -> None:
    commit(outbox, 5)
    log = UnreliableLog()
    log.last = LogEnd(stream_sequence=99, position=f"{outbox.log}:9")
    with pytest.raises(LogConflict, match=r"event 9 .* has come to 5 only"):
        await make(log, outbox).resume()


async def test_a_node_that_is_somebody_else_s_ends_delivery_and_nobody_waits_for_it(outbox: Outbox) -> None:
    def taken(_count: int) -> tuple[int, LogError | None]:
        return 0, LogConflict("node n1 now has another bridge")

    delivery = make(UnreliableLog(taken), outbox)
    delivery.committed(commit(outbox, 5))
    settled = asyncio.create_task(delivery.settled())
    with pytest.raises(LogConflict, match="another bridge"):
        await asyncio.wait_for(delivery.run(), 90)
    await asyncio.wait_for(settled, 90)
    await asyncio.wait_for(delivery.settled(), 90)
    assert (delivery.behind, delivery.refused) == (5, "node n1 now has another bridge")


async def test_an_outage_longer_than_the_duplicate_window_stores_nothing_twice(outbox: Outbox) -> None:
    class Forgetful(UnreliableLog):
        async def append(self, entries: Sequence[Entry]) -> int:
            try:
                return await super().append(entries)
            finally:
                self.last = LogEnd(stream_sequence=0, position=f"{outbox.log}:{self.stored[-1].n}")
                self.stored = [Entry(n=e.n, id="forgotten", subject=e.subject, body=e.body) for e in self.stored]

    log = Forgetful(all_stored_ack_lost, half_stored)
    async with running(log, outbox) as delivery:
        delivery.committed(commit(outbox, 5))
        await asyncio.wait_for(delivery.settled(), 90)
        while delivery.refused is not None:
            await asyncio.sleep(0)
        delivery.committed(commit(outbox, 6))
        await asyncio.wait_for(delivery.settled(), 90)
    assert [entry.n for entry in log.stored] == list(range(1, 12))


async def test_what_is_on_disk_and_not_told_of_yet_is_no_hole(outbox: Outbox) -> None:
    log = UnreliableLog()
    first = commit(outbox, 4)
    delivery = make(log, outbox)
    later = commit(outbox, 3)
    task = asyncio.create_task(delivery.run())
    await asyncio.wait_for(delivery.settled(), 90)
    assert (delivery.position, delivery.behind) == (4, 0)
    delivery.committed(later)
    await asyncio.wait_for(delivery.settled(), 90)
    task.cancel()
    await asyncio.wait((task,))
    assert log.stored == [*first, *later]


async def test_a_hole_in_the_outbox_is_an_error_and_not_skipped(outbox: Outbox) -> None:
    commit(outbox, 5)
    delivery = make(UnreliableLog(), outbox)
    assert outbox._db is not None
    outbox._db.execute("DELETE FROM entries")
    with pytest.raises(OutboxError, match="lacks entry 1 of 5"):
        await asyncio.wait_for(delivery.run(), 90)


async def test_it_counts_what_it_did_and_what_was_wrong(outbox: Outbox) -> None:
    log = UnreliableLog(full, all_stored_ack_lost, nothing_stored)
    async with running(log, outbox) as delivery:
        delivery.committed(commit(outbox, 7))
        await asyncio.wait_for(delivery.settled(), 90)
        delivery.committed(commit(outbox, 3))
        await asyncio.wait_for(delivery.settled(), 90)
        figures = delivery.statistics()
    assert figures.troubles == {"refused": 1, "unavailable": 2}
    assert (figures.appended, figures.behind, figures.oldest_s, figures.replayed) == (3, 0, 0.0, 0)
    assert sum(figures.latency) == figures.appends == 1


async def test_the_age_of_what_waits_is_that_of_the_oldest(outbox: Outbox) -> None:
    refused = asyncio.Event()

    def refuse(count: int) -> tuple[int, LogError | None]:
        refused.set()
        return full(count)

    log = UnreliableLog(*[refuse] * 1_000)
    moment = "01J0000000"  # the first ten digits of a ULID are its milliseconds
    old = Entry(n=1, id=f"{moment}AAAAAAAAAAAAAAAA", subject="s", body=b"")
    async with running(log, outbox) as delivery:
        outbox.commit([old], [], 0, None)
        delivery.committed([old])
        await refused.wait()
        assert delivery.statistics().oldest_s == pytest.approx(time.time() - ulid_time(old.id), abs=60)


# -- for whoever has little time


async def test_who_has_little_time_waits_for_a_log_that_comes_back(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the middle of a long pause between two attempts."""
    monkeypatch.setattr(delivery_module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(delivery_module, "LONGEST_PAUSE_S", 1_000.0)
    log = UnreliableLog(*[nothing_stored] * 20)
    async with running(log, outbox) as delivery:
        delivery.committed(commit(outbox, 3))
        while len(log.appends) < 3:
            await asyncio.sleep(0.001)
        await asyncio.wait_for(delivery.settled(lambda: True), 90)
    assert [entry.n for entry in log.stored] == [1, 2, 3]


async def test_who_has_little_time_is_woken_by_a_refusal_and_asks_whether_it_is_worth_it(outbox: Outbox) -> None:
    began, fails = asyncio.Event(), asyncio.Event()

    class Slow(UnreliableLog):
        async def append(self, entries: Sequence[Entry]) -> int:
            began.set()
            await fails.wait()
            return await super().append(entries)

    log = Slow(*[nothing_stored] * 1_000)
    async with running(log, outbox) as delivery:
        delivery.committed(commit(outbox, 3))
        await began.wait()
        asked: list[bool] = []

        def worth() -> bool:
            asked.append(len(asked) < 4)
            return asked[-1]

        waiting = asyncio.create_task(delivery.settled(worth))
        await asyncio.sleep(0)
        assert delivery.refused is None
        fails.set()
        await asyncio.wait_for(waiting, 90)
        assert asked == [True] * 4 + [False]
        assert delivery.behind == 3


async def test_who_has_little_time_does_not_wait_for_a_trouble_that_lasts(outbox: Outbox) -> None:
    log = UnreliableLog(*[full] * 100_000)
    async with running(log, outbox) as delivery:
        delivery.committed(commit(outbox, 3))
        await asyncio.wait_for(delivery.settled(lambda: True), 90)
        assert (delivery.behind, delivery.refused) == (3, "the stream is full")
