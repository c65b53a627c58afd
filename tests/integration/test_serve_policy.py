"""The daemon's policy: wrong ones keep it from starting, new ones take effect, broken ones leave the old in force."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.cli import main
from tests.fix_bridge import Bridge
from tests.testbed import Ctr

ENDLESS = ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1; done")
DENY = "[[rules]]\nname = 'no {verb}'\neffect = 'deny'\nverbs = ['{verb}']\n"

pytestmark = pytest.mark.containerd


class Node:
    """A daemon with a policy, and what is asked of it."""

    def __init__(self, ctr: Ctr, url: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.policy = directory / "policy.toml"
        self._ctr = ctr
        self._url = url
        self._capsys = capsys
        self.policy.write_text("default = 'allow'\n" + DENY.format(verb="pause"))
        self.bridge = Bridge(
            *("--containerd", ctr.host.address, "--nats", url, "--node", "n1", "--state-dir", directory / "state"),
            *("--commands", "all", "--policy", self.policy),
        )

    def ask(self, verb: str, *options: str) -> tuple[int, str]:
        self._capsys.readouterr()
        at = ("web.1", "--node", "n1", "--namespace", self._ctr.namespace)
        status = main([verb, *options, *at, "--nats", self._url])
        said = self._capsys.readouterr()
        return status, said.out + said.err

    def events(self) -> list[dict[str, Any]]:
        self._capsys.readouterr()
        main(["events", "--no-follow", "--json", "--type", "command", "--nats", self._url])
        return [json.loads(line)["data"] for line in self._capsys.readouterr().out.splitlines()]


@pytest.fixture
def node(ctr: Ctr, nats_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Node]:
    node = Node(ctr, nats_url, tmp_path, capsys)
    with node.bridge:
        node.bridge.until_logged("taking commands")
        ctr.run("web.1", *ENDLESS, detach=True)
        yield node


def test_new_rules_take_effect_at_once_and_broken_ones_do_not(node: Node) -> None:
    status, said = node.ask("pause")
    assert status == 1
    assert f"no pause of {node.policy} denies pause on container web.1" in said
    assert node.ask("kill", "--signal", "URG")[0] == 0

    node.policy.write_text("default = 'allow'\n" + DENY.format(verb="kill"))
    after = node.bridge.until_logged("is in force: 1 rules")  # by itself, since the file has changed
    assert node.ask("pause")[0] == 0
    assert "no kill" in node.ask("kill")[1]

    node.policy.write_text("default = 'allow'\nrule = 1\n")
    node.bridge.process.send_signal(signal.SIGHUP)
    after = node.bridge.until_logged("the policy stays as it was", after=after)
    assert "no kill" in node.ask("kill")[1]

    node.policy.write_text("default = 'allow'\n")
    node.bridge.process.send_signal(signal.SIGHUP)
    node.bridge.until_logged("is in force: 0 rules", after=after)
    assert node.ask("resume", "--reason", "all is well")[0] == 0
    assert node.bridge.stop() == 0


def test_each_command_leaves_its_events(node: Node) -> None:
    node.ask("pause")
    node.ask("kill", "--signal", "URG", "--reason", "a try", "--as", "me")
    node.ask("kill", "--dry-run")
    for _ in range(100):
        said = node.events()
        if len(said) >= 4:
            break
    assert [(one["verb"], one["phase"], one["outcome"], one["rule"], one["dry_run"]) for one in said] == [
        ("pause", "finished", "refused", "no pause", False),
        ("kill", "started", None, "default", False),
        ("kill", "finished", "ok", "default", False),
        ("kill", "finished", "ok", "default", True),
    ]
    assert (said[2]["purpose"], said[2]["claimed"], said[2]["who"]) == ("a try", "me", None)
    assert said[1]["sha256"] == said[2]["sha256"]


def test_a_policy_that_is_wrong_keeps_it_from_starting(ctr: Ctr, nats_url: str, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("default = 'perhaps'")
    options = (
        "--containerd",
        ctr.host.address,
        "--nats",
        nats_url,
        "--state-dir",
        tmp_path / "state",
        "--policy",
        policy,
    )
    with Bridge(*options) as bridge:
        assert bridge.process.wait(90) == 2
        bridge.until_ended()
    assert bridge.log[-1].endswith(f"{policy}: default is 'perhaps': give allow or deny")
