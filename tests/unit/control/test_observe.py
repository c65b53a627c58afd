"""The verbs that only look put together what containerd keeps apart."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from bridge.control import observe
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model.commands import Inspect, List, Pids
from bridge.model.outcomes import ExecInfo, PidList, ProcessInfo, TaskInfo, TaskStatus
from bridge.model.state import ContainerState, ExecState
from tests.unit.control.small_runtime import SmallRuntime, SmallTask, failure


@pytest.fixture
def runtime() -> SmallRuntime:
    return SmallRuntime()


@pytest.fixture
def place(runtime: SmallRuntime) -> Place:
    return Place(runtime=runtime, node="node", namespace="default", container="web.1")


async def test_a_list_is_sorted_by_namespace_and_id(runtime: SmallRuntime) -> None:
    for namespace, container in (("b", "x"), ("a", "z"), ("a", "y")):
        runtime.add(container, namespace=namespace)
    listed = await observe.list_containers(Place(runtime=runtime, node="node"), List())
    assert [(one.namespace, one.id) for one in listed.containers] == [("a", "y"), ("a", "z"), ("b", "x")]


async def test_inspect_joins_record_task_and_processes(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("paused"))
    result = await observe.inspect(place, Inspect())
    assert (result.container.node, result.container.task) == ("node", runtime.made["default", "web.1"].info)
    assert result.processes == [ProcessInfo(pid=7)]


@pytest.mark.parametrize("status", ["created", "stopped", "unknown", None])
async def test_inspect_asks_for_no_processes_where_none_run(
    runtime: SmallRuntime, place: Place, status: TaskStatus | None
) -> None:
    runtime.add(task=SmallTask(status) if status else None)
    assert (await observe.inspect(place, Inspect())).processes == []
    assert "pids" not in runtime.calls


async def test_inspect_survives_a_container_that_ends_under_its_eyes(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"))
    runtime.fail["pids"] = [failure("not_found")]
    assert (await observe.inspect(place, Inspect())).processes == []


def knowing(place: Place, **fields: Any) -> Place:
    """The same place on a node that follows its containerd's events."""
    state = ContainerState(node="node", namespace="default", container="web.1", **fields)

    async def known(namespace: str, container: str) -> ContainerState:
        assert (namespace, container) == place.target
        return state

    return structs.replace(place, known=known)


async def test_inspect_tells_the_state_as_the_log_has_it(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"))
    state = (await observe.inspect(knowing(place, incarnation="A", pid=7, ooms=2), Inspect())).state
    assert state is not None
    assert (state.incarnation, state.ooms) == ("A", 2)
    assert (await observe.inspect(place, Inspect())).state is None


async def test_inspect_tells_of_execs_that_run_and_of_those_that_are_only_added(
    runtime: SmallRuntime, place: Place
) -> None:
    runtime.add(task=SmallTask("running"))
    runtime.execs = {"e1": TaskInfo(status="running", pid=8, terminal=True), "e2": TaskInfo(status="created")}

    async def pids(namespace: str, container: str) -> list[ProcessInfo]:
        return [ProcessInfo(pid=7), ProcessInfo(pid=8, exec_id="e1")]

    runtime.tasks.pids = pids  # type: ignore[method-assign]
    told = {name: ExecState(status="added") for name in ("e1", "e2", "gone")}
    assert (await observe.inspect(knowing(place, pid=7, execs=told), Inspect())).execs == [
        ExecInfo(exec_id="e1", status="running", pid=8, terminal=True),
        ExecInfo(exec_id="e2", status="created"),
    ]
    other_task = knowing(place, pid=6, execs=told)
    assert [one.exec_id for one in (await observe.inspect(other_task, Inspect())).execs] == ["e1"]
    assert [one.exec_id for one in (await observe.inspect(place, Inspect())).execs] == ["e1"]


async def test_inspect_does_not_take_a_failure_for_no_processes(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"))
    runtime.fail["pids"] = [failure("unavailable")]
    with pytest.raises(CommandFailed):
        await observe.inspect(place, Inspect())


async def test_pids_are_the_tasks(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"))
    assert await observe.pids(place, Pids()) == PidList(processes=[ProcessInfo(pid=7)])


async def test_pids_of_a_container_without_a_task_are_not_found(runtime: SmallRuntime, place: Place) -> None:
    runtime.add()
    with pytest.raises(CommandFailed, match=r"container web\.1 has no task: start it first") as failed:
        await observe.pids(place, Pids())
    assert failed.value.code == "not_found"


async def test_pids_of_a_stopped_container_are_a_failed_precondition(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("stopped"))
    with pytest.raises(CommandFailed, match="is stopped, so it has no processes: start it first") as caught:
        await observe.pids(place, Pids())
    assert caught.value.code == "failed_precondition"


async def test_a_container_that_ends_as_its_pids_are_listed_is_stopped(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"))

    async def pids(namespace: str, container: str) -> list[ProcessInfo]:
        runtime.made[namespace, container].end(0)
        return []

    runtime.tasks.pids = pids  # type: ignore[method-assign]
    with pytest.raises(CommandFailed, match="is stopped"):
        await observe.pids(place, Pids())
