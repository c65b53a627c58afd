"""The JSON Schemas say what is really sent: every encoded event, command and outcome is valid, and mistakes are not.

They are really of 2020-12, each is whole by itself, and each says in words what it is about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bridge.model import schema as schema_module
from bridge.model.catalogue import DOCUMENTS, addresses, document, full_name, index, short_names
from bridge.model.codec import encode, encode_any
from bridge.model.commands import COMMANDS
from bridge.model.envelope import EVENT_TYPES
from bridge.model.outcomes import Outcome
from bridge.model.schema import DIALECT, dataschema_of, schemas
from bridge.model.subjects import ContainerKey, StdioSubject, Subjects
from tests import valid
from tests.unit.model.examples import recorded, structs

ROOT = Path(__file__).parent.parent.parent
SCHEMAS = schemas()


def validator(name: str) -> Draft202012Validator:
    # No registry: a schema that referred to another file would not be found.
    return Draft202012Validator(SCHEMAS[name], format_checker=Draft202012Validator.FORMAT_CHECKER)


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


OLDER: frozenset[str] = frozenset({"definitions", "dependencies", "additionalItems", "id", "divisibleBy", "extends"})
"""Keywords of dialects before 2020-12. `id` is one only where it stands for a schema's name, which is a text."""


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema in a schema, itself included; what `properties` and the like hold, are schemas by names of others."""
    if isinstance(schema, list):
        for each in schema:
            yield from parts(each)
    elif isinstance(schema, dict):
        yield schema
        for keyword, value in schema.items():
            if keyword in {"properties", "$defs"}:
                yield from parts(list(value.values()))
            elif keyword not in {"examples", "enum", "const", "default"}:
                yield from parts(value)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_file_is_a_json_schema_of_2020_12(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert (SCHEMAS[name]["$schema"], SCHEMAS[name]["$id"]) == (DIALECT, name)
    for part in parts(SCHEMAS[name]):
        assert OLDER.isdisjoint(part), part
        assert not isinstance(part.get("items"), list), part


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_file_says_what_it_and_everything_in_it_means(name: str) -> None:
    assert {"title", "description"} <= SCHEMAS[name].keys()
    for part in parts(SCHEMAS[name]):
        for called, property_ in part.get("properties", {}).items() if "title" in part else ():
            assert property_.get("description"), (
                f"{part['title']}.{called}: say it in its docstring or in wording.FIELDS"
            )
            if called.endswith("_ns") and called != "empty_ns":
                assert "nanosecond" in property_["description"].lower(), called


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.word)
def test_dataschema_leads_to_the_schema_of_the_events_data(kind: type[Any]) -> None:
    called = dataschema_of(kind)
    scheme, _, path = called.partition(":")
    assert scheme == "containerd-bridge"  # CloudEvents: an absolute URI
    assert (ROOT / path).is_file()
    assert full_name(called) == full_name(path) == kind.type


# -- what there is


def test_every_schema_and_document_is_found_by_each_of_its_names() -> None:
    for short, name in short_names().items():
        for called in (short, name, f"{name}.json", f"schemas/{name}.json", f"containerd-bridge:schemas/{name}.json"):
            assert full_name(called) == name
    assert document("exit") == SCHEMAS["io.containerd.task.exit.v1.json"]
    assert sorted(f"{name}.json" for name in short_names().values()) == sorted(SCHEMAS)
    for name in DOCUMENTS:
        assert document(name) == json.loads((ROOT / "schemas" / f"{name}.json").read_text("utf-8"))
    assert document("nobody") is None


def test_the_index_has_every_file_once() -> None:
    files = [entry["file"] for entry in index()["schemas"]]
    assert sorted(files) == sorted(SCHEMAS)
    assert all(entry["description"] for entry in index()["schemas"])


def test_the_subjects_are_those_of_the_contract() -> None:
    subjects, place = Subjects("root"), ("n=1", "k8s.io", "web.1")
    found = addresses("root")
    tokens = {"node": "n=3D1", "namespace": "k8s=2Eio", "container": "web=2E1", "command": "c-1", "process": "-"}

    def filled(name: str) -> str:
        return found[name].format_map(tokens)

    for name, event in EVENT_TYPES.items():
        on_node = subjects.node(place[0], event.word)
        assert filled(name) in {on_node, subjects.event(*place, event.word)}
        assert (filled(name) == on_node) == ("node" in name or "image" in name)
    for verb, command in COMMANDS.items():
        namespace = None if command.targets == "node" else place[1]
        container = place[2] if command.targets in {"container", "any"} else None
        assert filled(f"command.{verb}") == subjects.command(place[0], namespace, container, verb)
    assert filled("progress") == subjects.progress(place[0], "c-1")
    assert filled("stdio.credit") == subjects.stdio(StdioSubject(*place, None, "credit"))
    assert filled("state") == f"$KV.{subjects.state_bucket}.{subjects.state_key(ContainerKey(*place))}"
    assert filled("command-state") == f"$KV.{subjects.command_bucket}.{subjects.command_key(*place, 'c-1')}"


# -- what is valid


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
        ("type", "exit"),
        ("source", "n/d"),
        ("time", "2026-11-23T21:43:48Z"),
        ("sequence", "7"),
        ("origin", "invented"),
        ("data", {"container_id": "a"}),
        ("data", {"container_id": "a", "id": "a", "exit_status": "3"}),
    ],
)
def test_an_envelope_with_a_mistake_is_not_valid(field: str, value: Any) -> None:
    assert not validator("envelope.json").is_valid(exit_event() | {field: value})


def test_an_event_of_a_type_that_is_not_known_here_is_valid() -> None:
    """Old readers survive new events."""
    validator("envelope.json").validate(exit_event() | {"type": "io.containerd.later.v1", "data": {"what": "ever"}})


def test_a_command_with_an_option_that_it_does_not_have_is_not_valid() -> None:
    assert not validator("command.kill.json").is_valid({"signl": "KILL"})


# -- what other tests go by


def test_messages_that_are_not_valid_fail_the_test_that_comes_by_them() -> None:
    valid.event(exit_event())
    with pytest.raises(AssertionError, match=r"exit_status: '3' is not valid"):
        valid.event(exit_event() | {"data": {"container_id": "a", "id": "a", "exit_status": "3"}})
    with pytest.raises(AssertionError, match="'fine' is not one of"):
        valid.message("outcome.pause", {"id": "x", "verb": "pause", "node": "n", "outcome": "fine"})
