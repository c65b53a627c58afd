"""`ps` and `list`: from the nodes, from what is kept beside the log, and from the log at a point."""

from __future__ import annotations

import re

import pytest

from bridge.model.nanos import Nanos, now
from bridge.ports import StoredEvent
from tests.unit.cli.conftest import Cli, Said
from tests.unit.cli.listed import HOUR, KNOWN, one_refuses
from tests.unit.cli.recorded import SECOND, THEN, beat, state
from tests.unit.client.small_bus import kept

# -- ps, list


def test_ps_shows_what_runs(cli: Cli) -> None:
    said = cli("ps", answer=KNOWN)

    assert said.lines == [
        "NODE   NAMESPACE   CONTAINER   IMAGE     STATUS    PID   CREATED       NAME",
        "n1     default     a           busybox   running   7     3 hours ago",
        "n1     default     c           busybox   paused    7     3 hours ago",
    ]


def test_ps_all_shows_how_the_others_ended(cli: Cli) -> None:
    said = cli("ps", "--all", answer=KNOWN)

    assert [tuple(re.split(r"\s{3,}", line)[2:5:2]) for line in said.lines[1:]] == [
        ("a", "running"),
        ("b", "exited (3)"),
        ("c", "paused"),
        ("d", "created"),
        ("e", "-"),
        ("f", "exited (?)"),
    ]
    assert said.lines[5].endswith(r"web\x1b")


def test_list_shows_all_of_every_node(cli: Cli) -> None:
    assert cli("list", "-q", answer=KNOWN, nodes=["n1", "n2"]).lines == ["a", "b", "c", "d", "e", "f", "z"]


def test_a_node_that_fails_does_not_hide_the_others(cli: Cli) -> None:
    said = cli("ps", "-q", answer=one_refuses, nodes=["n1", "n2"])

    assert said == (1, "a\nc\n", "containerd-bridge: n2: list is off\n")


def test_no_node_at_all_is_said(cli: Cli) -> None:
    said = cli("ps", nodes=[])

    assert said.status == 1
    assert "no node on this bus takes commands" in said.err


def test_ps_as_json_is_the_structs(cli: Cli) -> None:
    assert [one["id"] for one in cli("ps", "--json", answer=KNOWN).objects] == ["a", "c"]


# -- ps --at


def rows(said: Said) -> list[tuple[str, str]]:
    return [tuple(re.split(r"\s{3,}", line)[2:5:2]) for line in said.lines[1:]]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-23T12:00:00Z", [("job", "unknown")]),  # its first events have expired
        ("2026-11-23T12:00:10Z", [("job", "running"), ("web", "running")]),
        ("2026-11-23T12:00:20Z", [("job", "exited (3)"), ("web", "running")]),
        ("4", [("job", "running"), ("web", "running")]),
        ("2026-11-23T12:00:45Z", [("web", "running")]),
    ],
)
def test_ps_at_shows_what_was_then(cli: Cli, at: str, expected: list[tuple[str, str]]) -> None:
    said = cli("ps", "--all", "--at", at, events=THEN)

    assert rows(said) == expected
    assert (said.status, said.err) == (0, "")


def test_ps_at_chooses_like_everything_else(cli: Cli) -> None:
    at = ("--at", "2026-11-23T12:00:24Z")

    assert rows(cli("ps", *at, events=THEN)) == [("web", "running")]
    assert rows(cli("ps", *at, "--all", "--label", "app!=web", events=THEN)) == [("job", "exited (3)")]
    assert rows(cli("ps", *at, "--exit-status", "!=0", events=THEN)) == [("job", "exited (3)")]
    assert rows(cli("ps", *at, "--image", "nginx", "--name", "w*", events=THEN)) == [("web", "running")]
    assert cli("ps", *at, "-q", "--all", events=THEN).lines == ["job", "web"]
    assert [one["status"] for one in cli("ps", *at, "--json", events=THEN).objects] == ["running"]


def test_ps_at_a_time_that_nobody_saw_says_so(cli: Cli) -> None:
    said = cli("ps", "--at", "2026-11-23T12:00:30Z", events=THEN)

    [(container, status)] = rows(said)
    assert container == "web"
    assert re.fullmatch(r"running, \d+ \w+ ago", status)
    assert said.status == 0
    assert said.err == (
        "containerd-bridge: n1: what happened there since 2026-11-23 12:00:25.000 until 2026-11-23 12:00:35.000 "
        "is not known: its bridge did not follow containerd (lost)\n"
    )
    [told] = cli("ps", "--at", "2026-11-23T12:00:30Z", "--json", events=THEN).objects
    assert told["doubt"]["until"] == "2026-11-23T12:00:35.000000000Z"


def test_ps_at_a_time_before_the_log_is_refused(cli: Cli) -> None:
    said = cli("ps", "--at", "2026-11-23T11:00:00Z", events=THEN[1:])

    assert said.status == 2
    assert "2026-11-23T11:00:00Z lies before the log, which begins with event 2" in said.err


def test_wrong_options_of_ps_are_wrong_usage(cli: Cli) -> None:
    for arguments, sentence in (
        (["--at", "never"], "'never' is no point in the log"),
        (["--at", "1", "--live"], "--live asks the nodes, which only know of now: leave out --at"),
        (["--label", "=x"], "'=x' chooses by no label"),
        (["--exit-status", "no"], "'no' is no exit status"),
        (["--name", ""], "an empty pattern chooses no name"),
    ):
        said = cli("ps", *arguments)

        assert said.status == 2, arguments
        assert sentence in said.err


# -- ps from what is kept


KEPT = kept(
    state("a", image="busybox", pid=7, created_at=Nanos(now() - 3 * HOUR - 60 * SECOND), name="shop"),
    state("b", "stopped", exited=True, exit_status=3, labels={"app": "web"}),
    state("c", "paused"),
    state("d", "created"),
    state("e", "none"),
    state("f", "stopped", exited=True),
    state("g", "gone"),
    state("z", node="n2"),
)


def beats() -> list[StoredEvent]:
    return [beat("n1"), beat("n2")]


def test_ps_shows_what_is_kept_of_all_nodes(cli: Cli) -> None:
    said = cli("ps", states=KEPT, events=beats(), nodes=[])

    assert said.lines == [
        "NODE   NAMESPACE   CONTAINER   IMAGE     STATUS    PID   CREATED       NAME",
        "n1     default     a           busybox   running   7     3 hours ago   shop",
        "n1     default     c           -         paused    -     -",
        "n2     default     z           -         running   -     -",
    ]
    assert (said.status, said.err) == (0, "")


def test_ps_all_shows_how_the_others_are_and_not_those_that_are_gone(cli: Cli) -> None:
    assert rows(cli("ps", "-a", "--node", "n1", states=KEPT, events=beats())) == [
        ("a", "running"),
        ("b", "exited (3)"),
        ("c", "paused"),
        ("d", "created"),
        ("e", "-"),
        ("f", "exited (?)"),
    ]


def test_ps_chooses_from_what_is_kept(cli: Cli) -> None:
    assert cli("ps", "-q", "--exit-status", "!=0", "--label", "app", states=KEPT, events=beats()).lines == ["b"]
    assert cli("ps", "-q", "--name", "sh*", "--image", "busybox", states=KEPT, events=beats()).lines == ["a"]
    assert [one["container"] for one in cli("ps", "--json", states=KEPT, events=beats()).objects] == ["a", "c", "z"]


def test_a_node_that_is_not_heard_is_shown_as_such(cli: Cli) -> None:
    said = cli("ps", states=KEPT, events=[beat("n1"), beat("n2", 2 * HOUR / SECOND)])

    assert rows(said) == [("a", "running"), ("c", "paused"), ("z", "running, 2 hours ago")]
    assert said.status == 0
    assert re.fullmatch(
        r"containerd-bridge: n2: what happened there since [-0-9]+ [:.0-9]+ is not known: its bridge is silent\n",
        said.err,
    )


def test_a_node_that_the_log_knows_nothing_of_any_more_is_shown_as_such(cli: Cli) -> None:
    said = cli("ps", "--node", "n2", states=KEPT, events=[beat("n1")])

    assert rows(said) == [("z", "running?")]
    assert said.err == ("containerd-bridge: n2: what happened there is not known: the log has no sign of its bridge\n")


def test_ps_live_asks_the_nodes(cli: Cli) -> None:
    assert cli("ps", "-q", "--live", "--name", "a", states=KEPT, answer=KNOWN).lines == ["a"]
    assert cli("ps", "-q", "--live", states=KEPT, answer=KNOWN).lines == ["a", "c"]


def test_where_nothing_is_kept_the_nodes_are_asked(cli: Cli) -> None:
    assert cli("ps", "-q", states=kept(), answer=KNOWN).lines == ["a", "c"]
    assert cli("ps", "-q", states=None, answer=KNOWN).lines == ["a", "c"]


def test_where_nothing_is_kept_and_nobody_answers_there_is_nothing(cli: Cli) -> None:
    said = cli("ps", states=kept(), nodes=[])

    assert (said.status, len(said.lines), said.err) == (0, 1, "")


def test_a_store_that_does_not_answer_is_said(cli: Cli) -> None:
    store = kept(state("a"))
    with store.down():
        said = cli("ps", states=store, answer=KNOWN)

    assert said == (1, "", "containerd-bridge: the bucket does not answer: it is down\n")
