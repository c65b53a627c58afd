"""Durable jobs on a real containerd and a real nats-server: carried out once, in order, whatever dies; poison is put aside.

`ctr events` is the witness of what was done.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
import pytest

from bridge.client import Accepted, Bus, CommandFailed, Sending, connect
from bridge.failpoint import VARIABLE
from bridge.model.commands import Command, Kill, Pause, Resume, Stop
from bridge.model.outcomes import Outcome
from tests.fix_bridge import Bridge, BridgeFactory, is_end, stored
from tests.fix_nats import NatsServerFactory
from tests.testbed import Ctr

ENDLESS = ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")
STUBBORN = ("sh", "-c", "trap '' TERM; while true; do sleep 0.1; done")
DURABLE = Sending(durable=True)


@pytest.fixture
def start_bridge(bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, tmp_path: Path) -> Callable[..., Bridge]:
    def start(
        failpoint: str = "",
        *,
        url: str = nats_url,
        state: str = "state",
        lease: str = "2",
        commands: str = "all",
    ) -> Bridge:
        environ = dict(os.environ) | ({VARIABLE: failpoint} if failpoint else {})
        bridge = bridge_factory(
            *("--containerd", ctr.host.address, "--nats", url, "--node", "n1", "--lease", lease),
            *("--state-dir", tmp_path / state, "--commands", commands),
            environ=environ,
        )
        bridge.until_logged("taking commands")
        return bridge

    return start


StartBridge = Callable[..., Bridge]


async def job(bus: Bus, ctr: Ctr, command: Command, container: str = "web.1") -> str:
    node = (await bus.node("n1")).sending(DURABLE)
    with pytest.raises(Accepted) as accepted:
        await node.send(command, namespace=ctr.namespace, container=container)
    return accepted.value.command_id


async def until(condition: Callable[[], Awaitable[Any]], *, within: float = 40) -> Any:
    async with asyncio.timeout(within):
        while not (found := await condition()):
            await asyncio.sleep(0.05)
        return found


async def outcome(bus: Bus, command_id: str) -> Outcome:
    return await bus.jobs.outcome(command_id, "n1", timeout=90)


async def drained(bus: Bus) -> None:
    async def empty() -> bool:
        return not list(await bus.jobs._store.waiting())

    await until(empty)


async def effects(ctr: Ctr, seen: Any, topic: str) -> int:
    await asyncio.to_thread(ctr, "namespaces", "label", ctr.namespace, "testbed.probe=end")
    await asyncio.to_thread(seen.until_probe, "end", timeout=90)
    return sum(each.topic == topic and each.data.get("container_id") == "web.1" for each in seen.seen)


async def told_once(url: str, command_id: str) -> None:
    """Every event of this command's end says the same."""
    messages = await asyncio.to_thread(stored, url)
    ends = {
        message.data["outcome"] for message in messages if is_end(message) and message.data["command_id"] == command_id
    }
    assert len(ends) == 1, ends


async def test_jobs_that_were_sent_while_the_bridge_was_down_are_carried_out_in_their_order(
    start_bridge: StartBridge, ctr: Ctr, nats_url: str
) -> None:
    bridge = await asyncio.to_thread(start_bridge)
    assert await asyncio.to_thread(bridge.stop) == 0
    await asyncio.to_thread(ctr.run, "web.1", *ENDLESS)
    with ctr.events() as seen:
        async with connect(nats_url) as bus:
            names = [
                await job(bus, ctr, command)
                for command in (Pause(id="a-1"), Resume(id="a-2"), Pause(id="a-3"), Resume(id="a-4"), Stop(id="a-5"))
            ]
            assert await job(bus, ctr, Stop(id="a-5")) == "a-5"  # twice is once
            assert [view.standing for view in await bus.jobs.list()] == ["waiting"] * 5
            await asyncio.to_thread(start_bridge)
            ends = [await outcome(bus, name) for name in names]
            assert [end.outcome for end in ends] == ["ok"] * 5
            finished = [int(end.finished_at or 0) for end in ends]
            assert finished == sorted(finished)
            await drained(bus)
            assert {view.standing for view in await bus.jobs.list()} == {"finished"}
        assert await effects(ctr, seen, "/tasks/paused") == 2


POISON: list[tuple[str, bytes, dict[str, str]]] = [
    ("containerd.jobs.n1.{ns}.web=2E1.pause", b"\x00 garbage", {}),
    ("containerd.jobs.n1.{ns}.web=2E1.pause", b'{"id":"p-1","future":1}', {}),
    ("containerd.jobs.n1.{ns}.web=2E1.explode", b'{"id":"p-2"}', {}),
    ("containerd.jobs.n1.{ns}.web=2E1.inspect", b'{"id":"p-3"}', {}),
    ("containerd.jobs.n1.what", b"{}", {}),
    ("containerd.jobs.n1.a.b.c.d.e.f", b"{}", {}),
    ("containerd.jobs.n1.{ns}.web.1.pause", b"{}", {}),
    ("containerd.jobs.n1.-.-.pause", b'{"id":"p-4"}', {}),
    ("containerd.jobs.n1.{ns}.=2E=2E=2Fx.pause", b'{"id":"p-5"}', {}),
    ("containerd.jobs.n1.{ns}.web=2E1.pause", b"", {"Status": "100", "Description": "Idle Heartbeat"}),
    ("containerd.jobs.n1.{ns}.web=2E1.pause", b'{"id":"../../x"}', {}),
    ("containerd.jobs.n1.{ns}.web=2E1.kill", b'{"signal":{"a":[]},"id":"p-6"}', {}),
    ("containerd.jobs.n1.{ns}.web=2E1.stop", b'{"grace":-1,"id":"p-7"}', {}),
    ("containerd.jobs.n1.{ns}.web=2E1.stop", b'{"not_after":"yesterday","id":"p-8"}', {}),
    ("containerd.jobs.n1.{ns}.web=2E1.stop", b"[" * 5000, {}),
]


async def test_poison_is_put_aside_with_its_reason_and_holds_up_nothing(
    start_bridge: StartBridge, ctr: Ctr, nats_url: str
) -> None:
    await asyncio.to_thread(start_bridge)
    await asyncio.to_thread(ctr.run, "web.1", *ENDLESS)
    client = await nats.connect(nats_url)
    try:
        with ctr.events() as seen:
            async with connect(nats_url) as bus:
                for subject, body, headers in POISON:
                    await client.jetstream(timeout=60).publish(
                        subject.format(ns=ctr.namespace), body, headers=headers or None
                    )
                await job(bus, ctr, Resume(id="a-1"))
                assert (await outcome(bus, "a-1")).outcome == "ok"
                await drained(bus)
                aside = await bus.jobs._store.quarantined()
                # The one without a body and an id is by no sender: a server has been made to say it, and nobody is told.
                assert len(aside) == len(POISON) - 1
                assert all(one.code in {"invalid_argument", "unimplemented"} and one.why for one in aside)
                for one in aside:
                    [state] = await bus.jobs.states(one.id, node="n1")
                    assert state.outcome is not None
                    assert state.outcome.outcome == "error"
            assert await effects(ctr, seen, "/tasks/paused") == 0
    finally:
        await client.close()


async def test_what_was_put_aside_can_be_shown_tried_again_and_dropped(
    start_bridge: StartBridge, ctr: Ctr, nats_url: str
) -> None:
    await asyncio.to_thread(start_bridge)
    await asyncio.to_thread(ctr.run, "web.1", *ENDLESS)
    client = await nats.connect(nats_url)
    try:
        async with connect(nats_url) as bus:
            subject = f"containerd.jobs.n1.{ctr.namespace}.web=2E1.pause"
            await client.jetstream(timeout=60).publish(subject, b'{"id":"p-1","future":1}')

            async def aside() -> bool:
                return [view.standing for view in await bus.jobs.show("p-1")] == ["quarantined"]

            await until(aside)
            again = await bus.jobs.retry("p-1")
            assert again.command_id == "p-1"  # it never started
            await until(aside)
            await bus.jobs.drop("p-1")
            assert [view.standing for view in await bus.jobs.show("p-1")] == ["finished"]
    finally:
        await client.close()


async def test_a_bridge_that_dies_whenever_it_receives_a_job_puts_it_aside(
    start_bridge: StartBridge, ctr: Ctr, nats_url: str
) -> None:
    first = await asyncio.to_thread(start_bridge)
    await asyncio.to_thread(first.stop)
    await asyncio.to_thread(ctr.run, "web.1", *ENDLESS)
    async with connect(nats_url) as bus:
        await job(bus, ctr, Pause(id="a-1"))
        for _ in range(5):
            bridge = await asyncio.to_thread(start_bridge, "job-received")
            await asyncio.to_thread(bridge.process.wait, 90)
        await asyncio.to_thread(start_bridge)
        await drained(bus)
        [view] = [view for view in await bus.jobs.list() if view.standing == "quarantined"]
        assert view.why is not None
        assert "ended 5 times" in view.why
        assert ctr.status("web.1") == "RUNNING"
        assert view.id == "a-1"
        assert (await bus.jobs.retry("a-1")).command_id == "a-1"

        async def ok() -> bool:
            return (await outcome(bus, "a-1")).outcome == "ok"

        await until(ok)
        assert ctr.status("web.1") == "PAUSED"


async def test_a_slow_job_holds_up_no_other_container_and_can_be_cancelled(
    start_bridge: StartBridge, ctr: Ctr, nats_url: str
) -> None:
    await asyncio.to_thread(start_bridge)
    await asyncio.to_thread(ctr.run, "web.1", *STUBBORN)
    await asyncio.to_thread(ctr.run, "web.2", *ENDLESS)
    async with connect(nats_url) as bus:
        await job(bus, ctr, Stop(id="slow", grace=600))
        for number in range(40):  # more than a lane lets wait of requests
            await job(bus, ctr, Resume(id=f"w-{number}"))
        await job(bus, ctr, Pause(id="other"), "web.2")
        assert (await outcome(bus, "other")).outcome == "ok"
        node = await bus.node("n1")
        assert not (await node.cancel("w-39")).began
        assert (await node.cancel("slow")).began
        slow, taken = await outcome(bus, "slow"), await outcome(bus, "w-39")
        assert slow.error is not None
        assert taken.error is not None
        assert (slow.error.code, taken.error.code) == ("cancelled", "cancelled")
        assert (await outcome(bus, "w-38")).outcome == "ok"
        await drained(bus)


async def test_a_job_that_kills_passes_a_job_that_waits_for_the_end(
    start_bridge: StartBridge, ctr: Ctr, nats_url: str
) -> None:
    await asyncio.to_thread(start_bridge)
    await asyncio.to_thread(ctr.run, "web.1", *STUBBORN)
    async with connect(nats_url) as bus:
        await job(bus, ctr, Stop(id="patient", grace=86_400))
        await job(bus, ctr, Stop(id="patient-too", grace=86_400))
        await job(bus, ctr, Kill(id="now", signal="KILL"))
        assert [(await outcome(bus, each)).outcome for each in ("now", "patient", "patient-too")] == ["ok"] * 3
        assert (await outcome(bus, "patient")).result["exit_status"] == 137
        await drained(bus)


@pytest.mark.parametrize("version", ["2.9", "2.10"])
async def test_older_servers_carry_jobs_too(
    start_bridge: StartBridge, ctr: Ctr, nats_server_factory: NatsServerFactory, version: str
) -> None:
    server = nats_server_factory(version=version)
    bridge = await asyncio.to_thread(start_bridge, url=server.url)
    await asyncio.to_thread(ctr.run, "web.1", *ENDLESS)
    async with connect(server.url) as bus:
        await job(bus, ctr, Pause(id="a-1"))
        assert (await outcome(bus, "a-1")).outcome == "ok"
        await asyncio.to_thread(bridge.kill)
        await job(bus, ctr, Resume(id="a-2"))
        assert [view.id for view in await bus.jobs.list() if view.standing == "waiting"] == ["a-2"]
        await asyncio.to_thread(start_bridge, url=server.url)
        assert (await outcome(bus, "a-2")).outcome == "ok"
        await drained(bus)
        assert json.dumps([view.standing for view in await bus.jobs.list()]) == '["finished", "finished"]'


async def test_a_job_that_was_refused_is_carried_out_under_its_id_once_it_is_allowed(
    start_bridge: StartBridge, ctr: Ctr, nats_url: str
) -> None:
    """The stream has forgotten neither its name nor its id; whoever waits gets the new outcome and not the old one."""
    bridge = await asyncio.to_thread(start_bridge, commands="observe")
    await asyncio.to_thread(ctr.run, "web.1", *ENDLESS)
    async with connect(nats_url) as bus:
        node = (await bus.node("n1")).sending(Sending(durable=True, wait=True, timeout=90))

        async def send() -> Outcome:
            return await node.send(Pause(id="a-1"), namespace=ctr.namespace, container="web.1")

        assert (await send()).outcome == "refused"
        assert await asyncio.to_thread(bridge.stop) == 0
        sending = [asyncio.create_task(send()) for _ in range(3)]  # impatient, and still one job
        await until(lambda: waiting(bus))
        await asyncio.to_thread(start_bridge)
        assert [outcome.outcome for outcome in await asyncio.gather(*sending)] == ["ok"] * 3
        assert (await send()).outcome == "ok"
        await drained(bus)
    assert ctr.status("web.1") == "PAUSED"


async def waiting(bus: Bus) -> bool:
    return bool(list(await bus.jobs._store.waiting()))


async def test_a_job_of_a_node_that_is_down_can_be_taken_back(
    start_bridge: StartBridge, ctr: Ctr, nats_url: str
) -> None:
    bridge = await asyncio.to_thread(start_bridge)
    await asyncio.to_thread(ctr.run, "web.1", *ENDLESS)
    assert await asyncio.to_thread(bridge.stop) == 0
    async with connect(nats_url) as bus:
        await job(bus, ctr, Pause(id="a-1"))
        await job(bus, ctr, Kill(id="a-2", signal="SIGWINCH"))
        node = await bus.node("n1")
        assert not (await node.cancel("a-1")).began
        assert not (await node.cancel("a-1")).began
        with pytest.raises(CommandFailed) as nobody:
            await node.cancel("a-3")
        assert nobody.value.code == "not_found"
        await asyncio.to_thread(start_bridge)
        ended = await outcome(bus, "a-1")
        assert ended.error is not None
        assert (ended.outcome, ended.error.code) == ("error", "cancelled")
        assert (await outcome(bus, "a-2")).outcome == "ok"
        await drained(bus)
    assert ctr.status("web.1") == "RUNNING"
    await told_once(nats_url, "a-1")
