"""A bridge dies over a migration, at either end, behind everything that it does: in the end exactly one container runs.

Two containerds, two bridges and a nats-server. Which of the two nodes it is in the end depends on how far it had come; that there
is one, that it goes on where it was, that never two ran, and that nothing else is left of it anywhere, does not.
`make test-crashes` does this a hundred times; some of it is tried always.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import nats
import pytest
from nats.js.errors import NotFoundError

from bridge.client import CommandFailed, Node, connect
from bridge.control.migration.source import SourceAct
from bridge.control.migration.target import TargetAct
from bridge.failpoint import FAILPOINTS, VARIABLE
from bridge.model.commands import Migrate
from tests.fix_bridge import WITHIN_S, Bridge
from tests.guards import needs_the_machine
from tests.integration.every_verb import LENIENT
from tests.integration.test_migrate import COUNTER, NOTHING, End, only
from tests.testbed import Containerd, NatsServer

pytestmark = [pytest.mark.containerd, pytest.mark.faults, pytest.mark.xdist_group("migrations")]

BROKEN = {"": "", "dump": "n1", "restore": "n2"}
"""What fails, so that the way back is gone -> the node whose CRIU is broken for that."""

OF_WAY_BACK = {
    "migrate-withdraw": "dump",
    "migrate-resume": "restore",
    "migrate-tell": "dump",
    "receive-clean": "dump",
    "receive-fail": "restore",
}
"""Places that are only come to where something fails."""

PLACES = sorted(place for place in FAILPOINTS if place.startswith(("migrate-", "receive-")))
SOME = ["migrate-dump", "migrate-offer", "migrate-remove", "migrate-resume"]
SOME += ["receive-take", "receive-restore", "receive-confirm", "receive-clean"]
TIMES = 100


def rounds() -> list[tuple[int, str]]:
    """What is tried: all places in turn, a hundred times, or some of them once."""
    if "EVERY_PLACE" not in os.environ:
        return [(1, place) for place in SOME]
    return [(number // len(PLACES) + 1, PLACES[number % len(PLACES)]) for number in range(TIMES)]


class Harbours:
    """Both nodes, whose bridges come and go."""

    def __init__(self, directory: Path, url: str, hosts: dict[str, Containerd], closing: ExitStack) -> None:
        self.url = url
        self.hosts = hosts
        self.bridges: dict[str, Bridge] = {}
        self._directory = directory
        self._closing = closing

    async def start(self, node: str, failpoint: str = "") -> None:
        """Start a node's bridge, which is to die at this place."""
        host, environ = self.hosts[node], dict(os.environ) | ({VARIABLE: failpoint} if failpoint else {})
        options = (
            *("--containerd", host.address, "--fifo-dir", host.fifo_dir / node, "--nats", self.url, "--node", node),
            *("--state-dir", self._directory / node, "--commands", "all"),
            *("--policy", self._directory / "policy.toml", "--checkpoint-dir", host.shared / "checkpoints"),
        )
        bridge = Bridge(*options, environ=environ)
        await asyncio.to_thread(self._closing.enter_context, bridge)
        await asyncio.to_thread(bridge.until_logged, "taking commands")
        self.bridges[node] = bridge

    async def with_failpoint(self, node: str, place: str) -> None:
        """Let a node have a bridge that is to die at this place, and the other one a bridge."""
        if node in self.bridges:
            await asyncio.to_thread(self.bridges.pop(node).stop)
        for other in self.hosts:
            if other not in self.bridges:
                await self.start(other, place if other == node else "")

    @contextlib.contextmanager
    def broken(self, node: str) -> Iterator[None]:
        """Let CRIU of a node fail as long as the block lasts."""
        if not node:
            yield
            return
        host = self.hosts[node]
        host.run("mv", "/usr/sbin/criu", "/usr/sbin/criu.away")
        host.run("sh", "-c", "printf '#!/bin/sh\nexit 1\n' > /usr/sbin/criu; chmod +x /usr/sbin/criu")
        try:
            yield
        finally:
            host.run("mv", "-f", "/usr/sbin/criu.away", "/usr/sbin/criu")


@pytest.fixture(scope="module")
def harbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbours]:
    directory = tmp_path_factory.mktemp("harbours")
    (directory / "policy.toml").write_text(LENIENT)
    with ExitStack() as closing, needs_the_machine():
        url = closing.enter_context(NatsServer()).url
        hosts = {
            "n1": closing.enter_context(Containerd("2.1")),
            "n2": closing.enter_context(Containerd("2.1", own_cgroups=True)),
        }
        yield Harbours(directory, url, hosts, closing)


class Watch:
    """Looks at both nodes again and again: never may both have it running.

    First at where it goes to: it may be gone from where it was between two looks, but does not come back from there.
    """

    def __init__(self, ends: tuple[End, End], container: str) -> None:
        self._ends = ends
        self._container = container
        self.both: list[dict[str, tuple[int, str]]] = []

    async def run(self) -> None:
        while True:
            seen = [await asyncio.to_thread(end.tasks) for end in reversed(self._ends)]
            if all(tasks.get(self._container, (0, ""))[1] == "RUNNING" for tasks in seen):
                self.both = seen
                return


@contextlib.asynccontextmanager
async def watched(ends: tuple[End, End], container: str) -> AsyncIterator[Watch]:
    watch = Watch(ends, container)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def forget(url: str) -> None:
    """Empty the register: a bridge that starts looks at what stands there, and is not to die over that."""
    client = await nats.connect(url)
    try:
        with contextlib.suppress(NotFoundError):
            await client.jetstream().purge_stream("KV_containerd-migrations")
    finally:
        await client.close()


async def until_settled(first: End, second: End) -> End:
    """Wait until one of them has it running and the other nothing; return which."""
    found: tuple[object, ...] = ()
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                there = [await asyncio.to_thread(end.there) for end in (first, second)]
                runs = [end.tasks().get("web.1", (0, ""))[1] == "RUNNING" for end in (first, second)]
                if there == [only("web.1"), NOTHING] and runs[0]:
                    return first
                if there == [NOTHING, only("web.1")] and runs[1]:
                    return second
                found = (there, runs)
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"it does not settle: {found}") from None


def test_both_ends_die_behind_everything_that_they_do() -> None:
    acts = {f"migrate-{act}" for act in get_args(SourceAct)} | {f"receive-{act}" for act in get_args(TargetAct)}
    without = {"migrate-end", "migrate-stuck", "receive-end", "receive-stuck", "receive-wait"}
    beside = {"migrate-part", "receive-promise", "receive-prepare"}
    assert set(PLACES) == acts - without | beside
    assert set(OF_WAY_BACK) | set(SOME) <= set(PLACES)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("number", "place"), rounds())
async def test_exactly_one_runs(harbours: Harbours, number: int, place: str) -> None:
    dying = "n1" if place.startswith("migrate-") else "n2"
    trouble = OF_WAY_BACK.get(place, "")
    await forget(harbours.url)
    await harbours.with_failpoint(dying, place)
    with harbours.hosts["n1"].fresh_namespace() as ctr:
        first, second = (
            End(node, harbours.hosts[node], harbours.bridges[node], ctr.namespace) for node in ("n1", "n2")
        )
        await asyncio.to_thread(ctr.run, "web.1", "sh", "-c", COUNTER)
        before = await first.count("web.1")
        async with connect(harbours.url) as bus, watched((first, second), "web.1") as watch:
            node = Node("n1", bus._sender, bus.subjects, bus.jobs, stdio=bus._stdio)
            command = Migrate(to="n2", pre_copy=number % 2, verify=True, force=True)
            died = asyncio.create_task(asyncio.to_thread(harbours.bridges[dying].process.wait))
            with harbours.broken(BROKEN[trouble]):
                async with asyncio.timeout(WITHIN_S):
                    while not died.done():
                        sending = node.send(command, container="web.1", namespace=ctr.namespace, timeout=WITHIN_S)
                        sent = asyncio.create_task(sending)
                        await asyncio.wait({died, sent}, return_when=asyncio.FIRST_COMPLETED)
                        if not died.done():
                            # Nothing came of it before it got there: on a busy machine CRIU gives up, or a lease runs out.
                            outcome = sent.result()
                            assert outcome.error is not None, outcome
                            sys.stdout.write(f"again: {outcome.error.message}\n")
                assert died.done(), [bridge.log[-8:] for bridge in harbours.bridges.values()]
                assert died.result() == -signal.SIGKILL
                harbours.bridges.pop(dying)
            await harbours.start(dying)
            at = await until_settled(first, second)
            with contextlib.suppress(CommandFailed):
                await sent
            assert watch.both == []
            sys.stdout.write(f"{place}: it runs on {at.name}\n")
            assert await at.count("web.1", beyond=before) > before
            assert at.read("web.1", "/log") == "began\n"
            if at is second:
                second.ctr("tasks", "rm", "--force", "web.1")
                second.ctr("containers", "rm", "web.1")
