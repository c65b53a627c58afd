"""A command whose process outlives the bridge has one outcome, its process's: whichever bridge is there to see the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.control.dispatch import Dispatcher
from bridge.control.memory import MemoryJournal
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord
from bridge.model import labels
from bridge.model.commands import GROUPS
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import CommandState, ExecResult, Outcome, Restarted, StreamReport, TaskStarted
from bridge.model.subjects import CommandSubject
from bridge.ports import AnsweredLater, CommandRequest, SessionOrder, Stdio, StdioStatistics
from bridge.testing import MemoryContainerd
from tests.unit.control.small_runtime import SmallRuntime, SmallTask
from tests.unit.control.turns import settle
from tests.unit.policy.specs import LENIENT

SPEC: dict[str, Any] = {"process": {"args": ["sleep"], "cwd": "/", "env": []}}


class Session:
    """A session that ends when the test says so."""

    def __init__(self, order: SessionOrder) -> None:
        self.order = order
        self.settled: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()

    @property
    def id(self) -> str:
        return "s-1"

    secret = ""
    made_at = None

    @property
    def command_id(self) -> str:
        return self.order.command_id

    @property
    def stdio(self) -> Stdio:
        return Stdio()

    async def start(self, *, width: int = 0, height: int = 0) -> int:
        self.settled.set_result(True)
        return 7

    async def abandon(self, *, keep_exec: bool = False) -> None:
        self.settled.set_result(False)

    async def ran(self) -> bool | None:
        return await asyncio.shield(self.settled)

    async def ended(self) -> ExecResult:
        await self.over.wait()
        return self.result()

    def result(self) -> ExecResult:
        over = self.over.is_set()
        captured = b"hello" if over and self.order.capture else None
        stdout = StreamReport(size=5, ended=over, sha256="abc" if over else None, captured=captured)
        pid = 7 if self.settled.done() and self.settled.result() else 0
        return ExecResult(session=self.id, pid=pid, running=not over, exit_status=3 if over else None, stdout=stdout)

    async def close_stdin(self) -> bool:
        return True


class Sessions:
    """What is on disk: it is there whichever bridge comes."""

    def __init__(self) -> None:
        self.all: dict[tuple[str, str, str | None], Session] = {}

    async def open(self, order: SessionOrder) -> Session:
        session = self.all[order.namespace, order.container, order.exec_id] = Session(order)
        return session

    def find(self, namespace: str, container: str, exec_id: str | None) -> Session | None:
        return self.all.get((namespace, container, exec_id))

    async def drain(self, namespace: str, container: str) -> None:
        pass

    async def expect(self, order: SessionOrder) -> None:
        return None

    def expected(self, namespace: str, container: str) -> None:
        return None

    def all_expected(self) -> list[tuple[str, str, Nanos | None]]:
        return []

    async def forget(self, namespace: str, container: str) -> None:
        pass

    def made(self, path: str) -> bool:
        return False

    def statistics(self) -> StdioStatistics:
        raise NotImplementedError


class Node:
    """A node whose bridges come and go."""

    def __init__(self) -> None:
        self.runtime = SmallRuntime()
        self.runtime.add(task=SmallTask("running"), spec=SPEC)
        self.runtime.tasks.exec = self.exec  # type: ignore[assignment]
        self.journal = MemoryJournal()
        self.sessions = Sessions()
        self.told: list[CommandState] = []
        self.answers: list[tuple[str, Outcome]] = []
        self.execs = 0
        self.boot()

    def boot(self) -> None:
        self.dispatcher = Dispatcher(
            "node",
            self.runtime,
            policy=Policy(groups=GROUPS, book=LENIENT),
            record=CommandRecord(lambda *_: None),
            journal=self.journal,
            standing=self.told.append,
            sessions=self.sessions,
        )

    async def exec(self, *_: Any) -> None:
        self.execs += 1

    async def answer(self, reply: str, outcome: Outcome) -> None:
        self.answers.append((reply, outcome))

    def request(self, verb: str = "exec", **options: Any) -> CommandRequest:
        subject = CommandSubject("node", "default", "web.1", verb)
        more = {"args": ["x"]} if verb == "exec" else {}
        body = json.dumps({"id": "a-1", **more, **options}).encode()
        return CommandRequest(subject=subject, body=body, reply="inbox.1")

    async def recover(self) -> list[Outcome]:
        self.boot()
        return [outcome for _, outcome in await self.dispatcher.recover(self.answer)]

    @property
    def session(self) -> Session:
        [session] = self.sessions.all.values()
        return session

    @property
    def ends(self) -> list[str]:
        return [state.outcome.outcome for state in self.told if state.outcome is not None]


@pytest.fixture
async def node() -> Node:
    return Node()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(90):
        while not true():
            await asyncio.sleep(0)


@pytest.mark.parametrize("mode", ["captured", "attached"])
async def test_a_bridge_that_stops_leaves_it_open_and_the_next_one_answers(node: Node, mode: str) -> None:
    asking = asyncio.create_task(node.dispatcher.handle(node.request(mode=mode)))
    await until(lambda: node.sessions.all and node.session.settled.done())
    await node.dispatcher.stop(within=30)  # at once, and not after half a minute
    with pytest.raises(AnsweredLater):
        await asking
    assert node.ends == []
    assert await node.recover() == []
    node.session.over.set()
    await until(lambda: node.answers)
    [(reply, outcome)] = node.answers
    assert (reply, outcome.outcome) == ("inbox.1", "ok")
    assert isinstance(outcome.result, ExecResult)
    assert (outcome.result.exit_status, outcome.result.stdout.size, outcome.result.stdout.sha256) == (3, 5, "abc")
    assert node.ends == ["ok"]
    assert node.execs == 1
    assert outcome.result.stdout.captured == (b"hello" if mode == "captured" else None)
    # What was captured is in the answer, and kept nowhere.
    again = await node.dispatcher.handle(node.request(mode=mode))
    assert again == replace(outcome, result=outcome.result.bare)
    assert node.told[-1].outcome == again


async def test_the_same_command_meanwhile_waits_for_the_same_end(node: Node) -> None:
    asking = asyncio.create_task(node.dispatcher.handle(node.request()))
    await until(lambda: node.sessions.all and node.session.settled.done())
    asking.cancel()  # as kill -9 does
    await asyncio.gather(asking, return_exceptions=True)
    assert await node.recover() == []
    again = asyncio.create_task(node.dispatcher.handle(node.request()))
    job = asyncio.create_task(node.dispatcher.carry_out(node.request()))
    await until(lambda: node.dispatcher.statistics().under_way)
    node.session.over.set()
    assert (await again) == (await job)
    assert node.ends == ["ok"]
    assert node.execs == 1


async def test_who_waited_through_it_is_told_the_key_and_nobody_else_is(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "secret", "k-1")
    node.runtime.made["default", "web.1"] = SmallTask("running")
    order = SessionOrder(namespace="default", container="web.1", exec_id=None, command_id="a-1")
    session = await node.sessions.open(order)
    await node.journal.start(_row(node.request("start", stdio="bus")), now())
    assert await node.recover() == []
    session.settled.set_result(True)
    await until(lambda: node.answers and node.ends)
    [(_, answered)] = node.answers
    assert answered.result.process.key == "k-1"
    assert "k-1" not in repr(node.told)


async def test_it_outlives_as_many_bridges_as_it_likes(node: Node) -> None:
    asking = asyncio.create_task(node.dispatcher.carry_out(node.request()))
    for _ in range(4):
        await until(lambda: node.sessions.all and node.session.settled.done())
        await node.dispatcher.stop(within=30)
        assert await asking is None  # the job is left in its stream
        assert await node.recover() == []
        asking = asyncio.create_task(node.dispatcher.carry_out(node.request()))
        await asyncio.sleep(0)
    node.session.over.set()
    outcome = await asking
    assert outcome is not None
    assert outcome.outcome == "ok"
    assert node.ends == ["ok"]


@pytest.mark.parametrize(("ran", "word"), [(True, "ok"), (False, "error")])
async def test_a_start_is_decided_by_whether_its_process_ran(node: Node, ran: bool, word: str) -> None:
    request = node.request("start", stdio="bus")
    node.runtime.made["default", "web.1"] = SmallTask("running" if ran else "created")
    session = await node.sessions.open(
        SessionOrder(namespace="default", container="web.1", exec_id=None, command_id="a-1")
    )
    await node.journal.start(_row(request), now())
    assert await node.recover() == []
    session.settled.set_result(ran)
    await until(lambda: node.answers)
    [(_, outcome)] = node.answers
    assert outcome.outcome == word
    if ran:
        assert outcome.result == TaskStarted(pid=7, session="s-1", process=node.session.result())
    else:
        assert outcome.error is not None
        assert outcome.error.code == "unavailable"
        assert node.runtime.made == {}


async def test_an_exec_without_a_session_was_never_run(node: Node) -> None:
    await node.journal.start(_row(node.request()), now())
    [outcome] = await node.recover()
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.code) == ("error", "unavailable")
    assert "nothing of it is left; send it again under another id" in outcome.error.message


async def test_an_exec_of_long_ago_without_a_session_is_unknown(node: Node) -> None:
    await node.journal.start(_row(node.request()), Nanos(now() - 4_000_000_000_000))
    [outcome] = await node.recover()
    assert outcome.outcome == "unknown"


async def test_what_ended_on_disk_and_was_not_told_is_answered_too(node: Node) -> None:
    asking = asyncio.create_task(node.dispatcher.handle(node.request()))
    await until(lambda: node.sessions.all and node.session.settled.done())
    node.session.over.set()
    outcome = await asking
    assert await node.recover() == []
    assert isinstance(outcome.result, ExecResult)
    assert node.answers == [("inbox.1", replace(outcome, result=outcome.result.bare))]


async def test_it_cannot_be_taken_back_before_it_is_known_whether_it_runs(node: Node) -> None:
    await node.journal.start(_row(node.request()), now())
    await node.sessions.open(SessionOrder(namespace="default", container="web.1", exec_id="a-1", command_id="a-1"))
    assert await node.recover() == []
    subject = CommandSubject("node", None, None, "cancel")
    outcome = await node.dispatcher.handle(CommandRequest(subject=subject, body=b'{"command": "a-1"}'))
    assert outcome.error is not None
    assert outcome.error.code == "failed_precondition"
    node.session.settled.set_result(True)
    node.session.over.set()
    await until(lambda: node.answers)


def _row(request: CommandRequest) -> Any:
    from bridge.control.order import read_order

    return read_order(request, now()).row


async def test_a_process_that_never_ran_is_told_as_that(node: Node) -> None:
    await node.journal.start(_row(node.request()), now())
    await node.sessions.open(SessionOrder(namespace="default", container="web.1", exec_id="a-1", command_id="a-1"))
    assert await node.recover() == []
    node.session.settled.set_result(False)
    await until(lambda: node.answers)
    [(_, outcome)] = node.answers
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.code) == ("error", "unavailable")


@pytest.mark.parametrize(("ran", "word"), [(True, "ok"), (False, "error")])
async def test_a_restart_is_decided_by_whether_its_process_ran(node: Node, ran: bool, word: str) -> None:
    node.runtime.made["default", "web.1"] = SmallTask("running" if ran else "created")
    await node.sessions.open(SessionOrder(namespace="default", container="web.1", exec_id=None, command_id="a-1"))
    await node.journal.start(_row(node.request("restart")), now())
    assert await node.recover() == []
    node.session.settled.set_result(ran)
    await until(lambda: node.answers)
    [(_, outcome)] = node.answers
    assert outcome.outcome == word
    assert outcome.result == (Restarted(pid=7) if ran else None)
    assert node.runtime.status() == ("running" if ran else None)


@pytest.mark.parametrize("verb", ["exec", "start", "run"])
async def test_one_that_may_have_run_and_is_gone_is_not_to_be_sent_again(node: Node, verb: str) -> None:
    options = {"stdio": "bus"} if verb != "exec" else {}
    if verb == "run":
        options["image"] = "i"
        node.runtime.add(labels={labels.COMMAND: "a-1"}, spec=SPEC)
        node.runtime.leases = MemoryContainerd().runtime.leases
    node.runtime.made.pop(("default", "web.1"), None)
    await node.journal.start(_row(node.request(verb, **options)), now())
    exec_id = "a-1" if verb == "exec" else None
    await node.sessions.open(SessionOrder(namespace="default", container="web.1", exec_id=exec_id, command_id="a-1"))
    assert await node.recover() == []
    node.session.settled.set_result(None)
    node.session.over.set()
    await until(lambda: node.answers)
    [(_, outcome)] = node.answers
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.code) == ("unknown", "unknown")
    assert "was about to be started" in outcome.error.message


async def test_the_input_of_a_process_may_be_ended_while_its_exec_still_waits_for_its_turn(node: Node) -> None:
    async with node.dispatcher._turns._lanes.turn("default", "web.1"):
        running = asyncio.create_task(node.dispatcher.handle(node.request(mode="detached", exec_id="e1")))
        ending = asyncio.create_task(node.dispatcher.handle(node.request("close-stdin", id="a-2", exec_id="e1")))
        nobodys = asyncio.create_task(node.dispatcher.handle(node.request("close-stdin", id="a-3", exec_id="e2")))
        await settle()
        assert not ending.done()
    assert [(await one).outcome for one in (running, ending, nobodys)] == ["ok", "ok", "error"]


async def test_who_asks_for_what_nobody_is_making_is_told_at_once(node: Node) -> None:
    outcome = await node.dispatcher.handle(node.request("close-stdin", id="a-2", exec_id="e1"))
    assert outcome.error is not None
    assert outcome.error.code == "not_found"
