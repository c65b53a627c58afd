"""The contract of `TaskView`: what looks at a task."""

import asyncio

import pytest

from bridge.errors import CommandFailed
from bridge.model.outcomes import TaskInfo
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
    assert [(one.pid, one.exec_id) for one in await host.runtime.tasks.pids(host.namespace, ID)] == [(pid, None)]
    await host.exec(Behaviour.STUBBORN, "look.1")
    found = await host.runtime.tasks.pids(host.namespace, ID)
    assert [process.exec_id for process in found] == [None, "look.1"]


async def test_a_task_that_is_paused_or_not_started_has_its_process(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    pid = await host.runtime.tasks.create(host.namespace, ID)
    assert [(one.pid, one.exec_id) for one in await host.runtime.tasks.pids(host.namespace, ID)] == [(pid, None)]
    await host.runtime.tasks.start(host.namespace, ID)
    await host.runtime.tasks.pause(host.namespace, ID)
    assert [(one.pid, one.exec_id) for one in await host.runtime.tasks.pids(host.namespace, ID)] == [(pid, None)]


async def test_a_task_that_has_ended_has_no_processes(host: Host) -> None:
    await host.stopped()
    assert list(await host.runtime.tasks.pids(host.namespace, ID)) == []


@pytest.mark.parametrize("call", ["pids", "wait"])
async def test_without_a_task_there_is_nothing_to_look_at(host: Host, call: str) -> None:
    assert await code_of(getattr(host.runtime.tasks, call)(host.namespace, ID)) == "not_found"
    await host.make(Behaviour.STUBBORN)
    assert await code_of(getattr(host.runtime.tasks, call)(host.namespace, ID)) == "not_found"


async def test_an_exec_is_looked_at_by_its_id(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    assert await host.runtime.tasks.get(host.namespace, ID, exec_id="look.1") is None
    await host.exec(Behaviour.STUBBORN, "look.1")
    found = await host.runtime.tasks.get(host.namespace, ID, exec_id="look.1")
    [pid] = [one.pid for one in await host.runtime.tasks.pids(host.namespace, ID) if one.exec_id == "look.1"]
    assert found is not None
    assert (found.status, found.pid, found.exit_status) == ("running", pid, None)
    assert await host.runtime.tasks.get(host.namespace, "gone", exec_id="look.1") is None


async def test_the_end_of_an_exec_is_waited_for_by_its_id(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    await host.exec(Behaviour.STUBBORN, "look.1")
    waiting = asyncio.ensure_future(host.runtime.tasks.wait(host.namespace, ID, exec_id="look.1"))
    await asyncio.wait({waiting}, timeout=0.1)
    assert not waiting.done()
    await host.runtime.tasks.kill(host.namespace, ID, 9, exec_id="look.1")
    assert (await waiting).exit_status == 137
    assert await code_of(host.runtime.tasks.wait(host.namespace, ID, exec_id="gone")) == "not_found"


async def test_what_tasks_use_is_told_of_all_that_run_in_a_namespace_or_of_some(host: Host) -> None:
    await host.run(Behaviour.STUBBORN, "web.1")
    await host.run(Behaviour.STUBBORN, "web.2")
    await host.make(Behaviour.STUBBORN, "record")

    found = {one.container: one for one in await host.runtime.tasks.metrics(host.namespace)}
    some = await host.runtime.tasks.metrics(host.namespace, ["web.2", "record", "gone"])

    assert set(found) == {"web.1", "web.2"}
    assert [one.container for one in some] == ["web.2"]
    assert list(await host.runtime.tasks.metrics("nowhere")) == []
    for one in found.values():
        assert one.namespace == host.namespace
        assert one.read_at > 0
        assert one.cgroup in {"v1", "v2"}
        assert one.cpu is not None
        assert one.cpu.usage_ns > 0
        assert one.memory is not None
        assert 0 < one.memory.working_set <= one.memory.usage
        assert one.memory.limit is None
        assert one.pids is not None
        assert one.pids.current >= 1
        assert one.pids.limit is None


async def test_a_task_that_is_paused_is_measured_too_and_one_that_has_ended_is_not(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    await host.runtime.tasks.pause(host.namespace, ID)
    assert [one.container for one in await host.runtime.tasks.metrics(host.namespace)] == [ID]
    await host.stopped("web.2")
    assert [one.container for one in await host.runtime.tasks.metrics(host.namespace)] == [ID]


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
            await asyncio.wait_for(waiting, 90)
        assert failure.value.code == "unavailable"
        assert await code_of(own_host.runtime.tasks.get(own_host.namespace, ID)) == "unavailable"
        assert await code_of(own_host.runtime.tasks.pids(own_host.namespace, ID)) == "unavailable"
        assert await code_of(own_host.runtime.tasks.metrics(own_host.namespace)) == "unavailable"
    await own_host.until_back()
    task = await own_host.runtime.tasks.get(own_host.namespace, ID)
    assert task is not None
    assert task.status == "running"
