"""What went wrong is said with what to do about it: in a line of its own, or with --json as an object."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from bridge.cli import main
from bridge.cli.examples import EXAMPLES
from bridge.cli.near import near
from bridge.cli.tree import tree, walk
from bridge.client import Bus
from bridge.errors import CommandFailed, ConfigError
from bridge.model.nanos import now
from bridge.model.nodes import NodeRecord
from bridge.model.subjects import CommandSubject
from tests.unit.cli.conftest import Cli
from tests.unit.cli.recorded import state
from tests.unit.client.small_bus import SmallSender, containers_at, info, kept

NOWHERE = (
    "cannot connect to NATS at nats://127.0.0.1:4222: nobody listens there: start nats-server, or correct nats.url"
)
OFFLINE = {"serve", "config", "schema", "completion", "policy check", "policy explain", "checkpoint keygen"}
WITH_JSON = [
    " ".join(node.path)
    for node in walk(tree())
    if node.path and not node.commands and any("--json" in option.names for option in node.options)
]


class nowhere:  # noqa: N801 - in the place of a function
    """A bus that cannot be opened."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    async def __aenter__(self) -> Bus:
        raise ConfigError(NOWHERE)

    async def __aexit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("path", [path for path in WITH_JSON if path not in OFFLINE | {"doctor"}])
def test_with_json_an_error_is_an_object(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(EXAMPLES[path][-1])
    if path in {"import", "checkpoint import"}:
        words[-1] = __file__
    at = len(path.split())
    status = main([*words[:at], "--json", *[word for word in words[at:] if word != "--json"]], connect=nowhere)
    said = capsys.readouterr()

    assert (status, said.out) == (2, "")
    told = json.loads(said.err)
    assert list(told) == ["error", "message", "suggestion"]
    assert (told["error"], told["message"]) == ("configuration", NOWHERE)
    assert told["suggestion"].startswith("Start one (`nats-server -js`)")


@pytest.mark.parametrize("path", WITH_JSON)
def test_with_json_wrong_usage_is_an_object_too(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path.split(), "--json", "--bogus"]) == 2
    told = json.loads(capsys.readouterr().err)

    assert (told["error"], told["message"]) == ("usage", "no such option: --bogus")
    assert told["suggestion"].endswith(f"See 'containerd-bridge {path} --help'.")


def test_json_of_one_call_is_not_that_of_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    main(["ps", "--json"], connect=nowhere)
    main(["ps"], connect=nowhere)
    _, *lines = capsys.readouterr().err.splitlines()

    assert lines[0] == f"containerd-bridge: {NOWHERE}"
    assert lines[1].startswith("Start one")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("evnts", "Did you mean events?"),
        ("jobs lst", "Did you mean list?"),
        ("ps --jsn", "Did you mean --json?"),
        ("run --detch x", "Did you mean --detach?"),
        ("logs web.1", "Here that is `containerd-bridge attach --from-start`."),
        ("rm web.1", "Here that is `containerd-bridge delete`."),
        ("xyzzy", "See 'containerd-bridge --help'."),
        ("completion bsh", "See 'containerd-bridge completion --help'."),
    ],
)
def test_what_there_is_not_comes_with_what_was_meant(line: str, hint: str, cli: Cli) -> None:
    said = cli(*line.split())

    assert said.status == 2
    assert len(said.err.splitlines()) == 2
    assert said.err.splitlines()[1].startswith(hint)


def test_what_docker_calls_a_command_is_one_that_there_is(cli: Cli) -> None:
    from bridge.cli.app import _ELSEWHERE

    paths = {" ".join(node.path) for node in walk(tree())}
    assert {command.partition(" --")[0] for command in _ELSEWHERE.values()} <= paths
    assert not paths & _ELSEWHERE.keys()


@pytest.mark.parametrize(
    ("container", "hint"),
    [
        ("wbe.1", "Did you mean web.1 (node n1, running)"),
        ("web.2", "web.2 is on node n2, in namespace default: add --node n2 --namespace default."),
        ("zzz", "See which there are: `containerd-bridge ps --all`."),
    ],
)
def test_a_container_that_is_not_there_comes_with_those_that_are(container: str, hint: str, cli: Cli) -> None:
    states = kept(state("web.1"), state("web.2", node="n2"), state("gone", "gone"))

    def answer(command: CommandSubject, _: Any) -> Any:
        return {"containers": []} if command.verb == "list" else {}

    said = cli("stop", container, "--node", "n1", answer=answer, states=states)
    told = cli("pids", container, "--node", "n1", "--json", answer=answer, states=states)

    assert (said.status, told.status) == (1, 1)
    assert said.err.splitlines()[1].startswith(hint)
    assert json.loads(told.err)["error"] == "not_found"
    assert json.loads(told.err)["suggestion"].startswith(hint)


def test_what_containerd_does_not_know_comes_with_what_was_meant_too(cli: Cli) -> None:
    def answer(command: CommandSubject, _: Any) -> Any:
        raise CommandFailed("not_found", "container wbe.1 does not exist in namespace default")

    said = cli("stop", "wbe.1", "--node", "n1", "-n", "default", answer=answer, states=kept(state("web.1")))

    assert said.err.splitlines()[1] == "Did you mean web.1 (node n1, running)?"


def _record(node: str, *groups: str) -> NodeRecord:
    moment = now()
    return NodeRecord(
        node=node,
        holder="x",
        log="x",
        version="0.1",
        pid=1,
        since=moment,
        renewed=moment,
        lease_s=10,
        groups=list(groups),
    )


@pytest.mark.parametrize(
    ("node", "records", "hint"),
    [
        ("wbe1", [_record("web1", "observe"), _record("db1")], "There is no node wbe1: did you mean web1?"),
        ("zz", [_record("web1"), _record("db1")], "There is no node zz: there are db1, web1."),
        ("web1", [_record("web1", "lifecycle")], "See how node web1 stands: `containerd-bridge doctor`."),
        ("web1", [], "No bridge is on this bus: start one (`containerd-bridge serve`)"),
    ],
)
def test_a_node_that_takes_it_not_comes_with_why(node: str, records: list[NodeRecord], hint: str, cli: Cli) -> None:
    def answer(command: CommandSubject, options: dict[str, Any]) -> Any:
        if command.verb == "list":
            return containers_at({node: [info("web")]})(command, options)
        subject = f"containerd.commands.{node}.default.web.{command.verb}"
        raise CommandFailed(
            "unavailable", f"nobody takes commands on {subject}: the node is down, or that group is off"
        )

    [*there] = [one for one in records if one.node == node]
    sender = SmallSender(answer, [one.node for one in there], groups=[group for one in there for group in one.groups])
    said = cli("kill", "web", "-n", "default", "--node", node, sender=sender, records=records)

    assert said.status == 1
    assert said.err.partition("\n")[2].startswith(hint), said.err


@pytest.mark.parametrize(
    ("typed", "known", "expected"),
    [
        ("evnts", ["events", "exec"], ["events"]),
        ("WEB.1", ["web.1"], ["web.1"]),
        ("web", ["web.1", "web.2", "web.3", "web.4"], ["web.1", "web.2", "web.3"]),
        ("x", ["events"], []),
        ("", ["events"], []),
    ],
)
def test_near(typed: str, known: list[str], expected: list[str]) -> None:
    assert sorted(near(typed, known)) == expected
