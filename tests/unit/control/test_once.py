"""An id takes effect once at the most: while it is under way, when it has ended, and when the bridge died over it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.control.dispatch import Dispatcher
from bridge.control.memory import MemoryJournal
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord
from bridge.errors import Code, CommandFailed
from bridge.model.commands import GROUPS
from bridge.model.events import CommandRecorded
from bridge.model.nanos import Nanos
from bridge.model.outcomes import CommandState, Done, Outcome
from bridge.model.state import ContainerState
from bridge.model.subjects import CommandSubject
from bridge.ports import AnsweredLater, CommandRequest, JournalRow
from tests.unit.control.small_runtime import SmallRuntime, SmallTask, failure
from tests.unit.control.turns import settle, until

TERM = 15


class Node:
    """A node whose bridge can die and come back: what it had on disk and containerd stay."""

    def __init__(self) -> None:
        self.runtime = SmallRuntime()
        self.journal = MemoryJournal()
        self.policy = Policy(groups=GROUPS)
        self.recorded: list[CommandRecorded] = []
        self.begun: list[CommandRecorded] = []
        self.told: list[CommandState] = []
        self.state = ContainerState(node="node", namespace="default", container="web.1")
        self.now = 1_000
        self.boot()

    def boot(self) -> None:
        self.dispatcher = Dispatcher(
            "node",
            self.runtime,
            policy=self.policy,
            record=CommandRecord(self.record),
            clock=self.clock,
            journal=self.journal,
            standing=self.told.append,
            known=self.known,
        )

    def record(self, _namespace: str | None, _container: str | None, event: CommandRecorded, _command: str) -> None:
        (self.recorded if event.phase == "finished" else self.begun).append(event)

    def clock(self) -> Nanos:
        self.now += 1
        return Nanos(self.now)

    async def known(self, namespace: str, container: str) -> ContainerState:
        return self.state

    def request(self, verb: str, *, container: str | None = "web.1", **options: Any) -> CommandRequest:
        namespace = None if container is None else "default"
        subject = CommandSubject("node", namespace, container, verb)
        return CommandRequest(subject=subject, body=json.dumps(options).encode())

    async def ask(self, verb: str, **options: Any) -> Outcome:
        return await self.dispatcher.handle(self.request(verb, **options))

    def effects(self, call: str) -> int:
        return sum(each.split()[0] == call for each in self.runtime.calls)


@pytest.fixture
def node() -> Node:
    return Node()


# -- the same id


async def test_the_same_command_again_gets_the_same_outcome_and_does_nothing(node: Node) -> None:
    node.runtime.add(task=SmallTask("running", ignores={1}))
    first = await node.ask("kill", id="a-1", signal=1)
    assert await node.ask("kill", id="a-1", signal=1) == first
    assert node.effects("kill") == 1
    assert len(node.recorded) == 1


async def test_a_failure_is_an_outcome_too(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"))
    node.runtime.fail["pause"] = [failure("internal")]
    first = await node.ask("pause", id="a-1")
    assert first.outcome == "error"
    assert await node.ask("pause", id="a-1") == first
    assert node.effects("pause") == 1


async def test_the_same_command_while_it_is_under_way_waits_for_its_outcome(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"))
    node.runtime.gates["pause"] = gate = asyncio.Event()
    asking = [asyncio.create_task(node.ask("pause", id="a-1")) for _ in range(3)]
    await settle()
    gate.set()
    outcomes = await asyncio.gather(*asking)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert node.effects("pause") == 1


async def test_more_time_makes_no_other_command(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"))
    first = await node.ask("pause", id="a-1", not_after="1970-01-02T00:00:00.000000000Z")
    assert await node.ask("pause", id="a-1", not_after="1970-01-03T00:00:00.000000000Z") == first


@pytest.mark.parametrize("not_after", ["0001-01-01T00:00:00Z", "1900-01-01T00:00:00Z", "2031-01-01T00:00:00Z"])
async def test_a_deadline_that_nobody_can_mean_is_refused_with_both_clocks_in_doubt(node: Node, not_after: str) -> None:
    node.runtime.add(task=SmallTask("running"))
    outcome = await node.ask("pause", id="a-1", not_after=not_after)
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.code) == ("error", "invalid_argument")
    assert node.effects("pause") == 0


@pytest.mark.parametrize("under_way", [True, False])
async def test_another_command_under_a_known_id_is_refused(node: Node, under_way: bool) -> None:
    node.runtime.add(task=SmallTask("running"))
    gate = asyncio.Event()
    if under_way:
        node.runtime.gates["pause"] = gate
    first = asyncio.create_task(node.ask("pause", id="a-1"))
    await settle()
    second = await node.ask("resume", id="a-1")
    assert second.error is not None
    assert (second.outcome, second.error.code) == ("refused", "already_exists")
    assert second.error.message == "the id a-1 belongs to another command, pause: give this one an id of its own"
    gate.set()
    outcome = await first
    assert outcome.result == Done()
    assert [state.outcome.outcome for state in node.told if state.outcome] == ["ok"]  # nothing replaced it


async def test_what_was_refused_may_come_again_under_its_id_once_it_is_right(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"))
    assert (await node.ask("kill", id="a-1", signal="NONSENSE", all=7)).outcome == "error"
    assert (await node.ask("kill", id="a-1")).outcome == "ok"


async def test_it_is_on_disk_as_started_before_anything_is_done(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"))
    node.runtime.gates["task"] = asyncio.Event()
    task = asyncio.create_task(node.ask("pause", id="a-1"))
    await settle()
    row = node.journal.rows["a-1"]
    assert row.started_at is not None
    assert row.outcome is None
    assert node.effects("pause") == 0
    node.runtime.gates["task"].set()
    await task


class FailingJournal(MemoryJournal):
    async def start(self, row: JournalRow, at: Nanos) -> JournalRow | None:
        raise CommandFailed("unavailable", "the disk is full; nothing was done")


async def test_what_cannot_be_written_down_is_not_done(node: Node) -> None:
    node.journal = FailingJournal()
    node.boot()
    node.runtime.add(task=SmallTask("running"))
    outcome = await node.ask("pause", id="a-1")
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.code) == ("error", "unavailable")
    assert node.effects("pause") == 0


async def test_how_it_stands_is_told_on_its_way(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"))
    node.runtime.gates["pause"] = gate = asyncio.Event()
    first = asyncio.create_task(node.ask("pause", id="a-1"))
    await settle()
    second = asyncio.create_task(node.ask("resume", id="a-2"))
    await settle()
    assert [(state.id, state.stage) for state in node.told] == [("a-1", "started"), ("a-2", "accepted")]
    gate.set()
    await asyncio.gather(first, second)
    assert [(state.id, state.stage) for state in node.told[2:]] == [
        ("a-1", "finished"),
        ("a-2", "started"),
        ("a-2", "finished"),
    ]


# -- conditions


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"expected_status": "paused"}, "container web.1 is running, and stop was meant for it while paused"),
        ({"expected_incarnation": "I2"}, "container web.1 has the incarnation I1, and stop was meant for I2"),
        ({"expected_sequence": 4}, "container web.1 is at event 3, and stop was meant for it at 4"),
        ({"not_after": "1970-01-01T00:00:00.000000000Z"}, "stop was not to be carried out after"),
    ],
)
async def test_what_is_meant_for_a_state_that_is_past_is_stale_and_does_nothing(
    node: Node, options: dict[str, Any], said: str
) -> None:
    from bridge.model.envelope import Sequence

    node.runtime.add(task=SmallTask("running"))
    node.state = ContainerState(
        node="node", namespace="default", container="web.1", incarnation="I1", pid=7, sequence=Sequence(3)
    )
    outcome = await node.ask("stop", id="a-1", **options)
    assert outcome.outcome == "stale"
    assert outcome.error is not None
    assert said in outcome.error.message
    assert node.effects("kill") == 0
    assert await node.ask("stop", id="a-1", **options) == outcome


async def test_what_holds_is_carried_out(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"))
    node.state = ContainerState(node="node", namespace="default", container="web.1", incarnation="I1", pid=7)
    options = {"expected_status": "running", "expected_incarnation": "I1", "expected_sequence": 0}
    assert (await node.ask("stop", **options)).outcome == "ok"


async def test_a_log_that_is_behind_containerd_does_not_let_a_command_pass(node: Node) -> None:
    node.runtime.add(task=SmallTask("running", pid=8))
    node.state = ContainerState(node="node", namespace="default", container="web.1", incarnation="I1", pid=7)
    assert (await node.ask("stop", expected_incarnation="I1")).outcome == "stale"


async def test_the_deadline_is_looked_at_when_the_turn_has_come(node: Node) -> None:
    node.runtime.add(task=SmallTask("running", ignores={TERM}))
    slow = asyncio.create_task(node.ask("stop", grace=60))
    await settle()
    behind = asyncio.create_task(node.ask("start", not_after=str(Nanos(node.now + 50))))
    await settle()
    node.now += 1_000
    node.runtime.made["default", "web.1"].end(0)
    await slow
    assert (await behind).outcome == "stale"


# -- taking back


async def test_what_waits_is_taken_out_of_its_queue(node: Node) -> None:
    node.runtime.add(task=SmallTask("running", ignores={TERM}))
    slow = asyncio.create_task(node.ask("stop", id="a-1", grace=60))
    await settle()
    behind = asyncio.create_task(node.ask("start", id="a-2"))
    await settle()
    cancelled = await node.ask("cancel", container=None, command="a-2")
    assert cancelled.outcome == "ok"
    outcome = await behind
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.code) == ("error", "cancelled")
    node.runtime.made["default", "web.1"].end(0)
    assert (await slow).outcome == "ok"
    assert node.effects("create") == 0
    assert await node.ask("start", id="a-2") == outcome


async def test_what_is_taken_back_before_it_is_in_its_queue_never_waits_there(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.runtime.add(task=SmallTask("running", ignores={TERM}))
    slow = asyncio.create_task(node.ask("stop", id="a-1", grace=60))
    await settle()
    look, gate = node.journal.look, asyncio.Event()

    async def held(command_id: str) -> JournalRow | None:
        await gate.wait()
        return await look(command_id)

    monkeypatch.setattr(node.journal, "look", held)
    behind = asyncio.create_task(node.ask("start", id="a-2"))
    await settle()
    cancelling = asyncio.create_task(node.ask("cancel", container=None, command="a-2"))
    await settle()
    gate.set()
    outcome = await asyncio.wait_for(behind, 90)
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.code) == ("error", "cancelled")
    assert not (await cancelling).result.began
    node.runtime.made["default", "web.1"].end(0)
    assert (await slow).outcome == "ok"
    assert node.effects("create") == 0


async def test_the_grace_of_a_stop_can_be_cut_off(node: Node) -> None:
    node.runtime.add(task=SmallTask("running", ignores={TERM}))
    slow = asyncio.create_task(node.ask("stop", id="a-1", grace=60))
    await settle()
    cancelled = await node.ask("cancel", container=None, command="a-1")
    assert cancelled.outcome == "ok"
    assert cancelled.result.began
    outcome = await slow
    assert outcome.error is not None
    assert outcome.error.code == "cancelled"
    assert node.runtime.status() == "running"
    assert node.effects("kill") == 1


async def test_what_cannot_be_interrupted_goes_on_and_that_is_said(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"))
    node.runtime.gates["pause"] = gate = asyncio.Event()
    pausing = asyncio.create_task(node.ask("pause", id="a-1"))
    await settle()
    cancelled = await node.ask("cancel", container=None, command="a-1")
    assert cancelled.error is not None
    assert cancelled.error.message == "pause a-1 is being carried out and cannot be interrupted there"
    gate.set()
    assert (await pausing).outcome == "ok"


async def test_what_has_ended_or_never_was_is_not_found(node: Node) -> None:
    outcome = await node.ask("cancel", container=None, command="a-9")
    assert outcome.error is not None
    assert outcome.error.code == "not_found"


# -- after a crash


async def crashed(node: Node, verb: str, **options: Any) -> Outcome:
    """Let a command be started by a bridge that dies over it, and return what the next one finds."""
    request = node.request(verb, id="a-1", **options)
    row = JournalRow(
        id="a-1", digest="d", verb=verb, received_at=Nanos(1), namespace="default", container="web.1", body=request.body
    )
    await node.journal.start(row, Nanos(node.now))
    node.boot()
    [(_, outcome)] = await node.dispatcher.recover()
    return outcome


@pytest.mark.parametrize(
    ("verb", "status", "word"),
    [
        ("pause", "paused", "ok"),
        ("pause", "running", "unknown"),
        ("resume", "running", "ok"),
        ("resume", "paused", "unknown"),
        ("stop", "stopped", "ok"),
        ("stop", "running", "unknown"),
        ("kill", "running", "unknown"),
        ("delete", "stopped", "unknown"),
        ("start", "running", "unknown"),  # the log does not say since when
    ],
)
async def test_the_goal_decides_where_it_can(node: Node, verb: str, status: Any, word: str) -> None:
    node.runtime.add(task=SmallTask(status))
    before = len(node.runtime.calls)
    assert (await crashed(node, verb)).outcome == word
    assert {call.split()[0] for call in node.runtime.calls[before:]} <= {"task", "get"}  # it only looked
    assert [event.outcome for event in node.recorded] == [word]
    assert [state.stage for state in node.told] == ["finished"]
    assert (await node.dispatcher.recover()) == []


async def test_a_container_that_is_gone_was_deleted(node: Node) -> None:
    assert (await crashed(node, "delete")).outcome == "ok"


@pytest.mark.parametrize(("since", "word"), [(5, "ok"), (-5, "unknown")])
async def test_a_process_that_began_since_then_was_started(node: Node, since: int, word: str) -> None:
    node.runtime.add(task=SmallTask("running"))
    node.state = ContainerState(
        node="node", namespace="default", container="web.1", pid=7, started_at=Nanos(node.now + since)
    )
    assert (await crashed(node, "start")).outcome == word


async def test_a_verb_that_nobody_can_look_for_is_unknown(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.control import recovery

    monkeypatch.setattr(recovery, "RECOVERIES", {})
    outcome = await crashed(node, "pause")
    assert outcome.error is not None
    assert outcome.error.message.endswith("nothing shows whether pause took effect")


async def test_a_containerd_that_is_away_for_a_moment_is_waited_for(node: Node) -> None:
    node.runtime.add(task=SmallTask("paused"))
    node.runtime.fail["task"] = [failure("unavailable")]
    assert (await crashed(node, "pause")).outcome == "ok"


@pytest.mark.parametrize("code", ["unavailable", "deadline_exceeded"])
async def test_a_containerd_that_does_not_answer_leaves_it_open(
    node: Node, monkeypatch: pytest.MonkeyPatch, code: Code
) -> None:
    monkeypatch.setattr("bridge.control.aftermath.AWAY_S", 0.0)
    node.runtime.add(task=SmallTask("paused"))
    node.runtime.fail["task"] = [failure(code)] * 100
    assert (await crashed(node, "pause")).outcome == "unknown"


async def test_what_a_bridge_cannot_look_for_any_more_when_it_stops_the_next_one_finds(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.control.once.LOOK_S", 0.01)
    node.runtime.add(task=SmallTask("running"))
    gate = node.runtime.gates["pause"] = asyncio.Event()
    pausing = asyncio.create_task(node.ask("pause", id="a-1"))
    await until(lambda: "pause" in node.runtime.calls)
    node.runtime.gates["task"] = gate
    await node.dispatcher.stop(within=0)
    with pytest.raises(AnsweredLater):
        await pausing
    assert [state.outcome for state in node.told if state.outcome is not None] == []
    gate.set()
    node.runtime.made["default", "web.1"] = SmallTask("paused")
    node.boot()
    [(_, outcome)] = await node.dispatcher.recover()
    assert (outcome.id, outcome.outcome) == ("a-1", "ok")


async def test_a_request_that_had_not_begun_had_no_effect(node: Node) -> None:
    row = JournalRow(id="a-1", digest="d", verb="pause", received_at=Nanos(1), namespace="default", container="web.1")
    await node.journal.accept(row)
    [(_, outcome)] = await node.dispatcher.recover()
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.code) == ("error", "unavailable")


async def test_a_job_that_had_not_begun_is_left_to_its_stream(node: Node) -> None:
    row = JournalRow(id="a-1", digest="d", verb="pause", received_at=Nanos(1), via="job", delivery=3)
    await node.journal.accept(row)
    assert await node.dispatcher.recover() == []


async def test_what_ended_and_was_not_told_is_told_again(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"))
    outcome = await node.ask("pause", id="a-1")
    node.told.clear()
    node.boot()
    await node.dispatcher.recover()
    assert [state.outcome for state in node.told] == [outcome]
    node.journal.told("a-1")
    node.told.clear()
    await node.dispatcher.recover()
    assert node.told == []


# -- whatever comes


@given(
    st.sampled_from(["pause", "stop", "kill", "delete", "start", "cancel"]),
    st.one_of(
        st.binary(max_size=40),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=6,
        ).map(lambda value: json.dumps({"id": value, "x": value}).encode()),
        st.text(max_size=80).map(lambda text: json.dumps({"id": text, "nothing": 1}).encode()),
    ),
    st.text(max_size=80),
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_sent_gets_a_code_and_does_nothing(verb: str, body: bytes, container: str) -> None:
    async def run() -> None:
        node = Node()
        node.runtime.add(task=SmallTask("running"))
        subject = CommandSubject("node", "default", container or None, verb)
        outcome = await node.dispatcher.handle(CommandRequest(subject=subject, body=body or b"[]"))
        assert outcome.error is not None
        assert outcome.error.code in {"invalid_argument", "not_found"}
        assert not {"pause", "kill", "delete", "create", "start"} & {call.split()[0] for call in node.runtime.calls}
        assert node.journal.rows == {} or outcome.error.code == "not_found"

    asyncio.run(run())


COMMANDS_SENT = st.lists(
    st.tuples(
        st.sampled_from(["pause", "resume", "kill", "start", "stop"]),
        st.sampled_from(["a-1", "a-2", "a-3"]),
        st.sampled_from(["send", "twice", "die"]),
    ),
    max_size=12,
)


@given(COMMANDS_SENT)
@settings(max_examples=60, deadline=None)
def test_however_often_it_is_sent_and_whenever_the_bridge_dies_an_id_has_one_effect_and_one_outcome(
    sent: list[tuple[str, str, str]],
) -> None:
    async def run() -> None:
        node = Node()
        node.runtime.add(task=SmallTask("running", ignores={TERM, 1}))
        ends: dict[str, Outcome] = {}
        for verb, name, how in sent:
            options: dict[str, Any] = {"signal": 1} if verb == "kill" else {"grace": 0} if verb == "stop" else {}
            calls = len(node.runtime.calls)
            known = name in node.journal.rows
            if how == "die":
                node.runtime.gates["kill"] = node.runtime.gates["pause"] = asyncio.Event()
                task = asyncio.create_task(node.ask(verb, id=name, **options))
                await settle()
                # A process that is killed runs nothing any more: what its coroutine would still do is not seen by anybody.
                lost, node.journal = node.journal, MemoryJournal()
                node.journal.rows = dict(lost.rows)
                recorded, told = len(node.recorded), len(node.told)
                task.cancel()
                await asyncio.wait({task})
                del node.recorded[recorded:], node.told[told:]
                node.runtime.gates.clear()
                node.boot()
                await node.dispatcher.recover()
            else:
                for _ in range(2 if how == "twice" else 1):
                    await node.ask(verb, id=name, **options)
            if known:
                changing = {"kill", "pause", "resume", "start", "create", "delete_task"}
                assert not changing & {call.split()[0] for call in node.runtime.calls[calls:]}
            row = node.journal.rows.get(name)
            if row is not None and row.outcome is not None:
                assert ends.setdefault(name, row.outcome) == row.outcome

    asyncio.run(run())
