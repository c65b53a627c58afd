"""`wait` tells how the task ended that was there when it began, whoever deletes it and however fast, and never of another one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs

from bridge.control import ending, waiting
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model.commands import Wait
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ExecResult, TaskInfo, WaitResult
from bridge.model.state import ContainerState
from tests.unit.control.small_runtime import SmallRuntime, SmallTask, failure
from tests.unit.control.turns import until


class Log:
    """What the log says; `None` while nobody can say."""

    def __init__(self) -> None:
        self.state: ContainerState | None = ContainerState(node="node", namespace="default", container="web.1")
        self.asked = 0

    def tells(self, **fields: Any) -> None:
        assert self.state is not None
        self.state = structs.replace(self.state, **fields)

    async def __call__(self, namespace: str, container: str) -> ContainerState:
        assert (namespace, container) == ("default", "web.1")
        self.asked += 1
        if self.state is None:
            raise CommandFailed("unavailable", "not live")
        return self.state


@pytest.fixture
def runtime() -> SmallRuntime:
    return SmallRuntime()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def place(runtime: SmallRuntime, log: Log) -> Place:
    return Place(runtime=runtime, node="node", namespace="default", container="web.1", known=log)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "TOLD_WITHIN_S", 1.5)
    monkeypatch.setattr(waiting, "LOOK_AGAIN_S", 0.001)
    monkeypatch.setattr(ending, "RECONNECT_S", 0.001)


def began(runtime: SmallRuntime) -> bool:
    return any(call.startswith("wait") for call in runtime.calls)


async def test_it_returns_when_the_task_ends_and_how(runtime: SmallRuntime, place: Place, log: Log) -> None:
    task = SmallTask("running")
    runtime.add(task=task)
    log.tells(incarnation="A", pid=7)
    waited = asyncio.create_task(waiting.wait(place, Wait()))
    await until(lambda: began(runtime))
    assert not waited.done()
    task.end(3)
    assert await waited == WaitResult(ended=True, exit_status=3, exited_at=Nanos(5), incarnation="A")


async def test_an_ended_task_is_told_at_once(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("stopped", exit_status=4))
    assert (await waiting.wait(place, Wait())).exit_status == 4


async def test_when_the_time_is_over_it_says_what_it_waited_for(runtime: SmallRuntime, place: Place, log: Log) -> None:
    runtime.add(task=SmallTask("running"))
    log.tells(incarnation="A", pid=7)
    assert await waiting.wait(place, Wait(timeout=0)) == WaitResult(ended=False, incarnation="A")


async def test_the_incarnation_of_a_task_that_is_newer_than_the_log_is_not_the_last_ones(
    runtime: SmallRuntime, place: Place, log: Log
) -> None:
    runtime.add(task=SmallTask("running"))
    log.tells(incarnation="A", pid=6, exited=True, exit_status=1)
    assert await waiting.wait(place, Wait(timeout=0)) == WaitResult(ended=False)
    log.tells(incarnation="B", pid=7, exited=False, exit_status=None)
    assert await waiting.wait(place, Wait(timeout=0)) == WaitResult(ended=False, incarnation="B")


async def test_what_its_owner_deleted_at_once_is_told_by_the_log(runtime: SmallRuntime, place: Place, log: Log) -> None:
    runtime.add(task=SmallTask("running"))
    log.tells(incarnation="A", pid=7, status="running")
    runtime.fail["wait"] = [failure("not_found")]
    waited = asyncio.create_task(waiting.wait(place, Wait()))
    await until(lambda: log.asked > 2)  # the exit is on its way
    assert not waited.done()
    log.tells(status="none", exited=True, exit_status=9, exited_at=Nanos(8))
    assert await waited == WaitResult(ended=True, exit_status=9, exited_at=Nanos(8), incarnation="A")


async def test_a_task_that_is_gone_is_told_by_its_pid_where_its_incarnation_was_not_known(
    runtime: SmallRuntime, place: Place, log: Log
) -> None:
    runtime.add(task=SmallTask("running"))
    runtime.fail["wait"] = [failure("not_found")]
    log.tells(incarnation="A", pid=6, exited=True, exit_status=1)
    waited = asyncio.create_task(waiting.wait(place, Wait()))
    await until(lambda: log.asked > 2)
    log.tells(incarnation="B", pid=7, exited=True, exit_status=2, exited_at=Nanos(8))
    assert await waited == WaitResult(ended=True, exit_status=2, exited_at=Nanos(8), incarnation="B")


async def test_the_end_of_a_later_task_is_never_given_for_this_ones(
    runtime: SmallRuntime, place: Place, log: Log
) -> None:
    runtime.add(task=SmallTask("running"))
    log.tells(incarnation="A", pid=7)
    runtime.fail["wait"] = [failure("not_found")]
    waited = asyncio.create_task(waiting.wait(place, Wait()))
    await until(lambda: log.asked > 1)
    log.tells(incarnation="B", pid=8, exited=True, exit_status=2)
    assert await waited == WaitResult(ended=True, incarnation="A")


async def test_what_nobody_knows_is_null(runtime: SmallRuntime, place: Place, log: Log) -> None:
    runtime.add(task=SmallTask("running"))
    log.state = None
    runtime.fail["wait"] = [failure("not_found")]
    assert await waiting.wait(place, Wait()) == WaitResult(ended=True)


async def test_an_end_that_nobody_saw_is_null_and_not_waited_for(runtime: SmallRuntime, place: Place, log: Log) -> None:
    runtime.add()
    log.tells(incarnation="A", pid=7, status="stopped", lost=True)
    assert await waiting.wait(place, Wait()) == WaitResult(ended=True, incarnation="A")
    assert log.asked == 2


@pytest.mark.parametrize("record", [True, False])
async def test_a_task_that_was_there_is_told_by_the_log_also_when_its_container_is_gone(
    runtime: SmallRuntime, place: Place, log: Log, record: bool
) -> None:
    if record:
        runtime.add()
    log.tells(incarnation="A", pid=7, status="none", exited=True, exit_status=5, exited_at=Nanos(8))
    assert await waiting.wait(place, Wait()) == WaitResult(
        ended=True, exit_status=5, exited_at=Nanos(8), incarnation="A"
    )


async def test_a_container_that_never_had_a_task_says_so(runtime: SmallRuntime, place: Place) -> None:
    runtime.add()
    with pytest.raises(CommandFailed, match=r"container web\.1 has no task: start it first"):
        await waiting.wait(place, Wait())


async def test_a_container_that_is_not_there_says_so(place: Place) -> None:
    with pytest.raises(CommandFailed, match=r"container web\.1 does not exist in namespace default"):
        await waiting.wait(place, Wait())


async def test_a_restart_of_containerd_does_not_end_it(runtime: SmallRuntime, place: Place) -> None:
    task = SmallTask("running")
    runtime.add(task=task)
    runtime.fail["wait"] = [failure("unavailable"), failure("unavailable")]
    waited = asyncio.create_task(waiting.wait(place, Wait()))
    await until(lambda: runtime.calls.count("wait") == 3)
    task.end(3)
    assert (await waited).exit_status == 3


async def test_another_failure_ends_it(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"))
    runtime.fail["wait"] = [failure("refused")]
    with pytest.raises(CommandFailed) as failed:
        await waiting.wait(place, Wait())
    assert failed.value.code == "refused"


# -- asked again, for the same incarnation


async def test_asked_again_it_waits_for_the_same_task(runtime: SmallRuntime, place: Place, log: Log) -> None:
    task = SmallTask("running")
    runtime.add(task=task)
    log.tells(incarnation="A", pid=7)
    waited = asyncio.create_task(waiting.wait(place, Wait(incarnation="A")))
    await until(lambda: began(runtime))
    task.end(3)
    assert await waited == WaitResult(ended=True, exit_status=3, exited_at=Nanos(5), incarnation="A")


async def test_the_next_task_is_not_waited_for_when_the_log_has_not_heard_of_it_yet(
    runtime: SmallRuntime, place: Place, log: Log
) -> None:
    runtime.add(task=SmallTask("running"))  # its pid is 7
    log.tells(incarnation="A", pid=6, exited=True, exit_status=1, exited_at=Nanos(8))
    assert await waiting.wait(place, Wait(incarnation="A")) == WaitResult(
        ended=True, exit_status=1, exited_at=Nanos(8), incarnation="A"
    )


async def test_the_next_task_is_not_waited_for_when_the_log_has(runtime: SmallRuntime, place: Place, log: Log) -> None:
    runtime.add(task=SmallTask("running"))
    log.tells(incarnation="B", pid=7)
    assert await waiting.wait(place, Wait(incarnation="A")) == WaitResult(ended=True, incarnation="A")


async def test_where_nobody_can_say_what_is_there_is_waited_for(runtime: SmallRuntime, place: Place, log: Log) -> None:
    runtime.add(task=SmallTask("stopped", exit_status=4))
    log.state = None
    assert (await waiting.wait(place, Wait(incarnation="A"))).exit_status == 4


# -- execs


async def test_an_exec_is_waited_for_by_its_id(runtime: SmallRuntime, place: Place, log: Log) -> None:
    task = SmallTask("running")
    runtime.add(task=task)
    log.tells(incarnation="A", pid=7)
    runtime.execs["e1"] = TaskInfo(status="running", pid=8)
    waited = asyncio.create_task(waiting.wait(place, Wait(exec_id="e1")))
    await until(lambda: began(runtime))
    assert "wait e1" in runtime.calls
    task.end(3)
    assert await waited == WaitResult(ended=True, exit_status=3, exited_at=Nanos(5), incarnation="A")


async def test_an_exec_that_was_deleted_meanwhile_has_ended_somehow(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"))
    runtime.execs["e1"] = TaskInfo(status="running", pid=8)
    runtime.fail["wait"] = [failure("not_found")]
    assert await waiting.wait(place, Wait(exec_id="e1")) == WaitResult(ended=True)


async def test_an_exec_whose_session_has_seen_its_end_is_told_though_containerd_knows_it_no_more(
    runtime: SmallRuntime, place: Place
) -> None:
    class Ended:
        async def ended(self) -> ExecResult:
            return ExecResult(session="s", running=False, exit_status=7, exited_at=Nanos(9))

    class Sessions:
        def find(self, _namespace: str, _container: str, exec_id: str | None) -> Ended | None:
            return Ended() if exec_id == "e1" else None

    runtime.add(task=SmallTask("running"))
    there = structs.replace(place, sessions=Sessions())
    assert await waiting.wait(there, Wait(exec_id="e1")) == WaitResult(ended=True, exit_status=7, exited_at=Nanos(9))
    with pytest.raises(CommandFailed, match="has no exec e2"):
        await waiting.wait(there, Wait(exec_id="e2"))


@pytest.mark.parametrize(
    ("exec_id", "code", "sentence"),
    [
        ("e1", "not_found", "container web.1 has no exec e1"),
        ("../e", "invalid_argument", "exec id '../e' is not valid"),
    ],
)
async def test_an_exec_that_is_not_there_is_said(
    runtime: SmallRuntime, place: Place, exec_id: str, code: str, sentence: str
) -> None:
    runtime.add(task=SmallTask("running"))
    with pytest.raises(CommandFailed) as failed:
        await waiting.wait(place, Wait(exec_id=exec_id))
    assert (failed.value.code, sentence in failed.value.message) == (code, True)
