"""Fault 12: a bridge that dies over a command, at every failpoint of every verb: one effect at the most, one outcome, no litter.

On a real containerd and a real nats-server; `ctr events` is the witness of what was done. The bridge kills itself, and the
next one has to find the outcome; it is the one that dies at the next place. Which words an outcome may have stands in `crashes`.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from bridge.client import Accepted, Bus, CommandFailed, Node, Sending, connect
from bridge.failpoint import FAILPOINTS, VARIABLE
from bridge.model.commands import Command, Kill, Pause, Stop
from bridge.model.outcomes import Outcome
from tests.faults.crashes import (
    AS_A_JOB,
    BUCKET,
    CRASHES,
    ENDLESS,
    IMPORTED,
    IN_A_QUEUE,
    OBJECT,
    Crash,
    places_of,
    untried,
)
from tests.fix_bridge import WITHIN_S, Bridge, BridgeFactory, Stored, is_end, stored
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
        self.dumps = ctr.host.shared / f"{ctr.namespace}.dumps"
        """Where dumps lie while a command works with them."""
        self.patches = ""
        """Names of `tests.faults.broken`, for a bridge with a mistake in it."""
        self._factory = factory
        self.bridge: Bridge | None = None

    async def start(self, failpoint: str = "") -> Bridge:
        """Start a bridge that is to die at this place."""
        environ = dict(os.environ) | ({VARIABLE: failpoint} if failpoint else {})
        options = (
            *("--containerd", self.ctr.host.address, "--nats", self.url, "--node", "n1", "--lease", "2"),
            *("--namespace", self.ctr.namespace, "--state-dir", self.state, "--commands", "all"),
            *("--fifo-dir", self.ctr.host.fifo_dir, "--checkpoint-dir", self.dumps),
        )
        program = ("-m", "tests.faults.broken", self.patches) if self.patches else ("-m", "bridge")
        self.bridge = await asyncio.to_thread(self._factory, *options, environ=environ, program=program)
        await asyncio.to_thread(self.bridge.until_logged, "taking commands")
        return self.bridge

    async def dead(self) -> None:
        """Wait until it has killed itself, and not ended in another way."""
        assert self.bridge is not None
        assert await asyncio.to_thread(self.bridge.process.wait, WITHIN_S) == -signal.SIGKILL

    async def probed(self, seen: Any) -> None:
        """Wait until the witness has seen everything that has happened so far."""
        await asyncio.to_thread(self.ctr, "namespaces", "label", self.ctr.namespace, "testbed.probe=end")
        await asyncio.to_thread(seen.until_probe, "end", timeout=WITHIN_S)

    async def until_clean(self) -> None:
        """Wait until nothing is left that should not be."""
        left: list[str] = []
        try:
            async with asyncio.timeout(WITHIN_S):
                while left := await asyncio.to_thread(self.litter):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            assert left == [], self.bridge and self.bridge.log[-20:]

    def litter(self) -> list[str]:
        """What is left of commands that it should not be."""
        found = [f"lease {name}" for name in self.ctr("leases", "ls", "-q").split()]
        records = self.ctr("containers", "ls", "-q").split()
        keys = {json.loads(self.ctr("containers", "info", name))["SnapshotKey"] for name in records}
        lines = [line.split() for line in self.ctr("snapshots", "ls").splitlines()[1:]]
        found += [f"snapshot {line[0]}" for line in lines if line[-1] == "Active" and line[0] not in keys]
        found += [f"ingest {line}" for line in self.ctr("content", "active").splitlines()[1:]]
        found += [f"fifo {name}" for name in os.listdir(self.ctr.host.fifo_dir)]
        found += [f"dump {path}" for path in self.dumps.glob("*/*")]
        found += [f"spool {path}" for path in (self.state / "stdio").glob("*/std*")]
        for task in self.ctr("tasks", "ls", "-q").split():
            found += [
                f"exec of {task}"
                for line in self.ctr("tasks", "ps", task, check=False).splitlines()
                if "exec_id" in line
            ]
        return found


async def until(condition: Callable[[], Awaitable[Any]], *, within: float = WITHIN_S) -> Any:
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
        store = await client.jetstream(timeout=60).create_object_store(BUCKET)
        await store.put(OBJECT, BytesIO(archive(busybox, name=IMPORTED)))
    finally:
        await client.close()


def registry(ctr: Ctr) -> Registry:
    return Registry(content((with_containerd(ctr.host.version) / "bin" / "busybox").read_bytes()))


@pytest.fixture
def house(bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, tmp_path: Path) -> House:
    return House(bridge_factory, ctr, nats_url, tmp_path)


def test_every_failpoint_stands_in_the_list_and_is_tried() -> None:
    called: set[str] = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint"):
                continue
            if isinstance(name := node.args[0], ast.Constant):
                called.add(str(name.value))
            else:  # f"migrate-{act}": both ends of a migration come to one behind everything that they do
                assert isinstance(name, ast.JoinedStr)
                [head, _] = name.values
                assert isinstance(head, ast.Constant)
                called |= {place for place in FAILPOINTS if place.startswith(str(head.value))}
    assert called == set(FAILPOINTS)
    assert untried() == set()


@pytest.mark.slow
@pytest.mark.parametrize("verb", CRASHES)
async def test_a_bridge_that_dies_over_a_command(house: House, verb: str) -> None:
    """Shows fault 12 of requests: what is sent again under its id gets the one outcome, and does nothing more.

    At all places with EVERY_PLACE=1 in the environment, which is what `make test-crashes` does.
    """
    crash = CRASHES[verb]
    ctr = house.ctr
    places = places_of(verb, every="EVERY_PLACE" in os.environ)
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
        await house.probed(seen)
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
    timeout: float = WITHIN_S,
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
    if "with stdio" not in verb_of(crash):  # what runs has its FIFOs
        await house.until_clean()
    return first


def verb_of(crash: Crash) -> str:
    return next(verb for verb, one in CRASHES.items() if one is crash)


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


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["exec", "start with stdio", "run with stdio"])
async def test_what_ran_and_is_gone_when_the_bridge_is_back_is_never_to_be_sent_again(house: House, verb: str) -> None:
    """Shows fault 12 where the world went on without a bridge: what looks as if it had never run, did."""
    crash = CRASHES[verb]
    await asyncio.to_thread(crash.given, house.ctr, "web.1")
    await house.start("process-started")
    async with connect(house.url) as bus:
        await over(house, bus, crash, "a-1", BUSYBOX, "web.1")
        await asyncio.to_thread(house.ctr, "tasks", "delete", "--force", "web.1")
        await house.start()
        ended = await until(lambda: outcome_of(bus, "a-1"))
        # It is known where it has written something, or the log has its start.
        if ended.outcome != "ok":
            assert ended.error is not None
            assert (ended.outcome, "was about to be started" in ended.error.message) == ("unknown", True), ended
    await house.until_clean()


@pytest.mark.slow
@pytest.mark.parametrize("place", [*AS_A_JOB, "received", "journaled", "after-effect", "result-on-disk"])
async def test_a_bridge_that_dies_over_a_job(house: House, place: str) -> None:
    """Shows fault 12 of jobs: the stream gives it again, and the journal knows it."""
    await asyncio.to_thread(house.ctr.run, "web.1", *ENDLESS)
    await house.start(place)
    with house.ctr.events() as seen:
        async with connect(house.url) as bus:
            await job(bus, house, Pause(id="a-1"))
            await house.dead()
            await house.start()
            first = await bus.jobs.outcome("a-1", "n1", timeout=WITHIN_S)
            await drained(bus)
            assert await bus.jobs.outcome("a-1", "n1") == first
        assert first.outcome == ("unknown" if place == "journaled" else "ok")
        await house.probed(seen)
        paused = [each for each in seen.seen if each.topic == "/tasks/paused"]
        assert len(paused) == (0 if place == "journaled" else 1)
    await told_once(house.url, {"a-1": first})


@pytest.mark.slow
async def test_a_bridge_that_dies_over_a_command_that_waits(house: House) -> None:
    """The place that only comes after another one: what waited had no effect, and that is its outcome."""
    await asyncio.to_thread(house.ctr.run, "web.1", "sh", "-c", "trap '' TERM; while true; do sleep 0.1; done")
    assert IN_A_QUEUE == ("accepted",)
    await house.start("accepted")
    async with connect(house.url) as bus:
        node = await bus.node("n1")
        place = {"namespace": house.ctr.namespace, "container": "web.1"}
        stopping = asyncio.create_task(node.send(Stop(id="a-0", grace=600), timeout=20, **place))
        await until(lambda: stage_of(bus, "a-0"))
        waiting = asyncio.create_task(node.send(Pause(id="a-1"), timeout=20, **place))
        await house.dead()
        await house.start()
        assert (await until(lambda: outcome_of(bus, "a-0"))).outcome == "unknown"
        ended = await until(lambda: outcome_of(bus, "a-1"))
        assert (ended.outcome, ended.error and ended.error.code) == ("error", "unavailable")
        assert ended.error is not None
        assert ended.error.message.endswith("it had no effect, send it again")
        # Both wait still, and hear of it from this bridge.
        assert ((await stopping).outcome, (await waiting).outcome) == ("unknown", "error")
    assert await asyncio.to_thread(house.ctr.status, "web.1") == "RUNNING"


async def stage_of(bus: Bus, command_id: str) -> str | None:
    found = list(await bus.jobs.states(command_id))
    return found[0].stage if found else None


async def job(bus: Bus, house: House, command: Command) -> None:
    node = (await bus.node("n1")).sending(Sending(durable=True))
    with pytest.raises(Accepted):
        await node.send(command, namespace=house.ctr.namespace, container="web.1")


async def drained(bus: Bus) -> None:
    async def empty() -> bool:
        return not list(await bus.jobs._store.waiting())

    await until(empty)


# -- 13: longer than its delivery lasts


async def suspended(house: House) -> tuple[Outcome, int]:
    """Suspend the bridge right after a signal was sent, until another one of the node has the job; return what came of it.

    The process notes its signals when it gets round to it: they are counted when it has noted a last one, which is ours.
    """
    out = house.ctr.host.shared / f"out-{house.ctr.namespace}"
    out.mkdir()
    life = "trap 'echo x >> /out/signals' WINCH; trap 'echo x > /out/last' PWR; while true; do sleep 0.1; done"
    mount = ("--mount", f"type=bind,src={out},dst=/out,options=rbind:rw")
    await asyncio.to_thread(house.ctr.run, "web.1", "sh", "-c", life, options=mount)
    first = await house.start("after-effect:stop")
    async with connect(house.url) as bus:
        await job(bus, house, Kill(id="a-1", signal="SIGWINCH"))

        async def sent() -> bool:
            return (out / "signals").exists()

        await until(sent)
        house.state = house.state.with_name("other")
        await house.start()
        await job(bus, house, Kill(id="a-2", signal="SIGCONT"))  # which does nothing to what runs
        found = await bus.jobs.outcome("a-1", "n1", timeout=WITHIN_S)
        assert (await bus.jobs.outcome("a-2", "n1", timeout=WITHIN_S)).outcome == "ok"
        first.process.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(first.process.wait, WITHIN_S) != 0  # its lease is lost
        await drained(bus)
        assert await bus.jobs.outcome("a-1", "n1") == found
    await asyncio.to_thread(house.ctr.kill, "web.1", "SIGPWR")
    await until(lambda: asyncio.to_thread((out / "last").exists))
    return found, len((out / "signals").read_text().splitlines())


@pytest.mark.slow
async def test_a_job_that_another_bridge_gets_while_the_first_is_suspended_is_done_once(house: House) -> None:
    """Shows fault 13: the other one has a journal of its own, finds in the bucket that it was begun, and only looks."""
    outcome, times = await suspended(house)
    assert (outcome.outcome, times) == ("unknown", 1)  # a signal leaves no trace that containerd could show


@pytest.mark.slow
async def test_a_bridge_that_takes_every_job_for_its_own_is_found(house: House) -> None:
    house.patches = "grabbing"
    _, times = await suspended(house)
    assert times == 2


# -- 14: another container of the same name


async def made_anew(house: House) -> tuple[Outcome, str | None]:
    """Send a job while the bridge is away, and have its container made anew until it is back."""
    await house.start()
    await asyncio.to_thread(house.ctr.run, "web.1", *ENDLESS)
    async with connect(house.url) as bus:

        async def incarnation() -> str | None:
            found = await bus.states(container="web.1", namespace=house.ctr.namespace)
            return found[0].incarnation if found else None

        first = await until(incarnation)
        assert house.bridge is not None
        assert await asyncio.to_thread(house.bridge.stop) == 0
        await job(bus, house, Stop(id="a-1", expected_incarnation=first))
        await asyncio.to_thread(house.ctr.delete, "web.1")
        await asyncio.to_thread(house.ctr.run, "web.1", *ENDLESS)
        await house.start()
        outcome = await bus.jobs.outcome("a-1", "n1", timeout=WITHIN_S)
    return outcome, await asyncio.to_thread(house.ctr.status, "web.1")


@pytest.mark.slow
async def test_a_job_for_a_container_that_was_made_anew_is_stale(house: House) -> None:
    """Shows fault 14."""
    outcome, status = await made_anew(house)
    assert (outcome.outcome, status) == ("stale", "RUNNING")


@pytest.mark.slow
async def test_a_bridge_that_does_not_ask_which_life_is_meant_is_found(house: House) -> None:
    house.patches = "undated"
    _, status = await made_anew(house)
    assert status == "STOPPED"
