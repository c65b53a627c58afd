"""Taking back what takes long, through NATS and a real bridge on a real containerd: registries that hang, endless processes."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from bridge.client import Bus, CommandFailed, Node, Sending, connect
from bridge.control.turns import IMAGES_WIDTH
from bridge.model.commands import Exec, Pull
from bridge.model.identity import new_ulid
from bridge.model.outcomes import Outcome
from tests.fix_bridge import Bridge
from tests.integration.test_containerd_runtime import eventually
from tests.integration.test_images import busybox
from tests.testbed import BUSYBOX, Containerd, Ctr, Registry
from tests.testbed.image import content

pytestmark = pytest.mark.containerd


class HalfRegistry(Registry):
    """Serves manifest and configuration, and hangs over the layer."""

    def __init__(self, blobs: list[bytes]) -> None:
        super().__init__(blobs)
        self.layer = max(blobs, key=len)
        self.asked_for_layer = threading.Event()
        self.go_on = threading.Event()

    def answer(self, path: str, authorization: str) -> tuple[int, bytes, dict[str, str]]:
        status, body, headers = super().answer(path, authorization)
        if body is self.layer:
            self.asked_for_layer.set()
            self.go_on.wait()
            return 503, b"", {}
        return status, body, headers


@pytest.fixture
def silent() -> Iterator[str]:
    """An image of a registry that takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"localhost:{listening.getsockname()[1]}/test/image:1"


@pytest.fixture
async def bus(bridge: Bridge, nats_url: str) -> AsyncIterator[Bus]:
    bridge.until_logged("is up")
    async with connect(nats_url) as opened:
        yield opened


@pytest.fixture
async def node(bus: Bus) -> Node:
    return await bus.node("n1")


@pytest.fixture
def empty(containerd: Containerd) -> Iterator[Ctr]:
    with containerd.fresh_namespace(busybox=False) as ctr:
        yield ctr


async def until(condition: Callable[[], bool]) -> None:
    await eventually(lambda: asyncio.to_thread(condition))


def pulling(node: Node, ctr: Ctr, image: str, command_id: str, **more: Any) -> asyncio.Task[Outcome]:
    command = Pull(id=command_id, image=image, plain_http=True, **more)
    return asyncio.create_task(node.send(command, namespace=ctr.namespace, timeout=120))


def leased(ctr: Ctr) -> bool:
    return ctr("leases", "ls", "-q") != ""


async def nothing_left(ctr: Ctr) -> None:
    assert ctr("images", "ls", "-q") == ""
    # containerd gives up its own lease of the pull, and collects its garbage, in its own time.
    await until(lambda: not leased(ctr))
    await until(lambda: not ctr("content", "ls", "-q") and not ctr("content", "active").splitlines()[1:])
    assert ctr("snapshots", "ls").splitlines()[1:] == []


def code_of(outcome: Outcome) -> str:
    assert outcome.error is not None, outcome
    return outcome.error.code


async def test_a_pull_from_a_registry_that_never_answers_is_cancelled(node: Node, empty: Ctr, silent: str) -> None:
    pull = pulling(node, empty, silent, "p-1")
    await until(lambda: leased(empty))
    assert (await node.cancel("p-1")).began
    assert code_of(await pull) == "cancelled"
    await nothing_left(empty)


async def test_of_a_pull_that_is_cancelled_in_the_middle_of_a_layer_nothing_is_left(
    node: Node, empty: Ctr, containerd: Containerd
) -> None:
    with HalfRegistry(content(busybox(containerd))) as registry:
        pull = pulling(node, empty, registry.image, "p-1")
        try:
            assert await asyncio.to_thread(registry.asked_for_layer.wait, 90)
            assert (await node.cancel("p-1")).began
            assert code_of(await pull) == "cancelled"
            await nothing_left(empty)
        finally:
            registry.go_on.set()


@pytest.mark.parametrize("half", [False, True], ids=["never answers", "stops in a layer"])
async def test_a_registry_that_sends_nothing_is_given_up(
    node: Node, empty: Ctr, silent: str, containerd: Containerd, half: bool
) -> None:
    with HalfRegistry(content(busybox(containerd))) as registry:
        try:
            outcome = await pulling(node, empty, registry.image if half else silent, "p-1", stall=1)
        finally:
            registry.go_on.set()
    assert code_of(outcome) == "deadline_exceeded"
    assert outcome.error is not None
    assert "has sent nothing for 1 s" in outcome.error.message
    await nothing_left(empty)


async def test_what_hangs_in_one_namespace_holds_up_no_rmi_and_no_other_namespace(
    node: Node, ctr: Ctr, empty: Ctr, silent: str, containerd: Containerd
) -> None:
    slow = [pulling(node, ctr, silent, f"p-{number}") for number in range(IMAGES_WIDTH + 1)]
    await until(lambda: len(ctr("leases", "ls", "-q").split()) >= IMAGES_WIDTH)
    with Registry(content(busybox(containerd))) as registry:
        assert (await pulling(node, empty, registry.image, "q-1")).outcome == "ok"
    await node.rmi(BUSYBOX, namespace=ctr.namespace)
    for number in reversed(range(IMAGES_WIDTH + 1)):
        await node.cancel(f"p-{number}")
    assert {code_of(outcome) for outcome in await asyncio.gather(*slow)} == {"cancelled"}
    await until(lambda: not leased(ctr))


@pytest.mark.parametrize("how", [Sending(), Sending(durable=True, wait=True)], ids=["request", "job"])
async def test_an_exec_is_killed(node: Node, ctr: Ctr, how: Sending) -> None:
    await asyncio.to_thread(ctr, "run", "--detach", BUSYBOX, "web", "sleep", "1000")
    command = Exec(id=new_ulid(), args=["sh", "-c", "touch /begun; exec sleep 999"], mode="attached")
    asking = asyncio.create_task(node.sending(how).send(command, namespace=ctr.namespace, container="web", timeout=120))
    task = (await node.inspect("web", namespace=ctr.namespace)).container.task
    assert task is not None
    await until(lambda: ctr.host.run("test", "-e", f"/proc/{task.pid}/root/begun", check=False).returncode == 0)
    assert (await node.cancel(command.id or "")).began
    outcome = await asking
    assert code_of(outcome) == "cancelled"
    assert outcome.error is not None
    assert outcome.error.message == "exec was cancelled: its process in container web was killed"
    assert [one.exec_id for one in await node.pids("web", namespace=ctr.namespace)] == [None]


async def test_pids_of_a_stopped_container_are_refused_with_a_sentence(node: Node, ctr: Ctr) -> None:
    await asyncio.to_thread(ctr, "run", "--detach", BUSYBOX, "web", "sleep", "1000")
    await node.stop("web", grace=0, namespace=ctr.namespace)
    with pytest.raises(
        CommandFailed, match="container web is stopped, so it has no processes: start it first"
    ) as caught:
        await node.pids("web", namespace=ctr.namespace)
    assert caught.value.code == "failed_precondition"
