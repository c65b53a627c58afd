"""The contract of `EventLog`."""

import asyncio

import pytest

from bridge.errors import LogUnavailable
from bridge.model.nanos import now
from tests.contract.logs import LOG, Store, entries, entry, garbage, heartbeat


async def test_entries_are_stored_in_their_order(store: Store) -> None:
    appended = entries(100)
    await store.log.append(appended)
    assert store.kept(appended, await store.ids())


async def test_entries_are_stored_byte_for_byte_on_their_subjects(store: Store) -> None:
    appended = [entry(1, namespace="a.b", container="web.1"), heartbeat(2)]
    for one in appended:
        await store.log.append([one])
    stored = await store.events()
    assert [(event.subject, event.body) for event in stored] == [(one.subject, one.body) for one in appended]


async def test_when_append_returns_everything_is_stored(store: Store) -> None:
    for first in range(1, 30, 3):
        await store.log.append(entries(3, first=first))
        assert len(await store.events()) == first + 2


async def test_appending_nothing_stores_nothing(store: Store) -> None:
    await store.log.append([])
    assert await store.events() == []


async def test_the_same_entries_again_are_recognised_and_skipped(store: Store) -> None:
    appended = entries(50)
    await store.log.append(appended)
    await store.log.append(appended)
    assert store.kept(appended, await store.ids())


@pytest.mark.parametrize("stored", [1, 2, 30, 49])
async def test_after_a_prefix_the_rest_follows_in_order(store: Store, stored: int) -> None:
    appended = entries(50)
    await store.log.append(appended[:stored])
    await store.log.append(appended)
    assert store.kept(appended, await store.ids())


async def test_many_entries_go_in_at_once(store: Store) -> None:
    appended = entries(2_500)
    await store.log.append(appended)
    assert store.kept(appended, await store.ids())


async def test_while_nobody_answers_it_is_unknown_whether_they_are_stored(store: Store) -> None:
    appended = entries(20)
    await store.log.append(appended[:5])
    async with store.down():
        with pytest.raises(LogUnavailable):
            await store.log.append(appended)
    await store.log.append(appended)
    assert store.kept(appended, await store.ids())


async def test_nodes_write_side_by_side(store: Store) -> None:
    one, other = entries(200, node="n1"), entries(200, node="n2")
    await store.log.append(one)
    await store.log.append(other)
    assert store.kept(one, await store.ids("containerd.events.n1.>"))
    assert store.kept(other, await store.ids("containerd.events.n2.>"))


async def test_an_empty_log_has_no_end(store: Store) -> None:
    assert await store.log.end("n1") is None


async def test_the_end_is_the_node_s_own_last_event(store: Store) -> None:
    await store.log.append(entries(3, node="n1", containers=["web.1"]))
    await store.log.append(entries(2, node="n2", containers=["web.1"]))
    assert await store.log.end("n1") == (3, f"{LOG}:3")
    assert await store.log.end("n2") == (5, f"{LOG}:2")
    assert await store.log.end("n") is None


async def test_the_end_may_be_an_event_of_a_container_or_of_the_node(store: Store) -> None:
    await store.log.append([entry(1)])
    await store.log.append([heartbeat(2)])
    assert await store.log.end("n1") == (2, f"{LOG}:2")
    await store.log.append([entry(3)])
    assert await store.log.end("n1") == (3, f"{LOG}:3")


async def test_the_end_of_a_node_whose_name_has_dots_is_its_own(store: Store) -> None:
    for one in (entry(1, node="a.b"), entry(2, node="a"), heartbeat(3, node="a")):
        await store.log.append([one])
    assert await store.log.end("a.b") == (1, f"{LOG}:1")


async def test_without_an_answer_nobody_knows_the_end(store: Store) -> None:
    async with store.down():
        with pytest.raises(LogUnavailable):
            await asyncio.wait_for(store.log.end("n1"), 90)


async def test_bytes_that_are_no_event_are_stored_like_others(store: Store) -> None:
    appended = [entry(1), garbage(2), entry(3)]
    await store.log.append(appended)
    assert [event.stream_sequence for event in await store.events()] == [1, 3]


async def test_an_append_says_how_much_was_there_already(store: Store) -> None:
    appended = entries(6)
    assert await store.log.append(appended) == 0
    assert await store.log.append(appended) == 6
    assert await store.log.append(appended[5:]) == 1
    assert await store.log.append([entry(7)]) == 0
    assert await store.log.append([]) == 0


async def test_a_log_keeps_what_is_new(store: Store) -> None:
    await store.log.append(entries(3))
    assert await store.log.keeps(now())


async def test_the_newest_event_on_each_subject_of_a_node(store: Store) -> None:
    appended = [
        entry(1, container="a"),
        entry(2, container="b.c"),
        entry(3, container="a"),
        entry(4, container="a", namespace="other"),
        heartbeat(5),
        heartbeat(6),
        garbage(7),
    ]
    for one in appended:
        await store.log.append([one])
    await store.log.append([entry(1, node="n2", container="a"), heartbeat(2, node="n2")])
    found = [event async for event in store.log.newest("n1")]
    assert sorted((event.stream_sequence, event.body) for event in found) == [
        (n, appended[n - 1].body) for n in (2, 3, 4, 6)
    ]
    assert {event.subject for event in found} == {appended[n - 1].subject for n in (2, 3, 4, 6)}
    assert [event async for event in store.log.newest("nobody")] == []


async def test_without_an_answer_nobody_knows_the_newest_events(store: Store) -> None:
    async with store.down():
        with pytest.raises(LogUnavailable):
            _ = [event async for event in store.log.newest("n1")]
        with pytest.raises(LogUnavailable):
            await store.log.keeps(now())
