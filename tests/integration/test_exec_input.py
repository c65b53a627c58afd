"""Input of real processes on a real bus: only whoever may run or attach writes, and it is recorded who did."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from bridge.client import Bus, CommandFailed, Node, connect
from bridge.model import commands
from bridge.model.events import CommandRecorded
from bridge.model.subjects import quote
from tests.fix_bridge import Bridge
from tests.testbed import BUSYBOX, Ctr


@pytest.fixture
async def bus(bridge: Bridge, nats_url: str) -> AsyncIterator[Bus]:
    bridge.until_logged("is up")
    async with connect(nats_url) as opened:
        yield opened


@pytest.fixture
async def node(bus: Bus) -> Node:
    return await bus.node("n1")


@pytest.fixture
async def nats(nats_url: str) -> AsyncIterator[Client]:
    client = Client()
    await client.connect(nats_url)
    try:
        yield client
    finally:
        await client.close()


async def test_the_session_that_everybody_sees_is_not_enough_to_write(
    node: Node, ctr: Ctr, nats: Client, bus: Bus
) -> None:
    ctr("run", "--detach", BUSYBOX, "web", "sleep", "1000")
    process = await node.exec("web", ["cat"], namespace=ctr.namespace, stdin=True, id="c1")
    subject = f"containerd.stdio.n1.{quote(ctr.namespace)}.web.c1.stdin"
    headers = {"Stdio-Session": process.started.session, "Stdio-Offset": "0", "Stdio-Key": "0" * 32}
    for sent in (headers, {name: headers[name] for name in ("Stdio-Session", "Stdio-Offset")}):
        reply = json.loads((await nats.request(subject, b"typed by another", headers=sent)).data)
        assert (reply["error"]["code"], reply["accepted"]) == ("refused", 0)

    await process.write(b"mine, ")
    other = await node.attach("web", "c1", namespace=ctr.namespace)
    await other.write(b"and of whoever may attach")
    await other.close_stdin()
    async with aclosing(process.output()) as pieces:
        assert b"".join([piece.data async for piece in pieces]) == b"mine, and of whoever may attach"

    # What is kept for everybody has no key.
    key = process.started.key
    assert key is not None
    assert other.started.key == key
    kept = b""
    async with asyncio.timeout(90):
        while process.started.session.encode() not in kept:
            with suppress(NotFoundError):  # it is written soon
                last = await nats.jetstream(timeout=60).get_last_msg(
                    "KV_containerd-commands", "$KV.containerd-commands.n1.>"
                )
                kept = last.data or b""
    assert key.encode() not in kept

    told = []
    async with aclosing(bus.events(type="command", since=1, follow=True)) as events:
        async for stored in events:
            data = stored.recorded.data
            if isinstance(data, CommandRecorded) and data.verb == "stdin":
                told.append(data)
                if data.phase == "finished":
                    break
    assert [(one.phase, one.command_id, one.container_id) for one in told] == [
        ("started", process.started.session, "web"),
        ("finished", process.started.session, "web"),
    ]
    assert told[-1].options == {"exec_id": "c1", "command": "c1", "size": 31}
    assert told[-1].sha256 == hashlib.sha256(b"mine, and of whoever may attach").hexdigest()


async def test_who_asks_again_is_told_the_key_and_a_wrong_one_is_said_to_be_wrong(node: Node, ctr: Ctr) -> None:
    ctr("run", "--detach", BUSYBOX, "web", "sleep", "1000")
    command = commands.Exec(id="once", args=["cat"], mode="detached", stdin=True)
    first = await node.send(command, namespace=ctr.namespace, container="web")
    again = await node.send(command, namespace=ctr.namespace, container="web")
    assert first.result["key"] == again.result["key"] != ""
    process = await node.attach("web", "once", namespace=ctr.namespace)
    process._key = "wrong"
    with pytest.raises(CommandFailed, match="its key is not the session's"):
        await process.write(b"x")
    process._key = None  # as in an outcome that was kept
    await process.write(b"x")
    await process.close_stdin()
    assert (await asyncio.wait_for(process.wait(), 90)).exit_status == 0
