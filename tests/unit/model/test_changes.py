"""The rule for schemas: what breaks it is found, what it allows is not, and the present schemas keep to it.

They are compared with those of every release, `schemas/released/`; docs/languages.md says how one is added.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from bridge import __version__
from bridge.model import schema as schema_module
from bridge.model.changes import broken
from bridge.model.schema import schemas

RELEASED: Final = sorted((Path(__file__).parents[3] / "schemas" / "released").glob("*.json"))
SCHEMAS: Final = schemas()
EXIT: Final = "io.containerd.task.exit.v1.json"
COMMAND: Final = "io.containerd.bridge.command.v1.json"

Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize("file", RELEASED, ids=lambda file: file.stem)
def test_nothing_of_a_release_is_broken(file: Path) -> None:
    assert broken(json.loads(file.read_text("utf-8")), SCHEMAS) == []


def test_there_is_a_release_to_compare_with() -> None:
    assert RELEASED


def test_a_release_is_frozen_with_one_command(tmp_path: Path) -> None:
    assert schema_module.main(["--release", "--directory", str(tmp_path)]) == 0
    [file] = (tmp_path / "released").iterdir()
    assert file.name == f"{__version__}.json"
    assert json.loads(file.read_text("utf-8")) == SCHEMAS


def changed(file: str, change: Change) -> list[str]:
    now = copy.deepcopy(SCHEMAS)
    change(now[file])
    return broken(SCHEMAS, now)


def of(*path: str) -> Callable[[dict[str, Any]], Any]:
    def found(schema: dict[str, Any]) -> Any:
        for step in path:
            schema = schema[step]
        return schema

    return found


def test_what_has_not_changed_breaks_nothing() -> None:
    assert broken(SCHEMAS, copy.deepcopy(SCHEMAS)) == []


def test_an_event_type_that_is_gone_is_found() -> None:
    now = {name: schema for name, schema in SCHEMAS.items() if name != EXIT}
    assert broken(SCHEMAS, now) == ["io.containerd.task.exit.v1: it is gone"]


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        pytest.param(
            EXIT, lambda one: one["properties"].pop("pid"), "io.containerd.task.exit.v1: pid: it is gone", id="field"
        ),
        pytest.param(
            "state.json",
            lambda one: one["$defs"]["ExecState"]["properties"].pop("added_at"),
            "state: execs[].added_at: it is gone",
            id="field of a part",
        ),
        pytest.param(
            "command.kill.json",
            lambda one: one["properties"].pop("all"),
            "command.kill: all: it is gone",
            id="option",
        ),
        pytest.param(
            "command.kill.json",
            lambda one: one["required"].append("signal"),
            "command.kill: signal: it has to be given now",
            id="option that has to be given",
        ),
        pytest.param(
            "command.stop.json",
            lambda one: one["properties"]["grace"].update(default=99),
            "command.stop: grace: left out it meant",
            id="default",
        ),
        pytest.param(
            EXIT,
            lambda one: one["properties"]["pid"].update(type="string"),
            "io.containerd.task.exit.v1: pid: was integer, is string",
            id="type",
        ),
        pytest.param(
            EXIT,
            lambda one: one["properties"]["exit_status"]["anyOf"][0].update(type="string"),
            "io.containerd.task.exit.v1: exit_status: integer is gone",
            id="type of what may be null",
        ),
        pytest.param(
            EXIT,
            lambda one: one["properties"].update(pid={"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 0}),
            "io.containerd.task.exit.v1: pid: null has come",
            id="null where there was none",
        ),
        pytest.param(
            COMMAND,
            lambda one: one["properties"]["phase"]["enum"].remove("started"),
            "io.containerd.bridge.command.v1: phase: the value 'started' is gone",
            id="value in an event",
        ),
        pytest.param(
            "outcome.kill.json",
            lambda one: one["properties"]["outcome"]["enum"].remove("stale"),
            "outcome.kill: outcome: the value 'stale' is gone",
            id="value in an outcome",
        ),
        pytest.param(
            "command.update.json",
            lambda one: narrow(one, "maximum", -1),
            "command.update: cpu_shares: maximum was 262144, is 262143",
            id="maximum",
        ),
        pytest.param(
            "command.update.json",
            lambda one: narrow(one, "minimum", 1),
            "command.update: cpu_shares: minimum was 2, is 3",
            id="minimum",
        ),
        pytest.param(
            "command.kill.json",
            lambda one: one["properties"]["id"]["anyOf"][0].update(pattern="^a$"),
            "command.kill: id: pattern was",
            id="pattern",
        ),
        pytest.param(
            EXIT,
            lambda one: one["required"].remove("id"),
            "io.containerd.task.exit.v1: id: it was always there",
            id="field that was always there",
        ),
        pytest.param(
            "stdio.credit.json",
            lambda one: one.update(additionalProperties=False),
            "stdio.credit: the message: what is not known is refused now",
            id="what is not known",
        ),
    ],
)
def test_what_breaks_the_rule_is_found_and_named(file: str, change: Change, said: str) -> None:
    found = changed(file, change)
    assert found
    assert found[0].startswith(said)
    place = said.rpartition(": ")[0]
    assert all(one.startswith(place) for one in found)


def narrow(schema: dict[str, Any], bound: str, by: int) -> None:
    for each in of("properties", "cpu_shares", "anyOf")(schema):
        if bound in each:
            each[bound] += by


@pytest.mark.parametrize(
    ("file", "change"),
    [
        pytest.param(EXIT, lambda one: one["properties"].update(why={"type": "string"}), id="field of an event"),
        pytest.param(EXIT, lambda one: one["required"].append("pid"), id="field that is always there now"),
        pytest.param(
            COMMAND, lambda one: one["properties"]["phase"]["enum"].append("paused"), id="new value in an event"
        ),
        pytest.param("command.kill.json", lambda one: one["properties"].update(why={"type": "string"}), id="option"),
        pytest.param("command.update.json", lambda one: narrow(one, "maximum", 1), id="wider bound"),
        pytest.param(EXIT, lambda one: one.update(description="Other words."), id="words"),
    ],
)
def test_what_the_rule_allows_is_not_found(file: str, change: Change) -> None:
    assert changed(file, change) == []


def test_a_new_event_type_breaks_nothing() -> None:
    assert broken(SCHEMAS, SCHEMAS | {"io.containerd.task.exit.v2.json": {"type": "object"}}) == []
