"""`events --format docker` and templates: what comes of each event. See integration/test_docker_events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.cli.docker_events import DockerEvents
from bridge.model import events
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeHeartbeat
from tests.unit.cli.conftest import Cli
from tests.unit.cli.recorded import LIFE_OF_WEB, NOON, SECOND, state, stored

EXIT = events.TaskExit(container_id="web", id="web", exit_status=137, exited_at=Nanos(NOON + 65 * SECOND + SECOND // 2))


def told(*found: Any, running: Any = ()) -> list[dict[str, Any] | None]:
    ours = DockerEvents(running)
    return [ours.told(event.recorded) for event in found]


def test_a_line_is_what_docker_29_prints(cli: Cli) -> None:
    said = cli("events", "--format", "docker", "--no-follow", events=LIFE_OF_WEB)

    attributes = {"app": "web", "image": "docker.io/library/nginx:1", "name": "web"}
    assert said.objects[0] == {
        "Type": "container",
        "Action": "create",
        "Actor": {"ID": "web", "Attributes": attributes},
        "scope": "local",
        "time": NOON // SECOND + 1,
        "timeNano": NOON + SECOND,
    }
    assert [one["Action"] for one in said.objects] == ["create", "start"]
    assert list(said.objects[0]) == ["Type", "Action", "Actor", "scope", "time", "timeNano"]


@pytest.mark.parametrize(
    ("event", "action", "attributes"),
    [
        (events.ContainerDelete(id="web"), "destroy", {}),
        (events.TaskRestored(container_id="web"), "start", {}),
        (events.TaskPaused(container_id="web"), "pause", {}),
        (events.TaskResumed(container_id="web"), "unpause", {}),
        (events.TaskOOM(container_id="web"), "oom", {}),
        (events.ContainerHealth(container_id="web", status="healthy"), "health_status: healthy", {}),
        (events.TaskCheckpointed(container_id="web"), "checkpoint", {}),
        (EXIT, "die", {"exitCode": "137"}),
        (replace(EXIT, exit_status=None), "die", {}),
        (events.TaskExecAdded(container_id="web", exec_id="e1"), "exec_create", {"execID": "e1"}),
        (events.TaskExecStarted(container_id="web", exec_id="e1"), "exec_start", {"execID": "e1"}),
        (
            events.TaskExecExit(container_id="web", id="e1", exit_status=5),
            "exec_die",
            {"execID": "e1", "exitCode": "5"},
        ),
    ],
)
def test_each_event_has_docker_s_word(event: Any, action: str, attributes: dict[str, str]) -> None:
    [one] = told(stored(event, "web"))

    assert one is not None
    assert (one["Action"], one["Actor"]["Attributes"]) == (action, {"name": "web"} | attributes)


@pytest.mark.parametrize(
    ("verb", "options", "expected"),
    [
        ("kill", {"signal": "SIGUSR1"}, ("kill", {"name": "web", "signal": "10"})),
        ("kill", {}, ("kill", {"name": "web", "signal": "15"})),
        ("kill", {"signal": "SIGNEW"}, ("kill", {"name": "web"})),
        ("stop", {}, ("stop", {"name": "web"})),
        ("update", {}, ("update", {"name": "web"})),
        ("kill", {"exec_id": "e1"}, None),
        ("inspect", {}, None),
    ],
)
def test_commands_are_told_where_docker_tells_of_them(verb: str, options: dict[str, Any], expected: Any) -> None:
    done = events.CommandRecorded(container_id="web", command_id="a", verb=verb, outcome="ok", options=options)
    [one] = told(stored(done, "web"))

    assert (None if one is None else (one["Action"], one["Actor"]["Attributes"])) == expected
    for other in (
        replace(done, phase="started", outcome=None),
        replace(done, outcome="failed"),
        replace(done, dry_run=True),
    ):
        assert told(stored(other, "web")) == [None]


def test_what_docker_does_not_tell_is_left_out() -> None:
    deleted, updated = events.TaskDelete(container_id="web"), events.ContainerUpdate(id="web")

    assert told(stored(deleted, "web"), stored(updated, "web"), stored(NodeHeartbeat(probe_ns=1))) == [None] * 3


def test_records_of_docker_s_own_containers_are_no_create_and_no_destroy() -> None:
    labels = {"com.docker/engine.bundle.path": "/run/docker/x", "app": "web"}
    made = events.ContainerCreate(id="web", labels=labels)
    begun = events.TaskStart(container_id="web", labels=labels, name="shop-web-1")
    life = [stored(event, "web", namespace="moby") for event in (made, begun, events.ContainerDelete(id="web"))]

    first, started, last = told(*life)

    assert (first, last) == (None, None)
    assert started is not None
    assert started["Actor"]["Attributes"] == {"app": "web", "name": "shop-web-1"}


def test_how_long_it_ran_is_told_in_whole_seconds_where_its_start_was_seen_or_is_known() -> None:
    start = stored(events.TaskStart(container_id="web"), "web", after=1)
    known = state("web", started_at=Nanos(NOON))
    later = state("web", started_at=Nanos(NOON + 3_600 * SECOND))

    def lasted(*found: Any, running: Any = ()) -> Any:
        last = told(*found, running=running)[-1]
        assert last is not None
        return last["Actor"]["Attributes"].get("execDuration")

    assert lasted(start, stored(EXIT, "web", after=66)) == "64"
    assert lasted(stored(EXIT, "web", after=66), running=[known]) == "65"
    assert lasted(stored(EXIT, "web", after=66), running=[later]) is None
    assert lasted(start, stored(EXIT, "web", after=66), stored(EXIT, "web", after=67)) is None


# -- templates


def test_a_template_has_fields_in_the_places_of_their_names(cli: Cli) -> None:
    template = "{word}\\t{container} {data.labels.app} {data.pid} {stream_sequence} {data.exit_status}|"
    said = cli("events", "--format", template, "--no-follow", events=LIFE_OF_WEB)

    assert said.out.splitlines() == ["container-create\tweb web  1 |", "create\tweb  7 2 |", "start\tweb  7 3 |"]


def test_labels_with_dots_are_found_and_nothing_steers_the_terminal(cli: Cli) -> None:
    made = events.ContainerCreate(id="web", labels={"com.example.app": "a\x1b[31m"})
    said = cli("events", "--format", "{data.labels.com.example.app}", "--no-follow", events=[stored(made, "web")])

    assert said.lines == ["a\\x1b[31m"]


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ("dcoker", "'dcoker' is no format: did you mean docker?"),
        ("yaml", "'yaml' is no format: choose from table, json, docker"),
        ("{nodee}", "'{nodee}': no event has a field 'nodee'; did you mean {node}?"),
        ("{", "'{' is no template: "),
        ("{{json .}}", "'{{json .}}' names no field: give table, json, docker, or a template"),
    ],
)
def test_a_format_that_is_none_is_told_with_what_was_meant(cli: Cli, form: str, sentence: str) -> None:
    said = cli("events", "--format", form)

    assert said.status == 2
    assert sentence in said.err


def test_what_is_printed_is_json_also_of_labels_in_other_scripts(cli: Cli) -> None:
    made = events.ContainerCreate(id="web", labels={"größe": "大"})
    said = cli("events", "--format", "docker", "--no-follow", events=[stored(made, "web")])

    assert json.loads(said.out)["Actor"]["Attributes"] == {"größe": "大", "name": "web"}
