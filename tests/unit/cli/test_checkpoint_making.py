"""`containerd-bridge checkpoint create` and `restore`: what is asked of whom, and what is printed."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.model.checkpoints import ArchiveFacts, Finding, Verdict
from bridge.model.outcomes import Checkpointed, Restored
from bridge.model.subjects import CommandSubject
from tests.contract.catalogues import record
from tests.unit.cli.conftest import Cli
from tests.unit.cli.test_checkpoints import ONE, catalogue_of
from tests.unit.client.small_bus import SmallSender, containers_at, info

KNOWN = containers_at({"n1": [info("web.1", "k8s.io")], "n2": []})
RISK = Finding(check="execs", level="risk", says="one exec is alive", way_out="end it first")
BLOCKS = Finding(check="criu", level="blocks", says="CRIU is missing", way_out="install it")
FINE = Finding(check="kernel", level="ok", says="it is the same")


def answers(*found: Finding) -> Any:
    def answer(at: CommandSubject, options: dict[str, Any]) -> Any:
        if at.verb == "list":
            return KNOWN(at, options)
        if at.verb == "checkpoint":
            made = (
                None
                if options.get("check")
                else record(ONE, ArchiveFacts(size=1, digest="sha256:" + "0" * 64, unpacked=1))
            )
            return Checkpointed(verdict=Verdict(findings=list(found)), record=made)
        return Restored(verdict=Verdict(findings=list(found)), container=at.container or "", pid=7)

    return answer


def asked(sender: SmallSender, verb: str) -> list[tuple[str, str | None, str | None, dict[str, Any]]]:
    return [
        (
            one.subject.node,
            one.subject.namespace,
            one.subject.container,
            {k: v for k, v in one.options.items() if k != "id"},
        )
        for one in sender.asked
        if one.subject.verb == verb
    ]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {}),
        (["--to", "catalogue"], {}),
        (["--to", "image=example.org/x:1"], {"to": "image", "target": "example.org/x:1"}),
        (["--to", "dir=/srv/a=b"], {"to": "dir", "target": "/srv/a=b"}),
        (["--to", "file=/srv/c.tar"], {"to": "file", "target": "/srv/c.tar"}),
        (["--name", "c1", "--exit", "--no-rw"], {"name": "c1", "exit": True, "rw": False}),
        (["--tcp-established", "--no-file-locks"], {"tcp_established": True, "file_locks": False}),
        (["--ext-unix", "--terminal", "--link-remap"], {"ext_unix": True, "terminal": True, "link_remap": True}),
        (["--empty-ns", "network", "--force"], {"empty_ns": ["network"], "force": True}),
    ],
)
def test_what_is_wanted_is_asked_for(cli: Cli, arguments: list[str], options: dict[str, Any]) -> None:
    sender = SmallSender(answers(FINE))
    assert cli("checkpoint", "create", "web.1", *arguments, sender=sender) == (0, f"{ONE.token}\n", "")
    assert asked(sender, "checkpoint") == [("n1", "k8s.io", "web.1", options)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--to", "image"], "'image' is no place for a checkpoint: give catalogue, image=NAME"),
        (["--to", "catalogue=x"], "'catalogue=x' is no place"),
        (["--to", "dir="], "'dir=' is no place"),
        (["--to", "moon=x"], "'moon=x' is no place"),
        (["--name", "../x"], "'../x' is no name of a checkpoint"),
        (["--empty-ns", "mount"], "empty_ns"),
    ],
)
def test_what_cannot_be_right_is_wrong_usage(cli: Cli, arguments: list[str], sentence: str) -> None:
    said = cli("checkpoint", "create", "web.1", *arguments, answer=answers())
    assert said.status == 2
    assert sentence in " ".join(said.err.split())


def test_what_may_go_wrong_is_said_beside_what_was_made(cli: Cli) -> None:
    said = cli("checkpoint", "create", "web.1", answer=answers(FINE, RISK))
    assert said == (0, f"{ONE.token}\n", "containerd-bridge: one exec is alive: end it first\n")


@pytest.mark.parametrize(("found", "status"), [([FINE, RISK], 0), ([FINE, BLOCKS], 1)])
def test_a_check_shows_all_findings_and_fails_where_one_blocks(cli: Cli, found: list[Finding], status: int) -> None:
    said = cli("checkpoint", "create", "web.1", "--check", answer=answers(*found))
    assert said.status == status
    assert said.lines[0].split() == ["LEVEL", "CHECK", "FOUND", "WAY", "OUT"]
    assert [line.split()[0] for line in said.lines[1:]] == [one.level for one in found]


def test_a_checkpoint_is_restored_where_it_was_made_under_its_own_id(cli: Cli) -> None:
    sender = SmallSender(answers())
    said = cli("checkpoint", "restore", "c1", sender=sender, checkpoints=catalogue_of(ONE))
    assert said == (0, "web.1\n", "")
    assert asked(sender, "restore") == [("n1", "default", "web.1", {"checkpoint": ONE.token})]


def test_clones_are_as_many_containers_on_the_node_that_is_named(cli: Cli) -> None:
    sender = SmallSender(answers())
    options = ["--as", "copy", "--clone", "3", "--tcp-close", "--node", "n2", "-n", "shop", "--trust"]
    said = cli("checkpoint", "restore", "c1", *options, sender=sender, checkpoints=catalogue_of(ONE))
    assert said.lines == ["copy-1", "copy-2", "copy-3"]
    found = asked(sender, "restore")
    assert [each[:3] for each in found] == [("n2", "shop", f"copy-{n}") for n in (1, 2, 3)]
    assert found[0][3] == {"checkpoint": ONE.token, "tcp_close": True, "trust": True}
    assert len({one.by_default["id"] for one in sender.asked if one.subject.verb == "restore"}) == 3


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ([], 2, "one thing is restored: a NAME in the catalogue, or --image, --dir or --file"),
        (["c1", "--dir", "/srv/x"], 2, "one thing is restored"),
        (["--dir", "/srv/x"], 2, "give one with --as"),
        (["c1", "--as", "../x"], 2, "container id"),
    ],
)
def test_what_cannot_be_restored_is_wrong_usage(cli: Cli, arguments: list[str], status: int, sentence: str) -> None:
    said = cli("checkpoint", "restore", *arguments, answer=answers(), checkpoints=catalogue_of(ONE))
    assert said.status == status
    assert sentence in " ".join(said.err.split())
