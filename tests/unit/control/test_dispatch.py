"""A request comes to exactly one outcome: judged before it does anything, in order, recorded, also when the bridge stops."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection
from hashlib import sha256
from typing import Any

import pytest

import bridge
from bridge.control import turns
from bridge.control.creation import VERBS as CREATE
from bridge.control.dispatch import Dispatcher
from bridge.control.images import VERBS as IMAGES
from bridge.control.lanes import Lanes
from bridge.control.lifecycle import VERBS as LIFECYCLE
from bridge.control.limits import VERBS as LIMITS
from bridge.control.observe import VERBS as OBSERVE
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord
from bridge.control.stats import VERBS as STATS
from bridge.control.verbs import VERBS
from bridge.control.waiting import VERBS as WAITING
from bridge.model.commands import COMMANDS, GROUPS, Cancel, Group
from bridge.model.events import CommandRecorded, Failure, Who
from bridge.model.identity import ULID_PATTERN
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Done, ExitInfo, Outcome, TaskStarted, TaskStats, VersionInfo
from bridge.model.subjects import CommandSubject
from bridge.policy import NO_RULES, RuleBook
from bridge.policy.permissions import as_it_stands
from bridge.ports import CommandRequest
from tests.unit.control.small_runtime import SmallRuntime, SmallTask, failure
from tests.unit.control.turns import settle

Recorded = tuple[str | None, str | None, CommandRecorded, str]
TERM = 15


class Asked:
    """A dispatcher, what it is asked, and what it recorded: `recorded` at the end of commands, `begun` before."""

    def __init__(
        self,
        *,
        groups: Collection[Group] = GROUPS,
        foreign: bool = False,
        namespaces: Collection[str] = (),
        book: RuleBook = NO_RULES,
        observing: bool = False,
        lanes: Lanes | None = None,
    ) -> None:
        self.runtime = SmallRuntime()
        self.recorded: list[Recorded] = []
        self.begun: list[Recorded] = []
        self.policy = Policy(groups=groups, foreign=foreign, namespaces=namespaces, book=book, resolve=as_it_stands)
        ticks = iter(range(1, 10_000))
        self.dispatcher = Dispatcher(
            "node",
            self.runtime,
            policy=self.policy,
            record=CommandRecord(self._record, observing=observing),
            clock=lambda: Nanos(next(ticks)),
            lanes=lanes,
        )

    def _record(self, *told: Any) -> None:
        (self.recorded if told[2].phase == "finished" else self.begun).append(told)

    async def __call__(
        self,
        verb: str,
        container: str | None = "web.1",
        namespace: str | None = "default",
        *,
        node: str = "node",
        body: bytes | None = None,
        who: Who | None = None,
        **options: Any,
    ) -> Outcome:
        subject = CommandSubject(node, namespace, container, verb)
        sent = body if body is not None else json.dumps(options).encode() if options else b""
        return await self.dispatcher.handle(CommandRequest(subject=subject, body=sent, who=who))

    async def failure(self, *args: Any, **options: Any) -> tuple[str, str, str]:
        outcome = await self(*args, **options)
        assert outcome.error is not None, outcome
        assert outcome.result is None
        return outcome.outcome, outcome.error.code, outcome.error.message


@pytest.fixture
def ask() -> Asked:
    return Asked()


# -- the table


def test_every_verb_of_the_contract_has_its_coroutine_in_the_module_of_its_group() -> None:
    assert set(VERBS) == set(COMMANDS) - {Cancel.verb}  # the dispatcher's own
    assert {verb for verb in VERBS if COMMANDS[verb].group == "create"} == {*CREATE, *IMAGES} - {"images"}
    assert {verb for verb in VERBS if COMMANDS[verb].group == "lifecycle"} == {*LIFECYCLE, *LIMITS}
    assert {verb for verb in VERBS if COMMANDS[verb].group == "observe"} == {*OBSERVE, *STATS, *WAITING, "images"}


# -- outcomes


async def test_an_outcome_says_who_what_when_and_with_which_result(ask: Asked) -> None:
    ask.runtime.add()
    assert await ask("start", id="job-1") == Outcome(
        id="job-1",
        verb="start",
        node="node",
        outcome="ok",
        namespace="default",
        container="web.1",
        result=TaskStarted(pid=7),
        received_at=Nanos(1),
        finished_at=Nanos(4),
    )


async def test_a_command_without_an_id_gets_one(ask: Asked) -> None:
    assert re.match(ULID_PATTERN, (await ask("version", None, None)).id)


async def test_an_empty_body_is_an_object_without_members(ask: Asked) -> None:
    ask.runtime.add(task=SmallTask("running"))
    assert (await ask("kill", body=b"")).result == Done()
    assert "kill 15" in ask.runtime.calls


async def test_version_names_this_node_and_this_bridge(ask: Asked) -> None:
    assert (await ask("version", None, None)).result == VersionInfo(
        node="node", bridge=bridge.__version__, containerd="2.1.9", containerd_revision="abc"
    )


async def test_a_failure_keeps_containerds_own_words(ask: Asked) -> None:
    ask.runtime.add()
    ask.runtime.fail["create"] = [failure("already_exists", "task web.1: already exists")]
    outcome = await ask("start")
    assert outcome.outcome == "error"
    assert outcome.error == Failure(
        code="already_exists", message="containerd task web.1: already exists", containerd="task web.1: already exists"
    )


async def test_a_mistake_of_ours_is_internal_and_tells_nothing_of_our_insides(
    ask: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    ask.runtime.add()
    ask.runtime.fail["create"] = [RuntimeError("the secret")]
    word, code, sentence = await ask.failure("start")
    assert (word, code) == ("error", "internal")
    assert "secret" not in sentence
    assert "the secret" in caplog.text


# -- what is asked wrongly


@pytest.mark.parametrize(
    ("verb", "container", "namespace", "sentence"),
    [
        ("start", None, "default", "start is for one container: name its namespace and its id"),
        ("start", "web.1", None, "start is for one container: name its namespace and its id"),
        ("list", "web.1", "default", "list is for no single container: leave 'web.1' out"),
        ("version", None, "default", "version is for the whole node: leave namespace 'default' out"),
        ("start", "../etc", "default", "container id '../etc' is not valid"),
        ("inspect", "web.1", "a b", "namespace 'a b' is not valid"),
        ("list", None, "a\nb", r"namespace 'a\nb' is not valid"),
    ],
)
async def test_a_subject_that_does_not_fit_the_verb_is_an_invalid_argument(
    ask: Asked, verb: str, container: str | None, namespace: str | None, sentence: str
) -> None:
    word, code, said = await ask.failure(verb, container, namespace)
    assert (word, code) == ("error", "invalid_argument")
    assert said.startswith(sentence)
    assert ask.runtime.calls == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"sigal": 9}', "sigal"),
        (b'{"signal": []}', "signal"),
        (b'{"all": "yes"}', "all"),
        (b"[]", "object"),
        (b"{", "truncated"),
        (b"{1}", "malformed"),
        (b'{"id": "../x"}', "id"),
    ],
)
async def test_options_that_the_verb_does_not_have_are_an_invalid_argument(ask: Asked, body: bytes, named: str) -> None:
    ask.runtime.add(task=SmallTask("running"))
    word, code, said = await ask.failure("kill", body=body)
    assert (word, code) == ("error", "invalid_argument")
    assert said.startswith("the options of kill are not valid: ")
    assert named in said
    assert ask.runtime.calls == []


async def test_a_command_that_is_wrong_keeps_the_id_that_its_sender_gave(ask: Asked) -> None:
    assert (await ask("kill", body=b'{"id": "job-1", "sigal": 9}')).id == "job-1"


async def test_a_verb_that_does_not_exist_is_unimplemented(ask: Asked) -> None:
    word, code, said = await ask.failure("fly")
    assert (word, code) == ("error", "unimplemented")
    assert said.startswith("there is no command 'fly': choose from attach, checkpoint, ")


async def test_a_command_for_another_node_is_not_carried_out_here(ask: Asked) -> None:
    assert await ask.failure("version", None, None, node="other") == (
        "error",
        "invalid_argument",
        "this is node node: send the command to 'other'",
    )


# -- what is not allowed


@pytest.mark.parametrize(
    ("groups", "verb", "switch"),
    [
        ((), "start", "`serve --commands lifecycle`"),
        (("observe",), "start", "`serve --commands observe,lifecycle`"),
        (("lifecycle",), "inspect", "`serve --commands observe,lifecycle`"),
    ],
)
async def test_a_group_that_is_off_is_refused_with_the_switch(
    groups: Collection[Group], verb: str, switch: str
) -> None:
    ask = Asked(groups=groups)
    word, code, said = await ask.failure(verb)
    assert (word, code) == ("refused", "refused")
    assert switch in said
    assert ask.runtime.calls == []


@pytest.mark.parametrize(("namespace", "owner"), [("moby", "dockerd"), ("k8s.io", "the kubelet")])
async def test_containers_of_others_are_changed_only_with_the_switch(namespace: str, owner: str) -> None:
    ask = Asked()
    ask.runtime.add(namespace=namespace)
    word, code, said = await ask.failure("start", "web.1", namespace)
    assert (word, code) == ("refused", "refused")
    assert owner in said
    assert "`serve --foreign`" in said
    allowed = Asked(foreign=True)
    allowed.runtime.add(namespace=namespace)
    assert (await allowed("start", "web.1", namespace)).outcome == "ok"


async def test_containers_of_others_may_be_looked_at(ask: Asked) -> None:
    ask.runtime.add(namespace="moby")
    assert (await ask("inspect", "web.1", "moby")).outcome == "ok"


async def test_a_namespace_that_is_not_followed_is_refused_with_the_switch() -> None:
    ask = Asked(namespaces=["a", "b"])
    word, _, said = await ask.failure("inspect", "web.1", "default")
    assert word == "refused"
    assert said == (
        "namespace default is none of those that this node follows (a, b): `serve --namespace default` adds it"
    )


async def test_a_list_of_all_namespaces_is_of_those_that_are_followed() -> None:
    ask = Asked(namespaces=["b", "a"])
    for namespace in ("c", "b", "a"):
        ask.runtime.add("x", namespace=namespace)
    outcome = await ask("list", None, None)
    assert [(one.node, one.namespace) for one in outcome.result.containers] == [("node", "a"), ("node", "b")]


# -- what is recorded


async def test_what_changes_a_container_is_recorded_with_its_options(ask: Asked) -> None:
    ask.runtime.add(task=SmallTask("running"))
    outcome = await ask("stop", id="job-1", grace=1.5)
    assert outcome.result == ExitInfo(exit_status=143, exited_at=Nanos(5))
    [(namespace, container, event, command)] = ask.recorded
    assert (namespace, container, command) == ("default", "web.1", "job-1")
    assert event.duration_ns is not None
    assert event == CommandRecorded(
        container_id="web.1",
        command_id="job-1",
        verb="stop",
        outcome="ok",
        options={"grace": 1.5, "signal": None},
        rule="default",
        sha256=sha256(b'{"id": "job-1", "grace": 1.5}').hexdigest(),
        received_at=outcome.received_at,
        finished_at=outcome.finished_at,
        duration_ns=event.duration_ns,
    )


async def test_what_was_refused_is_recorded_too() -> None:
    ask = Asked(groups=())
    outcome = await ask("delete", force=True)
    (recorded,) = (event for _, _, event, _ in ask.recorded)
    assert (recorded.outcome, recorded.options["force"], recorded.error) == ("refused", True, outcome.error)


async def test_what_failed_is_recorded_too(ask: Asked) -> None:
    outcome = await ask("start")
    (recorded,) = (event for _, _, event, _ in ask.recorded)
    assert (recorded.outcome, recorded.error) == ("error", outcome.error)


async def test_what_only_looks_is_not_recorded(ask: Asked) -> None:
    ask.runtime.add()
    await ask("inspect")
    await ask("list", None)
    assert ask.recorded == []


async def test_what_names_no_possible_container_is_recorded_beside_all_containers(ask: Asked) -> None:
    await ask("start", "a\nb", id="job-1")
    [(namespace, container, event, _)] = ask.recorded
    assert (namespace, container, event.container_id, event.outcome) == ("default", None, "a\nb", "error")
    await ask("start", "web.1", "a b")
    assert ask.recorded[1][:2] == (None, None)


async def test_an_outcome_is_not_lost_when_it_cannot_be_recorded(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise OSError("disk full")

    runtime = SmallRuntime()
    runtime.add()
    dispatcher = Dispatcher("node", runtime, policy=Policy(groups=GROUPS), record=CommandRecord(broken))
    subject = CommandSubject("node", "default", "web.1", "start")
    assert (await dispatcher.handle(CommandRequest(subject=subject, body=b""))).outcome == "ok"
    assert "disk full" in caplog.text


# -- order


async def test_commands_on_one_container_are_carried_out_in_the_order_of_arrival(ask: Asked) -> None:
    ask.runtime.add(task=SmallTask("running", ignores={1, 2, 3}))
    ask.runtime.gates["kill"] = gate = asyncio.Event()
    asking = [asyncio.create_task(ask("kill", signal=number)) for number in (1, 2, 3)]
    await settle()
    assert [call for call in ask.runtime.calls if call.startswith("kill")] == ["kill 1"]
    gate.set()
    await asyncio.gather(*asking)
    assert [call for call in ask.runtime.calls if call.startswith("kill")] == ["kill 1", "kill 2", "kill 3"]


@pytest.mark.parametrize(("verb", "container"), [("start", "web.2"), ("inspect", "web.1"), ("list", None)])
async def test_a_slow_stop_holds_up_neither_other_containers_nor_those_who_look(
    ask: Asked, verb: str, container: str | None
) -> None:
    ask.runtime.add(task=SmallTask("running", ignores={TERM}))
    ask.runtime.add("web.2")
    slow = asyncio.create_task(ask("stop", grace=60))
    await settle()
    async with asyncio.timeout(90):
        assert (await ask(verb, container)).outcome == "ok"
    assert not slow.done()
    ask.runtime.made["default", "web.1"].end(0)
    await slow


async def test_however_many_wait_nobody_is_kept_from_looking(ask: Asked) -> None:
    ask.runtime.add(task=SmallTask("running"))
    waiting = [asyncio.create_task(ask("wait")) for _ in range(turns.OBSERVING_WIDTH + 1)]
    await settle()
    assert (await asyncio.wait_for(ask("inspect"), 90)).outcome == "ok"
    ask.runtime.made["default", "web.1"].end(3)
    assert {(await one).result.exit_status for one in waiting} == {3}


async def test_more_waits_than_there_is_room_for_are_exhausted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LASTING_WIDTH", 2)
    ask = Asked()
    ask.runtime.add(task=SmallTask("running"))
    waiting = [asyncio.create_task(ask("wait")) for _ in range(2)]
    await settle()
    assert (await ask.failure("wait"))[1] == "exhausted"
    ask.runtime.made["default", "web.1"].end(3)
    assert [(await one).outcome for one in waiting] == ["ok", "ok"]


@pytest.mark.parametrize(("namespace", "container"), [(None, None), ("default", None), ("default", "web.1")])
async def test_stats_are_of_one_container_or_of_several(
    ask: Asked, namespace: str | None, container: str | None
) -> None:
    ask.runtime.add(task=SmallTask("running"))
    ask.runtime.stats = [TaskStats(namespace="default", container="web.1", read_at=Nanos(1))]
    outcome = await ask("stats", container, namespace)
    assert [one.container for one in outcome.result.stats] == ["web.1"]


async def test_limits_of_huge_pages_are_refused_since_a_runtime_passes_over_them_without_a_word(ask: Asked) -> None:
    ask.runtime.add(task=SmallTask("running"))
    word, code, sentence = await ask.failure("update", hugepage_limits=[{"pageSize": "2MB", "limit": 1}])
    assert (word, code) == ("error", "invalid_argument")
    assert "unknown field `hugepage_limits`" in sentence
    assert ask.runtime.updates == []


async def test_a_lane_that_is_full_is_exhausted_and_recorded() -> None:
    ask = Asked(lanes=Lanes(waiting_per_lane=0))
    ask.runtime.add(task=SmallTask("running", ignores={TERM}))
    slow = asyncio.create_task(ask("stop", grace=60))
    await settle()
    word, code, _ = await ask.failure("start")
    assert (word, code) == ("error", "exhausted")
    assert [event.verb for _, _, event, _ in ask.recorded] == ["start"]
    ask.runtime.made["default", "web.1"].end(0)
    await slow


async def test_what_found_a_full_lane_has_one_end_however_often_it_is_sent() -> None:
    ask = Asked(lanes=Lanes(waiting_per_lane=0))
    ask.runtime.add(task=SmallTask("running", ignores={TERM}))
    slow = asyncio.create_task(ask("stop", grace=60))
    await settle()
    first = await ask("start", id="k-1")
    assert first.error is not None
    assert first.error.code == "exhausted"
    assert await ask("start", id="k-1") == first
    ask.runtime.made["default", "web.1"].end(0)
    await slow
    assert await ask("start", id="k-1") == first
    assert [event.phase for _, _, event, _ in ask.recorded if event.command_id == "k-1"] == ["finished"]


# -- the end


async def test_a_bridge_that_stops_takes_no_more_commands(ask: Asked) -> None:
    ask.runtime.add()
    await ask.dispatcher.stop(within=1)
    assert await ask.failure("start") == (
        "error",
        "unavailable",
        "the bridge on node node is stopping: send it again later",
    )


async def test_what_is_under_way_may_finish(ask: Asked) -> None:
    ask.runtime.add(task=SmallTask("running", ignores={TERM}))
    slow = asyncio.create_task(ask("stop", grace=60))
    await settle()
    stopping = asyncio.create_task(ask.dispatcher.stop(within=60))
    await settle()
    ask.runtime.made["default", "web.1"].end(0)
    assert (await slow).outcome == "ok"
    await stopping


async def test_what_takes_too_long_is_broken_off_and_left_open(ask: Asked) -> None:
    ask.runtime.add(task=SmallTask("running", ignores={TERM}))
    slow = asyncio.create_task(ask("stop", grace=60))
    behind = asyncio.create_task(ask("start"))
    await settle()
    await ask.dispatcher.stop(within=0.01)
    outcome, second = await slow, await behind
    assert outcome.outcome == "unknown"
    assert outcome.error == Failure(
        code="unknown",
        message="the bridge stopped in the middle of stop, and it is open whether it took effect: "
        "container web.1 is running now",
    )
    assert second.error is not None
    assert (second.outcome, second.error.code) == ("error", "unavailable")
    assert sorted((event.verb, event.outcome) for _, _, event, _ in ask.recorded) == [
        ("start", "error"),
        ("stop", "unknown"),
    ]


async def test_a_look_that_is_broken_off_had_no_effect(ask: Asked) -> None:
    ask.runtime.add()
    ask.runtime.gates["get"] = asyncio.Event()
    looking = asyncio.create_task(ask("inspect"))
    await settle()
    await ask.dispatcher.stop(within=0)
    error = (await looking).error
    assert error is not None
    assert error.code == "unavailable"


async def test_who_only_waits_is_sent_home_at_once_when_the_bridge_stops(ask: Asked) -> None:
    ask.runtime.add(task=SmallTask("running"))
    waiting = asyncio.create_task(ask("wait"))
    await settle()
    await asyncio.wait_for(ask.dispatcher.stop(within=600), 90)
    outcome = await waiting
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.code) == ("error", "unavailable")
    assert outcome.error.message == "the bridge stopped before wait was done: it had no effect, send it again"
    assert ask.recorded == []


async def test_a_timeout_inside_a_verb_is_not_taken_for_the_bridges_end(ask: Asked) -> None:
    ask.runtime.add()
    ask.runtime.fail["create"] = [TimeoutError()]
    assert (await ask.failure("start"))[1] == "internal"


@pytest.mark.parametrize(("began", "word"), [(True, "unknown"), (False, "error")])
async def test_a_command_that_is_cancelled_still_leaves_its_event(ask: Asked, began: bool, word: str) -> None:
    ask.runtime.add(task=SmallTask("running", ignores={TERM}))
    first = asyncio.create_task(ask("stop", grace=60))
    second = asyncio.create_task(ask("pause"))
    await settle()
    cancelled, other = (first, second) if began else (second, first)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    ask.runtime.made["default", "web.1"].end(0)
    await other
    outcomes = {event.verb: event.outcome for _, _, event, _ in ask.recorded}
    assert outcomes["stop" if began else "pause"] == word


# -- figures


async def test_statistics_count_outcomes_by_verb(ask: Asked) -> None:
    ask.runtime.add()
    await ask("start")
    await ask("start")
    await ask("inspect")
    await ask("dance")
    statistics = ask.dispatcher.statistics()
    assert statistics.outcomes == {("start", "ok"): 1, ("start", "error"): 1, ("inspect", "ok"): 1, ("?", "error"): 1}
    assert (statistics.changing.lanes, statistics.observing.under_way) == (0, 0)
