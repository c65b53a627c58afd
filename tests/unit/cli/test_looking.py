"""The commands that only look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.errors import LogRefused
from bridge.model.events import (
    CommandRecorded,
    ContainerCreate,
    ContainerDelete,
    TaskCreate,
    TaskExecStarted,
    TaskExit,
    TaskOOM,
    TaskPaused,
    TaskStart,
)
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import NodeGap, NodeHeartbeat, NodeStopped
from bridge.model.outcomes import InspectResult, PidList, ProcessInfo, VersionInfo
from bridge.model.subjects import CommandSubject
from bridge.ports import StoredEvent
from tests.contract.buckets import record
from tests.unit.cli.conftest import Cli
from tests.unit.cli.listed import CONTAINERS, HOUR, KNOWN
from tests.unit.cli.recorded import NOON, SECOND, THEN, state, stored
from tests.unit.client.small_bus import SmallReader, kept

# -- inspect, pids, nodes, version


def test_inspect_is_an_array_and_shows_what_it_can(cli: Cli) -> None:
    def answer(at: CommandSubject, options: dict[str, Any]) -> Any:
        return KNOWN(at, options) if at.verb == "list" else InspectResult(container=CONTAINERS[0])

    said = cli("inspect", "a", "nope", answer=answer)

    assert said.status == 1
    assert [found["container"]["id"] for found in json.loads(said.out)] == ["a"]
    assert said.err == "containerd-bridge: there is no container nope on n1\n"


def test_pids_tell_execs_apart(cli: Cli) -> None:
    processes = [
        ProcessInfo(pid=7, parent=1, uid=0, name="sh", command=["sh", "-c", "a\nb"], cpu_ns=15 * 10**7, memory=2048),
        ProcessInfo(pid=8, parent=7, uid=0, name="kworker", command=[]),
        ProcessInfo(pid=12345678, exec_id="sh"),
    ]

    said = cli("pids", "a", "-n", "x", "--node", "n1", answer=lambda *_: PidList(processes=processes))

    assert said.lines == [
        "PID        PPID   UID   EXEC   STARTED   CPU    MEMORY    COMMAND",
        r"7          1      0     -      -         0.15   2.0 KiB   sh -c a\nb",
        "8          7      0     -      -         -      -         [kworker]",
        "12345678   -      -     sh     -         -      -         -",
    ]


def test_inspect_brings_the_last_events_along(cli: Cli) -> None:
    def answer(at: CommandSubject, options: dict[str, Any]) -> Any:
        return KNOWN(at, options) if at.verb == "list" else InspectResult(container=CONTAINERS[0])

    log = [stored(TaskPaused(container_id="a"), "a", number=number) for number in range(1, 6)]

    [found] = cli("inspect", "a", "--events", "2", "--json", answer=answer, events=log).objects

    assert [event["sequence"][-1] for event in found["events"]] == ["4", "5"]
    assert cli("inspect", "a", "--json", answer=answer, events=log).objects[0]["events"] == []


def test_nodes_and_what_they_take(cli: Cli) -> None:
    assert cli("nodes").lines == [
        "NODE   VERSION   COMMANDS             SINCE   RENEWED",
        "n1     1         observe, lifecycle   -       -",
    ]


def test_nodes_that_take_no_commands_are_shown_too(cli: Cli) -> None:
    records = [
        record("n0", since=Nanos(now() - 3 * HOUR - 10**9), renewed=Nanos(now() - 5 * 60 * 10**9), version="0.9"),
        record("n1", since=Nanos(now() - 2 * HOUR - 10**9), renewed=Nanos(now() - 3 * 60 * 10**9)),
    ]

    assert [line[:57] for line in cli("nodes", records=records).lines] == [
        "NODE   VERSION   COMMANDS             SINCE         RENEW",
        "n0     0.9       -                    3 hours ago   5 min",
        "n1     1         observe, lifecycle   2 hours ago   3 min",
    ]
    first, second = cli("nodes", "--json", records=records).objects
    assert (first["node"], first["answers"], first["record"]["pid"]) == ("n0", False, 4711)
    assert (second["node"], second["answers"], second["groups"]) == ("n1", True, ["observe", "lifecycle"])


def test_where_the_records_may_not_be_read_the_nodes_that_answer_are_shown(cli: Cli) -> None:
    said = cli("nodes", records=LogRefused("NATS does not permit this login to publish to $JS.API"))

    assert said.status == 0
    assert said.lines[1].startswith("n1     1         observe, lifecycle")
    assert "nodes that take no commands are not shown: NATS does not permit" in said.err


def test_versions_of_all_that_is_involved(cli: Cli) -> None:
    told = VersionInfo(node="n1", bridge="0.1", containerd="v2.1.9", containerd_revision="abc")

    said = cli("version", answer=lambda *_: told)

    assert said.lines[0].startswith("containerd-bridge ")
    assert said.lines[-1].split() == ["n1", "0.1", "v2.1.9", "abc"]


# -- events


def test_events_as_json_are_the_bytes_of_the_log(cli: Cli) -> None:
    event = stored(TaskStart(container_id="x", pid=7), "x")

    assert cli("events", "--json", "--no-follow", events=[event]).out.encode() == event.body + b"\n"
    assert cli("events", "--format", "json", "--no-follow", events=[event]).out.encode() == event.body + b"\n"


def test_an_event_is_one_line_however_it_was_written(cli: Cli) -> None:
    event = stored(TaskStart(container_id="x", pid=7), "x")
    pretty = msgspec.structs.replace(event, body=msgspec.json.format(event.body, indent=2))

    assert cli("events", "--json", "--no-follow", events=[pretty]).out.encode() == event.body + b"\n"


def test_heartbeats_are_only_shown_on_demand(cli: Cli) -> None:
    event = stored(NodeHeartbeat(probe_ns=1))

    assert cli("events", "--json", "--no-follow", events=[event]).out == ""
    assert len(cli("events", "--json", "--no-follow", "-t", "heartbeat", events=[event]).lines) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--label", "app=web"], ["container-create"]),
        (["--name", "jo?"], ["start", "exit", "container-delete"]),
        (["--image", "busybox"], ["start", "exit"]),
        (["--exit-status", "!=0"], ["exit"]),
        (["--exit-status", "0"], []),
        (["--image", "busybox", "--name", "web"], []),
    ],
)
def test_events_are_chosen_by_what_they_say_of_their_container(cli: Cli, options: list[str], words: list[str]) -> None:
    found = cli("events", "--no-follow", "--json", *options, events=THEN).objects

    assert [event["type"].removeprefix("io.containerd.").split(".")[-2] for event in found] == [
        word.rpartition("-")[2] for word in words
    ]


def test_wrong_options_of_events_are_wrong_usage(cli: Cli) -> None:
    for arguments, sentence in (
        (["--since", "never"], "'never' is no point in the log"),
        (["--until", "soon"], "'soon' is no point in the log"),
        (["--type", "bogus"], "'bogus' is no type of event: choose from create"),
        (["--format", "xml"], "'xml' is no format: choose from table, json"),
        (["--container", "a b"], "container id 'a b' is not valid"),
        (["--type", "gap", "--no-node-events"], "only events of nodes were chosen (gap)"),
        (["--type", "start", "--exit-status", "0"], "an exit status chooses ends, and none of start is one"),
        (["--label", ""], "'' chooses by no label"),
    ):
        said = cli("events", *arguments)

        assert said.status == 2, arguments
        assert sentence in said.err


# -- history


LIFE = [
    stored(ContainerCreate(id="x", image="busybox", runtime="runc"), "x", number=1),
    stored(TaskCreate(container_id="x", pid=7, image="busybox"), "x", number=2, after=0.1, incarnation="1"),
    stored(TaskStart(container_id="x", pid=7), "x", number=3, after=0.2, incarnation="1"),
    stored(TaskExit(container_id="x", id="x", exit_status=137), "x", number=4, after=2.7, incarnation="1"),
    stored(TaskCreate(container_id="x", pid=8), "x", number=5, after=60, incarnation="2"),
    stored(TaskStart(container_id="x", pid=8), "x", number=6, after=60.5, incarnation="2"),
    stored(
        CommandRecorded(container_id="x", command_id="1", verb="pause", outcome="ok"),
        "x", number=7, after=61, incarnation="2",
    ),
]  # fmt: skip


def test_history_is_told_task_by_task(cli: Cli) -> None:
    assert cli("history", "x", events=LIFE).lines == [
        "x in namespace default on n1",
        "image busybox, runtime runc",
        "",
        "Before the first task",
        "  2026-11-23 12:00:00.000             container-create  none",
        "",
        "Task 1: ran 2.5 s, exit status 137 (SIGKILL)",
        "  2026-11-23 12:00:00.100  +100 ms    create            created  pid 7",
        "  2026-11-23 12:00:00.200  +100 ms    start             running  pid 7",
        "  2026-11-23 12:00:02.700  +2.5 s     exit              stopped  status 137 (SIGKILL)",
        "",
        "Task 2: runs since 12:01:00.500",
        "  2026-11-23 12:01:00.000  +57.3 s    create            created  pid 8",
        "  2026-11-23 12:01:00.500  +500 ms    start             running  pid 8",
        "  2026-11-23 12:01:01.000  +500 ms    command           running  pause: ok",
    ]


def test_history_shows_where_events_may_be_missing(cli: Cli) -> None:
    gap = NodeGap(since=Nanos(NOON + SECOND), until=Nanos(NOON + 31 * SECOND), reason="socket closed")
    events = [*LIFE[:3], stored(gap, number=4, after=31), stored(gap, number=4, node="n2", after=32), LIFE[4]]

    bounds = "12:00:01.000 to 12:00:31.000 (30.0 s)"
    lines = cli("history", "x", events=events).lines

    assert lines[6:11] == [
        "Task 1: runs since 12:00:00.200",
        "  2026-11-23 12:00:00.100  +100 ms    create            created  pid 7",
        "  2026-11-23 12:00:00.200  +100 ms    start             running  pid 7",
        f"  2026-11-23 12:00:31.000  +30.8 s    gap{' ' * 24}events may be missing: {bounds}, socket closed",
        "",
    ]
    assert not [line for line in lines if "12:00:32" in line]


@pytest.mark.parametrize(
    ("events", "summary"),
    [
        (LIFE[1:2], "Task 1: created"),
        ([LIFE[3]], "Task 1: exit status 137 (SIGKILL)"),
        ([LIFE[2], stored(TaskPaused(container_id="x"), "x", number=4, after=1, incarnation="1")],
         "Task 1: runs since 12:00:00.200, paused since 12:00:01.000"),
        ([LIFE[2], stored(TaskOOM(container_id="x"), "x", number=4, incarnation="1"),
          stored(TaskExit(container_id="x", id="x", exit_status=137), "x", number=5, after=1.2, incarnation="1")],
         "Task 1: ran 1.0 s, exit status 137 (SIGKILL), out of memory"),
        ([LIFE[2], stored(TaskExit(container_id="x", id="x"), "x", number=4, after=1.2, incarnation="1")],
         "Task 1: ran 1.0 s, ended, and nobody saw how"),
        ([LIFE[1], stored(ContainerDelete(id="x"), "x", number=3, incarnation="1")],
         "Task 1: its end is not in the log"),
        ([stored(TaskExecStarted(container_id="x", exec_id="e"), "x", number=9, incarnation="1")],
         "Task 1: began before the log does"),
    ],
)  # fmt: skip
def test_the_heading_of_a_task_says_what_became_of_it(cli: Cli, events: list[StoredEvent], summary: str) -> None:
    assert [line for line in cli("history", "x", events=events).lines if line.startswith("Task")] == [summary]


def test_history_says_what_the_log_has_forgotten(cli: Cli) -> None:
    assert "4 earlier events are no longer in the log" in cli("history", "x", events=LIFE[4:]).lines


def test_the_same_id_in_several_places_is_told_one_after_the_other(cli: Cli) -> None:
    elsewhere = stored(TaskStart(container_id="x"), "x", namespace="a.b", incarnation="1")

    lines = cli("history", "x", events=[LIFE[0], elsewhere, LIFE[1]]).lines

    assert [line for line in lines if " in namespace " in line] == [
        "x in namespace a.b on n1",
        "x in namespace default on n1",
    ]


def test_history_finds_a_container_by_its_name_and_by_the_first_digits_of_its_id(cli: Cli) -> None:
    of_shop = [stored(TaskStart(container_id="abcdef1"), "abcdef1", incarnation="1")]

    class ById(SmallReader):
        async def read(self, filters, start, *, follow):  # type: ignore[no-untyped-def]
            async for event in super().read(filters, start, follow=follow):
                if "abcdef1" in filters[0]:
                    yield event

    store = kept(state("abcdef1", name="shop"), state("abcdxyz", name="other"))

    for name in ("shop", "abcde"):
        said = cli("history", name, reader=ById(of_shop), states=store)
        assert said.lines[0] == "abcdef1 in namespace default on n1"
    for name in ("sho", "abcd"):
        assert cli("history", name, reader=ById(of_shop), states=store, nodes=[]).status == 1


def test_history_of_nobody_is_a_failure(cli: Cli) -> None:
    said = cli("history", "x", answer=KNOWN)

    assert said == (1, "", "containerd-bridge: the log has no events of a container x\n")


def test_history_as_json_is_the_bytes_of_the_log(cli: Cli) -> None:
    assert cli("history", "x", "--json", events=LIFE).out.encode() == b"".join(event.body + b"\n" for event in LIFE)


# -- schema


def test_schema_finds_an_event_by_word_and_by_type(cli: Cli) -> None:
    by_word = json.loads(cli("schema", "exit").out)

    assert by_word == json.loads(cli("schema", "io.containerd.task.exit.v1").out)
    assert by_word["$id"] == "io.containerd.task.exit.v1.json"


def test_schema_names_what_there_is(cli: Cli) -> None:
    names = [line.split()[0] for line in cli("schema").lines]

    assert {"envelope", "exit", "gap", "command.stop", "outcome.stop"} < set(names)
    assert cli("schema", "nope").status == 2


def test_schema_shows_one_asyncapi_document_wherever_it_is_installed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made by the program: where it runs there need be no schemas/."""
    monkeypatch.chdir(tmp_path)
    document = json.loads(cli("schema", "--asyncapi").out)

    assert document["asyncapi"] == "3.0.0"
    assert document == json.loads(cli("schema", "asyncapi", "--json").out)
    assert cli("schema", "exit", "--asyncapi").status == 2


def test_node_events_of_a_stopped_bridge_have_their_reason(cli: Cli) -> None:
    assert (
        cli("events", "--no-follow", events=[stored(NodeStopped(reason="asked to stop"))])
        .lines[-1]
        .endswith("stopped           asked to stop")
    )
