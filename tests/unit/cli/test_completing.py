"""What may come next on a command line. In real shells: integration/test_completion."""

from __future__ import annotations

import pytest

from bridge.cli import completing, main
from bridge.cli.completing import Candidate, candidates
from bridge.cli.tree import Node, tree, walk
from bridge.model.commands import COMMANDS


@pytest.fixture(scope="module")
def root() -> Node:
    return tree()


ON_BUS = {
    "containers": ["web.1", "web.2", "db"],
    "nodes": ["n1", "n2"],
    "namespaces": ["default", "moby"],
    "images": ["nginx:1.27", "nginx:1.28"],
    "jobs": ["a-1"],
    "checkpoints": ["web.1/first"],
}


def of_bus(kind: str, given: dict[str, str]) -> list[Candidate]:
    return [Candidate(value) for value in ON_BUS[kind]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ev", ["events"]),
        ("st", ["stats", "start", "stop", "state"]),
        ("jobs ", ["list", "show", "cancel", "retry", "drop"]),
        ("checkpoint in", ["inspect"]),
        ("stop web", ["web.1", "web.2"]),
        ("stop web.1 web", ["web.2"]),
        ("pids web.1 ", []),
        ("stop --node n1 d", ["db"]),
        ("stop --node ", ["n1", "n2"]),
        ("stop --node=", ["--node=n1", "--node=n2"]),
        ("stop -n mo", ["moby"]),
        ("run ng", ["nginx:1.27", "nginx:1.28"]),
        ("run nginx:1.27 ", [":files"]),
        ("run nginx:1.27 --fo", [":files"]),
        ("exec web.1 ", [":files"]),
        ("events --type ex", ["exit", "exec-exit", "exec-added", "exec-started"]),
        ("events --format ", ["table", "json", "docker"]),
        ("kill -s SIGK", ["SIGKILL"]),
        ("jobs show ", ["a-1"]),
        ("checkpoint rm ", ["web.1/first"]),
        ("import ", [":files"]),
        ("serve --state-dir ", [":directories"]),
        ("config ", ["show", "check"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("policy explain st", ["stop", "start", "stats"]),
        ("events --until", ["--until"]),
        ("events --until 5 --until", []),
        ("events --type exit --ty", ["--type"]),
        ("events --nats", ["--nats"]),
        ("stop -- web.1 --", []),
        ("frobnicate ", []),
        ('stop "we', ["web.1", "web.2"]),
        ("stop 'a b\"", []),
    ],
)
def test_what_comes_next(root: Node, line: str, expected: list[str]) -> None:
    found = [one.value for one in candidates(f"containerd-bridge {line}", root, of_bus)]

    if line == "events --nats":
        assert found[0] == "--nats"
        assert "--nats-creds" in found
    elif line.startswith("policy explain"):
        assert sorted(found) == sorted(verb for verb in COMMANDS if verb.startswith("st"))
    else:
        assert found == expected


def test_options_of_the_connection_do_not_hide_a_command_s_own(root: Node) -> None:
    found = [one.value for one in candidates("containerd-bridge ps --", root, of_bus)]

    assert "--all" in found
    assert not [name for name in found if name.startswith("--nats")]


def test_commands_and_options_say_what_they_are(root: Node) -> None:
    [ps] = [one for one in candidates("containerd-bridge ps", root, of_bus) if one.value == "ps"]
    options = candidates("containerd-bridge ps --", root, of_bus)

    assert ps.about
    assert all(one.about for one in options)


def test_every_command_of_the_program_is_in_the_tree(root: Node) -> None:
    paths = {" ".join(node.path) for node in walk(root)}

    assert {"serve", "ps", "jobs list", "checkpoint create", "completion"} <= paths
    assert all(node.text or not node.path for node in walk(root))


@pytest.mark.parametrize("arguments", [["fish"], [], ["bash", "containerd-bridge stop ", "more"], ["bash", ""]])
def test_whatever_goes_wrong_is_silence(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["__complete", *arguments]) == 0
    assert capfd.readouterr() == ("", "")


def test_a_bus_that_is_not_there_is_silence(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for line in (
        "--nats nats://127.0.0.1:1 ",
        "--nats nats://127.0.0.1:1 --node x ",
        "--config /nowhere ",
        "--nats '' ",
    ):
        assert main(["__complete", "bash", f"containerd-bridge stop {line}"]) == 0
    assert capfd.readouterr() == ("", "")


def test_what_a_shell_would_carry_out_is_no_candidate(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = ["web.1", "web$(touch x);ls", "web 2", "web\n3", "`x`", "web@sha256:0/a=b,c+d"]

    async def asked(*_: object) -> list[Candidate]:
        return [*(Candidate(name) for name in names), Candidate("web.4", "running\n on n1")]

    monkeypatch.setattr(completing, "_asked", asked)
    for _ in range(2):  # also what is kept
        assert [one.value for one in completing.on_bus("containers", {})] == ["web.1", "web@sha256:0/a=b,c+d"]


def test_a_shell_of_which_nothing_is_known_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zhs"]) == 2
    assert "there is no completion for 'zhs': did you mean zsh?" in capsys.readouterr().err
