"""What each verb asks of containerd, in what order, and what it makes of what goes wrong on the way."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from bridge.control import ending, lifecycle
from bridge.control.verb import Place
from bridge.errors import Code, CommandFailed
from bridge.model.commands import Command, Delete, Kill, Pause, Restart, Resume, Start, Stop
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Deleted, Done, ExitInfo, Restarted, TaskStarted, TaskStatus
from bridge.ports import Stdio
from tests.unit.control.small_runtime import KILL, SmallRuntime, SmallTask, failure
from tests.unit.policy.specs import anything

TERM = 15


@pytest.fixture
def runtime() -> SmallRuntime:
    return SmallRuntime()


@pytest.fixture
def place(runtime: SmallRuntime) -> Place:
    return Place(runtime=runtime, node="node", namespace="default", container="web.1", permit=anything)


async def failing(awaitable: Any) -> tuple[str, str]:
    with pytest.raises(CommandFailed) as failed:
        await awaitable
    return failed.value.code, failed.value.message


def changes(runtime: SmallRuntime) -> list[str]:
    """The calls that are no mere looks."""
    return [call for call in runtime.calls if call.split()[0] not in {"get", "task", "pids", "wait"}]


# -- start


@pytest.mark.parametrize(
    ("before", "calls"),
    [
        (None, ["create", "start"]),
        ("created", ["start"]),
        ("stopped", ["delete_task", "create", "start"]),
    ],
)
async def test_start_does_what_the_tasks_state_asks_for(
    runtime: SmallRuntime, place: Place, before: TaskStatus | None, calls: list[str]
) -> None:
    runtime.add(task=SmallTask(before) if before else None)
    assert await lifecycle.start(place, Start()) == TaskStarted(pid=7)
    assert changes(runtime) == calls


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("running", "there is nothing to start"),
        ("paused", "resume it first"),
        ("pausing", "wait until it is paused"),
        ("unknown", "its shim does not answer, delete it with force"),
    ],
)
async def test_start_of_what_has_begun_says_what_to_do(
    runtime: SmallRuntime, place: Place, status: TaskStatus, remedy: str
) -> None:
    runtime.add(task=SmallTask(status))
    assert await failing(lifecycle.start(place, Start())) == (
        "failed_precondition",
        f"container web.1 is {status}: {remedy}",
    )
    assert changes(runtime) == []


async def test_start_goes_on_when_the_owner_has_deleted_the_ended_task(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("stopped"))
    runtime.fail["delete_task"] = [failure("not_found")]
    assert await lifecycle.start(place, Start()) == TaskStarted(pid=7)


async def test_a_task_that_cannot_be_started_is_removed_again(runtime: SmallRuntime, place: Place) -> None:
    runtime.add()
    runtime.fail["start"] = [failure("unknown", "broke")]
    assert await failing(lifecycle.start(place, Start())) == ("unknown", "containerd broke")
    assert runtime.status() is None


async def test_a_task_that_runs_although_its_start_failed_is_started(runtime: SmallRuntime, place: Place) -> None:
    runtime.add()
    runtime.fail["start"] = [failure("deadline_exceeded")]
    create = runtime.tasks.create

    async def create_running(namespace: str, container: str, *, stdio: Stdio | None = None) -> int:
        pid = await create(namespace, container, stdio=stdio)
        runtime.made[namespace, container] = SmallTask("running")
        return pid

    runtime.tasks.create = create_running  # type: ignore[method-assign]
    assert await lifecycle.start(place, Start()) == TaskStarted(pid=7)
    assert runtime.status() == "running"


async def test_a_start_that_is_broken_off_leaves_no_task(runtime: SmallRuntime, place: Place) -> None:
    runtime.add()
    runtime.gates["start"] = asyncio.Event()
    starting = asyncio.create_task(lifecycle.start(place, Start()))
    while "start" not in runtime.calls:
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert runtime.status() is None


async def test_a_created_task_of_somebody_elses_stays_when_it_cannot_be_started(
    runtime: SmallRuntime, place: Place
) -> None:
    runtime.add(task=SmallTask("created"))
    runtime.fail["start"] = [failure("unknown")]
    await failing(lifecycle.start(place, Start()))
    assert runtime.status() == "created"


async def test_what_cannot_be_removed_again_does_not_hide_why(
    runtime: SmallRuntime, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.add()
    runtime.fail["start"] = [failure("unknown", "broke")]
    runtime.fail["delete_task"] = [failure("unavailable", "went")]
    with caplog.at_level(logging.WARNING):
        assert await failing(lifecycle.start(place, Start())) == ("unknown", "containerd broke")
    assert "container web.1: the task that could not be started is still there: containerd went" in caplog.text


# -- pause, resume


@pytest.mark.parametrize(
    ("verb", "status", "already", "after"),
    [
        ("pause", "running", False, "paused"),
        ("pause", "paused", True, "paused"),
        ("resume", "paused", False, "running"),
        ("resume", "running", True, "running"),
    ],
)
async def test_pause_and_resume_reach_their_state(
    runtime: SmallRuntime, place: Place, verb: str, status: TaskStatus, already: bool, after: TaskStatus
) -> None:
    runtime.add(task=SmallTask(status))
    assert await lifecycle.VERBS[verb](place, ALL[verb]) == Done(already=already)
    assert runtime.status() == after


# -- kill


@pytest.mark.parametrize(
    ("command", "call"),
    [
        (Kill(), "kill 15"),
        (Kill(signal="hup", all=True), "kill 1 all"),
        (Kill(signal=9, exec_id="look.1"), "kill 9 look.1"),
    ],
)
async def test_kill_passes_on_what_it_is_told(runtime: SmallRuntime, place: Place, command: Kill, call: str) -> None:
    runtime.add(task=SmallTask("running"))
    assert await lifecycle.kill(place, command) == Done()
    assert changes(runtime) == [call]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (Kill(signal="SIGFOO"), "signal 'SIGFOO' does not exist: give a name such as SIGTERM or a number from 1 to 64"),
        (Kill(all=True, exec_id="look.1"), "all and exec_id exclude each other: give one of them"),
        (Kill(exec_id="../x"), "exec id '../x' is not valid: letters and digits"),
    ],
)
async def test_kill_refuses_what_makes_no_sense_before_it_looks(
    runtime: SmallRuntime, place: Place, command: Kill, sentence: str
) -> None:
    code, said = await failing(lifecycle.kill(place, command))
    assert code == "invalid_argument"
    assert said.startswith(sentence)
    assert runtime.calls == []


async def test_kill_of_what_has_ended_is_not_found(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("stopped"))
    assert await failing(lifecycle.kill(place, Kill())) == (
        "not_found",
        "container web.1 is stopped: there is no process to signal",
    )


async def test_kill_of_all_goes_to_what_is_left_of_an_ended_container(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("stopped"))
    assert await lifecycle.kill(place, Kill(signal=9, all=True)) == Done()
    assert changes(runtime) == ["kill 9 all"]


# -- stop


async def test_the_exit_is_awaited_before_the_signal_is_sent(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"))
    assert await lifecycle.stop(place, Stop()) == ExitInfo(exit_status=143, exited_at=Nanos(5))
    assert runtime.calls.index("wait") < runtime.calls.index("kill 15")


@pytest.mark.parametrize(
    ("signal", "label", "sent"),
    [
        (None, None, 15),
        (None, "SIGQUIT", 3),
        (None, "no signal", 15),
        ("SIGINT", "SIGQUIT", 2),
    ],
)
async def test_the_stop_signal_is_the_senders_else_the_images_else_term(
    runtime: SmallRuntime, place: Place, signal: str | None, label: str | None, sent: int
) -> None:
    runtime.add(task=SmallTask("running"), labels={lifecycle.STOP_SIGNAL_LABEL: label} if label else {})
    await lifecycle.stop(place, Stop(signal=signal))
    assert changes(runtime) == [f"kill {sent}"]


async def test_what_ignores_the_signal_is_killed_with_all_its_processes(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running", ignores={TERM}))
    ended = await lifecycle.stop(place, Stop(grace=0.01))
    assert ended == ExitInfo(exit_status=137, exited_at=Nanos(5), killed=True)
    assert changes(runtime) == ["kill 15", "kill 9 all"]


async def test_a_paused_container_is_resumed_after_the_signal(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("paused", ignores={TERM}))
    await lifecycle.stop(place, Stop(grace=0.01))
    assert changes(runtime) == ["kill 15", "resume", "kill 9 all"]


@pytest.mark.parametrize("code", ["failed_precondition", "unknown"])  # runc has no class for "container not paused"
async def test_what_cannot_be_resumed_is_killed_in_the_end(runtime: SmallRuntime, place: Place, code: Code) -> None:
    runtime.add(task=SmallTask("paused", ignores={TERM}))
    runtime.fail["resume"] = [failure(code)]
    assert (await lifecycle.stop(place, Stop(grace=0))).killed


async def test_what_cannot_be_killed_is_a_deadline_exceeded(
    runtime: SmallRuntime, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "KILLED_WITHIN_S", 0.01)
    runtime.add(task=SmallTask("running", ignores={TERM, KILL}))
    code, sentence = await failing(lifecycle.stop(place, Stop(grace=0)))
    assert code == "deadline_exceeded"
    assert "container web.1 has not ended" in sentence


async def test_stop_of_what_has_ended_returns_how(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("stopped", exit_status=3))
    assert await lifecycle.stop(place, Stop()) == ExitInfo(exit_status=3, exited_at=Nanos(5))
    assert changes(runtime) == []


async def test_stop_of_a_container_without_a_task_has_nothing_to_do(runtime: SmallRuntime, place: Place) -> None:
    runtime.add()
    assert await lifecycle.stop(place, Stop()) == ExitInfo()


async def test_a_task_that_its_owner_deletes_at_once_has_ended_nobody_knows_how(
    runtime: SmallRuntime, place: Place
) -> None:
    runtime.add(task=SmallTask("running"))
    runtime.fail["wait"] = [failure("not_found")]
    assert await lifecycle.stop(place, Stop()) == ExitInfo()


async def test_a_process_that_ends_before_the_signal_has_ended(runtime: SmallRuntime, place: Place) -> None:
    task = SmallTask("running")
    runtime.add(task=task)

    async def too_late(_namespace: str, _container: str, _signal: int, **_options: Any) -> None:
        task.end(4)
        raise failure("not_found", "process already finished")

    runtime.tasks.kill = too_late  # type: ignore[method-assign, assignment]
    assert await lifecycle.stop(place, Stop()) == ExitInfo(exit_status=4, exited_at=Nanos(5))


async def test_the_exit_is_awaited_again_when_containerd_was_away(
    runtime: SmallRuntime, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "RECONNECT_S", 0)
    runtime.add(task=SmallTask("running"))
    runtime.fail["wait"] = [failure("unavailable"), failure("unavailable")]
    assert (await lifecycle.stop(place, Stop())).exit_status == 143


async def test_a_stop_signal_that_does_not_exist_changes_nothing(runtime: SmallRuntime, place: Place) -> None:
    assert (await failing(lifecycle.stop(place, Stop(signal=0))))[0] == "invalid_argument"
    assert runtime.calls == []


# -- delete


@pytest.mark.parametrize(
    ("task", "calls", "ended"),
    [
        (None, [], Deleted()),
        (("stopped", 7), ["delete_task"], Deleted(exit_status=0, exited_at=Nanos(5))),
        (("created", 7), ["kill 9 all", "delete_task"], Deleted(exit_status=137, exited_at=Nanos(5), killed=True)),
        (("unknown", 0), ["delete_task"], Deleted()),
    ],
)
async def test_delete_takes_along_what_does_not_run(
    runtime: SmallRuntime, place: Place, task: tuple[TaskStatus, int] | None, calls: list[str], ended: Deleted
) -> None:
    runtime.add(task=SmallTask(task[0], pid=task[1]) if task else None)
    assert await lifecycle.delete(place, Delete()) == ended
    assert changes(runtime) == [*calls, "delete False"]
    assert runtime.records == {}


@pytest.mark.parametrize("status", ["running", "paused", "pausing"])
async def test_delete_of_what_runs_needs_force(runtime: SmallRuntime, place: Place, status: TaskStatus) -> None:
    runtime.add(task=SmallTask(status))
    assert await failing(lifecycle.delete(place, Delete())) == (
        "failed_precondition",
        f"container web.1 is {status}: stop it first, or delete it with force",
    )
    assert changes(runtime) == []


async def test_delete_with_force_thaws_what_is_frozen(runtime: SmallRuntime, place: Place) -> None:
    task = SmallTask("paused", ignores={KILL})
    runtime.add(task=task)
    resume = runtime.tasks.resume

    async def resume_and_end(namespace: str, container: str) -> None:
        await resume(namespace, container)
        task.end(137)

    runtime.tasks.resume = resume_and_end  # type: ignore[method-assign]
    assert (await lifecycle.delete(place, Delete(force=True))).killed
    assert changes(runtime) == ["kill 9 all", "resume", "delete_task", "delete False"]


async def test_delete_keeps_the_snapshot_when_told(runtime: SmallRuntime, place: Place) -> None:
    runtime.add()
    await lifecycle.delete(place, Delete(keep_snapshot=True))
    assert changes(runtime) == ["delete True"]


async def test_delete_goes_on_when_the_owner_has_deleted_the_task(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("stopped"))
    runtime.fail["delete_task"] = [failure("not_found")]
    assert await lifecycle.delete(place, Delete()) == Deleted()
    assert runtime.records == {}


async def test_delete_says_what_it_left_behind(runtime: SmallRuntime, place: Place) -> None:
    runtime.add()
    runtime.left = ["bundle /x stays: it is a symbolic link"]
    assert (await lifecycle.delete(place, Delete())).left == ["bundle /x stays: it is a symbolic link"]


# -- restart


@pytest.mark.parametrize(
    ("before", "calls", "ended"),
    [
        (None, ["create", "start"], None),
        ("created", ["start"], None),
        ("stopped", ["delete_task", "create", "start"], None),
        ("running", ["kill 15", "delete_task", "create", "start"], 143),
        ("paused", ["kill 15", "resume", "delete_task", "create", "start"], 143),
    ],
)
async def test_restart_ends_what_runs_and_starts_anew(
    runtime: SmallRuntime, place: Place, before: TaskStatus | None, calls: list[str], ended: int | None
) -> None:
    runtime.add(task=SmallTask(before) if before else None)
    if before == "paused":
        runtime.fail["resume"] = [failure("failed_precondition")]  # the signal has ended it already
    done = await lifecycle.restart(place, Restart())
    assert (done.pid, done.ended and done.ended.exit_status) == (7, ended)
    assert changes(runtime) == calls
    assert runtime.status() == "running"


async def test_restart_has_the_grace_and_the_signal_of_stop(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running", ignores={2}))
    done = await lifecycle.restart(place, Restart(grace=0, signal="INT"))
    assert done.ended == ExitInfo(exit_status=137, exited_at=Nanos(5), killed=True)
    assert changes(runtime)[:2] == ["kill 2", "kill 9 all"]


@pytest.mark.parametrize("status", ["running", "stopped", None])
async def test_a_restart_with_a_signal_that_does_not_exist_changes_nothing(
    runtime: SmallRuntime, place: Place, status: TaskStatus | None
) -> None:
    runtime.add(task=SmallTask(status) if status else None)
    assert (await failing(lifecycle.restart(place, Restart(signal="NOPE"))))[0] == "invalid_argument"
    assert changes(runtime) == []


async def test_a_restart_whose_start_fails_says_so_and_leaves_no_task(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"))
    runtime.fail["start"] = [failure("unknown", "broke")]
    assert await failing(lifecycle.restart(place, Restart())) == ("unknown", "containerd broke")
    assert runtime.status() is None


async def test_a_restart_that_somebody_else_was_quicker_to_finish_is_one(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"))
    stop = lifecycle.stop

    async def stopped_and_started_again(place: Place, command: Stop) -> ExitInfo:
        ended = await stop(place, command)
        runtime.made["default", "web.1"] = SmallTask("running", pid=8)
        return ended

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "stop", stopped_and_started_again)
        done = await lifecycle.restart(place, Restart())
    assert done == Restarted(pid=8, ended=ExitInfo(exit_status=143, exited_at=Nanos(5)))


async def test_a_task_that_does_not_answer_is_not_restarted(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("unknown", pid=0))
    assert await failing(lifecycle.restart(place, Restart())) == (
        "failed_precondition",
        "container web.1 is unknown: its shim does not answer, delete it with force",
    )


# -- all of them

ALL: dict[str, Command] = {
    command.verb: command for command in (Start(), Restart(), Pause(), Resume(), Kill(), Stop(), Delete())
}


@pytest.mark.parametrize("verb", sorted(lifecycle.VERBS))
async def test_a_container_that_does_not_exist_is_not_found_by_name(place: Place, verb: str) -> None:
    assert await failing(lifecycle.VERBS[verb](place, ALL[verb])) == (
        "not_found",
        "container web.1 does not exist in namespace default",
    )


@pytest.mark.parametrize("verb", sorted(lifecycle.VERBS))
async def test_what_containerd_says_of_itself_is_passed_on(runtime: SmallRuntime, place: Place, verb: str) -> None:
    runtime.fail["get"] = [failure("unavailable", "is away")]
    runtime.fail["task"] = [failure("unavailable", "is away")]
    assert await failing(lifecycle.VERBS[verb](place, ALL[verb])) == ("unavailable", "containerd is away")
