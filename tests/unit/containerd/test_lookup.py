"""What is not told within a quarter of a second is left out, however much is asked and however slow the answers are."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from bridge._pb.containerd.services.containers_pb2 import (
    Container,
    Containers,
    GetContainerRequest,
    GetContainerResponse,
    ListContainersRequest,
    ListContainersResponse,
)
from bridge.containerd import lookup as lookup_module
from bridge.containerd.lookup import ContainerdLookup

SOON_S = 60.0
"""A quarter of a second, on whatever machine, where what is asked for would never be answered."""


class SlowContainers:
    """A containerd that knows every container, but not before `answers` is set about those whose id begins with `slow`.

    `asked` counts the questions about one container and about many.
    """

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = {"one": 0, "many": 0}
        self.pause = 0.0

    def List(self, request: ListContainersRequest, _context: Any) -> ListContainersResponse:  # noqa: N802
        self.asked["many"] += 1
        names = [each.removeprefix('id=="').removesuffix('"') for each in request.filters]
        if any(name.startswith("slow") for name in names):
            self.answers.wait()
        time.sleep(self.pause)
        return ListContainersResponse(containers=[Container(id=name, image="nginx:1") for name in names])

    def Get(self, request: GetContainerRequest, _context: Any) -> GetContainerResponse:  # noqa: N802
        self.asked["one"] += 1
        if request.id.startswith("slow"):
            self.answers.wait()
        return GetContainerResponse(container=Container(id=request.id, image="nginx:1"))


@pytest.fixture
def containers() -> SlowContainers:
    return SlowContainers()


@pytest.fixture
def lookup(tmp_path: Path, containers: SlowContainers) -> Iterator[ContainerdLookup]:
    address = tmp_path / "containerd.sock"
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Containers.handler(containers),))
    server.add_insecure_port(f"unix://{address}")
    server.start()
    try:
        with ContainerdLookup(address) as lookup:
            yield lookup
    finally:
        containers.answers.set()
        server.stop(0).wait()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave quick answers more time than a machine with other work needs for them."""
    monkeypatch.setattr(lookup_module, "WITHIN_S", 4.0)


def names(first: str, count: int) -> list[tuple[str, str]]:
    return [("default", f"{first}.{number}") for number in range(count)]


def test_a_containerd_that_does_not_answer_is_not_waited_for(lookup: ContainerdLookup) -> None:
    began = time.monotonic()
    assert lookup.describe(names("slow", 3)) == {}
    assert time.monotonic() - began < SOON_S


def test_however_many_are_asked_about_it_takes_no_longer(lookup: ContainerdLookup) -> None:
    began = time.monotonic()
    lookup.describe(names("slow", 30_000))
    assert time.monotonic() - began < SOON_S


@pytest.mark.usefixtures("patient")
def test_of_too_many_those_that_were_told_in_time_are_there(
    lookup: ContainerdLookup, containers: SlowContainers
) -> None:
    containers.pause = 0.05
    found = lookup.describe(names("quick", 60_000))  # for all of them it would have to answer for twelve seconds
    assert ("default", "quick.0") in found
    assert ("default", "quick.59999") not in found


@pytest.mark.usefixtures("patient")
def test_a_slow_answer_keeps_none_of_the_others_away(lookup: ContainerdLookup) -> None:
    quick = names("quick", 5)
    assert set(lookup.describe([*names("slow", 2), *quick])) == set(quick)


@pytest.mark.usefixtures("patient")
def test_after_a_slow_answer_the_next_question_is_answered(lookup: ContainerdLookup) -> None:
    lookup.describe(names("slow", 3))
    assert set(lookup.describe(names("quick", 1))) == {("default", "quick.0")}


@pytest.mark.usefixtures("patient")
def test_many_are_asked_about_in_one_question(lookup: ContainerdLookup, containers: SlowContainers) -> None:
    asked = names("quick", 300)
    assert set(lookup.describe(asked)) == set(asked)
    assert containers.asked == {"one": 0, "many": 2}


@pytest.mark.usefixtures("patient")
def test_where_that_takes_long_they_are_asked_about_one_by_one(
    lookup: ContainerdLookup, containers: SlowContainers
) -> None:
    asked = names("quick", 20)
    containers.pause = 0.15
    assert set(lookup.describe(asked)) == set(asked)
    assert set(lookup.describe(asked)) == set(asked)
    assert containers.asked == {"one": 20, "many": 1}


@pytest.mark.usefixtures("patient")
def test_where_that_is_not_answered_they_are_asked_about_one_by_one(
    lookup: ContainerdLookup, containers: SlowContainers
) -> None:
    quick = names("quick", 20)
    assert lookup.describe([*names("slow", 1), *quick]) == {}
    assert set(lookup.describe([*names("slow", 1), *quick])) == set(quick)
