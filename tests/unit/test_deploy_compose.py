"""The files of deploy/compose are what the permissions and the policy say today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bridge.model.commands import COMMANDS
from bridge.policy import Facts, Question
from bridge.policy.file import read_policy

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"
PRINTED = {
    "node.conf": ("node", "--node", "docker", "--inbox", "_INBOX.docker"),
    "reader.conf": ("reader", "--inbox", "_INBOX.reader"),
    "operator.conf": (
        *("namespace", "--namespace", "moby", "--inbox", "_INBOX.operator"),
        *("--groups", "observe,lifecycle"),
    ),
}


@pytest.mark.parametrize("file", PRINTED)
def test_the_logins_have_the_ready_permission_sets(file: str) -> None:
    printing = [sys.executable, "-m", "bridge.jetstream.permissions", "--print", *PRINTED[file]]
    printed = subprocess.run(printing, capture_output=True, text=True, check=True).stdout
    assert (COMPOSE / file).read_text() == printed, f"write it anew: {' '.join(printing[1:])} >deploy/compose/{file}"


@pytest.mark.parametrize(
    ("verb", "project", "service", "allowed"),
    [
        ("pause", "containerd-bridge", "web", True),
        ("update", "containerd-bridge", "growing", True),
        ("pause", "containerd-bridge", "nats", False),
        ("pause", "shop", "web", False),
        ("inspect", "shop", "web", True),
        ("exec", "containerd-bridge", "web", False),
    ],
)
def test_the_policy_is_about_the_demo_alone(verb: str, project: str, service: str, allowed: bool) -> None:
    labels = {"com.docker.compose.project": project, "com.docker.compose.service": service}
    question = Question(
        verb=verb, group=COMMANDS[verb].group, namespace="moby", container="a1", facts=Facts(labels=labels)
    )
    decision = read_policy(COMPOSE / "policy.toml").decide(question)
    assert decision is not None
    assert decision.allowed is allowed
