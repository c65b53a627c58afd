"""Fault 12: a bridge that dies over a command, at every failpoint of every verb: one effect at the most, one outcome, no litter.

On a real containerd and a real nats-server; `ctr events` is the witness of what was done. The bridge kills itself, and the
next one has to find the outcome; it is the one that dies at the next place. Which words an outcome may have stands in `crashes`.
"""

from __future__ import annotations

import ast
import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from bridge.client import Bus, CommandFailed, Node, connect
from bridge.failpoint import FAILPOINTS, VARIABLE
from bridge.model.outcomes import Outcome
from tests.faults.crashes import BUCKET, CRASHES, IMPORTED, OBJECT, Crash, untried
from tests.fix_bridge import Bridge, BridgeFactory, Stored, is_end, stored
from tests.testbed import BUSYBOX, Ctr, Registry
from tests.testbed.image import archive, content
from tests.testbed.roots import with_containerd

ROOT = Path(__file__).parents[2] / "bridge"
LAST = ("process-ended", "output-stored", "session-ended", "before-result", "result-on-disk")
"""A bridge that looks for an outcome comes to these itself, so the one that is to die there may not have to look."""


class House:
    """One node whose bridges come and go, and what is seen of it from outside."""

    def __init__(self, factory: BridgeFactory, ctr: Ctr, url: str, directory: Path) -> None:
        self.ctr = ctr
        self.url = url
        self.state = directory / "state"
        self._factory = factory
        self.bridge: Bridge | None = None

    async def start(self, failpoint: str = "") -> Bridge:
        """Start a bridge that is to die at this place."""
        environ = dict(os.environ) | ({VARIABLE: failpoint} if failpoint else {})
        options = (
            *("--containerd", self.ctr.host.address, "--nats", self.url, "--node", "n1", "--lease", "2"),
            *("--namespace", self.ctr.namespace, "--state-dir", self.state, "--commands", "all"),
            *("--fifo-dir", self.ctr.host.fifo_dir),
        )
        self.bridge = await asyncio.to_thread(self._factory, *options, environ=environ)
        await asyncio.to_thread(self.bridge.until_logged, "taking commands")
        return self.bridge

    async def dead(self) -> None:
        """Wait until it has killed itself, and not ended in another way."""
        assert self.bridge is not None
        assert await asyncio.to_thread(self.bridge.process.wait, 30) == -signal.SIGKILL

    async def until_clean(self) -> None:
        """Wait until nothing is left that should not be."""
        left: list[str] = []
        try:
            async with asyncio.timeout(20):
                while left := await asyncio.to_thread(self.litter):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            assert left == [], self.bridge and self.bridge.log[-20:]

    def litter(self) -> list[str]:
        """What is left of commands that it should not be."""
        found = [f"lease {name}" for name in self.ctr("leases", "ls", "-q").split()]
        records = set(self.ctr("containers", "ls", "-q").split())
        lines = [line.split() for line in self.ctr("snapshots", "ls").splitlines()[1:]]
        found += [f"snapshot {line[0]}" for line in lines if line[-1] == "Active" and line[0] not in records]
        found += [f"ingest {line}" for line in self.ctr("content", "active").splitlines()[1:]]
        found += [f"fifo {name}" for name in os.listdir(self.ctr.host.fifo_dir)]
        found += [f"spool {path}" for path in (self.state / "stdio").glob("*/std*")]
        for task in self.ctr("tasks", "ls", "-q").split():
            found += [f"exec of {task}" for line in self.ctr("tasks", "ps", task).splitlines() if "exec_id" in line]
        return found


async def until(condition: Callable[[], Awaitable[Any]], *, within: float = 40) -> Any:
    async with asyncio.timeout(within):
        while not (found := await condition()):
            await asyncio.sleep(0.05)
        return found


async def outcome_of(bus: Bus, command_id: str) -> Outcome | None:
    found = list(await bus.jobs.states(command_id))
    return found[0].outcome if found else None


async def put_archive(url: str, ctr: Ctr) -> None:
    """Put an image's archive into the object store from which it is imported."""
    import nats

    busybox = (with_containerd(ctr.host.version) / "bin" / "busybox").read_bytes()
    client = await nats.connect(url)
    try:
        store = await client.jetstream().create_object_store(BUCKET)
        await store.put(OBJECT, BytesIO(archive(busybox, name=IMPORTED)))
    finally:
        await client.close()


def registry(ctr: Ctr) -> Registry:
    return Registry(content((with_containerd(ctr.host.version) / "bin" / "busybox").read_bytes()))


@pytest.fixture
def house(bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, tmp_path: Path) -> House:
    return House(bridge_factory, ctr, nats_url, tmp_path)


def test_every_failpoint_stands_in_the_list_and_is_tried() -> None:
    called = {
        node.args[0].value
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "failpoint"
        and isinstance(node.args[0], ast.Constant)
    }
    assert called == set(FAILPOINTS)
    assert untried() == set()


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("verb", CRASHES)
async def test_a_bridge_that_dies_over_a_command(house: House, verb: str) -> None:
    """Shows fault 12 of requests: what is sent again under its id gets the one outcome, and does nothing more."""
    crash = CRASHES[verb]
    ctr = house.ctr
    places = [place for place in FAILPOINTS if place in crash.places]
    assert set(places) == set(crash.places)
    with registry(ctr) as images, ctr.events() as seen:
        await put_archive(house.url, ctr)
        async with connect(house.url) as bus:
            first = {}
            await house.start(places[0])
            for number, place in enumerate(places):
                container, name = f"web.{number}", f"a-{number}"
                await asyncio.to_thread(crash.given, ctr, container)
                await over(house, bus, crash, name, images.image, container)
                following = places[number + 1] if number + 1 < len(places) else ""
                unarmed = following in LAST or crash.places[place] == "again"
                await house.start("" if unarmed else following)
                first[name] = await found(house, bus, crash, name, images.image, container, crash.places[place])
                if following and unarmed:
                    assert house.bridge is not None
                    await asyncio.to_thread(house.bridge.stop)
                    await house.start(following)
                if not crash.on_container:
                    await asyncio.to_thread(forget_images, ctr)
        await told_once(house.url, first)
        await asyncio.to_thread(ctr, "namespaces", "label", ctr.namespace, "testbed.probe=end")
        await asyncio.to_thread(seen.until_probe, "end", timeout=20)
        for number, place in enumerate(places):
            mine = [each for each in seen.seen if each.topic == crash.effect and about(each.data, f"web.{number}")]
            if crash.on_container:
                assert len(mine) <= 1 + crash.beside, (place, mine)
                if crash.places[place] in {"ok", "again"}:
                    assert len(mine) == 1 + crash.beside, (place, mine)
    if verb == "exec":
        for number in range(len(places)):
            ran = await asyncio.to_thread(
                ctr, "tasks", "exec", "--exec-id", "look", f"web.{number}", "cat", "/ran", check=False
            )
            assert ran in {"", "x\n"}


def about(data: dict[str, Any], container: str) -> bool:
    return container in {data.get("container_id"), data.get("id")}


def forget_images(ctr: Ctr) -> None:
    """Let the next try of the same image be the first."""
    for name in ctr("images", "ls", "-q").split():
        if name != BUSYBOX:
            ctr("images", "rm", "--sync", name)


async def over(house: House, bus: Bus, crash: Crash, name: str, image: str, container: str) -> None:
    """Send the command, over which the bridge dies."""
    node = await bus.node("n1")
    with pytest.raises(CommandFailed) as failed:
        await send(node, house, crash, name, image, container, timeout=20, until=house.dead())
    assert failed.value.code in {"deadline_exceeded", "unavailable"}


async def send(
    node: Node,
    house: House,
    crash: Crash,
    name: str,
    image: str,
    container: str,
    *,
    timeout: float = 30,
    until: Awaitable[None] | None = None,
) -> Outcome:
    place = {"namespace": house.ctr.namespace, "container": container if crash.on_container else None}
    sending = asyncio.create_task(node.send(crash.command(name, image), timeout=timeout, **place))
    if until is not None:
        await until
        sending.cancel()
        try:
            return await sending
        except asyncio.CancelledError:
            raise CommandFailed("deadline_exceeded", "the bridge died") from None
    return await sending


async def found(house: House, bus: Bus, crash: Crash, name: str, image: str, container: str, expected: str) -> Outcome:
    """Return the outcome that the next bridge finds; the command sent again gets the same, and nothing is left of it."""
    node = await bus.node("n1")
    if expected == "again":
        assert await outcome_of(bus, name) is None
        first = await send(node, house, crash, name, image, container)
        assert first.outcome == "ok", first
    else:
        first = await until(lambda: outcome_of(bus, name))
        assert first.outcome == expected, first
        again = await send(node, house, crash, name, image, container)
        assert (again.outcome, again.finished_at) == (first.outcome, first.finished_at)
    if crash.command is CRASHES["exec"].command and first.outcome == "ok":
        result = first.result
        assert (result["exit_status"], result["running"]) == (3, False)
        # What it wrote while no bridge was there its shim may have thrown away, and that is said.
        assert result["stdout"]["size"] == 4 or result["stdout"]["truncated"] == "away", result
        assert len(result["stdout"]["sha256"]) == 64
    if crash.command is not CRASHES["start with stdio"].command:
        await house.until_clean()
    return first


async def told_once(url: str, first: dict[str, Outcome]) -> None:
    """Every event of a command's end says the same."""

    def ends(messages: list[Stored]) -> dict[str, set[str]]:
        words: dict[str, set[str]] = {}
        for message in messages:
            if is_end(message):
                words.setdefault(message.data["command_id"], set()).add(message.data["outcome"])
        return words

    async def all_there() -> bool:
        return set(first) <= set(ends(await asyncio.to_thread(stored, url)))

    await until(all_there)
    words = ends(await asyncio.to_thread(stored, url))
    assert {name: words[name] for name in first} == {name: {outcome.outcome} for name, outcome in first.items()}
