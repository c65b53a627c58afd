"""What dockerd says, and what becomes of it when it says nothing, something else, or goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.docker import engine as module
from bridge.docker.engine import DockerEngine
from bridge.docker.inventory import DockerInventory
from bridge.docker.lookup import DockerLookup, described
from bridge.errors import EngineLost
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo
from bridge.ports import Inventory
from bridge.ports.engine import EngineContainer, EngineNews
from tests.unit.docker.dockerd import Dockerd


@pytest.fixture
async def dockerd(tmp_path: Path) -> AsyncIterator[Dockerd]:
    async with Dockerd(tmp_path / "docker.sock") as running:
        yield running


async def following(engine: DockerEngine, dockerd: Dockerd) -> tuple[AsyncIterator[EngineNews], EngineNews]:
    """The news, and the first of them: all that there is."""
    news = engine.news()
    first = await anext(news)
    await dockerd.listened.wait()
    return news, first


async def test_the_first_news_is_all_that_there_is_with_names_labels_and_health(dockerd: Dockerd) -> None:
    dockerd.has("a1", "web", health="unhealthy", tier="front")
    dockerd.has("b2", "job", status="exited", health="unhealthy")
    async with DockerEngine(dockerd.socket) as engine:
        _, first = await following(engine, dockerd)
    assert {one.id: one for one in first.containers} == {
        "a1": EngineContainer(id="a1", name="web", image="nginx:1", labels={"tier": "front"}, health="unhealthy"),
        "b2": EngineContainer(id="b2", name="job", image="nginx:1"),  # what its check said is of a time that is over
    }


async def test_it_only_ever_gets(dockerd: Dockerd) -> None:
    dockerd.has("a1", "web")
    async with DockerEngine(dockerd.socket) as engine:
        await following(engine, dockerd)
    assert {request.split(" ")[0] for request in dockerd.requests} == {"GET"}


async def test_a_change_is_told_with_all_that_is_known_then(dockerd: Dockerd) -> None:
    async with DockerEngine(dockerd.socket) as engine:
        news, _ = await following(engine, dockerd)
        dockerd.has("a1", "web", tier="front")
        dockerd.tell("a1", "create")
        assert (await anext(news)).containers == [
            EngineContainer(id="a1", name="web", image="nginx:1", labels={"tier": "front"})
        ]
        dockerd.has("a1", "shop", health="starting", tier="front")
        for action, name, health in [
            ("rename", "shop", None),
            ("start", "shop", "starting"),
            ("health_status: healthy", "shop", "healthy"),
            ("die", "shop", None),
        ]:
            dockerd.tell("a1", action, at=9)
            told = await anext(news)
            assert told.time == 9
            assert [(one.name, one.health) for one in told.containers] == [(name, health)]
        dockerd.tell("a1", "exec_start: true")  # none of its business
        dockerd.tell("a1", "destroy")
        dockerd.has("b2", "last")
        dockerd.tell("b2", "create")
        assert [one.id for one in (await anext(news)).containers] == ["b2"]
        assert engine.known(["a1", "b2"]).keys() == {"b2"}


async def test_a_container_without_a_check_has_no_health_when_it_starts(dockerd: Dockerd) -> None:
    dockerd.has("a1", "web")
    async with DockerEngine(dockerd.socket) as engine:
        news, _ = await following(engine, dockerd)
        dockerd.tell("a1", "start")
        assert [one.health for one in (await anext(news)).containers] == [None]


async def test_one_that_is_not_known_yet_is_asked_about(dockerd: Dockerd) -> None:
    async with DockerEngine(dockerd.socket) as engine:
        dockerd.has("a1", "web")
        found = await asyncio.to_thread(engine.describe, ["a1", "gone"], 30.0)
    assert {key: one.name for key, one in found.items()} == {"a1": "web"}


async def test_a_dockerd_that_is_silent_is_not_waited_for_twice(dockerd: Dockerd) -> None:
    async with DockerEngine(dockerd.socket) as engine:
        dockerd.silent = True
        assert await asyncio.to_thread(engine.describe, ["a1"], 0.01) == {}
        dockerd.silent, asked = False, len(dockerd.requests)
        assert await asyncio.to_thread(engine.describe, ["a1"], 30.0) == {}
        assert len(dockerd.requests) <= asked + 1  # the one that was not answered may arrive late


async def test_its_end_is_told_and_what_was_known_stays(dockerd: Dockerd) -> None:
    dockerd.has("a1", "web")
    async with DockerEngine(dockerd.socket) as engine:
        news, _ = await following(engine, dockerd)
        dockerd.hang_up()
        with pytest.raises(EngineLost, match="hung up"):
            await anext(news)
        assert engine.known(["a1"])["a1"].name == "web"
        assert await asyncio.to_thread(engine.describe, ["b2"], 30.0) == {}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "no dockerd"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "answers 403"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "hung up"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", "JSON|ended"),
        (b"", "hung up|cannot be reached|answers|no dockerd"),
    ],
)
async def test_what_is_no_dockerd_is_said_to_be_none(dockerd: Dockerd, answer: bytes, says: str) -> None:
    async with DockerEngine(dockerd.socket) as engine:
        if answer:
            dockerd.garbage = answer
        else:
            await dockerd.__aexit__()
        with pytest.raises(EngineLost, match=says):
            await anext(engine.news())


async def test_without_a_socket_the_start_does_not_fail(tmp_path: Path) -> None:
    async with DockerEngine(tmp_path / "none.sock") as engine:
        assert engine.known(["a1"]) == {}
        with pytest.raises(EngineLost, match="cannot be reached"):
            await anext(engine.news())


async def test_a_silent_one_holds_up_the_start_for_a_moment_only(
    dockerd: Dockerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_S", 0.01)
    dockerd.silent = True
    async with DockerEngine(dockerd.socket) as engine:
        assert engine.known(["a1"]) == {}


class Told:
    """A dockerd that knows these."""

    def __init__(self, *containers: EngineContainer) -> None:
        self._containers = {one.id: one for one in containers}

    def known(self, containers: object) -> dict[str, EngineContainer]:
        return self._containers

    def describe(self, containers: object, within_s: float) -> dict[str, EngineContainer]:
        return self._containers

    def news(self) -> AsyncIterator[EngineNews]:
        raise AssertionError


WEB = EngineContainer(id="a1", name="web", image="nginx:1", labels={"tier": "front"})
RECORD = ContainerInfo(namespace="moby", id="a1", labels={"com.docker/engine.bundle.path": "/x"}, runtime="runc")


def test_a_description_has_containerd_s_labels_and_docker_s() -> None:
    class Records:
        def describe(self, containers: object) -> dict[tuple[str, str], ContainerInfo]:
            return {("moby", "a1"): RECORD, ("shop", "a1"): ContainerInfo(namespace="shop", id="a1")}

    found = DockerLookup(Records(), Told(WEB)).describe([("moby", "a1"), ("shop", "a1")])
    assert found["moby", "a1"].labels == {"com.docker/engine.bundle.path": "/x", "tier": "front"}
    assert (found["moby", "a1"].name, found["moby", "a1"].image, found["moby", "a1"].runtime) == (
        "web",
        "nginx:1",
        "runc",
    )
    assert found["shop", "a1"].name is None


def test_a_container_that_containerd_has_no_more_is_described_docker_alone() -> None:
    class Nothing:
        def describe(self, containers: object) -> dict[tuple[str, str], ContainerInfo]:
            return {}

    assert DockerLookup(Nothing(), Told(WEB)).describe([("moby", "a1")])["moby", "a1"].name == "web"


async def test_of_whom_docker_says_nothing_the_inventory_tells_in_part() -> None:
    class Listed:
        async def take(self, namespaces: object = None, *, execs_of: object = ()) -> Inventory:
            others = {("moby", "b2"): ContainerInfo(namespace="moby", id="b2")}
            return Inventory(before=Nanos(1), after=Nanos(2), containers={("moby", "a1"): RECORD, **others})

    inventory = await DockerInventory(Listed(), Told(WEB)).take()
    assert inventory.containers["moby", "a1"].name == "web"
    assert inventory.in_part == {("moby", "b2")}


def test_a_record_of_docker_s_that_it_does_not_tell_of_is_not_taken_for_whole() -> None:
    whole = described(Told(WEB), RECORD)
    assert whole is not None
    assert whole.labels["tier"] == "front"
    assert described(Told(), RECORD) is None
    assert described(Told(), ContainerInfo(namespace="shop", id="a1")) is not None
