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
)
from bridge.containerd.lookup import ContainerdLookup

SOON_S = 1.5
"""A quarter of a second, on a machine with other work."""


class SlowContainers:
    """A containerd that knows every container, but not before `answers` is set about those whose id begins with `slow`."""

    def __init__(self) -> None:
        self.answers = threading.Event()

    def Get(self, request: GetContainerRequest, _context: Any) -> GetContainerResponse:  # noqa: N802
        if request.id.startswith("slow"):
            self.answers.wait()
        return GetContainerResponse(container=Container(id=request.id, image="nginx:1"))


@pytest.fixture
def lookup(tmp_path: Path) -> Iterator[ContainerdLookup]:
    address = tmp_path / "containerd.sock"
    containers = SlowContainers()
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


def test_of_too_many_those_that_were_told_in_time_are_there(lookup: ContainerdLookup) -> None:
    began = time.monotonic()
    found = lookup.describe(names("quick", 30_000))
    assert time.monotonic() - began < SOON_S
    assert ("default", "quick.0") in found


def test_a_slow_answer_keeps_none_of_the_others_away(lookup: ContainerdLookup) -> None:
    quick = names("quick", 5)
    assert set(lookup.describe([*names("slow", 2), *quick])) == set(quick)


def test_after_a_slow_answer_the_next_question_is_answered(lookup: ContainerdLookup) -> None:
    lookup.describe(names("slow", 3))
    assert set(lookup.describe(names("quick", 1))) == {("default", "quick.0")}
