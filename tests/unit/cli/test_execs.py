"""`exec`, `resize` and `close-stdin`: what people write, what is sent, what is printed, and how it ends."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.model.events import Failure
from bridge.model.outcomes import ExecResult, Judged, Outcome, StreamReport
from bridge.model.subjects import CommandSubject
from bridge.testing import MemoryStdio
from tests.unit.cli.conftest import Cli
from tests.unit.client.small_bus import SmallSender, SmallStore, containers_at, info

KNOWN = containers_at({"n1": [info("web")]})
ENDED = ExecResult(
    exec_id="e1",
    session="s",
    running=False,
    exit_status=3,
    stdout=StreamReport(size=4, ended=True, captured=b"out\n"),
    stderr=StreamReport(size=4, ended=True, captured=b"err\n"),
)


def answer(at: CommandSubject, options: dict[str, Any], ended: ExecResult = ENDED) -> Any:
    if at.verb == "list":
        return KNOWN(at, options)
    if options.get("dry_run"):
        return Judged(rule="default", reason="default allows it")
    if at.verb != "exec":
        return {}
    begun = ExecResult(exec_id=options.get("exec_id", "e1"), session="s", key="k")
    return begun if options.get("mode") == "detached" else ended


def sent(sender: SmallSender) -> list[dict[str, Any]]:
    return [asked.options for asked in sender.asked if asked.subject.verb != "list"]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {}),
        (["--cap", "net_admin", "--cap", "CAP_KILL"], {"capabilities": ["CAP_NET_ADMIN", "CAP_KILL"]}),
        (["--exec-id", "look.1"], {"exec_id": "look.1"}),
        (["-t", "-u", "ann:staff", "-w", "/tmp", "-e", "A=b"],
         {"tty": True, "user": "ann:staff", "cwd": "/tmp", "env": {"A": "b"}}),
        (["--timeout", "5"], {"timeout": 5.0}),
        (["--reason", "a look", "--as", "me", "--if-status", "running", "--if-sequence", "7", "--if-incarnation", "I"],
         {"purpose": "a look", "sender": "me", "expected_status": "running", "expected_sequence": 7,
          "expected_incarnation": "I"}),
    ],
)  # fmt: skip
def test_options_are_sent_as_they_are_called_on_the_bus(
    cli: Cli, arguments: list[str], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.cli.execs.terminal_size", lambda: None)
    sender = SmallSender(answer)
    assert cli("exec", "--capture", *arguments, "web", "ls", "--all", sender=sender).status == 3
    assert sent(sender) == [{"args": ["ls", "--all"], **options}]  # captured is what it is by itself


def test_what_was_captured_is_shown_and_its_status_is_ours(cli: Cli) -> None:
    assert cli("exec", "--capture", "web", "ls", answer=answer) == (3, "out\n", "err\n")


def test_the_outcome_as_json_has_the_output_in_it(cli: Cli) -> None:
    said = cli("exec", "--json", "web", "ls", answer=answer)
    [told] = said.objects
    assert (said.status, said.err, told["exit_status"]) == (3, "", 3)
    assert base64.b64decode(told["stdout"]["captured"]) == b"out\n"


@pytest.mark.parametrize(
    ("ended", "status", "sentence"),
    [
        (
            replace(ENDED, stdout=StreamReport(size=9, captured=b"out\n")),
            3,
            "stdout has 5 bytes more: 'containerd-bridge attach web --exec e1 --from-start' shows all",
        ),
        (replace(ENDED, stderr=StreamReport(truncated="held")), 3, "stderr may not be complete: another process"),
        (replace(ENDED, timed_out=True, exit_status=137), 137, "exec e1 was killed: its time was up"),
        (replace(ENDED, exit_status=None), 125, "how the process ended is not known"),
    ],
)
def test_what_is_not_certain_is_said(cli: Cli, ended: ExecResult, status: int, sentence: str) -> None:
    said = cli("exec", "--capture", "web", "ls", answer=lambda at, options: answer(at, options, ended))
    assert (said.status, sentence in said.err) == (status, True), said.err


@pytest.mark.parametrize("stdin", [True, False])
def test_a_detached_one_is_named_and_its_input_is_kept_where_that_was_asked_for(cli: Cli, stdin: bool) -> None:
    sender = SmallSender(answer)
    flags = ["-di"] if stdin else ["-d"]
    said = cli("exec", *flags, "--exec-id", "look.1", "web", "cat", sender=sender, stdio=MemoryStdio())
    assert said == (0, "look.1\n", "")
    [options] = sent(sender)
    assert (options["mode"], options.get("stdin", False), "window" in options) == ("detached", stdin, False)
    said = cli("exec", "-d", "--json", "web", "cat", answer=answer, stdio=MemoryStdio())
    assert said.objects[0]["exec_id"] == "e1"


@pytest.mark.parametrize("detach", [True, False])
def test_a_job_is_stored_and_its_id_printed(cli: Cli, detach: bool) -> None:
    store = SmallStore()
    said = cli("exec", "--durable", "--id", "job-1", *["-d"] * detach, "web", "ls", answer=answer, store=store)
    assert said == (0, "web job-1\n", "")
    [(subject, body, _)] = store.submitted
    assert subject == "containerd.jobs.n1.default.web.exec"
    assert (b'"id":"job-1"' in body, b'"mode":"detached"' in body) == (True, detach)
    said = cli("exec", "--durable", "--id", "job-1", "--json", "web", "ls", answer=answer, store=store)
    assert said.objects == [{"job": "job-1", "node": "n1"}]


@pytest.mark.parametrize("arguments", [["exec"], ["exec", "-d"], ["exec", "--capture"], ["resize"], ["close-stdin"]])
def test_each_can_be_judged_alone(cli: Cli, arguments: list[str]) -> None:
    sender = SmallSender(answer)
    words = ["ls"] if "exec" in arguments else []
    size = ["--width", "80", "--height", "24"] if "resize" in arguments else []
    said = cli(*arguments, "--dry-run", *size, "web", *words, sender=sender, stdio=MemoryStdio())
    assert said == (0, "web: default allows it\n", "")
    assert [options["dry_run"] for options in sent(sender)] == [True]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--capture", "-i", "web", "cat"], "nobody is with it to give it input"),
        (["--json", "-i", "web", "cat"], "nobody is with it to give it input"),
        (["--durable", "-i", "web", "cat"], "nobody is with it to give it input"),
        (["-d", "--capture", "web", "cat"], "-d does not wait for what --capture shows"),
        (["--wait", "web", "cat"], "--wait is for jobs"),
        (["--durable", "--dry-run", "web", "cat"], "leave --durable out"),
        (["--cap", "NET-ADMIN", "web", "cat"], "'NET-ADMIN' is no capability"),
        (["--exec-id", "a/b", "web", "cat"], "exec id 'a/b' is not valid"),
        (["-e", "=b", "web", "cat"], "'=b' is no variable"),
        (["web"], "missing argument 'COMMAND'"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(cli: Cli, arguments: list[str], sentence: str) -> None:
    sender = SmallSender(answer)
    said = cli("exec", *arguments, sender=sender)
    assert (said.status, sentence in said.err, sent(sender)) == (2, True, []), said.err


@pytest.mark.parametrize(
    ("words", "status"),
    [("executable file not found in $PATH", 127), ("permission denied", 126), (None, 1)],
)
def test_what_cannot_be_run_ends_as_in_a_shell(cli: Cli, words: str | None, status: int) -> None:
    def failing(at: CommandSubject, options: dict[str, Any]) -> Any:
        if at.verb == "list":
            return KNOWN(at, options)
        error = Failure(code="invalid_argument", message="cannot run it", containerd=words)
        return Outcome(id="1", verb=at.verb, node=at.node, outcome="error", error=error)

    assert cli("exec", "--capture", "web", "ls", answer=failing).status == status


# -- the stdio of processes


def test_a_terminal_is_given_another_size(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.cli.stdio.terminal_size", lambda: (100, 30))
    sender = SmallSender(answer)
    assert cli("resize", "web", "--width", "90", sender=sender) == (0, "web\n", "")
    assert cli("resize", "web", "--exec-id", "e1", "--height", "7", sender=sender).status == 0
    assert sent(sender) == [{"width": 90, "height": 30}, {"width": 100, "height": 7, "exec_id": "e1"}]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--width", "90"], "give --width and --height"),
        (["--width", "0", "--height", "1"], "0 is no size of a terminal"),
        (["--durable", "--width", "90", "--height", "1"], "no such option: --durable"),
    ],
)
def test_a_size_that_nobody_knows_is_wrong_usage(
    cli: Cli, arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.cli.stdio.terminal_size", lambda: None)
    said = cli("resize", "web", *arguments, answer=answer)
    assert (said.status, sentence in said.err) == (2, True), said.err


def test_an_input_is_ended(cli: Cli) -> None:
    sender = SmallSender(answer)
    assert cli("close-stdin", "web", sender=sender) == (0, "web\n", "")
    assert cli("close-stdin", "web", "--exec", "e1", "--reason", "it hangs", "--json", sender=sender).objects
    assert sent(sender) == [{}, {"exec_id": "e1", "purpose": "it hangs"}]
    assert {asked.subject.verb for asked in sender.asked} == {"list", "close-stdin"}
