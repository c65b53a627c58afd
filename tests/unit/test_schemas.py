"""The JSON Schemas say what is really sent: every encoded event, command and outcome is valid, and mistakes are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from bridge.model import schema as schema_module
from bridge.model.codec import encode, encode_any
from bridge.model.commands import COMMANDS
from bridge.model.envelope import EVENT_TYPES
from bridge.model.outcomes import Outcome
from bridge.model.schema import dataschema_of, schemas
from tests.unit.model.examples import recorded, structs

ROOT = Path(__file__).parent.parent.parent
SCHEMAS = schemas()
REGISTRY: Registry[Any] = Registry().with_resources(
    [(name, Resource.from_contents(contents)) for name, contents in SCHEMAS.items()]
)


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(SCHEMAS[name], registry=REGISTRY, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_the_committed_files_are_up_to_date() -> None:
    assert schema_module.main(["--check", "--directory", str(ROOT / "schemas")]) == 0


def test_a_file_that_is_not_up_to_date_or_too_many_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema_module.main(["--directory", str(tmp_path)])
    (tmp_path / "envelope.json").write_text("{}")
    (tmp_path / "left-over.json").write_text("{}")
    assert schema_module.main(["--check", "--directory", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "envelope.json" in said
    assert "left-over.json" in said
    schema_module.main(["--directory", str(tmp_path)])
    assert schema_module.main(["--check", "--directory", str(tmp_path)]) == 0


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_file_is_a_json_schema(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.word)
def test_dataschema_names_the_file_of_the_events_data(kind: type[Any]) -> None:
    assert (ROOT / dataschema_of(kind)).is_file()


# Times are kept to what RFC 3339 can say; the codec's own tests go beyond.
@given(st.data(), st.sampled_from(sorted(EVENT_TYPES)))
def test_every_event_is_valid_under_the_schema_of_its_type_and_of_the_envelope(data: st.DataObject, name: str) -> None:
    event = json.loads(encode(data.draw(recorded(structs(EVENT_TYPES[name])))))
    validator("envelope.json").validate(event)
    validator(f"{name}.json").validate(event["data"])


@given(st.data(), st.sampled_from(sorted(COMMANDS)))
def test_every_command_and_its_outcome_are_valid(data: st.DataObject, verb: str) -> None:
    command = data.draw(structs(COMMANDS[verb]))
    validator(f"command.{verb}.json").validate(json.loads(encode_any(command)))
    result = data.draw(st.none() | structs(COMMANDS[verb].result))
    outcome = Outcome(id="x", verb=verb, node="n", outcome="ok", result=result)
    validator(f"outcome.{verb}.json").validate(json.loads(encode_any(outcome)))


def exit_event() -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "id": "x",
        "source": "/containerd/n/d",
        "type": "io.containerd.task.exit.v1",
        "position": "l:1",
        "origin": "live",
        "time": "2026-11-23T21:43:48.000000001Z",
        "recordedtime": "2026-11-23T21:43:48.000000001Z",
        "data": {"container_id": "a", "id": "a"},
    }


def test_the_example_is_valid_before_it_is_spoilt() -> None:
    validator("envelope.json").validate(exit_event())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("specversion", "0.3"),
        ("type", "io.containerd.nobody.v1"),
        ("time", "2026-11-23T21:43:48Z"),
        ("sequence", "7"),
        ("origin", "invented"),
        ("data", {"container_id": "a"}),
        ("data", {"container_id": "a", "id": "a", "exit_status": "3"}),
    ],
)
def test_an_envelope_with_a_mistake_is_not_valid(field: str, value: Any) -> None:
    assert not validator("envelope.json").is_valid(exit_event() | {field: value})


def test_a_command_with_an_option_that_it_does_not_have_is_not_valid() -> None:
    assert not validator("command.kill.json").is_valid({"signl": "KILL"})
