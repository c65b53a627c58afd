"""`migrate`: what it sends, what it says, and how it ends."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from bridge.cli import main
from bridge.model.checkpoints import Finding, Verdict
from bridge.model.events import Failure
from bridge.model.outcomes import Migrated, Outcome
from bridge.model.subjects import CommandSubject
from tests.unit.cli.conftest import Cli
from tests.unit.client.small_bus import SmallSender, containers_at, info

KNOWN = containers_at({"n1": [info("web.1", "a.b")]})
BLOCKS = Finding(check="criu", level="blocks", says="node n2: CRIU does not work", way_out="install CRIU 4")


def answer(at: CommandSubject, options: dict[str, Any]) -> Any:
    if at.verb == "list":
        return KNOWN(at, options)
    if at.verb == "migrate-abandon":
        return {}
    if options.get("check"):
        return Migrated(verdict=Verdict(findings=[Finding(check="cpu", level="ok", says="node n1: fine"), BLOCKS]))
    if options["to"] == "n9":
        error = Failure(code="unavailable", message="container web.1 was not moved, and runs on on node n1: no n9")
        return Outcome(id="1", verb=at.verb, node=at.node, outcome="error", error=error)
    return Migrated(
        verdict=Verdict(findings=[]),
        node="n2",
        pid=7,
        rounds=2,
        sent=3 << 20,
        sent_frozen=1 << 19,
        frozen_ns=970_000_000,
        verified=["archives", "spec"],
    )


def test_where_it_runs_now_is_said_and_what_it_took(cli: Cli) -> None:
    sender = SmallSender(answer, ("n1",))
    said = cli("migrate", "web.1", "--to", "n2", "--pre-copy", "auto", "--verify", "--id", "m-1", sender=sender)
    assert (said.status, said.out) == (0, "web.1 runs on node n2\n")
    assert said.err.splitlines() == [
        "it stood still for 0.97 s after 2 rounds; 3.0 MiB sent, 0.5 MiB of it while it stood still",
        "compared: archives, spec",
    ]
    [asked] = [one for one in sender.asked if one.subject.verb == "migrate"]
    assert asked.subject == CommandSubject("n1", "a.b", "web.1", "migrate")
    assert asked.options == {"to": "n2", "pre_copy": -1, "verify": True}


def test_a_program_gets_the_result(cli: Cli) -> None:
    [said] = cli("migrate", "web.1", "--to", "n2", "--json", answer=answer).objects
    assert (said["node"], said["frozen_ns"]) == ("n2", 970_000_000)


def test_a_verdict_is_shown_with_the_way_out(cli: Cli) -> None:
    said = cli("migrate", "web.1", "--to", "n2", "--check", answer=answer)
    assert (said.status, said.lines) == (
        1,
        ["ok       node n1: fine", "blocks   node n2: CRIU does not work", "         install CRIU 4"],
    )


def test_what_stays_is_said(cli: Cli) -> None:
    said = cli("migrate", "web.1", "--to", "n9", answer=answer)
    assert (said.status, said.out) == (1, "")
    assert said.err == "containerd-bridge: container web.1 was not moved, and runs on on node n1: no n9\n"


def test_one_that_hangs_is_taken_back(cli: Cli) -> None:
    sender = SmallSender(answer, ("n1",))
    assert cli("migrate", "web.1", "--abandon", "--force", sender=sender) == (0, "web.1\n", "")
    [asked] = [one for one in sender.asked if one.subject.verb == "migrate-abandon"]
    assert asked.options == {"force": True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --to NODE, or --abandon for a migration that hangs"),
        (["--to", "n2", "--abandon"], "give --to NODE, or --abandon for a migration that hangs"),
        (["--to", "n2", "--pre-copy", "some"], "--pre-copy 'some' is no number of rounds: give one, or auto"),
        (["--to", "n2", "--cgroups-mode", "none"], "Invalid enum value 'none'"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_connected(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    class Never(AsyncExitStack):
        async def __aenter__(self) -> Any:
            pytest.fail("it connects")

    assert main(["migrate", "web.1", *arguments], connect=lambda *_, **__: Never()) == 2
    assert capsys.readouterr().err.startswith(f"containerd-bridge: {said}")
