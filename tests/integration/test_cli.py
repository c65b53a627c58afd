"""The command line against a real bridge, a real containerd and a real nats-server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bridge.cli import main
from tests.fix_bridge import Bridge, BridgeFactory, until_stored
from tests.fix_nats import NatsServerFactory
from tests.testbed import Containerd, Ctr

ENDLESS = ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")


class Said(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


Cli = Callable[..., Said]


@pytest.fixture
def cli(bridge: Bridge, nats_url: str, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`cli("ps", "--all")` on the bus of this test's bridge."""

    def run(command: str, *options: str) -> Said:
        capsys.readouterr()
        status = main([*command.split(), "--nats", nats_url, *options])
        return Said(status, *capsys.readouterr())

    return run


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command as a process of its own, which is ended with the context."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# -- events


def test_json_is_what_stands_in_the_log(cli: Cli, ctr: Ctr, nats_url: str) -> None:
    ctr.run("web.1", "sh", "-c", "exit 3")
    log = until_stored(nats_url, lambda message: message.word == "exit", "containerd.events.>")

    said = cli("events", "--since", "1", "--no-follow", "--json", "--container", "web.1")

    assert said.lines == [message.body.decode() for message in log if message.event.get("subject") == "web.1"]


def test_a_container_with_a_dot_is_found_by_its_id(cli: Cli, ctr: Ctr, nats_url: str) -> None:
    ctr.run("web.1", "sh", "-c", "exit 3")
    ctr.run("web", "true")
    until_stored(nats_url, lambda message: message.word == "exit", "containerd.events.*.*.web.>")
    until_stored(nats_url, lambda message: message.word == "exit", "containerd.events.*.*.web=2E1.>")

    found = cli("events", "--no-follow", "--json", "--container", "web.1", "--type", "exit").objects

    assert [(event["subject"], event["data"]["exit_status"]) for event in found] == [("web.1", 3)]


def test_the_table_tells_what_happened(cli: Cli, ctr: Ctr, nats_url: str) -> None:
    ctr.run("web.1", "sh", "-c", "exit 3")
    until_stored(nats_url, lambda message: message.word == "exit", "containerd.events.>")

    said = cli("events", "--no-follow", "--namespace", ctr.namespace, "--type", "exit")

    header, _, row = said.lines
    assert header.split() == ["TIME", "NAMESPACE", "CONTAINER", "EVENT", "DETAILS"]
    assert row.split()[1:] == [ctr.namespace, "web.1", "exit", "status", "3"]


def test_following_shows_what_comes_and_ends_quietly_on_an_interrupt(bridge: Bridge, ctr: Ctr, nats_url: str) -> None:
    with running("events", "--nats", nats_url, "--json", "--container", "late", "--since", "1") as follower:
        assert follower.stdout is not None
        ctr.run("late", "sh", "-c", "exit 3")
        words = []
        while "io.containerd.task.exit.v1" not in words:
            words.append(json.loads(follower.stdout.readline())["type"])

        follower.send_signal(signal.SIGINT)
        out, err = follower.communicate(timeout=90)

    assert (follower.returncode, out, err) == (130, "", "")


def test_following_ends_when_nobody_reads_any_more(bridge: Bridge, nats_url: str) -> None:
    with running("events", "--nats", nats_url, "--json", "--since", "1") as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        follower.stdout.readline()

        follower.stdout.close()  # as `head -1` does

        assert follower.wait(90) == 141
        assert follower.stderr.read() == ""


# -- containers


def test_commands_reach_the_container(cli: Cli, ctr: Ctr) -> None:
    ctr.run("web.1", *ENDLESS)

    assert cli("pause", "web.1") == Said(0, "web.1\n", "")
    assert ctr.status("web.1") == "PAUSED"
    assert cli("resume", "web.1") == Said(0, "web.1\n", "")
    assert ctr.status("web.1") == "RUNNING"
    assert cli("stop", "--time", "5", "web.1") == Said(0, "web.1\n", "")
    assert ctr.status("web.1") == "STOPPED"
    assert cli("start", "web.1") == Said(0, "web.1\n", "")
    assert ctr.status("web.1") == "RUNNING"
    assert cli("kill", "--signal", "KILL", "web.1") == Said(0, "web.1\n", "")
    assert cli("delete", "--force", "web.1") == Said(0, "web.1\n", "")
    assert "web.1" not in ctr("containers", "ls", "-q").split()


def test_what_fails_does_not_keep_the_others_from_it(cli: Cli, ctr: Ctr) -> None:
    ctr.run("one", *ENDLESS)
    ctr.run("two", *ENDLESS)

    said = cli("pause", "one", "nobody", "two")

    advice = "See which there are: `containerd-bridge ps --all`.\n"
    assert said == Said(1, "one\ntwo\n", f"containerd-bridge: there is no container nobody on n1\n{advice}")
    assert ctr.status("two") == "PAUSED"


def test_results_come_as_json_too(cli: Cli, ctr: Ctr) -> None:
    ctr.run("web.1", "sh", "-c", "exit 3")

    [done] = cli("stop", "--json", "web.1").objects

    assert (done["container"], done["node"], done["namespace"]) == ("web.1", "n1", ctr.namespace)
    assert done["result"]["exit_status"] == 3


def test_ps_shows_what_runs_and_with_all_the_rest(cli: Cli, ctr: Ctr) -> None:
    ctr.run("web.1", *ENDLESS)
    ctr.run("job", "sh", "-c", "exit 3")
    cli("stop", "job")

    running_now = cli("ps", "--live", "--namespace", ctr.namespace).lines
    everything = cli("ps", "--live", "--all", "--namespace", ctr.namespace).lines

    assert [line.split()[2] for line in running_now] == ["CONTAINER", "web.1"]
    assert [line.split()[2] for line in everything] == ["CONTAINER", "job", "web.1"]
    assert "exited (3)" in everything[1]


def test_what_is_kept_is_what_the_log_says_and_what_containerd_says(
    cli: Cli, ctr: Ctr, containerd: Containerd, nats_url: str
) -> None:
    # A day's work: what runs, what ended in each way, what is paused, what is gone, what ran twice, a dotted namespace.
    ctr.run("web.1", *ENDLESS)
    ctr.run("frozen", *ENDLESS)
    ctr.run("job", "sh", "-c", "exit 3")
    ctr.run("killed", *ENDLESS)
    ctr.run("gone", "true")
    cli("pause", "frozen")
    cli("kill", "--signal", "KILL", "killed")
    cli("stop", "job")
    cli("delete", "--force", "gone")
    cli("start", "job")
    cli("stop", "job")
    until_stored(nats_url, lambda message: message.data.get("verb") == "stop", "containerd.events.*.*.job.command")

    deadline = time.monotonic() + 90
    while (verified := cli("state verify", "--namespace", ctr.namespace)).status:  # the bridge may still be writing
        assert time.monotonic() < deadline, verified.out

    assert verified.err == ""
    assert verified.lines[-1] == "5 containers compared, 0 differ"
    kept = {one["container"]: one for one in cli("ps", "--all", "--namespace", ctr.namespace, "--json").objects}
    asked = {one["id"]: one for one in cli("ps", "--all", "--live", "--namespace", ctr.namespace, "--json").objects}
    assert kept.keys() == asked.keys() == {"web.1", "frozen", "job", "killed"}
    for name, one in asked.items():
        assert kept[name]["status"] == one["task"]["status"]
        assert kept[name]["pid"] == one["task"]["pid"]
        assert kept[name]["image"] == one["image"]
        assert kept[name]["exit_status"] == one["task"].get("exit_status")
    assert cli("ps", "-q", "--exit-status", "!=0", "--namespace", ctr.namespace).lines == ["job", "killed"]


def test_ps_at_an_event_is_what_ran_after_it(cli: Cli, ctr: Ctr, nats_url: str) -> None:
    ctr.run("web.1", *ENDLESS)
    cli("kill", "--signal", "KILL", "web.1")
    log = until_stored(nats_url, lambda message: message.word == "exit", "containerd.events.*.*.web=2E1.>")
    [started] = [message for message in log if message.word == "start" and message.event["subject"] == "web.1"]
    [ended] = [message for message in log if message.word == "exit" and message.event["subject"] == "web.1"]
    where = ("--namespace", ctr.namespace, "--json", "--all")

    by_number = [cli("ps", "--at", str(one.stream_sequence), *where).objects[0]["status"] for one in (started, ended)]
    by_time = [cli("ps", "--at", one.event["recordedtime"], *where).objects[0]["status"] for one in (started, ended)]

    assert by_number == by_time == ["running", "stopped"]


def test_inspect_and_pids_look_closely(cli: Cli, ctr: Ctr) -> None:
    ctr.run("web.1", *ENDLESS)

    [inspected] = json.loads(cli("inspect", "web.1").out)
    listed = cli("pids", "--json", "web.1")
    assert (listed.status, listed.err) == (0, "")
    pids = [process["pid"] for process in listed.objects]

    assert inspected["container"]["spec"]["process"]["args"] == ["sh", "********", "********"]
    assert inspected["container"]["task"]["pid"] in pids


def test_history_tells_of_a_container_that_is_gone(cli: Cli, ctr: Ctr, nats_url: str) -> None:
    ctr.run("web.1", "sh", "-c", "exit 3")
    cli("stop", "web.1")
    cli("delete", "web.1")
    until_stored(nats_url, lambda message: message.data.get("verb") == "delete", "containerd.events.*.*.web=2E1.>")

    said = cli("history", "web.1")

    assert said.lines[0] == f"web.1 in namespace {ctr.namespace} on n1"
    assert "Before the first task" in said.lines
    assert [line for line in said.lines if line.startswith("Task 1: ran ") and line.endswith("exit status 3")]
    words = [line.split()[4] for line in said.lines if "+" in line]
    assert [word for word in words if word not in {"delete", "command"}] == [
        "create",
        "start",
        "exit",
        "container-delete",
    ]


def test_the_same_id_in_two_namespaces_is_not_guessed_at(cli: Cli, ctr: Ctr, containerd: Containerd) -> None:
    ctr.run("web.1", *ENDLESS)
    with containerd.fresh_namespace() as other:
        other.run("web.1", *ENDLESS)
        namespaces = ", ".join(sorted([ctr.namespace, other.namespace]))

        said = cli("pause", "web.1")
        named = cli("pause", "web.1", "--namespace", other.namespace)

        assert said.status == 1
        assert f"exists in the namespaces {namespaces}: say which with --namespace" in said.err
        assert named.status == 0
        assert (ctr.status("web.1"), other.status("web.1")) == ("RUNNING", "PAUSED")


def test_the_nodes_and_their_versions(cli: Cli) -> None:
    assert cli("nodes", "--json").objects[0]["groups"] == ["checkpoint", "create", "exec", "lifecycle", "observe"]
    assert cli("version", "--json").objects[0]["nodes"][0]["node"] == "n1"


# -- reaching the bus


def test_the_embedded_server_is_found_by_its_state_directory(
    bridge_factory: BridgeFactory, containerd: Containerd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = bridge_factory(
        *("--containerd", containerd.address, "--nats", "embedded", "--state-dir", tmp_path, "--node", "n1"),
        *("--commands", "observe"),
    )
    daemon.live()

    assert main(["nodes", "--json", "--state-dir", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["node"] == "n1"


def test_a_node_that_does_not_answer_is_named_with_those_that_do(cli: Cli) -> None:
    said = cli("pause", "x", "--node", "db", "--namespace", "default")

    assert said == Said(1, "", "containerd-bridge: node db does not answer; these do: n1\n")


def test_wrong_credentials_are_one_sentence(
    nats_server_factory: NatsServerFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    server = nats_server_factory(config='authorization { token: "right" }')

    status = main(["nodes", "--nats", server.url, "--nats-token", "wrong"])

    said = capsys.readouterr().err
    assert status == 2
    sentence, advice = said.splitlines()
    assert sentence.startswith("containerd-bridge: ")
    assert advice.startswith("Give the login with --nats-creds")


def test_a_log_that_is_not_there_is_one_sentence(nats_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["events", "--nats", nats_url])

    assert status == 1
    assert "there is no stream CONTAINERD_EVENTS" in capsys.readouterr().err


def test_the_environment_configures_it(nats_url: str, bridge: Bridge) -> None:
    environ = os.environ | {"CONTAINERD_BRIDGE_NATS": nats_url}

    told = subprocess.run(
        [sys.executable, "-m", "bridge", "nodes", "--json"], env=environ, capture_output=True, text=True, check=True
    )

    assert json.loads(told.stdout)["node"] == "n1"
