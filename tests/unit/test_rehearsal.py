"""A whole bridge in memory: what a program that uses one is tested on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from bridge.client import Accepted, BridgeError, Bus, CommandFailed, NodeGap, Sending, TaskExit, sync
from bridge.control.jobs import Worker
from bridge.rehearsal import Stage, rehearse, rehearsed
from bridge.testing import Program


async def words(stage: Stage, container: str) -> list[str]:
    await stage.settled()
    async with aclosing(stage.bus.events(follow=False, container=container)) as events:
        return [event.subject.rpartition(".")[2] async for event in events]


async def test_commands_and_events_go_through_the_whole_bridge() -> None:
    async with rehearse("n1") as stage:
        containerd = stage.containerd("n1")
        await containerd.run("default", "web.1", image="docker.io/library/nginx:1", labels={"app": "web"})
        web = await stage.bus.container("web.1")

        assert (await web.stop()).exit_status == 143
        assert await words(stage, "web.1") == [
            *("container-create", "create", "start", "command", "exit", "command"),
        ]
        state = await web.state()
        assert (state.status, state.exit_status, state.labels) == ("stopped", 143, {"app": "web"})
        [event] = [event async for event in web.events(type="exit", follow=False)]
        assert isinstance(event.data, TaskExit)
        assert event.data.image == "docker.io/library/nginx:1"


async def test_a_containerd_that_goes_down_is_a_gap_and_is_repaired() -> None:
    async with rehearse("n1") as stage:
        containerd = stage.containerd("n1")
        await containerd.run("default", "web.1")
        await stage.settled()
        with containerd.down():
            containerd.end("default", "web.1", 3)
        await stage.settled()

        async with aclosing(stage.bus.events(follow=False, type=["gap", "exit"])) as events:
            found = [event async for event in events]
        assert [type(event.data) for event in found[-2:]] == [NodeGap, TaskExit]
        assert found[-1].recorded.origin == "reconciled"


async def test_processes_have_their_stdio() -> None:
    async with rehearse("n1", "n2") as stage:
        containerd = stage.containerd("n2")
        containerd.programs |= {"hello": Program(says=b"hi", exits=4), "cat": Program(echoes=True)}
        await containerd.run("default", "web.1")
        web = await stage.bus.container("web.1")

        said = await web.capture(["hello"])
        assert (said.exit_status, said.stdout.captured) == (4, b"hi")
        process = await web.exec(["cat"], stdin=True)
        await process.write(b"abc")
        await process.close_stdin()
        async with aclosing(process.output()) as output:
            assert b"".join([piece.data async for piece in output]) == b"abc"
        assert (await process.wait()).exit_status == 0


async def test_jobs_are_carried_out_and_policies_hold() -> None:
    async with rehearse("n1", commands="observe,lifecycle") as stage:
        await stage.containerd("n1").run("default", "web.1")
        web = (await stage.bus.container("web.1")).sending(Sending(id="deploy-7", durable=True))

        with pytest.raises(Accepted):
            await web.pause()
        outcome = await stage.bus.jobs.outcome("deploy-7", "n1", timeout=60)
        assert outcome.outcome == "ok"
        with pytest.raises(CommandFailed) as raised:
            await web.sending(Sending()).capture(["true"])
        assert raised.value.code == "refused"


async def test_a_log_that_is_down_for_a_time_has_everything_afterwards() -> None:
    async with rehearse("n1") as stage:
        with stage.log.down():
            await stage.containerd("n1").run("default", "web.1", Program(exits=3))
        assert await words(stage, "web.1") == ["container-create", "create", "start", "exit"]


def test_a_script_is_tested_on_it_too() -> None:
    with sync.opened(rehearsed("n1", commands="observe")) as bus:
        assert [node.node for node in bus.nodes()] == ["n1"]
        assert bus.node().version().containerd == "2.1.0"
        assert [known.record is not None for known in bus.known_nodes()] == [True]


def test_a_script_runs_processes() -> None:
    @asynccontextmanager
    async def stage() -> AsyncIterator[Bus]:
        async with rehearse("n1") as stage:
            stage.containerd("n1").programs |= {"hello": Program(says=b"hi", exits=4), "cat": Program(echoes=True)}
            await stage.containerd("n1").run("default", "web.1")
            yield stage.bus

    with sync.opened(stage()) as bus:
        web = bus.container("web.1")
        assert web.capture(["hello"]).exit_status == 4
        process = web.exec(["cat"], stdin=True)
        process.write(b"abc")
        process.close_stdin()
        with process.output() as output:
            assert b"".join(piece.data for piece in output) == b"abc"
        assert process.wait().exit_status == 0
        with web.watch() as states:
            assert next(states).status == "running"


async def test_a_part_that_ended_by_itself_is_told_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def end(worker: Worker) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Worker, "run", end)
    with pytest.raises(BridgeError, match="jobs of n1 ended by itself"):
        async with rehearse("n1") as stage:
            await stage.settled()


async def test_what_is_no_group_is_told() -> None:
    with pytest.raises(ValueError, match="exce"):
        async with rehearse("n1", commands="exce"):
            pass
