"""The contract of `TaskLifecycle`: what changes a task, and what containerd says to what cannot be."""

import asyncio

import pytest

from bridge.errors import CommandFailed
from bridge.model.outcomes import ExitInfo
from tests.contract.failing import code_of
from tests.contract.hosts import ID, Behaviour, Host

CALLS = ("create", "start", "pause", "resume", "delete")

WRONG = {
    "nothing": dict.fromkeys(CALLS, "not_found"),
    "record": dict.fromkeys(("start", "pause", "resume", "delete"), "not_found"),
    "created": {"create": "already_exists", "pause": "failed_precondition", "resume": "failed_precondition"},
    "running": {
        "create": "already_exists",
        "start": "failed_precondition",
        "resume": "failed_precondition",
        "delete": "failed_precondition",
    },
    "paused": {
        "create": "already_exists",
        "start": "failed_precondition",
        "pause": "failed_precondition",
        "delete": "failed_precondition",
    },
    "stopped": {
        "create": "already_exists",
        "start": "failed_precondition",
        "pause": "failed_precondition",
        "resume": "failed_precondition",
    },
}
"""State -> call -> code. What is not here is allowed."""


async def reach(host: Host, state: str) -> None:
    """Bring the container into a state."""
    match state:
        case "nothing":
            pass
        case "record":
            await host.make(Behaviour.STUBBORN)
        case "created":
            await host.make(Behaviour.STUBBORN)
            await host.runtime.tasks.create(host.namespace, ID)
        case "running":
            await host.run(Behaviour.STUBBORN)
        case "paused":
            await host.run(Behaviour.STUBBORN)
            await host.runtime.tasks.pause(host.namespace, ID)
        case "stopped":
            await host.stopped()


async def status(host: Host) -> str | None:
    task = await host.runtime.tasks.get(host.namespace, ID)
    return None if task is None else task.status


@pytest.mark.parametrize("state", sorted(WRONG))
async def test_what_does_not_fit_the_state_is_refused_and_changes_nothing(host: Host, state: str) -> None:
    await reach(host, state)
    before = await host.runtime.tasks.get(host.namespace, ID)
    refused = {call: await code_of(getattr(host.runtime.tasks, call)(host.namespace, ID)) for call in WRONG[state]}
    assert refused == WRONG[state]
    assert await host.runtime.tasks.get(host.namespace, ID) == before


async def test_containerd_s_own_words_come_along(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    with pytest.raises(CommandFailed) as failure:
        await host.runtime.tasks.resume(host.namespace, ID)
    assert failure.value.containerd
    assert failure.value.message.startswith(f"cannot resume {ID} in {host.namespace}: ")


async def test_a_task_is_created_and_then_runs_as_the_same_process(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    pid = await host.runtime.tasks.create(host.namespace, ID)
    assert pid > 0
    assert await status(host) == "created"
    assert await host.runtime.tasks.start(host.namespace, ID) == pid
    assert await status(host) == "running"


async def test_a_program_that_cannot_be_run_leaves_no_task(host: Host) -> None:
    await host.make(Behaviour.BROKEN)
    assert await code_of(host.runtime.tasks.create(host.namespace, ID)) == "unknown"
    assert await status(host) is None


async def test_a_paused_task_is_paused_until_it_is_resumed(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    await host.runtime.tasks.pause(host.namespace, ID)
    assert await status(host) == "paused"
    await host.runtime.tasks.resume(host.namespace, ID)
    assert await status(host) == "running"


async def test_a_signal_reaches_the_process(host: Host) -> None:
    await host.run(Behaviour.POLITE)
    await host.runtime.tasks.kill(host.namespace, ID, 15)
    assert (await host.runtime.tasks.wait(host.namespace, ID)).exit_status == 7


async def test_a_killed_process_ends_with_128_and_the_signal(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    await host.runtime.tasks.kill(host.namespace, ID, 9)
    assert (await host.runtime.tasks.wait(host.namespace, ID)).exit_status == 137


async def test_a_task_that_was_never_started_can_be_killed(host: Host) -> None:
    await reach(host, "created")
    await host.runtime.tasks.kill(host.namespace, ID, 9)
    assert (await host.runtime.tasks.wait(host.namespace, ID)).exit_status == 137


async def test_signal_0_asks_only_whether_there_is_somebody(host: Host) -> None:
    await host.run(Behaviour.POLITE)
    await host.runtime.tasks.kill(host.namespace, ID, 0)
    assert await status(host) == "running"


async def test_a_signal_that_does_not_exist_fails(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    assert await code_of(host.runtime.tasks.kill(host.namespace, ID, 99)) == "unknown"


async def test_a_signal_waits_for_a_paused_process(host: Host) -> None:
    await host.run(Behaviour.POLITE)
    await host.runtime.tasks.pause(host.namespace, ID)
    await host.runtime.tasks.kill(host.namespace, ID, 15)
    assert await status(host) == "paused"
    await host.runtime.tasks.resume(host.namespace, ID)
    assert (await host.runtime.tasks.wait(host.namespace, ID)).exit_status == 7


async def test_sigkill_ends_a_paused_process_at_the_latest_when_it_is_resumed(host: Host) -> None:
    await reach(host, "paused")
    await host.runtime.tasks.kill(host.namespace, ID, 9)
    ended = asyncio.ensure_future(host.runtime.tasks.wait(host.namespace, ID))
    await asyncio.wait({ended}, timeout=0.5)
    if not ended.done():
        await host.runtime.tasks.resume(host.namespace, ID)
    assert (await ended).exit_status == 137


async def test_an_exec_is_signalled_by_its_id(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    await host.exec(Behaviour.STUBBORN, "look.1")
    await host.runtime.tasks.kill(host.namespace, ID, 9, exec_id="look.1")
    async with asyncio.timeout(90):
        while len(await host.runtime.tasks.pids(host.namespace, ID)) > 1:
            await asyncio.sleep(0.02)
    assert await status(host) == "running"


async def test_with_all_every_process_is_signalled(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    await host.exec(Behaviour.STUBBORN, "look.1")
    await host.runtime.tasks.kill(host.namespace, ID, 9, all_processes=True)
    assert (await host.runtime.tasks.wait(host.namespace, ID)).exit_status == 137
    assert list(await host.runtime.tasks.pids(host.namespace, ID)) == []


async def test_a_signal_to_nobody_is_not_found(host: Host) -> None:
    kill = host.runtime.tasks.kill
    assert await code_of(kill(host.namespace, ID, 15)) == "not_found"
    await host.make(Behaviour.EXITS)
    assert await code_of(kill(host.namespace, ID, 15)) == "not_found"
    await host.runtime.tasks.create(host.namespace, ID)
    await host.runtime.tasks.start(host.namespace, ID)
    await host.runtime.tasks.wait(host.namespace, ID)
    assert await code_of(kill(host.namespace, ID, 15)) == "not_found"
    assert await code_of(kill(host.namespace, ID, 15, exec_id="look.1")) == "not_found"


async def test_with_all_that_there_is_nobody_left_is_no_failure(host: Host) -> None:
    await host.stopped()
    await host.runtime.tasks.kill(host.namespace, ID, 9, all_processes=True)


async def test_limits_are_changed_of_a_task_one_by_one(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)

    async def limits() -> tuple[int | None, int | None]:
        [found] = await host.runtime.tasks.metrics(host.namespace, [ID])
        assert found.memory is not None
        assert found.pids is not None
        return found.memory.limit, found.pids.limit

    await host.runtime.tasks.update(host.namespace, ID, {"memory": {"limit": 64 << 20}}, {})
    assert await limits() == (64 << 20, None)
    await host.runtime.tasks.update(host.namespace, ID, {"pids": {"limit": 50}}, {"a": "b"})
    assert await limits() == (64 << 20, 50)
    await host.runtime.tasks.update(host.namespace, ID, {"memory": {"limit": -1}}, {})
    assert await limits() == (None, 50)


async def test_limits_that_cannot_be_are_refused_and_change_nothing(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    assert await code_of(host.runtime.tasks.update(host.namespace, ID, {"memory": {"limit": 4096}}, {})) == "unknown"
    [found] = await host.runtime.tasks.metrics(host.namespace, [ID])
    assert found.memory is not None
    assert found.memory.limit is None


@pytest.mark.parametrize("state", ["nothing", "record", "stopped"])
async def test_there_are_no_limits_of_what_has_no_task_or_an_ended_one(host: Host, state: str) -> None:
    await reach(host, state)
    update = host.runtime.tasks.update(host.namespace, ID, {"pids": {"limit": 50}}, {})
    assert await code_of(update) == ("failed_precondition" if state == "stopped" else "not_found")


async def test_deleting_a_task_tells_how_it_ended_and_leaves_the_container(host: Host) -> None:
    await host.stopped()
    expected = await host.runtime.tasks.wait(host.namespace, ID)
    assert expected.exit_status == 3
    assert expected.exited_at is not None
    assert await host.runtime.tasks.delete(host.namespace, ID) == expected
    assert await status(host) is None
    assert await code_of(host.runtime.containers.get(host.namespace, ID)) is None


async def test_a_task_that_was_never_started_is_deleted_without_an_exit(host: Host) -> None:
    await reach(host, "created")
    assert await host.runtime.tasks.delete(host.namespace, ID) == ExitInfo()
    assert await status(host) is None


async def test_a_container_can_have_one_task_after_the_other(host: Host) -> None:
    await host.stopped()
    await host.runtime.tasks.delete(host.namespace, ID)
    await host.runtime.tasks.create(host.namespace, ID)
    assert await status(host) == "created"


async def test_without_containerd_it_is_unavailable(own_host: Host) -> None:
    await own_host.run(Behaviour.STUBBORN)
    async with own_host.down():
        for call in CALLS:
            assert await code_of(getattr(own_host.runtime.tasks, call)(own_host.namespace, ID)) == "unavailable"
        assert await code_of(own_host.runtime.tasks.kill(own_host.namespace, ID, 9)) == "unavailable"
    await own_host.until_back()
    assert await status(own_host) == "running"
