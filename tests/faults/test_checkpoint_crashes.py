"""Fault 23: a bridge that dies over a checkpoint or a restore: done once or not at all, nothing left, the container as it was.

On a real containerd with CRIU and a real nats-server. The bridge kills itself at a failpoint, and the next one has to find the
outcome; it is the one that dies at the next place.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from bridge.client import Bus, CommandFailed, connect
from bridge.model import labels
from bridge.model.checkpoints import CheckpointKey
from bridge.model.commands import Checkpoint, CheckpointRemove, Command, Restore
from bridge.model.outcomes import Outcome
from tests.contract.checkpointing import WAITS
from tests.faults.crashes import OF_CHECKPOINTS
from tests.faults.test_crashes import House, outcome_of, until
from tests.fix_bridge import BridgeFactory
from tests.testbed import Ctr

COUNTER = (
    "sh",
    "-c",
    f"{WAITS}\nn=0; echo began >> /log; while :; do n=$((n+1)); echo $n > /dev/shm/n; waits; done",
)

MAKING = {"paused": "error", "dumped": "error", "resumed": "error", "archived": "error", "recorded": "ok"}
ENDING = {"dumped": "error", "recorded": "ok"}
RESTORING = {"unpacked": "error", "snapshot-made": "error", "record-made": "error", "restored": "ok"}
AGAIN = {"snapshot-made": "error", "record-made": "error", "restored": "ok"}
"""Places, in their order, and the word of the outcome that the next bridge finds."""

pytestmark = [pytest.mark.slow, pytest.mark.containerd, pytest.mark.timeout(300)]


@pytest.fixture
def house(bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, tmp_path: Any) -> House:
    return House(bridge_factory, ctr, nats_url, tmp_path)


def test_every_place_is_tried() -> None:
    tried = {*MAKING, *ENDING, *RESTORING, *AGAIN, "removed"}
    assert set(OF_CHECKPOINTS) <= tried


def status(ctr: Ctr, container: str) -> str:
    lines = [line.split() for line in ctr("tasks", "ls").splitlines()[1:]]
    return next((state for name, _, state in lines if name == container), "none")


async def count(ctr: Ctr, container: str, beyond: int = 0) -> int:
    """Wait until it has counted beyond that."""

    def read() -> int:
        lines = [line.split() for line in ctr("tasks", "ls").splitlines()[1:]]
        pid = next(pid for name, pid, _ in lines if name == container)
        text = ctr.host.run("cat", f"/proc/{pid}/root/dev/shm/n", check=False).stdout.strip()
        return int(text) if text.isdigit() else 0

    async def further() -> int:
        found = await asyncio.to_thread(read)
        return found if found > beyond else 0

    found: int = await until(further)
    return found


async def dies(house: House, bus: Bus, container: str, command: Command) -> None:
    """Send a command over which the bridge dies."""
    node = await bus.node("n1")
    sending = asyncio.create_task(node.send(command, timeout=60, namespace=house.ctr.namespace, container=container))
    await house.dead()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def found(house: House, bus: Bus, command: Command, expected: str) -> None:
    """Wait for the outcome that the next bridge finds, and for the world to be clean."""
    outcome = await ended(bus, command)
    assert outcome.outcome == expected, (outcome, house.bridge and house.bridge.log[-5:])
    await house.until_clean()


async def ended(bus: Bus, command: Command) -> Outcome:
    outcome: Outcome = await until(lambda: outcome_of(bus, str(command.id)))
    return outcome


def following(places: Sequence[str], number: int) -> str:
    return places[number + 1] if number + 1 < len(places) else ""


async def test_a_bridge_that_dies_over_a_checkpoint(house: House) -> None:
    ctr, places = house.ctr, list(MAKING)
    await asyncio.to_thread(ctr.run, "web.1", *COUNTER)
    async with connect(house.url) as bus:
        await house.start(places[0])
        for number, place in enumerate(places):
            seen = await count(ctr, "web.1")
            command = Checkpoint(id=f"c-{number}", name=f"at-{place}")
            await dies(house, bus, "web.1", command)
            await house.start(following(places, number))
            await found(house, bus, command, MAKING[place])
            assert await asyncio.to_thread(status, ctr, "web.1") == "RUNNING"
            await count(ctr, "web.1", beyond=seen)
            there = [one.name for one in await bus.checkpoints.list(namespace=ctr.namespace)]
            assert there == ([command.name] if place == "recorded" else [])


async def test_a_bridge_that_dies_over_a_checkpoint_with_exit(house: House) -> None:
    """It runs on, or it has ended and there is a checkpoint of it; never neither."""
    ctr, places = house.ctr, list(ENDING)
    await asyncio.to_thread(ctr.run, "web.1", *COUNTER)
    async with connect(house.url) as bus:
        await house.start(places[0])
        for number, place in enumerate(places):
            await count(ctr, "web.1")
            command = Checkpoint(id=f"e-{number}", name=f"at-{place}", exit=True)
            await dies(house, bus, "web.1", command)
            await house.start(following(places, number))
            await found(house, bus, command, ENDING[place])
            expected = "STOPPED" if place == "recorded" else "RUNNING"
            assert await asyncio.to_thread(status, ctr, "web.1") == expected
        name = CheckpointKey("n1", ctr.namespace, "web.1", "at-recorded").token

        # And where CRIU itself has ended it, the next bridge goes on with what lies in the directory.
        await (await bus.node("n1")).restore("web.1", Restore(checkpoint=name), namespace=ctr.namespace)
        assert house.bridge is not None
        await asyncio.to_thread(house.bridge.stop)
        await house.start("dumped")
        command = Checkpoint(id="e-9", name="by-criu", exit=True, tcp_established=True)
        await dies(house, bus, "web.1", command)
        await house.start()
        await found(house, bus, command, "ok")
        await (await bus.node("n1")).restore(
            "web.2",
            Restore(checkpoint=CheckpointKey("n1", ctr.namespace, "web.1", "by-criu").token),
            namespace=ctr.namespace,
        )
        assert await asyncio.to_thread(status, ctr, "web.2") == "RUNNING"


async def test_a_bridge_that_dies_over_a_restore(house: House) -> None:
    ctr, places = house.ctr, list(RESTORING)
    await asyncio.to_thread(ctr.run, "web.1", *COUNTER)
    name = CheckpointKey("n1", ctr.namespace, "web.1", "first").token
    async with connect(house.url) as bus:
        await house.start()
        await count(ctr, "web.1")
        await (await bus.node("n1")).checkpoint("web.1", Checkpoint(name="first"), namespace=ctr.namespace)
        assert house.bridge is not None
        await asyncio.to_thread(house.bridge.stop)
        await house.start(places[0])
        for number, place in enumerate(places):
            command = Restore(id=f"r-{number}", checkpoint=name)
            await dies(house, bus, "web.2", command)
            await house.start(following(places, number))
            await found(house, bus, command, RESTORING[place])
            assert await asyncio.to_thread(status, ctr, "web.2") == ("RUNNING" if place == "restored" else "none")
        await count(ctr, "web.2")

        # A container that is there has its record, and its files, as they were.
        await asyncio.to_thread(ctr.kill, "web.1")
        before = json.loads(await asyncio.to_thread(ctr, "containers", "info", "web.1"))
        assert house.bridge is not None
        await asyncio.to_thread(house.bridge.stop)
        await house.start(next(iter(AGAIN)))
        for number, place in enumerate(AGAIN):
            command = Restore(id=f"s-{number}", checkpoint=name)
            await dies(house, bus, "web.1", command)
            await house.start(following(list(AGAIN), number))
            outcome = await ended(bus, command)
            assert outcome.outcome == AGAIN[place], (place, outcome)
            after = json.loads(await asyncio.to_thread(ctr, "containers", "info", "web.1"))
            assert after["Spec"] == before["Spec"]
            if place == "restored":
                assert after["Labels"][labels.CHECKPOINT] == name
            else:
                assert (after["Labels"], after["SnapshotKey"]) == (before["Labels"], before["SnapshotKey"])
        await count(ctr, "web.1")

        assert house.bridge is not None
        await asyncio.to_thread(house.bridge.stop)
        await house.start("removed")
        gone = CheckpointRemove(id="d-1", name="first")
        await dies(house, bus, "web.1", gone)
        await house.start()
        removed: Outcome = await until(lambda: outcome_of(bus, "d-1"))
        assert removed.outcome == "ok"
        with pytest.raises(CommandFailed, match="no checkpoint"):
            await bus.checkpoints.find("first", namespace=ctr.namespace)
