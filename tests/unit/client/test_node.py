"""A node's verbs: what goes out, what comes back, and how failures are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridge.client import Node, Sending
from bridge.client import node as node_module
from bridge.client.timeouts import timeout_of
from bridge.errors import CommandFailed
from bridge.model.commands import COMMANDS, Kill, Stop
from bridge.model.events import Failure
from bridge.model.nanos import Nanos
from bridge.model.outcomes import (
    Done,
    ExecResult,
    ExitInfo,
    Outcome,
    OutcomeWord,
    PidList,
    ProcessInfo,
    Restarted,
    StatsList,
    TaskStarted,
    Updated,
    WaitResult,
)
from bridge.model.subjects import CommandSubject
from bridge.testing import MemoryStdio
from tests.unit.client.small_bus import SUBJECTS, SmallSender

Call = Callable[[Node], Awaitable[Any]]


def node(sender: SmallSender, name: str = "n1") -> Node:
    return Node(name, sender, SUBJECTS)


def failing(code: str, *, outcome: OutcomeWord = "error", containerd: str | None = None) -> SmallSender:
    error = Failure(code=code, message="because", containerd=containerd)
    return SmallSender(lambda at, _: Outcome(id="1", verb=at.verb, node=at.node, outcome=outcome, error=error))


class Absent(SmallSender):
    async def send(self, subject: str, body: bytes, *, timeout: float) -> Outcome:
        raise CommandFailed("unavailable", "nobody takes it")


@pytest.mark.parametrize(
    ("call", "verb", "options"),
    [
        (lambda n: n.start("web.1"), "start", {}),
        (lambda n: n.pause("web.1"), "pause", {}),
        (lambda n: n.kill("web.1", signal="HUP", all=True), "kill", {"signal": "HUP", "all": True}),
        (lambda n: n.kill("web.1", exec_id="e"), "kill", {"exec_id": "e"}),
        (lambda n: n.stop("web.1", grace=3), "stop", {"grace": 3}),
        (lambda n: n.restart("web.1", signal="INT", grace=1), "restart", {"signal": "INT", "grace": 1}),
        (lambda n: n.update("web.1", memory="1g"), "update", {"memory": "1g"}),
        (lambda n: n.update("web.1", annotations={"a": "b"}), "update", {"annotations": {"a": "b"}}),
        (lambda n: n.stats("web.1"), "stats", {}),
        (lambda n: n.resize("web.1", width=90, height=7), "resize", {"width": 90, "height": 7}),
        (lambda n: n.close_stdin("web.1", "e"), "close-stdin", {"exec_id": "e"}),
        (lambda n: n.delete("web.1", force=True, keep_snapshot=True), "delete", {"force": True, "keep_snapshot": True}),
    ],
)
async def test_only_what_differs_from_the_default_is_sent(call: Call, verb: str, options: dict[str, Any]) -> None:
    results = {
        "start": TaskStarted(pid=1),
        "restart": Restarted(pid=1),
        "update": Updated(task=True, record=True, resources={}),
        "stats": StatsList(stats=[]),
    }
    sender = SmallSender(lambda *_: results.get(verb, {}))

    await call(node(sender))

    assert sender.asked[0][:2] == (CommandSubject("n1", "default", "web.1", verb), options)


async def test_results_are_typed() -> None:
    assert await node(SmallSender(lambda *_: {"pid": 7})).start("x") == TaskStarted(pid=7)
    assert await node(SmallSender(lambda *_: {"already": True})).pause("x") == Done(already=True)
    ended = {"exit_status": 3, "exited_at": "1970-01-01T00:00:00.000000005Z"}
    assert await node(SmallSender(lambda *_: ended)).stop("x") == ExitInfo(exit_status=3, exited_at=Nanos(5))
    pids = PidList(processes=[ProcessInfo(pid=1, exec_id="e")])
    assert await node(SmallSender(lambda *_: pids)).pids("x") == [ProcessInfo(pid=1, exec_id="e")]


async def test_a_failure_keeps_its_code_and_words() -> None:
    with pytest.raises(CommandFailed, match="because") as raised:
        await node(failing("failed_precondition", containerd="task is paused")).pause("x")

    assert (raised.value.code, raised.value.containerd) == ("failed_precondition", "task is paused")


async def test_a_code_of_a_newer_bridge_is_unknown() -> None:
    with pytest.raises(CommandFailed) as raised:
        await node(failing("brand_new")).pause("x")

    assert raised.value.code == "unknown"


@pytest.mark.parametrize("outcome", ["error", "refused", "stale", "unknown"])
async def test_every_outcome_but_ok_is_a_failure(outcome: OutcomeWord) -> None:
    with pytest.raises(CommandFailed):
        await node(failing("refused", outcome=outcome)).pause("x")


async def test_an_answer_that_is_no_result_is_said_to_be_none() -> None:
    with pytest.raises(CommandFailed, match="n1 answered start with something else than its result") as raised:
        await node(SmallSender(lambda *_: {"pid": "seven"})).start("x")

    assert raised.value.code == "internal"


async def test_an_absent_node_is_told_from_one_that_takes_no_such_commands() -> None:
    with pytest.raises(CommandFailed, match="node n2 does not answer; these do: n1"):
        await node(Absent(lambda *_: None), "n2").pause("x")
    with pytest.raises(CommandFailed, match="node n2 does not answer; no other does either"):
        await node(Absent(lambda *_: None, nodes=()), "n2").pause("x")
    with pytest.raises(
        CommandFailed, match="n1 takes no lifecycle commands: start its bridge with --commands lifecycle"
    ):
        await node(Absent(lambda *_: None, groups=["observe"])).pause("x")
    with pytest.raises(CommandFailed, match="nobody takes it"):
        await node(Absent(lambda *_: None)).pause("x")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda n: n.pause("a/b"), "container id 'a/b' is not valid"),
        (lambda n: n.pause("x", namespace="*"), r"namespace '\*' is not valid"),
        (lambda n: n.kill("x", signal="NOPE"), "signal 'NOPE' does not exist"),
        (lambda n: n.stop("x", signal=99), "signal 99 does not exist"),
    ],
)
async def test_what_cannot_be_right_is_not_sent(call: Call, sentence: str) -> None:
    sender = SmallSender(lambda *_: {})

    with pytest.raises(ValueError, match=sentence):
        await call(node(sender))

    assert sender.asked == []


def test_a_node_has_a_name_that_can_be_one() -> None:
    with pytest.raises(ValueError, match=r"node name 'a\.\*' is not valid"):
        node(SmallSender(lambda *_: {}), "a.*")


async def test_a_stop_has_time_for_its_grace_and_more() -> None:
    sender = SmallSender(lambda *_: {})

    await node(sender).stop("x", grace=100)

    assert sender.asked[0].timeout == 115


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_verb_has_its_patience(verb: str) -> None:
    assert timeout_of(COMMANDS[verb]()) >= 10


async def test_a_command_can_be_sent_under_an_id_of_ones_own() -> None:
    sender = SmallSender(lambda *_: {})

    outcome = await node(sender).send(Kill(id="mine"), namespace="default", container="x", timeout=1)

    assert (outcome.outcome, sender.asked[0].by_default["id"], sender.asked[0].timeout) == ("ok", "mine", 1)
    assert timeout_of(Stop()) == 25


async def test_what_is_done_to_a_process_is_not_sent_as_the_command_was_that_began_it() -> None:
    sender = SmallSender(lambda *_: {})
    how = Sending(id="mine", if_status="running", if_sequence=7, not_after=Nanos(1), durable=True)
    begun = Node("n1", sender, SUBJECTS, sending=how, stdio=MemoryStdio())
    process = begun.process(ExecResult(exec_id="e", session="s", terminal=True), "web.1")

    await process.kill("HUP")
    await process.kill("HUP")
    await process.resize(width=90, height=7)

    assert [asked.options for asked in sender.asked] == [{"signal": "HUP", "exec_id": "e"}] * 2 + [
        {"width": 90, "height": 7, "exec_id": "e"}
    ]
    first, second, _ = (asked.by_default.get("id") for asked in sender.asked)
    assert len({first, second, "mine"}) == 3


@pytest.mark.parametrize("options", [{"memory": "lots"}, {"memory_swap": 0}, {"memory_reservation": "x"}])
async def test_a_limit_that_is_none_is_not_sent(options: dict[str, Any]) -> None:
    sender = SmallSender(lambda *_: {})
    with pytest.raises(ValueError, match="is no size"):
        await node(sender).update("x", **options)
    assert sender.asked == []


@pytest.mark.parametrize(
    ("call", "subject"),
    [
        (lambda n: n.stats(), (None, None)),
        (lambda n: n.stats(namespace="a"), ("a", None)),
        (lambda n: n.stats("x"), ("default", "x")),
        (lambda n: n.stats("x", namespace="a"), ("a", "x")),
    ],
)
async def test_stats_are_of_everything_of_a_namespace_or_of_one(call: Call, subject: tuple[str | None, ...]) -> None:
    sender = SmallSender(lambda *_: StatsList(stats=[]))
    await call(node(sender))
    assert sender.asked[0].subject[1:3] == subject


# -- wait


class Waited(SmallSender):
    """A node that answers `wait` from a list; an error in it is raised, as when no outcome came."""

    def __init__(self, *answers: WaitResult | CommandFailed | Failure) -> None:
        super().__init__(lambda *_: None)
        self.answers = list(answers)

    async def send(self, subject: str, body: bytes, *, timeout: float) -> Outcome:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, CommandFailed):
            self.answer = lambda *_: None
            await super().send(subject, body, timeout=timeout)
            raise answer
        if isinstance(answer, Failure):
            failed = Outcome(id="1", verb="wait", node="n1", outcome="error", error=answer)
            self.answer = lambda *_: failed
        else:
            self.answer = lambda *_: answer
        return await super().send(subject, body, timeout=timeout)


YET = WaitResult(ended=False, incarnation="A")
ENDED = WaitResult(ended=True, exit_status=3, incarnation="A")
STOPPING = Failure(code="unavailable", message="the bridge stopped")
AWAY = CommandFailed("unavailable", "nobody takes it")
LATE = CommandFailed("deadline_exceeded", "no outcome came")


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "_AGAIN_S", 0)


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize(
    "answers",
    [
        [ENDED],
        [YET, YET, ENDED],
        [STOPPING, ENDED],
        [YET, AWAY, AWAY, ENDED],
        [YET, LATE, STOPPING, YET, ENDED],
    ],
)
async def test_a_wait_asks_until_it_has_ended_whatever_the_bridge_does(answers: list[Any]) -> None:
    assert await node(Waited(*answers)).wait("x") == ENDED


@pytest.mark.usefixtures("_at_once")
async def test_asked_again_it_names_the_task_that_it_waits_for() -> None:
    sender = Waited(YET, AWAY, ENDED)
    await node(sender).wait("x", exec_id="e")
    assert [asked.options.get("incarnation") for asked in sender.asked] == [None, "A", "A"]
    assert {asked.options["exec_id"] for asked in sender.asked} == {"e"}
    assert all(asked.timeout >= asked.options["timeout"] + 5 for asked in sender.asked)


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("error", [AWAY, LATE, CommandFailed("refused", "not permitted")])
async def test_a_node_that_was_never_there_is_not_waited_for(error: CommandFailed) -> None:
    with pytest.raises(CommandFailed) as failed:
        await node(Waited(error)).wait("x")
    assert failed.value.code == error.code


async def test_a_node_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "_AGAIN_S", 0.001)
    monkeypatch.setattr(node_module, "PATIENCE_S", 0.05)
    with pytest.raises(CommandFailed) as failed:
        await node(Waited(YET, AWAY)).wait("x")
    assert failed.value.code == "unavailable"


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("answers", [[YET], [YET, STOPPING]])
async def test_when_its_time_is_over_a_wait_says_that_it_has_not_ended(answers: list[Any]) -> None:
    result = await node(Waited(*answers)).wait("x", timeout=0.01)
    assert result == YET


@pytest.mark.usefixtures("_at_once")
async def test_what_is_gone_at_a_later_look_has_ended_and_at_the_first_is_not_found() -> None:
    gone = Failure(code="not_found", message="there is no exec e")
    assert await node(Waited(YET, gone)).wait("x", exec_id="e") == WaitResult(ended=True, incarnation="A")
    with pytest.raises(CommandFailed) as failed:
        await node(Waited(gone)).wait("x", exec_id="e")
    assert failed.value.code == "not_found"
