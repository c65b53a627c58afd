"""The contract of `TaskView`: what looks at a task."""

import asyncio

import pytest

from bridge.errors import CommandFailed
from bridge.model.outcomes import ProcessInfo, TaskInfo
from tests.contract.failing import code_of
from tests.contract.hosts import ID, Behaviour, Host


async def test_without_container_or_task_there_is_no_task(host: Host) -> None:
    assert await host.runtime.tasks.get(host.namespace, ID) is None
    assert await host.runtime.tasks.get("nowhere", ID) is None
    await host.make(Behaviour.STUBBORN)
    assert await host.runtime.tasks.get(host.namespace, ID) is None


async def test_a_task_that_has_not_ended_has_no_exit(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    pid = await host.runtime.tasks.create(host.namespace, ID)
    assert await host.runtime.tasks.get(host.namespace, ID) == TaskInfo(status="created", pid=pid)
    await host.runtime.tasks.start(host.namespace, ID)
    assert await host.runtime.tasks.get(host.namespace, ID) == TaskInfo(status="running", pid=pid)
    await host.runtime.tasks.pause(host.namespace, ID)
    assert await host.runtime.tasks.get(host.namespace, ID) == TaskInfo(status="paused", pid=pid)


async def test_a_task_that_has_ended_says_how(host: Host) -> None:
    pid = await host.run(Behaviour.EXITS)
    ended = await host.runtime.tasks.wait(host.namespace, ID)
    task = await host.runtime.tasks.get(host.namespace, ID)
    assert task == TaskInfo(status="stopped", pid=pid, exit_status=3, exited_at=ended.exited_at)


async def test_processes_are_listed_with_the_execs_by_their_ids(host: Host) -> None:
    pid = await host.run(Behaviour.STUBBORN)
    assert list(await host.runtime.tasks.pids(host.namespace, ID)) == [ProcessInfo(pid=pid)]
    await host.exec(Behaviour.STUBBORN, "look.1")
    found = await host.runtime.tasks.pids(host.namespace, ID)
    assert [process.exec_id for process in found] == [None, "look.1"]


async def test_a_task_that_is_paused_or_not_started_has_its_process(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    pid = await host.runtime.tasks.create(host.namespace, ID)
    assert list(await host.runtime.tasks.pids(host.namespace, ID)) == [ProcessInfo(pid=pid)]
    await host.runtime.tasks.start(host.namespace, ID)
    await host.runtime.tasks.pause(host.namespace, ID)
    assert list(await host.runtime.tasks.pids(host.namespace, ID)) == [ProcessInfo(pid=pid)]


async def test_a_task_that_has_ended_has_no_processes(host: Host) -> None:
    await host.stopped()
    assert list(await host.runtime.tasks.pids(host.namespace, ID)) == []


@pytest.mark.parametrize("call", ["pids", "wait"])
async def test_without_a_task_there_is_nothing_to_look_at(host: Host, call: str) -> None:
    assert await code_of(getattr(host.runtime.tasks, call)(host.namespace, ID)) == "not_found"
    await host.make(Behaviour.STUBBORN)
    assert await code_of(getattr(host.runtime.tasks, call)(host.namespace, ID)) == "not_found"


async def test_everybody_who_waits_is_told_of_the_end(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    waiting = [asyncio.ensure_future(host.runtime.tasks.wait(host.namespace, ID)) for _ in range(3)]
    await asyncio.wait(waiting, timeout=0.1)
    assert not any(one.done() for one in waiting)
    await host.runtime.tasks.kill(host.namespace, ID, 9)
    ends = await asyncio.gather(*waiting)
    assert len(set(map(repr, ends))) == 1
    assert ends[0] == await host.runtime.tasks.wait(host.namespace, ID)


async def test_giving_up_waiting_leaves_the_task_alone(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(host.runtime.tasks.wait(host.namespace, ID), 0.1)
    task = await host.runtime.tasks.get(host.namespace, ID)
    assert task is not None
    assert task.status == "running"


async def test_waiting_is_broken_off_when_containerd_goes_down(own_host: Host) -> None:
    await own_host.run(Behaviour.STUBBORN)
    waiting = asyncio.ensure_future(own_host.runtime.tasks.wait(own_host.namespace, ID))
    await asyncio.wait({waiting}, timeout=0.2)
    async with own_host.down():
        with pytest.raises(CommandFailed) as failure:
            await asyncio.wait_for(waiting, 20)
        assert failure.value.code == "unavailable"
        assert await code_of(own_host.runtime.tasks.get(own_host.namespace, ID)) == "unavailable"
        assert await code_of(own_host.runtime.tasks.pids(own_host.namespace, ID)) == "unavailable"
    await own_host.until_back()
    task = await own_host.runtime.tasks.get(own_host.namespace, ID)
    assert task is not None
    assert task.status == "running"
