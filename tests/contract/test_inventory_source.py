"""The contract of `InventorySource`."""

import asyncio

import pytest

from bridge.errors import InventoryFailed
from bridge.model.nanos import now
from bridge.ports import Inventory
from tests.contract.hosts import ID, Behaviour, Host


async def take(host: Host, *execs_of: str) -> Inventory:
    return await host.inventory.take([host.namespace], execs_of=[(host.namespace, container) for container in execs_of])


async def test_a_record_is_listed_without_its_spec(host: Host) -> None:
    await host.make(Behaviour.STUBBORN, app="web", **{"nerdctl/name": "shop"})
    info = (await take(host)).containers[host.namespace, ID]
    known = await host.runtime.containers.get(host.namespace, ID)
    assert (info.namespace, info.id, info.image, info.labels) == (host.namespace, ID, known.image, known.labels)
    assert (info.name, info.runtime, info.created_at) == ("shop", known.runtime, known.created_at)
    assert (info.spec, info.task) == (None, None)


async def test_each_status_of_a_task_is_told_in_containerd_s_word(host: Host) -> None:
    await host.make(Behaviour.STUBBORN, "created")
    pids = {"created": await host.runtime.tasks.create(host.namespace, "created")}
    for container in ("running", "paused"):
        pids[container] = await host.run(Behaviour.STUBBORN, container)
    await host.runtime.tasks.pause(host.namespace, "paused")
    await host.stopped("stopped")
    found = (await take(host)).containers
    tasks = {container: info.task for (_, container), info in found.items() if info.task is not None}
    assert {container: task.status for container, task in tasks.items()} == {word: word for word in tasks}
    assert len(tasks) == 4
    assert {container: tasks[container].pid for container in pids} == pids
    stopped = tasks["stopped"]
    assert stopped.exit_status == 3
    assert stopped.exited_at is not None
    assert [tasks[container].exit_status for container in pids] == [None] * 3


async def test_what_was_deleted_is_not_listed(host: Host) -> None:
    await host.stopped()
    await host.runtime.tasks.delete(host.namespace, ID)
    assert (await take(host)).containers[host.namespace, ID].task is None
    await host.runtime.containers.delete(host.namespace, ID)
    assert (await take(host)).containers == {}


async def test_it_says_when_it_was_taken_and_what_it_covers(host: Host) -> None:
    before = now()
    some = await host.inventory.take([host.namespace])
    assert before <= some.before <= some.after <= now()
    assert some.covers(host.namespace)
    assert not some.covers("other")
    every = await host.inventory.take()
    assert every.covers("other")
    assert (await host.inventory.take([])).containers == {}


async def test_all_namespaces_are_covered_with_none(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    assert (host.namespace, ID) in (await host.inventory.take()).containers


async def test_a_namespace_that_is_not_there_has_no_containers(host: Host) -> None:
    assert (await host.inventory.take(["t-nobody-has-this"])).containers == {}


async def test_running_execs_are_told_of_those_that_were_asked_about(host: Host) -> None:
    await host.run(Behaviour.STUBBORN, "quiet")
    await host.run(Behaviour.STUBBORN)
    await host.exec(Behaviour.STUBBORN, "shell.1")
    await host.exec(Behaviour.EXITS, "look.1")
    assert (await take(host)).execs == {}
    assert (await take(host, ID)).execs == {(host.namespace, ID): {"shell.1"}}
    assert (await take(host, ID, "quiet")).execs[host.namespace, "quiet"] == set()


async def test_an_ended_task_has_no_execs_and_of_those_without_task_nothing_is_known(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    await host.stopped("stopped")
    assert (await take(host, ID, "stopped", "nobody")).execs == {(host.namespace, "stopped"): set()}


async def test_without_containerd_it_fails_and_when_that_is_back_it_lists_again(own_host: Host) -> None:
    await own_host.run(Behaviour.STUBBORN)
    async with own_host.down():
        with pytest.raises(InventoryFailed, match=r"^cannot list the "):
            await own_host.inventory.take()
    async with asyncio.timeout(90):
        while True:
            try:
                found = await take(own_host)
            except InventoryFailed:
                await asyncio.sleep(0.02)
            else:
                break
    task = found.containers[own_host.namespace, ID].task
    assert task is not None
    assert task.status == "running"
