"""The commands that change containers: what they print, and how they end."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.model.events import Failure
from bridge.model.outcomes import Deleted, Outcome, Restarted, Updated, WaitResult
from bridge.model.subjects import CommandSubject
from tests.unit.cli.conftest import Cli
from tests.unit.client.small_bus import SmallSender, containers_at, info

KNOWN = containers_at({"n1": [info("one"), info("web.1", "a.b")]})


def answer(at: CommandSubject, options: dict[str, Any]) -> Any:
    if at.verb == "list":
        return KNOWN(at, options)
    if at.container == "one" and at.verb == "start":
        error = Failure(code="failed_precondition", message="container one is running", containerd="task exists")
        return Outcome(id="1", verb=at.verb, node=at.node, outcome="error", error=error)
    if at.verb == "wait":
        return WaitResult(ended=options["timeout"] != 0, exit_status=3 if at.container == "one" else None)
    if at.verb == "delete" and at.container == "web.1":
        return Deleted(left=["bundle /x stays: it is a symbolic link"])
    results = {
        "start": {"pid": 7},
        "restart": Restarted(pid=7),
        "update": Updated(task=True, record=True, resources={}),
    }
    return results.get(at.verb, {})


def sent(sender: SmallSender) -> list[tuple[str, str | None, str | None, dict[str, Any]]]:
    return [
        (asked.subject.verb, asked.subject.namespace, asked.subject.container, asked.options)
        for asked in sender.asked
        if asked.subject.verb != "list"
    ]


@pytest.mark.parametrize("verb", ["pause", "resume", "stop", "restart", "kill"])
def test_each_container_that_is_done_is_named(cli: Cli, verb: str) -> None:
    assert cli(verb, "web.1", "one", answer=answer) == (0, "web.1\none\n", "")


def test_what_a_delete_leaves_behind_is_said(cli: Cli) -> None:
    said = cli("delete", "web.1", "one", answer=answer)
    assert said == (0, "web.1\none\n", "containerd-bridge: bundle /x stays: it is a symbolic link\n")


def test_wait_prints_the_exit_statuses_in_the_order_given(cli: Cli) -> None:
    assert cli("wait", "one", "web.1", answer=answer) == (0, "3\n?\n", "")


def test_a_wait_that_takes_too_long_fails(cli: Cli) -> None:
    said = cli("wait", "one", "--timeout", "0", answer=answer)
    assert said == (1, "", "containerd-bridge: one has not ended within 0 s\n")


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--memory", "512m", "--memory-swap", "-1"], {"memory": "512m", "memory_swap": "-1"}),
        (["--cpus", "1.5", "--pids-limit", "-1"], {"cpus": 1.5, "pids_limit": -1}),
        (["--cpuset-cpus", "0-2", "--task-only"], {"cpuset_cpus": "0-2", "task_only": True}),
        (
            ["--device-read-bps", "8:0:1m", "--device-read-bps", "8:16:0"],
            {"device_read_bps": {"8:0": 1 << 20, "8:16": 0}},
        ),
        (["--device-write-iops", "8:0:100"], {"device_write_iops": {"8:0": 100}}),
        (["--annotation", "a=b=c", "--annotation", "d="], {"annotations": {"a": "b=c", "d": ""}}),
    ],
)
def test_limits_are_sent_as_they_were_given(cli: Cli, arguments: list[str], options: dict[str, Any]) -> None:
    sender = SmallSender(answer)
    assert cli("update", "one", *arguments, sender=sender) == (0, "one\n", "")
    assert sent(sender) == [("update", "default", "one", options)]


def test_the_container_is_looked_for_in_every_namespace(cli: Cli) -> None:
    sender = SmallSender(answer)

    cli("pause", "web.1", sender=sender)

    assert sent(sender) == [("pause", "a.b", "web.1", {})]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["stop", "--time", "2.5", "--signal", "sigint", "one"], {"grace": 2.5, "signal": "sigint"}),
        (["stop", "-t", "0", "one"], {"grace": 0.0}),
        (["restart", "-t", "0", "-s", "INT", "one"], {"grace": 0.0, "signal": "INT"}),
        (["kill", "one"], {}),
        (["kill", "-s", "9", "--all", "one"], {"signal": "9", "all": True}),
        (["kill", "--exec", "e", "one"], {"exec_id": "e"}),
        (["kill", "--exec-id", "e", "one"], {"exec_id": "e"}),
        (["delete", "-f", "--keep-snapshot", "one"], {"force": True, "keep_snapshot": True}),
    ],
)
def test_options_are_sent_as_they_are_called_on_the_bus(
    cli: Cli, arguments: list[str], options: dict[str, Any]
) -> None:
    sender = SmallSender(answer)

    assert cli(*arguments, sender=sender).status == 0
    assert sent(sender)[0][3] == options


def test_a_failure_is_a_sentence_with_containerds_own_words(cli: Cli) -> None:
    said = cli("start", "web.1", "one", answer=answer)

    assert said == (1, "web.1\n", "containerd-bridge: container one is running (containerd: task exists)\n")


def test_no_container_at_all_is_wrong_usage(cli: Cli) -> None:
    sentence = "containerd-bridge: missing CONTAINER: name some, or choose them with --label\n"
    assert cli("pause", answer=answer) == (2, "", sentence)


def test_json_tells_of_each_container(cli: Cli) -> None:
    done, failed = cli("start", "web.1", "one", "--json", answer=answer).objects

    assert done == {
        "container": "web.1",
        "node": "n1",
        "namespace": "a.b",
        "result": {"pid": 7, "session": None, "process": None},
    }
    assert failed["error"]["code"] == "failed_precondition"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pause", "a/b"], "container 'a/b' is not valid"),
        (["pause", "one", "-n", "*"], "namespace '*' is not valid"),
        (["pause", "one", "--node", ""], "node name '' is not valid"),
        (["kill", "one", "-s", "NOPE"], "signal 'NOPE' does not exist"),
        (["stop", "one", "-t", "-1"], "-1"),
        (["wait", "one", "--timeout", "-1"], "-1"),
        (["update", "one", "--memory", "lots"], "'lots' is no size"),
        (["update", "one", "--cpus", "0"], "0.0 is not valid"),
        (["update", "one", "--cpuset-cpus", "x"], "'x' is not valid"),
        (["update", "one", "--blkio-weight", "5"], "5 is not valid"),
        (["update", "one", "--device-read-bps", "8:0"], "{'8': 0} is not valid"),
        (["update", "one", "--device-read-bps", "1m"], "'1m' is no limit of a device"),
        (["update", "one", "--device-read-iops", "8:0:1m"], "'1m' is no number of operations a second"),
        (["stats", "one", "--interval", "0"], "0 is no interval"),
        (["top"], "use stats"),
    ],
)
def test_what_cannot_be_right_is_wrong_usage(cli: Cli, arguments: list[str], sentence: str) -> None:
    sender = SmallSender(answer)

    said = cli(*arguments, sender=sender)

    assert said.status == 2
    assert sentence in said.err
    assert said.err.endswith(f"See 'containerd-bridge {arguments[0]} --help'.\n")
    assert sender.asked == []
