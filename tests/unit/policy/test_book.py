"""The first rule that is about a command decides, what nobody knows opens nothing, a policy that is not understood is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.errors import ConfigError
from bridge.model.events import Who
from bridge.policy import NO_RULES, Decision, Facts, Question, RuleBook, asks_of, read_policy
from tests.unit.policy.specs import DEFAULT, changed

WEB = Facts(labels={"tier": "web"}, image="docker.io/library/nginx:1.27")
ALICE = Who(account="SHOP", user="alice")


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """`read(text)`: the rules of a file."""

    def read(text: str) -> RuleBook:
        path = tmp_path / "policy.toml"
        path.write_text(text, "utf-8")
        return read_policy(path)

    return read


def question(**more: Any) -> Question:
    return Question(
        **({"verb": "stop", "group": "lifecycle", "namespace": "shop", "container": "web.1", "facts": WEB} | more)
    )


def decided(book: RuleBook, **more: Any) -> Decision:
    decision = book.decide(question(**more))
    assert decision is not None
    return decision


def test_without_rules_everything_is_allowed_that_asks_the_host_for_nothing() -> None:
    assert decided(NO_RULES).allowed
    assert decided(NO_RULES, asks=asks_of(DEFAULT, cgroups_path="/default/web.1")).allowed
    refused = decided(NO_RULES, asks=asks_of(changed("hooks", {"poststop": []})))
    assert (refused.allowed, refused.rule) == (False, "default")
    assert "runs programs on the host (hooks)" in refused.reason


def test_without_rules_a_refusal_says_how_there_would_be_some(read: Any) -> None:
    asks = asks_of(changed("hooks", {"poststop": []}), cgroups_path="/default/web.1")
    assert decided(NO_RULES, verb="run", asks=asks).reason == (
        "without a policy nothing lets run on container web.1 in namespace shop ask for this: it runs programs on the host "
        "(hooks): `serve --policy FILE` with a rule whose spec has hooks allows it"
    )
    assert "--policy" not in decided(read("default = 'allow'"), asks=asks).reason


def test_an_empty_policy_allows_nothing(read: Any) -> None:
    decision = decided(read(""))
    assert (decision.allowed, decision.rule) == (False, "default")
    assert "no rule of" in decision.reason


def test_the_first_rule_that_is_about_a_command_decides(read: Any) -> None:
    book = read(
        """
        [[rules]]
        name = "not the database"
        effect = "deny"
        containers = ["db-*"]
        groups = ["lifecycle"]
        [[rules]]
        effect = "allow"
        namespaces = ["shop"]
        """
    )
    assert decided(book)[:2] == (True, "rule 2")
    assert decided(book, container="db-1")[:2] == (False, "not the database")
    assert decided(book, container="db-1", verb="inspect", group="observe")[:2] == (True, "rule 2")
    assert decided(book, namespace="other")[:2] == (False, "default")


@pytest.mark.parametrize(
    ("condition", "about"),
    [
        ('namespaces = ["sh*"]', True),
        ('namespaces = ["s"]', False),
        ('containers = ["x", "web.?"]', True),
        ('verbs = ["st*"]', True),
        ('verbs = ["start", "kill"]', False),
        ('groups = ["exec", "lifecycle"]', True),
        ('labels = ["tier=web"]', True),
        ('labels = ["tier!=web"]', False),
        ('labels = ["other"]', False),
        ('images = ["nginx"]', True),
        ('images = ["nginx:1.*"]', True),
        ('images = ["docker.io/library/redis*"]', False),
        ('images = ["nginx"]\nlabels = ["tier=db"]', False),
        ('users = ["alice"]', True),
        ('users = ["SHOP/*"]', True),
        ('users = ["OTHER/alice", "bob"]', False),
    ],
)
def test_what_a_rule_is_about(read: Any, condition: str, *, about: bool) -> None:
    book = read(f"[[rules]]\neffect = 'allow'\n{condition}")
    assert decided(book, who=ALICE).allowed is about


def test_facts_are_only_needed_where_a_rule_that_is_reached_depends_on_them(read: Any) -> None:
    book = read(
        """
        [[rules]]
        effect = "allow"
        verbs = ["stop"]
        [[rules]]
        effect = "allow"
        labels = ["tier=web"]
        """
    )
    assert decided(book, facts=None).allowed
    assert book.decide(question(verb="start", facts=None)) is None
    assert decided(book, verb="start").allowed
    assert not decided(book, verb="start", facts=Facts()).allowed


@pytest.mark.parametrize(("effect", "allowed"), [("allow", False), ("deny", False)])
def test_somebody_unknown_is_nobody_who_is_allowed_and_everybody_who_is_not(
    read: Any, effect: str, *, allowed: bool
) -> None:
    other = "deny" if effect == "allow" else "allow"
    book = read(f"default = '{other}'\n[[rules]]\neffect = '{effect}'\nusers = ['alice']")
    assert decided(book, who=None).allowed is allowed


@pytest.mark.parametrize("verb", ["list", "stats"])
def test_a_command_for_all_namespaces_is_for_the_denied_one_too(read: Any, verb: str) -> None:
    everywhere = question(verb=verb, group="observe", namespace=None, container=None, facts=None)
    deny = read("default = 'allow'\n[[rules]]\neffect = 'deny'\nnamespaces = ['shop']")
    allow = read("[[rules]]\neffect = 'allow'\nnamespaces = ['shop']")
    every = read("[[rules]]\neffect = 'allow'\nnamespaces = ['*']")
    assert [book.decide(everywhere).allowed for book in (deny, allow, every)] == [False, False, True]


def test_a_rule_about_containers_is_not_about_commands_for_none(read: Any) -> None:
    book = read("[[rules]]\neffect = 'allow'\nlabels = ['tier=web']")
    assert not decided(book, verb="list", group="observe", container=None, facts=None).allowed


def test_the_rule_that_decides_says_what_its_spec_may_ask(read: Any) -> None:
    book = read(
        """
        default = "allow"
        spec = { hooks = true }
        [[rules]]
        name = "pages"
        effect = "allow"
        namespaces = ["shop"]
        [rules.spec]
        host_mounts = [{ source = "/srv/www" }]
        """
    )

    def mount(*options: str) -> Any:
        mounted = {"destination": "/x", "type": "bind", "source": "/srv/www/a", "options": ["bind", *options]}
        return asks_of(changed("mounts.+", mounted), cgroups_path="/default/web.1")

    assert decided(book, asks=mount("ro")).allowed
    refused = decided(book, asks=mount())
    assert (refused.allowed, refused.rule) == (False, "pages")
    assert refused.reason.endswith(
        "policy.toml does not let stop on container web.1 in namespace shop ask for this: it binds '/srv/www/a' of the host, "
        "writable: a rule whose spec has host_mounts allows it"
    )
    hooks = asks_of(changed("hooks", {"poststop": []}), cgroups_path="/default/web.1")
    assert not decided(book, asks=hooks).allowed
    assert decided(book, namespace="other", asks=hooks).allowed


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1", "a policy has no 'x': give default, rules, spec"),
        ("default = 'maybe'", "default is 'maybe': give allow or deny"),
        ("rules = 3", r"rules is 3: write each rule below a line \[\[rules\]\]"),
        ("[[rules]]\nname = 'a'", r"rule 1 \('a'\): .*effect.*: add it"),
        ("[[rules]]\neffect = 'alow'", "rule 1: effect is 'alow': give allow or deny"),
        ("[[rules]]\neffect = 'deny'\nnamespace = ['x']", "rule 1: .*`namespace`: there are effect, name, namespaces"),
        ("[[rules]]\neffect = 'deny'\ngroups = ['all']", r"groups\[0\] is 'all': choose from observe"),
        ("[[rules]]\neffect = 'deny'\nverbs = ['strat']", "there is no verb 'strat': choose from"),
        ("[[rules]]\neffect = 'deny'\nlabels = ['=x']", "rule 1: '=x' chooses by no label"),
        ("[[rules]]\neffect = 'deny'\nspec = {}", "spec goes with allow"),
        ("[[rules]]\neffect = 'allow'\nspec = { priviledged = true }", "`priviledged` in spec: there are privileged"),
        (
            "[[rules]]\neffect = 'allow'\nspec.devices = ['/dev/fuse']",
            r"spec.devices\[0\] is '/dev/fuse': give a device by",
        ),
        (
            "[[rules]]\neffect = 'allow'\nspec.host_mounts = ['/srv']",
            r"host_mounts\[0\] is '/srv': give tables such as",
        ),
        ("[[rules]]\neffect = 'allow'\nspec.host_mounts = [{source='srv'}]", "source is 'srv': give an absolute path"),
        ("[[rules]]\neffect = 'allow'\nspec.hooks = 'yes'", "spec.hooks is 'yes': expected `bool`"),
        ("spec = { hooks = true }", 'spec goes with default = "allow"'),
        (
            "[[rules]]\neffect='deny'\nname='a'\n[[rules]]\neffect='deny'\nname='a'",
            "the name 'a' does not tell one rule",
        ),
        ("[[rules]]\neffect='deny'\nname='default'", "the name 'default' does not tell"),
        ("= broken", "is not valid TOML"),
        ("a = " + "[" * 5000, "is not valid TOML"),
        ("# " + "x" * (1 << 20), "a policy has 1048576 bytes at most"),
    ],
)
def test_a_policy_that_is_not_understood_is_refused_in_one_sentence(read: Any, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        read(text)
    assert "policy.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_policy_that_is_not_there_or_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the policy .*No such file"):
        read_policy(tmp_path / "none")
    open_to_all = tmp_path / "policy.toml"
    open_to_all.write_text("")
    open_to_all.chmod(0o666)
    with pytest.raises(ConfigError, match=r"everybody may write to this policy \(mode 666\): chmod o-w"):
        read_policy(open_to_all)
