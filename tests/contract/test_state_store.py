"""The contract of `StateStore`."""

import asyncio

import msgspec
import pytest

from bridge.errors import LogRefused, LogUnavailable
from bridge.ports import Change, StateEntry
from tests.contract.buckets import Buckets, gone, key, put


def told(entry: StateEntry | None) -> tuple[str, bytes | None] | None:
    return None if entry is None else (entry.key.container, entry.value)


async def made(buckets: Buckets, change: Change, *, at: int) -> bool:
    """Make a change that demands this revision; tell whether it was made."""
    [revision] = await buckets.states.write([msgspec.structs.replace(change, revision=at)])
    return revision is not None


async def test_what_is_written_stands_there(buckets: Buckets) -> None:
    await buckets.states.write([put(b"one", "a"), put(b"two", "b"), put(b"", "empty")])
    assert await buckets.values() == {"a": b"one", "b": b"two", "empty": b""}


async def test_keys_come_back_as_they_were(buckets: Buckets) -> None:
    where = key("web.1-x_y", namespace="k8s.io", node="a.b")
    await buckets.states.write([Change(key=where, value=b"x")])
    [entry] = await buckets.states.read()
    assert entry.key == where
    assert entry.revision >= 1
    assert entry.stored_at > 0


async def test_a_later_value_takes_the_place_of_an_earlier_one(buckets: Buckets) -> None:
    await buckets.states.write([put(b"1")])
    [before] = await buckets.states.read()
    await buckets.states.write([put(b"2")])
    [after] = await buckets.states.read()
    assert (after.value, after.revision > before.revision) == (b"2", True)


async def test_changes_of_a_key_are_made_in_their_order(buckets: Buckets) -> None:
    changes = [put(b"%d" % n, f"c{n % 7}") for n in range(700)]
    await buckets.states.write(changes)
    assert await buckets.values() == {f"c{n % 7}": b"%d" % n for n in range(693, 700)}


async def test_many_keys_are_written_at_once(buckets: Buckets) -> None:
    await buckets.states.write([put(b"x", f"c{n}") for n in range(2_500)])
    assert len(await buckets.states.read()) == 2_500


async def test_writing_nothing_writes_nothing(buckets: Buckets) -> None:
    await buckets.states.write([])
    assert await buckets.states.read() == []


async def test_what_is_taken_away_is_gone(buckets: Buckets) -> None:
    await buckets.states.write([put(b"x", "a"), put(b"y", "b")])
    await buckets.states.write([gone("a")])
    assert await buckets.values() == {"b": b"y"}


async def test_what_never_was_can_be_taken_away_and_come_back(buckets: Buckets) -> None:
    await buckets.states.write([gone(), put(b"x"), gone(), put(b"y")])
    assert await buckets.values() == {"web.1": b"y"}


async def test_a_value_takes_the_place_of_the_one_that_was_read(buckets: Buckets) -> None:
    await buckets.states.write([put(b"1"), put(b"other", "b")])
    revision = {entry.key.container: entry.revision for entry in await buckets.states.read()}["web.1"]

    assert await made(buckets, put(b"2"), at=revision)
    assert await buckets.values() == {"web.1": b"2", "b": b"other"}


async def test_who_was_quicker_is_not_overwritten(buckets: Buckets) -> None:
    await buckets.states.write([put(b"1")])
    [before] = await buckets.states.read()
    await buckets.states.write([put(b"2")])

    assert not await made(buckets, put(b"ours"), at=before.revision)
    assert not await made(buckets, gone(), at=before.revision)
    assert not await made(buckets, put(b"ours"), at=0)
    assert await buckets.values() == {"web.1": b"2"}


async def test_where_nothing_stands_a_value_is_put(buckets: Buckets) -> None:
    await buckets.states.write([put(b"x", "a"), gone("a")])

    assert await made(buckets, put(b"1", "a"), at=0)
    assert await made(buckets, put(b"2", "b"), at=0)
    assert not await made(buckets, put(b"3", "b"), at=0)
    assert await buckets.values() == {"a": b"1", "b": b"2"}


async def test_what_was_read_can_be_taken_away(buckets: Buckets) -> None:
    await buckets.states.write([put(b"x")])
    [entry] = await buckets.states.read()

    assert await made(buckets, gone(), at=entry.revision)
    assert await buckets.values() == {}


async def test_of_many_changes_those_are_made_whose_keys_stand_where_they_have_to(buckets: Buckets) -> None:
    await buckets.states.write([put(b"1", "a"), put(b"1", "b"), put(b"1", "taken"), gone("taken")])
    at = {entry.key.container: entry.revision for entry in await buckets.states.read()}
    await buckets.states.write([put(b"theirs", "b")])

    changes = [
        msgspec.structs.replace(change, revision=at.get(change.key.container, 0))
        for change in (put(b"2", "a"), put(b"2", "b"), put(b"2", "taken"), put(b"2", "new"))
    ]
    revisions = await buckets.states.write(changes)

    now_at = {entry.key.container: entry.revision for entry in await buckets.states.read()}
    assert revisions == [now_at["a"], None, now_at["taken"], now_at["new"]]
    assert await buckets.values() == {"a": b"2", "b": b"theirs", "taken": b"2", "new": b"2"}


async def test_a_store_that_is_gone_is_made_anew(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    buckets.impatient(monkeypatch)
    await buckets.states.write([put(b"1", "a")])
    await buckets.lose_states()
    with pytest.raises(LogRefused) as refusal:
        await buckets.states.write([put(b"1", "b")])
    assert refusal.value.trouble == "no_stream"
    assert "bucket" in str(refusal.value)
    with pytest.raises(LogRefused) as refusal:
        await buckets.states.read()
    assert refusal.value.trouble == "no_stream"
    async with asyncio.timeout(90):
        while True:
            try:
                await buckets.states.ensure()
            except LogRefused:
                await asyncio.sleep(0.01)
            else:
                break
    assert await buckets.values() == {}
    await buckets.states.write([put(b"1", "b")])
    assert await buckets.values() == {"b": b"1"}
    await buckets.states.ensure()
    assert await buckets.values() == {"b": b"1"}


async def test_reading_can_be_about_one_node_or_one_namespace(buckets: Buckets) -> None:
    await buckets.states.write(
        [
            put(b"1", "a", node="n1", namespace="moby"),
            put(b"2", "b", node="n1", namespace="k8s.io"),
            put(b"3", "c", node="n1.x", namespace="moby"),
        ]
    )
    assert await buckets.values(node="n1") == {"a": b"1", "b": b"2"}
    assert await buckets.values(namespace="moby") == {"a": b"1", "c": b"3"}
    assert await buckets.values(node="n1", namespace="k8s.io") == {"b": b"2"}
    assert await buckets.values(node="n2") == {}


async def test_while_nobody_answers_a_write_is_in_doubt_and_can_be_made_again(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets.impatient(monkeypatch)
    changes = [put(b"1", "a"), put(b"2", "a"), gone("b")]
    await buckets.states.write([put(b"x", "b")])
    async with buckets.down():
        with pytest.raises(LogUnavailable):
            await buckets.states.write(changes)
        with pytest.raises(LogUnavailable):
            await asyncio.wait_for(buckets.states.read(), 90)
    await buckets.states.write(changes)
    assert await buckets.values() == {"a": b"2"}


async def test_a_follower_hears_first_what_stands_there_then_none_then_what_changes(buckets: Buckets) -> None:
    await buckets.states.write([put(b"1", "a"), put(b"2", "b"), put(b"-", "old"), gone("old")])
    async with buckets.following() as entries, asyncio.timeout(90):
        assert {told(await anext(entries)), told(await anext(entries))} == {("a", b"1"), ("b", b"2")}
        assert await anext(entries) is None
        await buckets.states.write([put(b"3", "c")])
        assert told(await anext(entries)) == ("c", b"3")
        await buckets.states.write([gone("a")])
        assert told(await anext(entries)) == ("a", None)
        await buckets.states.write([gone("never"), put(b"4", "b")])
        assert told(await anext(entries)) == ("b", b"4")


async def test_a_follower_of_nothing_hears_that_there_is_nothing(buckets: Buckets) -> None:
    async with buckets.following() as entries, asyncio.timeout(90):
        assert await anext(entries) is None
        await buckets.states.write([put(b"1", "a")])
        assert told(await anext(entries)) == ("a", b"1")


async def test_a_follower_may_be_of_one_node_only(buckets: Buckets) -> None:
    await buckets.states.write([put(b"1", "a", node="n2")])
    async with buckets.following(node="n1") as entries, asyncio.timeout(90):
        assert await anext(entries) is None
        await buckets.states.write([put(b"2", "b", node="n2"), put(b"3", "c", node="n1")])
        assert told(await anext(entries)) == ("c", b"3")


async def test_a_follower_outlives_an_outage_and_learns_what_changed_meanwhile(buckets: Buckets) -> None:
    await buckets.states.write([put(b"1", "a"), put(b"1", "b"), put(b"1", "c"), put(b"1", "forgotten")])
    async with buckets.following() as entries, asyncio.timeout(90):
        while await anext(entries) is not None:
            pass
        async with buckets.down():
            pass
        await buckets.states.write([put(b"2", "a"), gone("b"), put(b"1", "d")])
        await buckets.forget(key("forgotten"))
        async with buckets.down():
            pass
        await buckets.states.write([put(b"end", "e")])
        seen: dict[str, bytes | None] = {}
        while "e" not in seen or "forgotten" not in seen:
            entry = await anext(entries)
            assert entry is not None
            assert (entry.key.container, entry.value) not in seen.items()
            seen[entry.key.container] = entry.value
    assert seen == {"a": b"2", "b": None, "d": b"1", "e": b"end", "forgotten": None}


async def test_two_followers_do_not_disturb_each_other(buckets: Buckets) -> None:
    async with buckets.following() as one, buckets.following() as other, asyncio.timeout(90):
        assert (await anext(one), await anext(other)) == (None, None)
        await buckets.states.write([put(b"1", "a")])
        assert told(await anext(one)) == told(await anext(other)) == ("a", b"1")
