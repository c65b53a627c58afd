"""Execs and their stdio on every generation of containerd: each has a shim of its own, with bugs of its own."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from bridge.client import CommandFailed, Node, Process, connect
from bridge.model.commands import Create, Run
from tests.fix_bridge import BridgeFactory
from tests.fix_containerd import ContainerdFactory
from tests.testbed import BUSYBOX, Ctr

GENERATIONS = [pytest.param("2.1"), *(pytest.param(version, marks=pytest.mark.older) for version in ("1.7", "1.6"))]


@pytest.fixture(params=GENERATIONS)
async def place(
    request: pytest.FixtureRequest,
    containerd_factory: ContainerdFactory,
    bridge_factory: BridgeFactory,
    nats_url: str,
    tmp_path: Path,
) -> AsyncIterator[tuple[Node, Ctr]]:
    """A node with a container `web`, on containerd 2.1, and with `-m older` on 1.7 and 1.6."""
    host = containerd_factory(request.param)
    with host.fresh_namespace() as ctr:
        ctr("run", "--detach", BUSYBOX, "web", "sleep", "1000")
        daemon = bridge_factory(
            *("--containerd", host.address, "--nats", nats_url, "--node", "n1"),
            *("--state-dir", tmp_path / "state", "--commands", "all", "--fifo-dir", host.fifo_dir),
        )
        daemon.until_logged("is up")
        async with connect(nats_url) as bus:
            yield await bus.node("n1"), ctr
        daemon.stop()


async def read(process: Process) -> bytes:
    found = b""
    async with aclosing(process.output()) as pieces:
        async for piece in pieces:
            found += piece.data
    return found


async def test_output_input_and_terminals_on_every_containerd(place: tuple[Node, Ctr]) -> None:
    node, ctr = place
    for size in (0, 1, 65_535, 65_536, 65_537, 3_000_000):
        found = await node.capture("web", ["sh", "-c", f"head -c {size} /dev/zero; exit 3"], namespace=ctr.namespace)
        assert (found.exit_status, found.stdout.truncated) == (3, None)
        assert found.stdout.sha256 == hashlib.sha256(bytes(size)).hexdigest()

    for data in (b"", b"x", bytes(200_000), b"") * 3:
        process = await node.exec("web", ["cat"], namespace=ctr.namespace, stdin=True)
        if data:
            await process.write(data)
        await process.close_stdin()
        assert await read(process) == data

    process = await node.exec(
        "web", ["sh", "-c", "read x; busybox stty size"], namespace=ctr.namespace, tty=True, stdin=True
    )
    await process.resize(width=101, height=41)
    await process.write(b"\n")
    assert (await read(process)).endswith(b"41 101\r\n")

    with pytest.raises(CommandFailed) as failed:
        await node.capture("web", ["nosuchprogram"], namespace=ctr.namespace)
    assert failed.value.code == "invalid_argument"


async def test_the_container_s_own_stdio_on_every_containerd(place: tuple[Node, Ctr]) -> None:
    node, ctr = place
    ctr("containers", "create", BUSYBOX, "job", "cat")
    for text in (b"first\n", b""):
        await node.start("job", namespace=ctr.namespace, stdio="bus", stdin=True)
        process = await node.attach("job", namespace=ctr.namespace)
        if text:
            await process.write(text)
        await process.close_stdin()
        assert await read(process) == text
        assert (await process.wait()).exit_status == 0


async def test_what_is_run_has_its_stdio_on_the_bus_on_every_containerd(place: tuple[Node, Ctr]) -> None:
    node, ctr = place
    script = "busybox stty size; read x; echo got $x; exit 5"
    where: dict[str, Any] = {"stdio": "bus", "stdin": True, "tty": True, "width": 101, "height": 41}
    command = Run(image=BUSYBOX, command=["sh", "-c", script], rm=True, **where)
    ran = await node.run("job", command, namespace=ctr.namespace)
    assert ran.process is not None
    process = node.process(ran.process, "job", namespace=ctr.namespace, owned=True)
    await process.write(b"this\n")
    output = await read(process)
    assert b"41 101\r\n" in output
    assert output.endswith(b"got this\r\n")
    assert (await process.wait()).exit_status == 5
    async with asyncio.timeout(90):
        while "job" in await asyncio.to_thread(ctr, "containers", "ls", "-q"):
            await asyncio.sleep(0.05)


async def test_input_may_come_and_end_before_the_start_on_every_containerd(place: tuple[Node, Ctr]) -> None:
    node, ctr = place
    where: Any = {"namespace": ctr.namespace}
    wanted = Create(image=BUSYBOX, command=["cat"], stdio="bus", stdin=True)
    await node.create("early", wanted, **where)
    process = await node.attach("early", **where)
    await process.write(b"written ")
    await process.write(b"before the start")
    await process.close_stdin()
    assert (await node.close_stdin("early", **where)).already
    started = await node.start("early", **where)
    assert started.session == process.started.session
    assert await read(process) == b"written before the start"
    assert (await process.wait()).exit_status == 0

    await node.create("ended", wanted, **where)
    assert not (await node.close_stdin("ended", **where)).already
    await node.start("ended", **where)
    assert (await node.wait("ended", **where)).exit_status == 0

    await node.create("gone", wanted, **where)
    process = await node.attach("gone", **where)
    await node.delete("gone", **where)
    assert (await process.wait()).stdout.truncated == "deleted"
