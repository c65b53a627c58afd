"""Taking back what takes long, on a containerd in memory: it is broken off, it leaves nothing, and its outcome says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.control.dispatch import Dispatcher
from bridge.control.memory import MemoryJournal
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord
from bridge.control.turns import IMAGES_WIDTH
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.commands import GROUPS
from bridge.model.outcomes import Cancelled, ExitInfo, Outcome, Pulled
from bridge.model.subjects import CommandSubject
from bridge.ports import CommandRequest
from bridge.testing import MemoryContainerd
from bridge.testing.images import memory_image
from tests.unit.control import test_going_on
from tests.unit.control.turns import settle, until
from tests.unit.policy.specs import LENIENT

IMAGE = "docker.io/library/web:1"


class Hanging:
    """A call that does not come back until it is let, and tells whether it was cancelled."""

    def __init__(self, before: Any = lambda: None) -> None:
        self.before = before
        self.calls = 0
        self.cancelled = 0
        self.go_on = asyncio.Event()

    async def __call__(self, *_: Any, **__: Any) -> Any:
        self.calls += 1
        self.before()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return memory_image(IMAGE).info


class Objects:
    """An object of which one piece comes, and then nothing."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def read(self, _bucket: str, _name: str) -> AsyncIterator[bytes]:
        yield b"piece"
        await self.go_on.wait()


class Node:
    """A node of which some calls hang."""

    def __init__(self) -> None:
        self.containerd = MemoryContainerd()
        self.containerd.put_image("default", memory_image(IMAGE, {"Cmd": ["serve"]}))
        self.runtime: Any = self.containerd.runtime
        self.objects = Objects()
        self.journal = MemoryJournal()
        self.dispatcher = Dispatcher(
            "node",
            self.runtime,
            policy=Policy(groups=GROUPS, book=LENIENT),
            record=CommandRecord(lambda *_: None),
            journal=self.journal,
            objects=self.objects,
        )

    async def ask(
        self, verb: str, container: str | None = None, namespace: str | None = "default", **body: Any
    ) -> Outcome:
        subject = CommandSubject("node", namespace, container, verb)
        return await self.dispatcher.handle(CommandRequest(subject=subject, body=json.dumps(body).encode()))

    async def cancel(self, command: str) -> Outcome:
        return await self.ask("cancel", namespace=None, command=command)


@pytest.fixture
async def node() -> Node:
    return Node()


def error_of(outcome: Outcome) -> tuple[str, str]:
    assert outcome.error is not None, outcome
    return outcome.error.code, outcome.error.message


async def test_a_pull_that_hangs_is_cancelled_and_leaves_nothing(node: Node) -> None:
    node.runtime.images.pull = hanging = Hanging()
    pulling = asyncio.create_task(node.ask("pull", image="registry.test/new:1", id="p-1"))
    await until(lambda: hanging.calls)
    assert node.containerd.leases
    cancelled = await node.cancel("p-1")
    assert cancelled.result == Cancelled(began=True)
    outcome = await pulling
    assert error_of(outcome) == ("cancelled", "pull was cancelled: nothing of registry.test/new:1 is left")
    assert hanging.cancelled == 1
    assert node.containerd.leases == {}
    assert list(node.containerd.images) == [("default", IMAGE)]
    assert await node.ask("pull", image="registry.test/new:1", id="p-1") == outcome


async def test_a_pull_that_is_cancelled_at_its_very_end_takes_its_name_away(node: Node) -> None:
    new = "registry.test/new:1"

    def named() -> None:
        image = memory_image(new)
        image.info.labels[labels.COMMAND] = "p-1"
        node.containerd.put_image("default", image)

    node.runtime.images.pull = hanging = Hanging(named)
    pulling = asyncio.create_task(node.ask("pull", image=new, id="p-1"))
    await until(lambda: hanging.calls)
    await node.cancel("p-1")
    assert error_of(await pulling)[0] == "cancelled"
    assert list(node.containerd.images) == [("default", IMAGE)]


async def test_a_name_that_another_image_had_is_not_taken_away(node: Node) -> None:
    def named() -> None:
        image = memory_image(IMAGE)
        image.info.labels[labels.COMMAND] = "p-1"
        node.containerd.put_image("default", image)

    node.runtime.images.pull = hanging = Hanging(named)
    pulling = asyncio.create_task(node.ask("pull", image=IMAGE, id="p-1"))
    await until(lambda: hanging.calls)
    await node.cancel("p-1")
    code, sentence = error_of(await pulling)
    assert (code, sentence) == (
        "cancelled",
        f"pull was cancelled when {IMAGE} was there: it is the new one, maybe not unpacked",
    )
    assert ("default", IMAGE) in node.containerd.images


async def test_an_import_is_cancelled_while_its_archive_comes(node: Node) -> None:
    importing = asyncio.create_task(node.ask("import", bucket="b", object="o", id="i-1"))
    await until(lambda: node.containerd.leases)
    await settle()
    assert (await node.cancel("i-1")).outcome == "ok"
    assert error_of(await importing) == ("cancelled", "import was cancelled: nothing of o is left")
    assert node.containerd.leases == {}


async def test_an_import_whose_archive_is_there_gives_all_names_or_none(node: Node) -> None:
    hanging = Hanging()

    async def take_in(_namespace: str, archive: Any, **_: Any) -> Any:
        async for _piece in archive:
            pass
        return [await hanging()]

    node.runtime.images.take_in = take_in
    node.objects.go_on.set()
    importing = asyncio.create_task(node.ask("import", bucket="b", object="o", id="i-1"))
    await until(lambda: hanging.calls)
    await settle()
    code, sentence = error_of(await node.cancel("i-1"))
    assert (code, sentence) == (
        "failed_precondition",
        "import i-1 is being carried out and cannot be interrupted there",
    )
    hanging.go_on.set()
    assert (await importing).outcome == "ok"


@pytest.mark.parametrize("verb", ["create", "run"])
async def test_a_container_whose_image_is_being_unpacked_is_given_up(node: Node, verb: str) -> None:
    node.runtime.snapshots.prepare = hanging = Hanging()
    making = asyncio.create_task(node.ask(verb, "web.1", image=IMAGE, id="c-1"))
    await until(lambda: hanging.calls)
    cancelled = await node.cancel("c-1")
    assert cancelled.result == Cancelled(began=False)
    assert error_of(await making)[0] == "cancelled"
    assert hanging.cancelled == 1
    assert (node.containerd.leases, node.containerd.snapshots, node.containerd.containers) == ({}, {}, {})


async def test_what_is_cancelled_as_it_comes_to_its_end_has_come_to_it(node: Node) -> None:
    node.runtime.images.pull = hanging = Hanging()
    pulling = asyncio.create_task(node.ask("pull", image="registry.test/new:1", id="p-1"))
    await until(lambda: hanging.calls)
    hanging.go_on.set()
    cancelling = asyncio.create_task(node.cancel("p-1"))
    outcome = await pulling
    assert isinstance(outcome.result, Pulled)
    assert (await cancelling).outcome == "ok"


async def test_what_hangs_in_one_namespace_holds_up_no_other_and_no_rmi(node: Node) -> None:
    node.containerd.registry["registry.test/quick:1"] = memory_image("registry.test/quick:1")
    node.containerd.put_image("slow", memory_image(IMAGE))
    quick = node.runtime.images.pull
    hanging = Hanging()

    async def pull(namespace: str, *args: Any, **more: Any) -> Any:
        return await (hanging if namespace == "slow" else quick)(namespace, *args, **more)

    node.runtime.images.pull = pull
    slow = [
        asyncio.create_task(node.ask("pull", namespace="slow", image="registry.test/slow:1", id=f"p-{number}"))
        for number in range(IMAGES_WIDTH + 1)
    ]
    await until(lambda: hanging.calls == IMAGES_WIDTH)
    assert (await node.ask("pull", image="registry.test/quick:1")).outcome == "ok"
    assert (await node.ask("rmi", namespace="slow", image=IMAGE)).outcome == "ok"
    await node.cancel("p-0")
    await until(lambda: hanging.calls == IMAGES_WIDTH + 1)  # the next one has its place
    for number in range(1, IMAGES_WIDTH + 1):
        await node.cancel(f"p-{number}")
    assert {error_of(outcome)[0] for outcome in await asyncio.gather(*slow)} == {"cancelled"}


async def test_a_stop_of_the_bridge_breaks_a_pull_off_as_before(node: Node) -> None:
    node.runtime.images.pull = hanging = Hanging()
    pulling = asyncio.create_task(node.ask("pull", image="registry.test/new:1", id="p-1"))
    await until(lambda: hanging.calls)
    await node.dispatcher.stop(within=0)
    outcome = await pulling
    assert hanging.cancelled == 1
    assert error_of(outcome)[0] == "unavailable"
    assert node.containerd.leases == {}


async def test_who_waits_for_a_command_that_is_cut_off_hears_its_outcome(node: Node) -> None:
    node.runtime.images.pull = hanging = Hanging()
    first = asyncio.create_task(node.ask("pull", image="registry.test/new:1", id="p-1"))
    await until(lambda: hanging.calls)
    second = asyncio.create_task(node.ask("pull", image="registry.test/new:1", id="p-1"))
    await settle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    outcome = await second
    row = await node.journal.look("p-1")
    assert row is not None
    assert outcome == row.outcome


# -- exec


class Execs(test_going_on.Node):
    """A node with one exec under way, which a kill ends unless it is stubborn."""

    def __init__(self) -> None:
        super().__init__()
        self.killed: list[tuple[int, str | None]] = []
        self.gone = asyncio.Event()
        self.refuses: CommandFailed | None = None
        self.stubborn = False
        tasks: Any = self.runtime.tasks
        tasks.kill, tasks.wait = self.kill, self.wait

    async def kill(self, _namespace: str, _container: str, signal: int, *, exec_id: str | None = None) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.killed.append((signal, exec_id))
        if not self.stubborn:
            self.gone.set()

    async def wait(self, *_: Any, **__: Any) -> ExitInfo:
        await self.gone.wait()
        return ExitInfo(exit_status=137)

    async def begun(self, **options: Any) -> asyncio.Task[Outcome]:
        asking = asyncio.create_task(self.dispatcher.handle(self.request(**options)))
        await until(lambda: self.sessions.all and self.session.settled.done())
        await settle()
        return asking

    async def cancel(self) -> Outcome:
        subject = CommandSubject("node", None, None, "cancel")
        return await self.dispatcher.handle(CommandRequest(subject=subject, body=b'{"command": "a-1"}'))


@pytest.fixture
async def execs() -> Execs:
    return Execs()


@pytest.mark.parametrize("mode", ["captured", "attached"])
async def test_an_exec_is_killed_though_nobody_reads_its_output(execs: Execs, mode: str) -> None:
    asking = await execs.begun(mode=mode)
    assert (await execs.cancel()).result == Cancelled(began=True)
    assert error_of(await asking) == ("cancelled", "exec was cancelled: its process in container web.1 was killed")
    assert execs.killed == [(9, execs.session.result().exec_id)]
    assert execs.ends == ["error"]


async def test_an_exec_that_outlived_its_bridge_is_cancelled_too(execs: Execs) -> None:
    asking = await execs.begun()
    asking.cancel()  # as kill -9 does
    await asyncio.gather(asking, return_exceptions=True)
    assert await execs.recover() == []
    await settle()
    assert (await execs.cancel()).outcome == "ok"
    await until(lambda: execs.answers)
    [(_, outcome)] = execs.answers
    assert error_of(outcome)[0] == "cancelled"
    assert len(execs.killed) == 1


async def test_an_exec_that_had_ended_is_not_said_to_be_killed(execs: Execs) -> None:
    execs.refuses = CommandFailed("not_found", "process already finished", containerd="process already finished")
    asking = await execs.begun()
    await execs.cancel()
    code, sentence = error_of(await asking)
    assert (code, "had ended" in sentence) == ("cancelled", True)


async def test_an_exec_that_cannot_be_killed_is_not_said_to_be_over(
    execs: Execs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.control.execution.KILLED_WITHIN_S", 0.01)
    execs.stubborn = True
    asking = await execs.begun()
    await execs.cancel()
    assert error_of(await asking)[0] == "deadline_exceeded"


async def test_a_kill_that_containerd_refuses_is_told(execs: Execs) -> None:
    execs.refuses = CommandFailed("unavailable", "containerd cannot be reached")
    asking = await execs.begun()
    await execs.cancel()
    assert error_of(await asking) == (
        "unavailable",
        "exec was cancelled: its process in container web.1 could not be killed: containerd cannot be reached",
    )
