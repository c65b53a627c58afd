"""What real processes leave behind when their container goes: their shims have some of it, and go with the task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from bridge.client import CommandFailed, Node, Process, connect
from bridge.model.commands import Run
from bridge.model.outcomes import ExecResult
from tests.fix_bridge import Bridge
from tests.testbed import BUSYBOX, Ctr

PIECE = 65_536
COUNTED = f"i=0; while :; do head -c {PIECE} /dev/zero; i=$((i+1)); echo $i > /count; done"
"""Writes for ever, and says how many pieces it has got rid of."""

LEAST = 64
"""Pieces that a bridge takes without storing them."""


@pytest.fixture
async def node(bridge: Bridge, nats_url: str) -> AsyncIterator[Node]:
    bridge.until_logged("is up")
    async with connect(nats_url) as bus:
        yield await bus.node("n1")


@asynccontextmanager
async def unread(process: Process) -> AsyncIterator[None]:
    """Own it and read nothing of it but its first piece."""
    async with aclosing(process.output()) as pieces:
        await anext(pieces)
        yield


async def held_up(node: Node, container: str, namespace: str) -> int:
    """Wait until the program cannot write any more; return how many bytes it has written at the least."""
    before = -1
    while True:
        said = (await node.capture(container, ["cat", "/count"], namespace=namespace)).stdout.captured or b""
        count = int(said or b"0")
        if count == before and count >= LEAST:
            return count * PIECE
        before = count
        await asyncio.sleep(0.2)


async def whole(process: Process) -> int:
    """Wait for its end; return how much of it is stored."""
    end = (await process.wait()).stdout
    assert end.truncated is None
    assert end.sha256 is not None
    return end.size


@pytest.mark.parametrize("command", ["delete", "restart"])
async def test_an_exec_whose_owner_does_not_read_is_whole_when_its_task_goes(
    node: Node, ctr: Ctr, command: str
) -> None:
    ctr("run", "--detach", BUSYBOX, "web", "sleep", "1000")
    process = await node.exec("web", ["sh", "-c", COUNTED], namespace=ctr.namespace, window=PIECE)
    async with unread(process):
        written = await held_up(node, "web", ctr.namespace)
        if command == "delete":
            await node.delete("web", namespace=ctr.namespace, force=True)
        else:
            await node.restart("web", namespace=ctr.namespace, grace=0)
    assert await whole(process) >= written


async def test_a_container_that_removes_itself_takes_nothing_of_its_output_away(node: Node, ctr: Ctr) -> None:
    command = Run(image=BUSYBOX, command=["sh", "-c", COUNTED], stdio="bus", window=PIECE, rm=True)
    ran = await node.run("job", command, namespace=ctr.namespace)
    assert isinstance(ran.process, ExecResult)
    process = node.process(ran.process, "job", namespace=ctr.namespace, owned=True, window=PIECE)
    async with unread(process):
        written = await held_up(node, "job", ctr.namespace)
        await node.kill("job", signal="SIGKILL", namespace=ctr.namespace)
        while "job" in await asyncio.to_thread(ctr, "containers", "list", "--quiet"):
            await asyncio.sleep(0.1)
    assert await whole(process) >= written


async def test_a_restart_keeps_the_stdio_and_who_attaches_sees_the_run_of_now(node: Node, ctr: Ctr) -> None:
    ctr("containers", "create", BUSYBOX, "job", "sh", "-c", "read x; echo $x; sleep 1000")
    first = await node.start("job", namespace=ctr.namespace, stdio="bus", stdin=True)
    await node.restart("job", namespace=ctr.namespace, grace=0)
    process = await node.attach("job", namespace=ctr.namespace)
    assert (process.started.running, process.started.session == first.session) == (True, False)
    await process.write(b"now\n")
    async with aclosing(process.output()) as pieces:
        assert (await anext(pieces)).data == b"now\n"
    await node.stop("job", namespace=ctr.namespace, grace=0)
    await asyncio.to_thread(ctr, "tasks", "delete", "job")
    ctr("tasks", "start", "--detach", "--null-io", "job")
    with pytest.raises(CommandFailed, match="was not started with it there"):
        await node.attach("job", namespace=ctr.namespace)
