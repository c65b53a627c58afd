"""Whether what is kept is what the log says, and mending it beside a bridge that goes on writing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.client import verification
from bridge.client.verification import Rebuilt, Verified
from bridge.errors import LogRefused
from bridge.model.codec import decode_as, encode_any
from bridge.model.envelope import Event
from bridge.model.envelope import Sequence as Number
from bridge.model.state import ContainerState
from bridge.model.subjects import ContainerKey
from bridge.ports import Change, StoredEvent
from bridge.testing import MemoryStates
from tests.unit.client.small_bus import SmallReader, bus, kept
from tests.unit.client.test_folding import KEY, LIFE, stored
from tests.unit.model.small_log import (
    create,
    deleted,
    exec_added,
    exec_exited,
    exited,
    oom,
    paused,
    record,
    resumed,
    start,
    told,
    update,
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PATIENCE_S", 0)


class Once(SmallReader):
    """A log whose first reading is followed by an action: what happens while somebody reads it."""

    def __init__(self, events: Sequence[StoredEvent], then: Any) -> None:
        super().__init__(events)
        self._then: Any = then

    async def read(self, filters, start, *, follow):  # type: ignore[no-untyped-def]
        async for event in super().read(filters, start, follow=follow):
            yield event
        then, self._then = self._then, None
        if then is not None:
            await then()


async def verified(events: Sequence[StoredEvent], store: MemoryStates, **choice: Any) -> Verified:
    return await bus(SmallReader(events), states=store).verify(**choice)


async def kinds(events: Sequence[StoredEvent], *states: ContainerState | tuple[ContainerKey, bytes]) -> list[str]:
    return [one.kind for one in (await verified(events, kept(*states))).differences]


def after(*events: Event) -> ContainerState:
    state = told(*events).state
    assert state is not None
    return state


def standing(store: MemoryStates, key: ContainerKey = KEY) -> ContainerState | None:
    entry = store.entries.get(key)
    return None if entry is None or entry.value is None else decode_as(entry.value, ContainerState)


WHOLE = stored(told(*LIFE[:5]))
RIGHT = after(*LIFE[:5])
OTHER = msgspec.structs.replace(RIGHT, container="nobody")

# -- verifying


async def test_what_is_kept_may_be_what_the_log_says() -> None:
    assert await verified(WHOLE, kept(RIGHT)) == Verified(containers=1, incomplete=0, expired=0, differences=[])


async def test_each_way_to_differ_has_its_word() -> None:
    assert await kinds(WHOLE) == ["missing"]
    assert await kinds(WHOLE, after(*LIFE[:4])) == ["behind"]
    assert await kinds(WHOLE[:4], RIGHT) == ["ahead"]
    assert await kinds(WHOLE, msgspec.structs.replace(RIGHT, pid=999)) == ["different"]
    assert await kinds(WHOLE, (KEY, b"no state")) == ["unreadable"]
    assert await kinds(WHOLE, RIGHT, OTHER) == ["extra"]


async def test_what_differs_is_told_field_by_field() -> None:
    [found] = (await verified(WHOLE, kept(msgspec.structs.replace(RIGHT, pid=999, name="x")))).differences

    assert found.fields == {"pid": (999, 20), "name": ("x", None)}


async def test_a_container_that_is_gone_need_not_be_kept() -> None:
    assert await kinds(stored(told(*LIFE))) == []
    assert await kinds(stored(told(*LIFE)), after(*LIFE)) == []


async def test_a_choice_looks_at_nothing_else() -> None:
    elsewhere = msgspec.structs.replace(OTHER, node="n9")
    reader = SmallReader(WHOLE)

    found = await bus(reader, states=kept(RIGHT, elsewhere)).verify(node="host1", namespace="k8s.io")

    assert found.differences == []
    assert reader.asked[0][0] == ["containerd.events.host1.k8s=2Eio.*.*"]


async def test_what_a_bridge_is_just_writing_is_no_difference() -> None:
    store = kept(after(*LIFE[:4]))

    async def write() -> None:
        await store.write([Change(key=KEY, value=encode_any(RIGHT))])

    assert (await bus(Once(WHOLE, write), states=store).verify()).differences == []


async def test_without_a_store_there_is_nothing_to_verify() -> None:
    with pytest.raises(LogRefused, match="no states are kept beside this log"):
        await bus(SmallReader(WHOLE)).verify()


# -- a log that begins in the middle


@pytest.mark.parametrize("first", range(1, 5))
async def test_what_has_expired_is_not_held_against_what_is_kept(first: int) -> None:
    found = await verified(WHOLE[first:], kept(RIGHT))

    assert found == Verified(containers=1, incomplete=1, expired=0, differences=[])


@given(
    st.lists(
        st.sampled_from(
            [*LIFE, oom(), exec_added(), exec_exited(), update(a="b"), start(21), exited(0, 21), create(22)]
        ),
        min_size=1,
        max_size=10,
    ),
    st.integers(0, 9),
)
async def test_whatever_has_expired_a_right_state_is_in_order(events: list[Event], first: int) -> None:
    log = told(*events)
    assert log.state is not None

    left = stored(log)[min(first, len(events) - 1) :]

    assert await kinds(left, log.state) == []


RESTARTED = (*LIFE[:3], exited(3), deleted(3), create(21), start(21))


async def test_a_task_that_began_in_the_log_is_compared() -> None:
    wrong = msgspec.structs.replace(after(*RESTARTED), status="paused", exit_status=1)

    [found] = (await verified(stored(told(*RESTARTED))[2:], kept(wrong))).differences

    assert found.fields == {"status": ("paused", "running"), "exit_status": (1, None)}


async def test_a_task_that_began_before_the_log_is_not() -> None:
    wrong = msgspec.structs.replace(RIGHT, status="paused")

    assert await kinds(WHOLE[2:], wrong) == []
    assert await kinds(WHOLE[2:], msgspec.structs.replace(wrong, sequence=Number(4))) == ["behind"]


async def test_states_without_any_event_left_are_only_counted() -> None:
    found = await verified(WHOLE[1:], kept(RIGHT, OTHER))

    assert (found.expired, found.differences) == (1, [])


# -- mending


async def rebuilt(events: Sequence[StoredEvent], store: MemoryStates) -> Rebuilt:
    return await bus(SmallReader(events), states=store).rebuild()


async def test_what_is_wrong_is_written_anew_and_what_nobody_knows_taken_away() -> None:
    store = kept(msgspec.structs.replace(RIGHT, pid=999), OTHER, (ContainerKey("a", "b", "c"), b"no state"))

    done = await rebuilt(WHOLE, store)

    assert (done.written, done.removed, done.left, done.verified.differences) == (1, 2, 0, [])
    assert standing(store) == RIGHT
    assert [key for key, entry in store.entries.items() if entry.value is not None] == [KEY]


async def test_an_empty_store_is_filled() -> None:
    store = MemoryStates()

    assert (await rebuilt(WHOLE, store)).written == 1
    assert standing(store) == RIGHT


async def test_what_is_right_is_left_alone() -> None:
    store = kept(RIGHT)
    before = dict(store.entries)

    assert (await rebuilt(WHOLE, store)).written == 0
    assert store.entries == before


async def test_a_bridge_that_writes_meanwhile_wins() -> None:
    # We have read that the state is behind; before we write, the bridge does, and what it knows is of later.
    log = told(*LIFE[:5])
    store = kept(after(*LIFE[:2]))
    events = stored(log)
    log.tell(exited(3))
    assert log.state is not None
    later = log.state
    reader: Once

    async def write() -> None:
        reader.events = stored(log)
        await store.write([Change(key=KEY, value=encode_any(later))])

    reader = Once(events, write)
    done = await bus(reader, states=store).rebuild()

    assert (done.written, done.left, done.verified.differences) == (0, 1, [])
    assert standing(store) == later


async def test_a_key_that_appears_meanwhile_is_not_overwritten() -> None:
    store = MemoryStates()

    async def write() -> None:
        await store.write([Change(key=KEY, value=encode_any(RIGHT))])

    done = await bus(Once(WHOLE[:4], write), states=store).rebuild()

    assert done.left == 1
    assert standing(store) == RIGHT


async def test_of_a_log_that_begins_in_the_middle_what_it_tells_is_mended_and_the_rest_kept() -> None:
    right = after(*RESTARTED)
    store = kept(msgspec.structs.replace(right, status="stopped", pid=5))

    done = await rebuilt(stored(told(*RESTARTED))[2:], store)

    assert done.verified.differences == []
    assert standing(store) == right


async def test_what_is_kept_is_folded_on_where_the_log_begins_in_the_middle() -> None:
    store = kept(after(*LIFE[:3]))

    assert (await rebuilt(WHOLE[2:], store)).written == 1
    assert standing(store) == RIGHT


async def test_of_a_container_that_was_never_kept_it_writes_what_is_known() -> None:
    store = MemoryStates()

    await rebuilt(stored(told(record(), create(), start(), paused(), resumed()))[3:], store)

    state = standing(store)
    assert state is not None
    assert (state.status, state.started_at, state.sequence) == ("running", None, 5)
