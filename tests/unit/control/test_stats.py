"""`stats` asks containerd once for a namespace, and says why where one container has no numbers."""

from __future__ import annotations

import pytest

from bridge.control import stats
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model.commands import Stats
from bridge.model.nanos import Nanos
from bridge.model.outcomes import TaskStats
from tests.unit.control.small_runtime import SmallRuntime, SmallTask


def look(namespace: str, container: str) -> TaskStats:
    return TaskStats(namespace=namespace, container=container, read_at=Nanos(1))


@pytest.fixture
def runtime() -> SmallRuntime:
    runtime = SmallRuntime()
    for namespace, container in (("b", "x"), ("a", "z"), ("a", "y")):
        runtime.add(container, SmallTask("running"), namespace=namespace)
        runtime.stats.append(look(namespace, container))
    return runtime


def place(runtime: SmallRuntime, namespace: str | None = None, container: str | None = None, **more: object) -> Place:
    return Place(runtime=runtime, node="node", namespace=namespace, container=container, **more)  # type: ignore[arg-type]


async def found(at: Place, command: Stats | None = None) -> list[tuple[str, str, str]]:
    told = await stats.stats(at, command or Stats())
    return [(one.node, one.namespace, one.container) for one in told.stats]


async def test_all_of_them_take_one_call_for_each_namespace(runtime: SmallRuntime) -> None:
    assert await found(place(runtime)) == [("node", "a", "y"), ("node", "a", "z"), ("node", "b", "x")]
    assert runtime.calls == ["namespaces", "metrics a", "metrics b"]


async def test_all_of_them_are_those_of_the_namespaces_that_are_followed(runtime: SmallRuntime) -> None:
    assert await found(place(runtime, followed=frozenset({"b"}))) == [("node", "b", "x")]


async def test_a_namespace_or_some_of_its_containers(runtime: SmallRuntime) -> None:
    assert [one[2] for one in await found(place(runtime, "a"))] == ["y", "z"]
    assert [one[2] for one in await found(place(runtime, "a"), Stats(containers=["z", "gone"]))] == ["z"]


async def test_one_container(runtime: SmallRuntime) -> None:
    assert await found(place(runtime, "a", "z")) == [("node", "a", "z")]


@pytest.mark.parametrize(
    ("task", "code", "sentence"),
    [
        (None, "not_found", "container c has no task: start it first"),
        (SmallTask("stopped"), "failed_precondition", "container c is stopped: start it first"),
        (SmallTask("running"), "unavailable", "container c is running, and its runtime does not tell what it uses"),
    ],
)
async def test_one_without_numbers_is_not_an_empty_success(
    runtime: SmallRuntime, task: SmallTask | None, code: str, sentence: str
) -> None:
    runtime.add("c", task, namespace="a")
    with pytest.raises(CommandFailed) as failed:
        await stats.stats(place(runtime, "a", "c"), Stats())
    assert (failed.value.code, sentence in failed.value.message) == (code, True)


@pytest.mark.parametrize(("at", "containers"), [(("a", "z"), ["z"]), (("a", None), ['"||"']), ((None, None), ["../x"])])
async def test_what_cannot_be_is_refused(
    runtime: SmallRuntime, at: tuple[str | None, str | None], containers: list[str]
) -> None:
    with pytest.raises(CommandFailed) as failed:
        await stats.stats(place(runtime, *at), Stats(containers=containers))
    assert failed.value.code == "invalid_argument"
    assert runtime.calls == []
