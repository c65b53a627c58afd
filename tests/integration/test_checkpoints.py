"""Checkpoints over the whole way: client, bus, bridge, containerd and CRIU; what is in memory goes on, and nothing is left.

One host and one bridge for all of them, a namespace of its own for each; `-m older` repeats them with containerd 1.7.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.client import Bus, Node, connect
from bridge.model.commands import Checkpoint, Restore
from bridge.model.outcomes import Outcome
from tests.fix_bridge import Bridge, Stored, stored, until_stored
from tests.integration.every_verb import LENIENT
from tests.testbed import BUSYBOX, Containerd, Ctr, NatsServer

pytestmark = pytest.mark.containerd

COUNTER = ["sh", "-c", "n=0; echo began >> /log; while :; do n=$((n+1)); echo $n > /dev/shm/n; sleep 0.05; done"]
"""Counts in memory; a file in its layer says how often it began."""


class Here:
    """One bridge, in a namespace that only this test has."""

    def __init__(self, bridge: Bridge, ctr: Ctr, bus: Bus, url: str) -> None:
        self.bridge = bridge
        self.ctr = ctr
        self.bus = bus
        self.url = url
        self.node = Node("n1", bus._sender, bus.subjects, bus.jobs, stdio=bus._stdio)
        self.where: Any = {"namespace": ctr.namespace}

    async def send(self, command: Any, container: str) -> Outcome:
        return await self.node.send(command, container=container, timeout=60, **self.where)

    async def ok(self, command: Any, container: str) -> Any:
        outcome = await self.send(command, container)
        assert outcome.outcome == "ok", (outcome.error, self.bridge.log[-10:])
        return outcome.result

    async def failure(self, command: Any, container: str) -> tuple[str, str]:
        outcome = await self.send(command, container)
        assert outcome.error is not None, outcome
        return outcome.error.code, outcome.error.message

    async def start(self, container: str, *command: str, **options: Any) -> int:
        await asyncio.to_thread(self.ctr.run, container, *(command or COUNTER), **options)
        return await self.count(container)

    def pid(self, container: str) -> int:
        lines = [line.split() for line in self.ctr("tasks", "ls").splitlines()[1:]]
        return next(int(pid) for name, pid, _ in lines if name == container)

    def status(self, container: str) -> str:
        lines = [line.split() for line in self.ctr("tasks", "ls").splitlines()[1:]]
        return next((status for name, _, status in lines if name == container), "none")

    def read(self, container: str, path: str) -> str:
        return self.ctr.host.run("cat", f"/proc/{self.pid(container)}/root{path}", check=False).stdout

    async def count(self, container: str, beyond: int = 0) -> int:
        """Wait until it has counted beyond that; return how far it is."""
        while not ((text := (await asyncio.to_thread(self.read, container, "/dev/shm/n")).strip()) and int(text) > beyond):
            await asyncio.sleep(0.02)
        return int(text)

    def events(self, container: str) -> list[Stored]:
        return stored(self.url, f"containerd.events.n1.{self.ctr.namespace}.{container.replace('.', '=2E')}.>")

    def litter(self) -> list[str]:
        found = [f"lease {name}" for name in self.ctr("leases", "ls", "-q").split()]
        found += [f"ingest {line}" for line in self.ctr("content", "active").splitlines()[1:]]
        directory = self.ctr.host.shared / "checkpoints" / "n1"
        found += [f"directory {path}" for path in directory.iterdir()] if directory.is_dir() else []
        return found


@pytest.fixture(scope="module")
def house(
    _containerds: Callable[[str], Containerd], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Containerd, Bridge, str]]:
    host, directory = _containerds("2.1"), tmp_path_factory.mktemp("house")
    (directory / "policy.toml").write_text(LENIENT + 'checkpoint_paths = ["/"]\ntrust = true\n')
    with NatsServer() as nats, Bridge(
        *("--containerd", host.address, "--fifo-dir", host.fifo_dir / "n1", "--nats", nats.url, "--node", "n1"),
        *("--state-dir", directory / "state", "--commands", "all", "--policy", directory / "policy.toml"),
        *("--checkpoint-dir", host.shared / "checkpoints"),
    ) as bridge:
        bridge.live()
        yield host, bridge, nats.url


@pytest.fixture
async def here(house: tuple[Containerd, Bridge, str]) -> AsyncIterator[Here]:
    host, bridge, url = house
    with host.fresh_namespace() as ctr:
        async with connect(url) as bus:
            yield Here(bridge, ctr, bus, url)


async def test_a_counter_goes_on_where_it_was(here: Here) -> None:
    await here.start("web.1")
    made = await here.ok(Checkpoint(name="first"), "web.1")
    print(json.dumps(made, default=str)[:3000])
    seen = await here.count("web.1")
    assert here.litter() == []
    restored = await here.ok(Restore(checkpoint=made["record"] and f"n1.{here.ctr.namespace}.web=2E1.first"), "web.2")
    print(restored)
    print(here.read("web.2", "/log"), here.read("web.2", "/dev/shm/n"), seen)
    assert here.litter() == []
