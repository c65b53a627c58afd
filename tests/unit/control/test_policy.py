"""Commands are judged before they do anything, in their turn, and leave a record that gives no secret away."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bridge.control import dispatch, policy, verbs
from bridge.control.policy import Policy
from bridge.control.rulebook import PolicyFile
from bridge.control.verb import Place
from bridge.errors import CODES, CommandFailed, ConfigError
from bridge.model.commands import COMMANDS, GROUPS
from bridge.model.events import Who
from bridge.model.outcomes import Done, Judged
from bridge.policy import NO_RULES, Permissions, Rule, RuleBook
from bridge.policy.switches import FOREIGN
from tests.unit.control.small_runtime import SmallTask
from tests.unit.control.test_dispatch import Asked
from tests.unit.control.turns import settle
from tests.unit.policy.specs import DEFAULT, changed

ALICE = Who(account="OPS", user="alice")


def book(*rules: Rule, **more: Any) -> RuleBook:
    return RuleBook(rules=rules, source="p.toml", **more)


async def test_a_rule_refuses_before_anything_is_done() -> None:
    ask = Asked(book=book(Rule(effect="deny", name="no stop", verbs=["stop"]), default="allow"))
    ask.runtime.add(task=SmallTask("running"))
    word, code, sentence = await ask.failure("stop")
    assert (word, code) == ("refused", "refused")
    assert sentence == "no stop of p.toml denies stop on container web.1 in namespace default"
    assert ask.runtime.calls == []
    assert ask.begun == []
    [(_, _, event, _)] = ask.recorded
    assert (event.outcome, event.rule) == ("refused", "no stop")
    assert dict(ask.policy.refusals) == {"no stop": 1}


@pytest.mark.parametrize(
    ("verb", "options", "kind"),
    [
        ("run", {"image": "i", "stdio": "binary:///bin/sh"}, "log_programs"),
        ("create", {"image": "i", "stdio": "file:///etc/cron.d/x"}, "log_files"),
        ("create", {"image": "i", "labels": {"containerd.io/restart.status": "running"}}, "labels"),
        ("pull", {"image": "h.io/i:1", "labels": {"io.cri-containerd.image": "managed"}}, "labels"),
        ("pull", {"image": "h.io/i:1", "hosts_dir": "/srv"}, "hosts_dirs"),
    ],
)
async def test_what_leads_to_the_host_beside_a_spec_is_refused_before_anybody_is_asked(
    verb: str, options: dict[str, Any], kind: str
) -> None:
    ask = Asked()
    word, _, sentence = await ask.failure(verb, None if verb == "pull" else "web.1", **options)
    assert word == "refused"
    assert f"a rule whose spec has {kind}" in sentence
    assert ask.runtime.calls == []
    assert ask.begun == []


async def test_labels_are_asked_for_only_where_a_rule_depends_on_them() -> None:
    ask = Asked(book=book(Rule(effect="allow", verbs=["kill"]), Rule(effect="allow", labels=["tier=web"])))
    ask.runtime.add(task=SmallTask("running", ignores={15}), labels={"tier": "web"})
    ask.runtime.add("db.1", task=SmallTask("running"))
    assert (await ask("kill")).outcome == "ok"
    assert "get" not in ask.runtime.calls
    assert (await ask("pause")).outcome == "ok"
    assert (await ask("pause", "db.1")).outcome == "refused"
    assert (await ask("pause", "nobody")).outcome == "refused"


async def test_rules_that_change_while_a_command_waits_are_asked_again_in_its_turn() -> None:
    ask = Asked()
    ask.runtime.add(task=SmallTask("running", ignores={1}))
    ask.runtime.gates["kill"] = gate = asyncio.Event()
    first = asyncio.create_task(ask("kill", signal=1))
    await settle()
    second = asyncio.create_task(ask("pause"))
    await settle()
    ask.policy.book = book()
    gate.set()
    assert ((await first).outcome, (await second).outcome) == ("ok", "refused")


async def test_a_dry_run_says_which_rule_decides_and_does_nothing() -> None:
    ask = Asked(book=book(Rule(effect="allow", name="mine", containers=["web.*"])))
    ask.runtime.add(task=SmallTask("running"))
    outcome = await ask("stop", dry_run=True)
    assert outcome.result == Judged(
        rule="mine", reason="mine of p.toml allows stop on container web.1 in namespace default"
    )
    assert ask.runtime.calls == []
    refused = await ask("stop", "db.1", dry_run=True)
    assert refused.error is not None
    assert refused.error.message.startswith("no rule of p.toml allows stop")
    assert [(event.outcome, event.dry_run, event.rule) for _, _, event, _ in ask.recorded] == [
        ("ok", True, "mine"),
        ("refused", True, "default"),
    ]
    assert ask.begun == []


@pytest.mark.parametrize("verb", sorted(verb for verb, kind in COMMANDS.items() if kind.targets == "container"))
async def test_a_dry_run_of_any_verb_changes_nothing(verb: str) -> None:
    ask = Asked()
    ask.runtime.add(task=SmallTask("running"))
    await ask(verb, dry_run=True)
    assert set(ask.runtime.calls) <= {"get", "task", "defaults default"}


async def test_a_switch_is_the_outer_bound() -> None:
    ask = Asked(groups=["observe"], book=book(Rule(effect="allow")))
    _, _, sentence = await ask.failure("stop")
    assert "`serve --commands observe,lifecycle` switches it on" in sentence
    assert ask.recorded[0][2].rule == "switch"


@pytest.mark.parametrize("namespace", sorted(FOREIGN))
async def test_what_belongs_to_others_has_a_switch_of_its_own(namespace: str) -> None:
    ask = Asked(book=book(Rule(effect="allow")))
    assert "`serve --foreign`" in (await ask.failure("stop", namespace=namespace))[2]


# -- what a verb asks with its spec


class Making:
    """A verb that makes something of a spec, as `create` does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, spec: Any) -> None:
        self.made = 0
        self._spec = spec
        monkeypatch.setattr(dispatch, "VERBS", {**verbs.VERBS, "start": self})
        monkeypatch.setattr(policy, "ASKING", frozenset({"start"}))

    async def __call__(self, place: Place, _command: Any) -> Done:
        await place.permit(spec=self._spec)
        self.made += 1
        return Done()


@pytest.mark.parametrize("spec", [changed("hooks", {"x": []}), {}, [], changed("linux.namespaces", [])])
async def test_a_spec_that_asks_the_host_for_something_is_refused_unless_a_rule_allows_it(
    monkeypatch: pytest.MonkeyPatch, spec: Any
) -> None:
    making = Making(monkeypatch, spec)
    ask = Asked()
    outcome = await ask("start")
    assert (outcome.outcome, making.made, ask.begun) == ("refused", 0, [])


async def test_a_rule_allows_what_its_spec_says(monkeypatch: pytest.MonkeyPatch) -> None:
    making = Making(monkeypatch, changed("hooks", {"x": []}))
    ask = Asked(book=book(Rule(effect="allow", name="hooks", spec=Permissions(hooks=True))))
    assert (await ask("start", dry_run=True)).result == Judged(
        rule="hooks", reason="hooks of p.toml allows start on container web.1 in namespace default"
    )
    assert making.made == 0
    assert (await ask("start")).result == Done()
    assert (making.made, len(ask.begun)) == (1, 1)


async def test_the_default_spec_needs_no_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    making = Making(monkeypatch, DEFAULT)
    assert (await Asked()("start")).result == Done()
    assert making.made == 1


async def test_a_place_without_a_policy_allows_nothing() -> None:
    place = Place(runtime=Asked().runtime, node="node")
    with pytest.raises(CommandFailed, match="nobody here judges"):
        await place.permit(spec=DEFAULT)


# -- what is shown


SHOWN = {"process": {"args": ["sh", "canary-of-8a1f"], "env": ["A=canary-of-8a1f"]}}


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (book(Rule(effect="allow")), False),
        (book(Rule(effect="allow", show="full")), True),
        (book(Rule(effect="allow", verbs=["inspect"], labels=["a=b"], show="full"), Rule(effect="allow")), False),
        (book(default="allow", show="full"), True),
        (NO_RULES, False),
    ],
)
async def test_what_containers_are_run_with_is_shown_where_a_rule_says_so(rules: RuleBook, *, told: bool) -> None:
    ask = Asked(book=rules)
    ask.runtime.add(task=SmallTask("running"), spec=SHOWN)
    outcome = await ask("inspect")
    assert outcome.outcome == "ok"
    assert ("canary" in str(outcome)) is told
    ask.policy._show = "full"
    assert "canary" in str(await ask("inspect"))


# -- the record


async def test_what_is_done_is_recorded_before_and_after_with_who_and_why(ask: Asked) -> None:
    ask.runtime.add(task=SmallTask("running"))
    await ask("kill", id="k-1", sender="cron", purpose="it hangs", who=ALICE)
    before, after = ask.begun[0][2], ask.recorded[0][2]
    assert (before.phase, before.outcome, before.finished_at, before.duration_ns) == ("started", None, None, None)
    assert (after.phase, after.outcome, after.rule) == ("finished", "ok", "default")
    assert after.duration_ns is not None
    for event in (before, after):
        assert (event.who, event.claimed, event.purpose, event.command_id) == (ALICE, "cron", "it hangs", "k-1")
        assert event.options == {"signal": "SIGTERM", "all": False, "exec_id": None}
        assert event.sha256 is not None


async def test_the_record_comes_before_the_effect(ask: Asked) -> None:
    ask.runtime.add(task=SmallTask("running", ignores={1}))
    ask.runtime.gates["kill"] = gate = asyncio.Event()
    asking = asyncio.create_task(ask("kill", signal=1))
    await settle()
    assert (len(ask.begun), ask.recorded) == (1, [])
    gate.set()
    await asking


async def test_what_only_looks_is_recorded_where_it_is_refused_or_asked_for() -> None:
    refused = Asked(book=book())
    await refused("inspect")
    assert [event.outcome for _, _, event, _ in refused.recorded] == ["refused"]
    watched = Asked(observing=True)
    await watched("version", None, None)
    assert [(event.verb, event.container_id) for _, _, event, _ in watched.recorded] == [("version", None)]


@pytest.fixture
def ask() -> Asked:
    return Asked()


# -- whatever is sent

OPTIONS = sorted({name for kind in COMMANDS.values() for name in kind.__struct_fields__})
BODIES = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(OPTIONS), inner, max_size=4),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)


@given(
    verb=st.sampled_from(sorted(COMMANDS)) | st.text(max_size=10),
    container=st.none() | st.text(max_size=80),
    namespace=st.none() | st.text(max_size=80),
    body=BODIES,
)
async def test_anything_that_is_sent_comes_to_an_outcome_with_a_code_of_ours_and_nothing_is_done(
    verb: str, container: str | None, namespace: str | None, body: bytes
) -> None:
    ask = Asked(book=book())  # nothing is allowed, so nothing may happen
    outcome = await ask(verb, container, namespace, body=body)
    assert outcome.error is not None
    assert outcome.error.code in CODES
    assert ask.runtime.calls == []


# -- the file


async def test_new_rules_take_effect_and_broken_ones_leave_the_old(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("default = 'allow'")
    file = PolicyFile(path, look_s=0.01)
    policy = Policy(groups=GROUPS, book=file.read())
    looked = asyncio.Event()
    keeping = asyncio.create_task(file.run(policy, changed=looked.set))
    try:
        for text, default in (
            ("default = 'deny'", "deny"),
            ("default = ['allow']", "deny"),
            ("default = 'allow'", "allow"),
        ):
            looked.clear()
            path.write_text(text)
            await asyncio.wait_for(looked.wait(), 90)
            assert policy.book.default == default
            assert (file.refused is None) == ("[" not in text)
        looked.clear()
        path.unlink()
        await asyncio.wait_for(looked.wait(), 90)
        assert policy.book.default == "allow"
        assert file.refused is not None
        assert "No such file" in file.refused
        looked.clear()
        file.ask()
        await asyncio.wait_for(looked.wait(), 90)
    finally:
        keeping.cancel()
    assert "the policy stays as it was" in caplog.text


def test_rules_about_users_need_somebody_who_tells_who_asks(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("[[rules]]\neffect = 'allow'\nusers = ['alice']")
    with pytest.raises(ConfigError, match="cannot tell who asks"):
        PolicyFile(path).read()
    assert PolicyFile(path, knows_who=True).read().asks_who


def test_every_option_of_every_command_has_a_default() -> None:
    assert all(structs.fields(kind)[0].required is False for kind in COMMANDS.values())
