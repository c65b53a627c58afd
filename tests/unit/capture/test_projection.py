"""The projection writes the last state of each container, soon, in few writes, and never ahead of the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.capture import projection as projection_module
from bridge.capture.projection import Projection
from bridge.errors import LogConflict, LogRefused, LogUnavailable
from bridge.model.codec import decode_as, encode_any
from bridge.model.envelope import Sequence
from bridge.model.limits import MAX_BODY
from bridge.model.nanos import Nanos, now
from bridge.model.state import ContainerState
from bridge.model.subjects import ContainerKey
from bridge.ports import Change
from bridge.testing import MemoryStates

WITHIN_S = 120.0


def state(container: str = "web.1", n: int = 1, **fields: Any) -> ContainerState:
    return ContainerState(
        **{"status": "none", **fields},
        node="n1",
        namespace="a.b",
        container=container,
        sequence=Sequence(n),
        position=f"log:{n}",
    )


def key(container: str = "web.1", node: str = "n1") -> ContainerKey:
    return ContainerKey(node, "a.b", container)


def gone(container: str = "web.1", n: int = 1) -> ContainerState:
    return state(container, n, status="gone", deleted_at=now())


class Counted(MemoryStates):
    """A store that counts what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[ContainerKey] = []

    async def write(self, changes: Iterable[Change]) -> list[int | None]:
        changes = list(changes)
        made = await super().write(changes)
        self.writes += [change.key for change, revision in zip(changes, made, strict=True) if revision is not None]
        return made

    def found(self) -> dict[str, ContainerState]:
        """What stands there, by container."""
        return {
            entry.key.container: decode_as(entry.value, ContainerState)
            for entry in self.entries.values()
            if entry.value is not None
        }


class Lease:
    """Whether the node is ours, and what happens while that is asked."""

    def __init__(self) -> None:
        self.lost: LogConflict | None = None
        self.asked = 0

    async def renew(self) -> None:
        self.asked += 1
        if self.lost is not None:
            raise self.lost


class Log:
    """How far the log is."""

    def __init__(self) -> None:
        self.position = 1_000_000
        self._moved = asyncio.Event()

    def move(self, position: int) -> None:
        self.position = position
        self._moved.set()

    async def reached(self, n: int) -> None:
        while self.position < n:
            self._moved.clear()
            await self._moved.wait()


@pytest.fixture
def store() -> Counted:
    return Counted()


def project(
    store: MemoryStates,
    log: Log | None = None,
    *,
    gone_s: float = 600.0,
    audit_s: float = 600.0,
    lease: Lease | None = None,
) -> Projection:
    return Projection(
        store,
        node="n1",
        log_id="log",
        reached=(log or Log()).reached,
        ours=(lease or Lease()).renew,
        moment_s=0.01,
        gone_s=gone_s,
        audit_s=audit_s,
    )


@asynccontextmanager
async def projecting(
    store: MemoryStates, log: Log | None = None, known: Iterable[ContainerState] = (), **more: Any
) -> AsyncIterator[Projection]:
    projection = project(store, log, **more)
    running = asyncio.create_task(projection.run(lambda: known))
    try:
        yield projection
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def settled(projection: Projection) -> None:
    async with asyncio.timeout(WITHIN_S):
        await projection.settled()


async def until(condition: Any) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_burst_costs_one_write_and_the_last_state_counts(store: Counted) -> None:
    async with projecting(store) as projection:
        for n in range(1, 101):
            projection.changed([state(n=n), state("db", n=n)])
        await settled(projection)
    assert sorted(store.writes) == [key("db"), key()]
    assert store.found()["web.1"] == state(n=100)


async def test_a_state_is_not_written_before_its_event_is_in_the_log(store: Counted) -> None:
    log = Log()
    log.position = 4
    async with projecting(store, log) as projection:
        projection.changed([state(n=5)])
        await until(lambda: not projection._pending)
        for _ in range(20):
            await asyncio.sleep(0)
        assert store.writes == []
        log.move(5)
        await settled(projection)
    assert store.found() == {"web.1": state(n=5)}


async def test_a_container_that_is_never_quiet_is_written_all_the_same(store: Counted) -> None:
    """The newest state is always one ahead of the log here; older ones have to do."""
    log = Log()
    async with projecting(store, log) as projection:
        n = 0
        while len(store.writes) < 3:
            n += 1
            projection.changed([state(n=n)])
            log.move(n - 1)
            await asyncio.sleep(0.001)
            assert n < 10_000


async def test_at_the_start_only_what_differs_is_written(store: Counted) -> None:
    same, other, new = state("same"), state("other", 7), state("new")
    for one in (same, state("other", 3)):
        await MemoryStates.write(store, [Change(key=key(one.container), value=encode_any(one))])
    async with projecting(store, known=[same, other, new]) as projection:
        await until(lambda: len(store.writes) == 2)
        await settled(projection)
    assert sorted(store.writes) == [key("new"), key("other")]
    assert store.found() == {"same": same, "other": other, "new": new}


async def test_what_nobody_knows_is_taken_away_but_not_what_is_another_nodes(store: Counted) -> None:
    strange, foreign = Change(key=key("x"), value=b"{}"), Change(key=key("y", "n2"), value=b"{}")
    await MemoryStates.write(store, [strange, foreign, Change(key=key("z"), value=encode_any(state("z")))])
    async with projecting(store):
        await until(lambda: len(store.writes) == 2)
    assert {entry.key for entry in store.entries.values() if entry.value is not None} == {key("y", "n2")}


async def test_what_is_about_to_be_written_as_gone_is_not_taken_away_by_a_comparison(store: Counted) -> None:
    await MemoryStates.write(store, [Change(key=key("b"), value=encode_any(state("b", 4)))])
    log = Log()
    async with projecting(store, log) as projection:
        projection.changed([gone("b", 5)])
        await settled(projection)
        assert store.found()["b"].status == "gone"
    assert store.writes == [key("b")]


async def test_a_container_that_is_gone_stays_for_a_while(store: Counted) -> None:
    async with projecting(store, gone_s=0.05) as projection:
        projection.changed([state()])
        await settled(projection)
        projection.changed([gone(n=2)])
        await settled(projection)
        assert store.found()["web.1"].status == "gone"
        await until(lambda: not store.found())
    assert store.writes == [key()] * 3


async def test_one_that_comes_back_meanwhile_stays(store: Counted) -> None:
    async with projecting(store, gone_s=0.05) as projection:
        for one in (state(), gone(n=2), state(n=3, status="created")):
            projection.changed([one])
            await settled(projection)
        projection.changed([state("other"), gone("other", 4)])
        await settled(projection)
        projection.changed([state("other", 5)])
        await settled(projection)
        projection.changed([gone("other", 6)])
        await until(lambda: "other" not in store.found())
        assert store.found() == {"web.1": state(n=3, status="created")}


async def test_one_that_was_gone_before_the_start_stays_no_longer_than_it_would_have(store: Counted) -> None:
    for one in (gone("just now"), replace(gone("long ago"), deleted_at=Nanos(now() - 10**12))):
        await MemoryStates.write(store, [Change(key=key(one.container), value=encode_any(one))])
    async with projecting(store):
        await until(lambda: store.writes)
    assert list(store.found()) == ["just now"]


async def test_a_state_from_another_log_is_not_waited_for(store: Counted) -> None:
    """So it is after a takeover: the numbers of the outbox before were far beyond those of the new one."""
    log = Log()
    log.position = 3
    taken_over = replace(state(n=5_000_000), position="another-log:5000000")
    async with projecting(store, log, known=[taken_over]) as projection:
        await settled(projection)
        await until(lambda: store.found() == {"web.1": taken_over})


async def test_a_container_that_nobody_ever_saw_has_no_key(store: Counted) -> None:
    async with projecting(store) as projection:
        projection.changed([state("made up", status="unknown"), state("other", status="none")])
        await settled(projection)
    assert store.writes == [key("other")]


async def test_one_that_came_and_went_within_a_moment_is_not_written(store: Counted) -> None:
    async with projecting(store) as projection:
        projection.changed([state("short"), gone("short", 2), state("other")])
        await settled(projection)
    assert store.writes == [key("other")]


@pytest.mark.parametrize("error", [LogUnavailable("no answer"), LogRefused("full")])
async def test_a_store_that_takes_nothing_is_tried_until_it_does_and_said_once(
    store: Counted, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        store.fail(error)  # type: ignore[arg-type]
    async with projecting(store) as projection:
        projection.changed([state()])
        await until(lambda: projection.refused == str(error))
        await settled(projection)
        assert projection.refused is None
    assert store.found() == {"web.1": state()}
    assert [record.message for record in caplog.records] == [
        f"the states of containers are not up to date: {error}",
        "the states of containers are written again",
    ]


async def test_a_store_that_was_put_back_to_an_older_copy_is_set_right(store: Counted, monkeypatch: Any) -> None:
    monkeypatch.setattr(projection_module, "LOOK_S", 0.01)
    known = [state(n=1)]
    async with projecting(store, known=known) as projection:
        await until(lambda: store.found() == {"web.1": state(n=1)})
        copy = dict(store.entries)
        known[:] = [state(n=2), state("new", 3)]
        projection.changed(known)
        await settled(projection)
        with store.down():
            store.entries = dict(copy)
        await until(lambda: store.found() == {"web.1": state(n=2), "new": state("new", 3)})


async def test_labels_that_are_too_big_for_a_value_are_left_out(store: Counted) -> None:
    big = state(labels={"x": "y" * MAX_BODY}, image="nginx")
    async with projecting(store) as projection:
        projection.changed([big])
        await settled(projection)
    assert store.found() == {"web.1": replace(big, labels=None)}


# -- a store that is not as it was left


async def test_a_bucket_that_is_gone_is_made_anew_with_every_state(
    store: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    known = [state("a"), state("b", 2)]
    async with projecting(store, known=known) as projection:
        await until(lambda: len(store.found()) == 2)
        store.lose()
        projection.changed([state("c", 3)])
        known.append(state("c", 3))
        await until(lambda: len(store.found()) == 3)
    assert [record.message for record in caplog.records] == [
        "the states of containers are not up to date: the bucket is gone",
        "the states of containers are written again",
    ]


async def test_a_bucket_that_is_gone_is_found_out_while_nothing_happens(store: Counted) -> None:
    async with projecting(store, known=[state("a")], audit_s=0.05):
        await until(lambda: len(store.found()) == 1)
        store.lose()
        await until(lambda: len(store.found()) == 1)


async def test_keys_that_somebody_else_changed_or_took_away_are_put_right_by_the_audit(
    store: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    known = [state("a"), state("b", 2), state("c", 3)]
    async with projecting(store, known=known, audit_s=0.05):
        await until(lambda: len(store.found()) == 3)
        right = store.found()
        store.forget(key("a"))
        await MemoryStates.write(store, [Change(key=key("b"), value=b"{}"), Change(key=key("d"), value=b"{}")])
        await until(lambda: len(store.writes) == 6)
        assert store.found() == right
    assert "3 keys of containers were changed by somebody else" in caplog.messages


async def test_what_is_right_is_not_written_by_an_audit(store: Counted) -> None:
    lease = Lease()
    async with projecting(store, known=[state("a")], audit_s=0.01, lease=lease):
        await until(lambda: lease.asked > 5)
    assert store.writes == [key("a")]


async def test_after_writes_were_refused_everything_is_compared(store: Counted) -> None:
    known = [state("a"), state("b", 2)]
    async with projecting(store, known=known) as projection:
        await until(lambda: len(store.found()) == 2)
        store.fail(LogRefused("full"), after=0)
        store.forget(key("b"))
        known[0] = state("a", 3)
        projection.changed([known[0]])
        await settled(projection)
        await until(lambda: store.found() == {"a": state("a", 3), "b": state("b", 2)})


async def test_what_somebody_else_wrote_meanwhile_is_looked_at_before_it_is_overwritten(store: Counted) -> None:
    """A rebuild by hand, for instance: the node is still ours."""
    lease = Lease()
    async with projecting(store, known=[state("a")], lease=lease) as projection:
        await until(lambda: len(store.found()) == 1)
        await MemoryStates.write(store, [Change(key=key("a"), value=encode_any(state("a", 7)))])
        projection.changed([state("a", 2)])
        await settled(projection)
    assert lease.asked == 2
    assert store.found() == {"a": state("a", 2)}


async def test_what_the_next_bridge_of_the_node_wrote_is_never_overwritten(store: Counted) -> None:
    lease = Lease()
    projection = project(store, lease=lease)
    running = asyncio.create_task(projection.run(lambda: [state("a")]))
    await until(lambda: len(store.found()) == 1)
    await MemoryStates.write(store, [Change(key=key("a"), value=encode_any(state("a", 7)))])
    lease.lost = LogConflict("node n1 now has another bridge")
    projection.changed([state("a", 2)])
    with pytest.raises(LogConflict, match="another bridge"):
        await asyncio.wait_for(running, WITHIN_S)
    assert store.found() == {"a": state("a", 7)}


async def test_a_container_that_ended_around_a_crash_stays_for_as_long_as_any_other(store: Counted) -> None:
    """Its end is in the outbox, and under its key stands that it runs."""
    await MemoryStates.write(store, [Change(key=key(), value=encode_any(state(status="running")))])
    ended = gone(n=2)
    async with projecting(store, known=[ended], gone_s=0.3):
        await until(lambda: store.found() == {"web.1": ended})
        await until(lambda: not store.found())
    assert store.writes == [key(), key()]


async def test_one_that_is_gone_and_has_no_key_gets_none(store: Counted) -> None:
    async with projecting(store, known=[gone("a"), state("b")]):
        await until(store.found)
    assert store.writes == [key("b")]


async def test_a_clock_that_was_ahead_holds_up_no_key(store: Counted) -> None:
    ahead = replace(gone("ahead"), deleted_at=Nanos(now() + 10**15))
    for one in (ahead, gone("ordinary")):
        await MemoryStates.write(store, [Change(key=key(one.container), value=encode_any(one))])
    async with projecting(store, gone_s=0.1):
        await until(lambda: not store.found())


# -- the end


async def test_who_has_little_time_does_not_wait_for_a_refusal_that_lasts(store: Counted) -> None:
    for _ in range(1000):
        store.fail(LogRefused("full", "full"))
    async with projecting(store) as projection:
        projection.changed([state()])
        async with asyncio.timeout(WITHIN_S):
            await projection.settled(lambda: True)
        assert projection.behind


async def test_who_has_little_time_waits_for_one_that_passes_while_it_is_worth_it(store: Counted) -> None:
    for _ in range(3):
        store.fail(LogUnavailable("no answer"))
    async with projecting(store) as projection:
        projection.changed([state()])
        async with asyncio.timeout(WITHIN_S):
            await projection.settled(lambda: True)
        assert not projection.behind
        projection.changed([state(n=2)])
        store.fail(LogUnavailable("no answer"))
        async with asyncio.timeout(WITHIN_S):
            await projection.settled(lambda: False)
        assert projection.refused == "no answer"
