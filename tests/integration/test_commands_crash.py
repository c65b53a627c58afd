"""A bridge that dies over a command: one effect at the most, one outcome, on a real containerd and a real nats-server.

`ctr events` is the witness of what was done. The bridge kills itself at a failpoint; the next one has to find the outcome.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from bridge.client import Bus, CommandFailed, connect
from bridge.failpoint import VARIABLE
from bridge.model.commands import Command, Kill, Pause, Start, Stop
from bridge.model.outcomes import CommandState, Outcome
from tests.fix_bridge import Bridge, BridgeFactory, is_end, until_stored
from tests.testbed import Ctr

ENDLESS = ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")

COMMANDS: dict[str, tuple[Command, str, set[str]]] = {
    "pause": (Pause(id="a-1"), "/tasks/paused", {"ok"}),
    "stop": (Stop(id="a-1"), "/tasks/exit", {"ok"}),
    "start": (Start(id="a-1"), "/tasks/start", {"ok"}),
    "kill": (Kill(id="a-1", signal="SIGWINCH"), "", {"ok"}),
}
"""Verb -> command, the event that is its effect, and what may come of it where the effect happened."""

PLACES = ["received", "journaled", "before-effect", "after-effect", "before-result", "result-on-disk"]


def bridge_at(factory: BridgeFactory, ctr: Ctr, url: str, state: Path, failpoint: str = "") -> Bridge:
    environ = dict(os.environ) | ({VARIABLE: failpoint} if failpoint else {})
    bridge = factory(
        *("--containerd", ctr.host.address, "--nats", url, "--node", "n1", "--state-dir", state, "--commands", "all"),
        environ=environ,
    )
    bridge.until_logged("taking commands")
    return bridge


async def outcome_of(bus: Bus, command_id: str) -> Outcome | None:
    found: list[CommandState] = list(await bus.jobs.states(command_id))
    return found[0].outcome if found else None


async def until_outcome(bus: Bus, command_id: str) -> Outcome:
    async with asyncio.timeout(30):
        while (outcome := await outcome_of(bus, command_id)) is None:
            await asyncio.sleep(0.05)
        return outcome


@pytest.mark.slow
@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("place", PLACES)
async def test_a_bridge_that_dies_over_a_command_does_it_once_at_the_most_and_finds_its_one_outcome(
    bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, tmp_path: Path, verb: str, place: str
) -> None:
    """Shows fault 12 of requests: kill -9 at every failpoint; the same command sent again does nothing more."""
    command, topic, found = COMMANDS[verb]
    await asyncio.to_thread(ctr.run, "web.1", *ENDLESS, detach=True)
    if verb == "start":
        await asyncio.to_thread(ctr, "tasks", "kill", "-s", "SIGKILL", "web.1")
        while ctr.status("web.1") != "STOPPED":
            await asyncio.sleep(0.02)
    bridge = await asyncio.to_thread(bridge_at, bridge_factory, ctr, nats_url, tmp_path / "state", place)
    with ctr.events() as seen:
        async with connect(nats_url) as bus:
            node = await bus.node("n1")
            with pytest.raises(CommandFailed):
                await node.send(command, namespace=ctr.namespace, container="web.1", timeout=3)
            await asyncio.to_thread(bridge.process.wait, 20)
            await asyncio.to_thread(bridge_at, bridge_factory, ctr, nats_url, tmp_path / "state")
            if place == "received":
                assert await outcome_of(bus, "a-1") is None
                first = await node.send(command, namespace=ctr.namespace, container="web.1")
                assert first.outcome == "ok"
            else:
                first = await until_outcome(bus, "a-1")
            again = await node.send(command, namespace=ctr.namespace, container="web.1")
            assert (again.outcome, again.finished_at) == (first.outcome, first.finished_at)
            assert (await until_outcome(bus, "a-1")).outcome == first.outcome
        done = place in {"after-effect", "before-result", "result-on-disk", "received"}
        if done and verb != "kill":
            assert first.outcome in found
        elif place == "result-on-disk":
            assert first.outcome == "ok"
        elif place != "received":
            assert first.outcome == "unknown"
        ended = await asyncio.to_thread(until_stored, nats_url, is_end)
        assert {message.data["outcome"] for message in ended if is_end(message)} == {first.outcome}
        await asyncio.to_thread(ctr, "namespaces", "label", ctr.namespace, "testbed.probe=end")
        seen.until_probe("end", timeout=20)
        effects = [each for each in seen.seen if each.topic == topic and each.data.get("container_id") == "web.1"]
        assert len(effects) == (1 if topic and done else 0)
