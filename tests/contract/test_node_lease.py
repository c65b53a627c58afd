"""The contract of `NodeLease` and `NodeRecords`: whoever counts from which moment, no two hold a node at one time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from bridge.errors import ConfigError, LogConflict, LogUnavailable
from bridge.ports import NodeLease
from tests.contract.buckets import Buckets, record


@contextlib.asynccontextmanager
async def kept(lease: NodeLease) -> AsyncIterator[asyncio.Task[None]]:
    """Renew it while the block lasts."""
    task: asyncio.Task[None] = asyncio.create_task(lease.keep())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def until_lapsed(lease: NodeLease) -> None:
    async with asyncio.timeout(90):
        while lease.held:
            await asyncio.sleep(0.02)


async def test_who_comes_first_has_it(buckets: Buckets) -> None:
    lease = buckets.lease(record())
    before = lease.held
    await lease.acquire()
    assert (before, lease.held, lease.lost) == (False, True, None)


async def test_the_second_one_is_refused_with_a_sentence_that_names_the_first(buckets: Buckets) -> None:
    first = buckets.lease(record(lease_s=4.0))
    await first.acquire()
    async with kept(first):
        with pytest.raises(ConfigError) as caught:
            await asyncio.wait_for(buckets.lease(record()).acquire(), 90)
    for word in ("n1", "1.2.3", "pid 4711", "since 2", "last renewed 2", "stop", "--node"):
        assert word in str(caught.value)


async def test_a_holder_that_renews_keeps_it_for_longer_than_it_lasts(buckets: Buckets) -> None:
    lease_s = 1.0
    lease = buckets.lease(record(lease_s=lease_s))
    await lease.acquire()
    async with kept(lease) as keeping, asyncio.timeout(90):
        while not keeping.done():
            [there] = await buckets.nodes.records()
            if (there.renewed - there.since) / 1e9 > 2 * lease_s:
                break
            await asyncio.sleep(0.05)
        with pytest.raises(ConfigError):
            await buckets.lease(record()).acquire()
        assert not keeping.done(), keeping
    assert lease.lost is None


async def test_a_holder_that_does_not_renew_knows_that_it_has_lapsed(buckets: Buckets) -> None:
    lease = buckets.lease(record(lease_s=2.0))
    await lease.acquire()
    await until_lapsed(lease)
    assert lease.lost is None
    await lease.renew()
    assert lease.held


async def test_what_has_lapsed_can_be_taken_and_not_before_the_first_has_stopped(buckets: Buckets) -> None:
    first, second = buckets.lease(record(lease_s=1.0)), buckets.lease(record(lease_s=1.0))
    await first.acquire()
    acquiring = asyncio.create_task(second.acquire())
    while not acquiring.done():
        assert not (first.held and second.held)
        await asyncio.sleep(0.005)
    await acquiring
    assert second.held
    assert not first.held


async def test_who_has_lost_it_is_told_who_has_it(buckets: Buckets) -> None:
    first, second = buckets.lease(record(lease_s=0.5)), buckets.lease(record(pid=4712))
    await first.acquire()
    await asyncio.wait_for(second.acquire(), 90)
    with pytest.raises(LogConflict, match="pid 4712"):
        await first.renew()
    assert isinstance(first.lost, LogConflict)
    with pytest.raises(LogConflict, match="pid 4712"):
        await asyncio.wait_for(first.keep(), 90)
    assert not first.held


async def test_a_holder_that_has_ended_is_followed_at_once(buckets: Buckets) -> None:
    first = record(lease_s=600.0)
    await buckets.lease(first).acquire()
    second = buckets.lease(record(), ended=lambda other: other.holder == first.holder)
    await asyncio.wait_for(second.acquire(), 90)
    assert second.held


async def test_what_is_given_back_can_be_taken_at_once(buckets: Buckets) -> None:
    for _ in range(3):
        lease = buckets.lease(record(lease_s=600.0))
        await asyncio.wait_for(lease.acquire(), 90)
        await lease.release()
        assert not lease.held


async def test_who_waits_takes_it_when_it_is_given_back(buckets: Buckets) -> None:
    first, second = buckets.lease(record(lease_s=600.0)), buckets.lease(record())
    await first.acquire()
    acquiring = asyncio.create_task(second.acquire())
    await asyncio.sleep(0)
    await first.release()
    await asyncio.wait_for(acquiring, 90)
    assert second.held


async def test_who_has_lost_it_takes_nothing_away_by_giving_it_back(buckets: Buckets) -> None:
    first, second = buckets.lease(record(lease_s=0.5)), buckets.lease(record(lease_s=600.0))
    await first.acquire()
    await asyncio.wait_for(second.acquire(), 90)
    await first.release()
    await second.renew()
    assert second.held


async def test_nodes_do_not_disturb_each_other(buckets: Buckets) -> None:
    leases = [buckets.lease(record(node)) for node in ("n1", "n2", "n1.x")]
    for lease in leases:
        await lease.acquire()
    for lease in leases:
        await lease.renew()


async def test_of_two_that_come_together_one_has_it(buckets: Buckets) -> None:
    leases = [buckets.lease(record(lease_s=2.0)) for _ in range(4)]

    async def contend(lease: NodeLease) -> None:
        await lease.acquire()
        await lease.keep()

    tasks = [asyncio.create_task(contend(lease)) for lease in leases]
    running = set(tasks)
    async with asyncio.timeout(90):
        while len(running) > 1:
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    done = set(tasks) - running
    assert {type(task.exception()) for task in done} == {ConfigError}
    async with asyncio.timeout(90):
        while [lease.held for lease in leases if lease.held] != [True]:
            await asyncio.sleep(0.02)  # it is about to renew it
    for task in running:
        task.cancel()
    await asyncio.wait(running)


async def test_while_nobody_answers_it_lapses_and_afterwards_it_is_renewed(buckets: Buckets) -> None:
    lease = buckets.lease(record(lease_s=0.8))
    await lease.acquire()
    async with kept(lease) as keeping:
        async with buckets.down():
            await until_lapsed(lease)
            with pytest.raises(LogUnavailable):
                await lease.renew()
        async with asyncio.timeout(90):
            while not lease.held:
                assert not keeping.done()
                await asyncio.sleep(0.02)


async def test_while_nobody_answers_it_cannot_be_taken(buckets: Buckets) -> None:
    async with buckets.down():
        with pytest.raises(LogUnavailable):
            await asyncio.wait_for(buckets.lease(record()).acquire(), 90)


async def test_the_records_tell_of_every_node_that_has_a_bridge(buckets: Buckets) -> None:
    assert list(await buckets.nodes.records()) == []
    ours = record("n2", groups=["observe"], containerd="2.1.9", boot_id="b", pid_namespace=1, state_dir="1:2")
    first, second = buckets.lease(ours), buckets.lease(record("n1"))
    await first.acquire()
    await second.acquire()
    found = {one.node: one for one in await buckets.nodes.records()}
    assert list(found) == ["n1", "n2"]
    there = found["n2"]
    assert (there.holder, there.groups, there.containerd, there.state_dir) == (
        *(ours.holder, ["observe"], "2.1.9"),
        "1:2",
    )
    assert there.renewed >= there.since >= ours.since
    await second.release()
    assert [one.node for one in await buckets.nodes.records()] == ["n2"]


async def test_a_renewal_shows_in_the_record(buckets: Buckets) -> None:
    lease = buckets.lease(record())
    await lease.acquire()
    [before] = await buckets.nodes.records()
    await lease.renew()
    [after] = await buckets.nodes.records()
    assert after.renewed > before.renewed
    assert after.since == before.since
