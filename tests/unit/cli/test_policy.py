"""The rules of a node without the node: checked, and explained; and what goes beside a command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Cli
from tests.unit.client.small_bus import SmallSender
from tests.unit.policy.specs import DEFAULT, changed

RULES = """
[[rules]]
name = "alice"
effect = "allow"
namespaces = ["shop"]
users = ["OPS/alice"]
labels = ["tier=web"]
images = ["nginx"]
spec = { hooks = true }
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(RULES)
    return path


def told(value: Any, path: Path) -> str:
    path.write_text(json.dumps(value))
    return str(path)


def test_rules_are_checked(cli: Cli, policy: Path) -> None:
    assert cli("policy", "check", str(policy)) == (0, f"{policy} is in order: 1 rule, default deny\n", "")
    policy.write_text("defualt = 'deny'")
    said = cli("policy", "check", str(policy))
    assert (said.status, said.out) == (2, "")
    assert said.err == f"containerd-bridge: {policy}: a policy has no 'defualt': give default, rules, spec, show\n"
    assert cli("policy", "check").status == 2


def test_settings_are_checked_together_with_their_policy(cli: Cli, policy: Path, tmp_path: Path) -> None:
    settings = tmp_path / "bridge.toml"
    settings.write_text(f'node = "n1"\ncommands = "observe"\npolicy = "{policy}"\n')
    said = cli("config", "check", str(settings))
    assert said.status == 2
    assert "a rule names users" in said.err
    settings.write_text(settings.read_text() + "request_info = true\n")
    said = cli("config", "check", str(settings))
    assert said.lines == [
        "the settings are in order: node n1, commands observe",
        f"{policy} is in order: 1 rule, default deny",
    ]
    settings.write_text("commands = 'observed'")
    assert cli("config", "check", str(settings)).status == 2
    assert cli("config", "chekc").status == 2


ALICE = ("-n", "shop", "--user", "OPS/alice", "-l", "tier=web", "--image", "docker.io/library/nginx:1.27")


def test_a_command_is_explained_by_the_rule_that_decides(cli: Cli, policy: Path, tmp_path: Path) -> None:
    ask = ("policy", "explain", "stop", "web.1", "--policy", str(policy))
    assert cli(*ask, *ALICE) == (
        0,
        f"allowed by alice: alice of {policy} allows stop on container web.1 in namespace shop\n",
        "",
    )
    said = cli(*ask, "--json")
    assert said.status == 1
    assert json.loads(said.out)["rule"] == "default"
    settings = tmp_path / "bridge.toml"
    settings.write_text("node = 'n'\ncommands = 'observe'")
    said = cli(*ask, *ALICE, "--config", str(settings))
    assert said.status == 1
    assert said.out.startswith("refused by switch: stop belongs to the command group lifecycle")


def test_a_spec_and_a_process_are_judged(cli: Cli, policy: Path, tmp_path: Path) -> None:
    ask = ("policy", "explain", "start", "web.1", "--policy", str(policy), *ALICE, "--json", "--spec")
    hooks = told(changed("hooks", {"poststop": []}), tmp_path / "hooks.json")
    assert json.loads(cli(*ask, hooks).out)["asks"][0] == "runs programs on the host (hooks)"
    net = changed("linux.namespaces", [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")])
    said = cli(*ask, told(net, tmp_path / "net.json"))
    assert said.status == 1
    assert "shares the host's net namespace" in said.out
    other = changed("process.user", {"uid": 1000})
    spec, process = told(other, tmp_path / "spec.json"), told(DEFAULT["process"], tmp_path / "process.json")
    assert "runs as root" in cli(*ask, spec, "--process", process).out


def test_output_and_labels_are_judged_as_the_node_judges_them(cli: Cli, policy: Path) -> None:
    policy.write_text("default = 'allow'\nspec = { log_files = ['/var/log/web'] }")
    ask = ("policy", "explain", "create", "web.1", "--policy", str(policy))
    assert cli(*ask, "--log-uri", "file:///var/log/web/1").status == 0
    said = cli(*ask, "--log-uri", "binary:///bin/sh", "-l", "containerd.io/restart.status=running", "--json")
    assert said.status == 1
    assert json.loads(said.out)["asks"] == [
        "sets the label 'containerd.io/restart.status', on which containerd or another client acts",
        "runs the program '/bin/sh' on the host, as root",
    ]
    pull = ("policy", "explain", "pull", "-n", "shop", "--policy", str(policy))
    assert cli(*pull).status == 0
    assert cli(*pull, "--hosts-dir", "/srv").status == 1
    # Those of a container that is there are nobody's to set any more.
    start = ("policy", "explain", "start", "web.1", "--policy", str(policy), "-l", "nerdctl/x=y")
    assert cli(*start).status == 0
    assert cli(*start, "--log-uri", "binary:///bin/sh").status == 1


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_what_is_no_spec_is_told_so(cli: Cli, policy: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(text)
    for wrong in (path, tmp_path / "none.json"):
        said = cli("policy", "explain", "start", "web.1", "--policy", str(policy), "--spec", str(wrong))
        assert said.status == 2
        assert len(said.err.splitlines()) == 1
        assert str(wrong) in said.err


@pytest.mark.parametrize(
    "arguments", [["strat", "web.1"], ["stop"], ["stop", "../x"], ["version", "web.1"], ["stop", "a", "-l", "x"]]
)
def test_a_question_that_makes_no_sense_is_usage(cli: Cli, arguments: list[str]) -> None:
    assert cli("policy", "explain", *arguments).status == 2


def test_remarks_go_with_a_command_and_only_where_they_are_given(cli: Cli) -> None:
    sender = SmallSender(lambda _subject, _options: {})
    cli("pause", "one", "--node", "n1", "-n", "default", sender=sender)
    cli("pause", "one", "--node", "n1", "-n", "default", "--reason", "a try", "--as", "me", sender=sender)
    assert [asked.options for asked in sender.asked] == [{}, {"purpose": "a try", "sender": "me"}]


def test_a_dry_run_prints_what_decides(cli: Cli) -> None:
    sender = SmallSender(lambda _subject, _options: {"rule": "alice", "reason": "alice allows it"})
    said = cli("pause", "one", "--node", "n1", "-n", "default", "--dry-run", sender=sender)
    assert said == (0, "one: alice allows it\n", "")
    assert sender.asked[0].options == {"dry_run": True}


@pytest.mark.parametrize("text", ["", "a\nb", "x" * 501])
def test_a_remark_is_one_line(cli: Cli, text: str) -> None:
    assert cli("pause", "one", "--reason", text).status == 2


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--role", "namespace"], "--namespace"),
        (["--role", "container", "-n", "a"], "--container"),
        (["--role", "x"], "reader"),
    ],
)
def test_a_role_is_for_somebody(cli: Cli, arguments: list[str], needed: str) -> None:
    said = cli("doctor", *arguments)
    assert said.status == 2
    assert needed in said.err
