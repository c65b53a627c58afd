"""The policy and the journal together: what is refused is not written down, and what begins is, before anything is done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs

from bridge.control import dispatch, policy, verbs
from bridge.control.verb import Place
from bridge.model.outcomes import Done, Judged
from bridge.policy import NO_RULES, Rule, RuleBook
from bridge.policy.permissions import Permissions
from tests.unit.control.small_runtime import SmallTask, failure
from tests.unit.control.test_once import Node
from tests.unit.control.turns import settle
from tests.unit.policy.specs import changed

DENY = RuleBook(rules=(Rule(effect="deny", name="no pause", verbs=["pause"]),), default="allow", source="p.toml")
BY_LABEL = RuleBook(rules=(Rule(effect="allow", labels=["tier=web"]),), source="p.toml")


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.mark.parametrize("book", [DENY, BY_LABEL])
async def test_a_refused_command_does_not_use_up_its_id(node: Node, book: RuleBook) -> None:
    node.runtime.add(task=SmallTask("running"))
    node.policy.book = book
    assert (await node.ask("pause", id="a-1")).outcome == "refused"
    assert (node.journal.rows, node.begun) == ({}, [])
    node.policy.book = NO_RULES
    assert (await node.ask("pause", id="a-1")).outcome == "ok"
    assert [event.outcome for event in node.recorded] == ["refused", "ok"]


async def test_one_that_is_refused_after_it_waited_does_not_stay_in_the_journal(node: Node) -> None:
    node.runtime.add(task=SmallTask("running", ignores={1}))
    node.runtime.gates["kill"] = gate = asyncio.Event()
    killing = asyncio.create_task(node.ask("kill", id="a-1", signal=1))
    await settle()
    pausing = asyncio.create_task(node.ask("pause", id="a-2"))
    await settle()
    assert set(node.journal.rows) == {"a-1", "a-2"}
    node.policy.book = DENY
    gate.set()
    assert ((await killing).outcome, (await pausing).outcome) == ("ok", "refused")
    assert set(node.journal.rows) == {"a-1"}
    node.boot()
    assert await node.dispatcher.recover() == []


async def test_one_of_which_containerd_cannot_say_what_it_is_for_may_be_sent_again(node: Node) -> None:
    node.policy.book = BY_LABEL
    node.runtime.add(task=SmallTask("running"), labels={"tier": "web"})
    node.runtime.fail["get"] = [failure("unavailable")]
    outcome = await node.ask("pause", id="a-1")
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.code) == ("error", "unavailable")
    assert (await node.ask("pause", id="a-1")).outcome == "ok"


async def test_what_begins_is_on_disk_and_recorded_before_it_is_done_and_after_its_conditions(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"))
    assert (await node.ask("pause", id="a-0", expected_status="stopped")).outcome == "stale"
    assert node.begun == []
    node.runtime.gates["pause"] = gate = asyncio.Event()
    asking = asyncio.create_task(node.ask("pause", id="a-1"))
    await settle()
    row = node.journal.rows["a-1"]
    assert (row.started_at is not None, row.outcome) == (True, None)
    assert ([event.command_id for event in node.begun], len(node.recorded)) == (["a-1"], 1)
    gate.set()
    assert (await asking).outcome == "ok"
    assert [(event.phase, event.command_id) for event in node.recorded] == [("finished", "a-0"), ("finished", "a-1")]


async def test_the_same_id_again_leaves_no_second_record(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"))
    for _ in range(2):
        assert (await node.ask("pause", id="a-1", purpose="first")).outcome == "ok"
    assert (await node.ask("pause", id="a-1", purpose="another remark")).outcome == "ok"
    assert (len(node.begun), len(node.recorded), node.effects("pause")) == (1, 1, 1)


# -- dry runs


async def test_a_dry_run_is_judged_in_the_turn_of_its_command_and_remembered_by_nobody(node: Node) -> None:
    node.runtime.add(task=SmallTask("running", ignores={1}))
    node.runtime.gates["kill"] = gate = asyncio.Event()
    killing = asyncio.create_task(node.ask("kill", id="a-1", signal=1))
    await settle()
    judging = asyncio.create_task(node.ask("pause", id="a-2", dry_run=True))
    await settle()
    assert not judging.done()
    node.policy.book = DENY
    gate.set()
    await killing
    assert (await judging).outcome == "refused"
    node.policy.book = NO_RULES
    outcome = await node.ask("pause", id="a-2", dry_run=True)
    assert isinstance(outcome.result, Judged)
    assert set(node.journal.rows) == {"a-1"}
    assert {state.id for state in node.told} == {"a-1"}
    assert (await node.ask("pause", id="a-2")).outcome == "ok"  # its id is as new


async def test_a_dry_run_says_that_its_conditions_do_not_hold(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"))
    assert (await node.ask("pause", dry_run=True, expected_status="stopped")).outcome == "stale"


# -- a verb that asks for itself


class Making:
    """A verb that prepares something, asks with its spec, and then makes something, as `create` does."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch, spec: Any) -> None:
        self.prepared = self.made = 0
        self.spec = spec
        self.gate = asyncio.Event()
        self.gate.set()
        monkeypatch.setattr(dispatch, "VERBS", {**verbs.VERBS, "start": self})
        monkeypatch.setattr(policy, "ASKING", frozenset({"start"}))
        node.boot()

    async def __call__(self, place: Place, _command: Any) -> Done:
        self.prepared += 1
        await self.gate.wait()
        await place.permit(spec=self.spec)
        self.made += 1
        return Done()


async def test_what_its_spec_is_refused_for_does_not_use_up_its_id(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    making = Making(node, monkeypatch, changed("hooks", {"x": []}))
    assert (await node.ask("start", id="a-1")).outcome == "refused"
    assert (making.prepared, making.made, node.journal.rows, node.begun) == (1, 0, {}, [])
    node.policy.book = RuleBook(default="allow", spec=Permissions(hooks=True))
    assert (await node.ask("start", id="a-1")).outcome == "ok"
    assert (making.made, len(node.begun), node.journal.rows["a-1"].started_at is not None) == (1, 1, True)


async def test_it_has_not_started_before_it_has_asked(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    making = Making(node, monkeypatch, None)
    making.gate.clear()
    asking = asyncio.create_task(node.ask("start", id="a-1"))
    await settle()
    assert (making.prepared, node.journal.rows) == (1, {})
    cancelling = asyncio.create_task(node.ask("cancel", container=None, command="a-1"))
    await settle()
    making.gate.set()
    outcome = await asking
    assert outcome.error is not None
    assert outcome.error.code == "cancelled"
    assert (making.made, node.begun) == (0, [event for event in node.begun if event.verb == "cancel"])
    assert (await cancelling).outcome == "ok"


async def test_what_the_journal_does_not_take_is_not_made(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    making = Making(node, monkeypatch, None)

    async def full(*_: Any) -> None:
        raise failure("exhausted")

    monkeypatch.setattr(node.journal, "start", full)
    outcome = await node.ask("start", id="a-1")
    assert outcome.error is not None
    assert (outcome.error.code, making.made, node.begun) == ("exhausted", 0, [])


@pytest.mark.parametrize(("annotations", "word"), [({}, "ok"), ({"run.oci.hooks": "x"}, "refused")])
async def test_annotations_do_not_come_in_by_an_update(node: Node, annotations: dict[str, str], word: str) -> None:
    node.runtime.add(task=SmallTask("running"), spec={})
    outcome = await node.ask("update", id="a-1", pids_limit=5, annotations=annotations)
    assert outcome.outcome == word, outcome
    assert (node.effects("update"), len(node.begun)) == ((1, 1) if word == "ok" else (0, 0))


# -- after a crash


async def test_the_event_of_an_end_that_was_not_told_is_whole_after_a_crash(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"))
    await node.ask("pause", id="a-1", purpose="it is loud")
    node.boot()
    await node.dispatcher.recover()
    first, second = node.recorded
    assert first.duration_ns is not None
    assert second == structs.replace(first, duration_ns=None)


# -- secrets


async def test_what_stands_in_the_bucket_repeats_no_secret(node: Node) -> None:
    node.runtime.add(task=SmallTask("running"), spec={})
    node.runtime.fail["update"] = [failure("internal", "what is this: canary-of-8a1f")]
    node.policy.book = RuleBook(default="allow", spec=Permissions(annotations=["*"]))
    outcome = await node.ask("update", id="a-1", annotations={"a": "canary-of-8a1f"})
    assert outcome.outcome == "error"
    assert "canary" in str(outcome.error)
    assert "canary" not in str(node.told[-1])
    assert "canary" not in str(node.recorded[-1])
