"""JSON Schema 2020-12 of everything that crosses the bus, for readers in every other language.

Generated from the structs, so that it cannot say anything else than they do: `python -m bridge.model.schema` writes the
files under `schemas/`, `--check` tells whether they are up to date, `--release` freezes them as what later versions are held to.

    <type>.json            data of one kind of event; the envelope's `dataschema` names this file
    envelope.json          the whole CloudEvent, its `data` by its `type`: this file alone judges a message of the log
    command.<verb>.json    body of a command
    outcome.<verb>.json    the reply to it
    command-state.json     how a command stands, in the bucket of commands
    state.json             a container's state in the bucket of states
    node.json              a node's record in the bucket of nodes
    checkpoint.json        a checkpoint's record in the bucket of checkpoints
    migration.json         how a migration is, in the bucket of migrations
    progress.json          how far a long command has come
    stdio.credit.json      what an owner of a process has read
    stdio.input-reply.json the reply to a piece of input
    index.json             what each of these is for, and on which subject
    asyncapi.json          all of it as one AsyncAPI 3 document

A schema refers to nothing outside of itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from bridge.model.checkpoints import CheckpointRecord
from bridge.model.commands import COMMANDS, Command
from bridge.model.envelope import EVENT_TYPES, Recorded
from bridge.model.envelope import Sequence as EventNumber
from bridge.model.kinds import schema_of
from bridge.model.migrations import Migration
from bridge.model.nanos import Nanos
from bridge.model.nodes import NodeRecord
from bridge.model.outcomes import CommandState, Judged, Outcome, Progress
from bridge.model.state import ContainerState
from bridge.model.stdio import Credit, InputReply
from bridge.model.wording import meaning, structs_in, summary

__all__ = ["DIALECT", "DIRECTORY", "RECORDS", "SCHEME", "dataschema_of", "described", "form_of", "schemas"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DIRECTORY: Final = "schemas"
RELEASED: Final = "released"
REFERENCE: Final = "#/$defs/{name}"
SCHEME: Final = "containerd-bridge"
"""CloudEvents wants an absolute URI as `dataschema`. What follows is the file, and a name that every bridge knows on the bus."""

RECORDS: Final[dict[str, type[Struct]]] = {
    "node": NodeRecord,
    "state": ContainerState,
    "command-state": CommandState,
    "checkpoint": CheckpointRecord,
    "migration": Migration,
    "progress": Progress,
    "stdio.credit": Credit,
    "stdio.input-reply": InputReply,
}
"""What crosses the bus and is no event, no command and no outcome, by its schema's name."""

_TEXT_FORMS: Final[dict[type, dict[str, Any]]] = {
    Nanos: {
        "type": "string",
        "format": "date-time",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z$",
        "description": "RFC 3339, UTC, nine fractional digits.",
        "examples": ["2026-11-23T21:43:48.000000001Z"],
    },
    EventNumber: {
        "type": "string",
        "pattern": "^[0-9]{20}$",
        "description": "Decimal, padded with zeros so that text order is number order.",
        "examples": ["00000000000000000042"],
    },
}

SENT_FORMS: Final[dict[str, dict[str, Any]]] = {
    "not_after": {
        "anyOf": [{"type": "string", "format": "date-time", "examples": ["2026-11-23T21:43:48Z"]}, {"type": "null"}]
    },
}
"""What is taken of those who send commands, where that is more than what a bridge itself writes."""

ATTRIBUTES: Final[dict[str, dict[str, Any]]] = {
    "id": {"minLength": 1, "examples": ["01KAXW3V6J8Q2Y5T7R9N0M4C1B"]},
    "type": {"pattern": r"^io\.containerd\.[a-z0-9.-]+\.v[0-9]+$", "examples": ["io.containerd.task.exit.v1"]},
    "source": {
        "format": "uri-reference",
        "pattern": "^/containerd/[^/]+(/[^/]+)?$",
        "examples": ["/containerd/n1/default"],
    },
}
"""What of the envelope the struct does not say: its reader looks at it elsewhere."""


def dataschema_of(kind: type[Any]) -> str:
    """Return the CloudEvents attribute `dataschema` for an event's struct: an absolute URI that ends in the file's name."""
    return f"{SCHEME}:{DIRECTORY}/{kind.type}.json"


def form_of(kind: type[Any]) -> dict[str, Any]:
    """Return the schema of a type of ours that is text in JSON; a new one, since whoever gets it adds to it."""
    return dict(_TEXT_FORMS[kind])


def schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by the name of its file."""
    return dict(_all())


def described(definitions: dict[str, Any], kinds: Sequence[Any]) -> None:
    """Put into definitions of structs, as msgspec made them of these types, what they and their fields mean."""
    named = {struct.__name__: struct for kind in kinds for struct in structs_in(kind)}
    for name, definition in definitions.items():
        struct = named.get(name.partition("_")[0])
        if struct is None:
            continue
        definition["description"] = summary(struct)
        if issubclass(struct, Command):
            definition["properties"] |= {field: {**form, "default": None} for field, form in SENT_FORMS.items()}
        for encoded, property_ in definition.get("properties", {}).items():
            said = meaning(struct, encoded)
            form = property_.get("description")
            if said:
                property_["description"] = f"{said} {form[:1].upper()}{form[1:]}" if form else said


def _all() -> Iterator[tuple[str, dict[str, Any]]]:
    data = {name: _schema(event, name) for name, event in EVENT_TYPES.items()}
    yield "envelope.json", _envelope(data)
    for name, schema in data.items():
        yield f"{name}.json", schema
    for verb, command in COMMANDS.items():
        yield f"command.{verb}.json", _schema(command, f"command.{verb}")
        yield f"outcome.{verb}.json", _outcome(verb, command.result)
    for name, record in RECORDS.items():
        yield f"{name}.json", _schema(record, name)


def _schema(kind: Any, name: str) -> dict[str, Any]:
    return {"$schema": DIALECT, "$id": f"{name}.json", **_generated(kind)}


def _generated(kind: Any) -> dict[str, Any]:
    """Return a schema whose root is the struct itself; what it is made of stands in `$defs`."""
    (schema,), definitions = schema_of([kind], form_of, REFERENCE)
    described(definitions, [kind])
    name = schema["$ref"].rpartition("/")[2]
    body = definitions.pop(name)
    if f'"#/$defs/{name}"' in json.dumps([body, definitions]):
        raise TypeError(f"{name} contains itself: a schema of it cannot be at the root")
    return {**body, **({"$defs": definitions} if definitions else {})}


def _envelope(data: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the schema of the whole CloudEvent. A type that it does not know is valid: old readers survive new events."""
    schema = _schema(Recorded[Any], "envelope")
    schema["title"] = "Recorded"
    for name, form in ATTRIBUTES.items():
        schema["properties"][name] |= form
    schema["allOf"] = [
        {
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": {"properties": {"data": {"$ref": f"{name}.json"}}},
        }
        for name in sorted(data)
    ]
    # Each keeps its name (`$id`) in here, as the standard has it for schemas in one file.
    schema["$defs"] = schema.get("$defs", {}) | {name: data[name] for name in sorted(data)}
    return schema


def _outcome(verb: str, result: type[Struct]) -> dict[str, Any]:
    schema = _schema(Outcome, f"outcome.{verb}")
    results, definitions = schema_of([result, Judged], form_of, REFERENCE)
    described(definitions, [result, Judged])
    schema["title"] = f"Outcome of {verb}"
    schema["$defs"] = schema.get("$defs", {}) | definitions
    properties = schema["properties"]
    properties["verb"] = {"const": verb, "description": properties["verb"]["description"]}
    properties["result"] |= {"anyOf": [*results, {"type": "null"}], "default": None}
    return schema


def _text(schema: Any) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with `--check` compare them; return the exit status."""
    from bridge import __version__  # noqa: PLC0415 - the daemon imports this module, and needs none of these
    from bridge.model.asyncapi import asyncapi  # noqa: PLC0415
    from bridge.model.catalogue import index  # noqa: PLC0415

    parser = argparse.ArgumentParser(
        prog="python -m bridge.model.schema", description="Write schemas/ from bridge.model."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name what is not up to date")
    parser.add_argument("--release", action="store_true", help="freeze what there is now as that of this version")
    parser.add_argument("--directory", type=Path, default=Path(DIRECTORY), help="where the files are")
    options = parser.parse_args(arguments)
    directory: Path = options.directory
    wanted = {name: _text(schema) for name, schema in schemas().items()}
    if options.release:
        file = directory / RELEASED / f"{__version__}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(schemas(), separators=(",", ":"), ensure_ascii=False) + "\n", "utf-8")
        sys.stdout.write(f"{file}: {len(wanted)} schemas are frozen as those of {__version__}\n")
        return 0
    wanted |= {"index.json": _text(index()), "asyncapi.json": _text(asyncapi())}
    present = {file.name: file.read_text("utf-8") for file in directory.glob("*.json")}
    differing = sorted(name for name in wanted | present if wanted.get(name) != present.get(name))
    if options.check:
        for name in differing:
            sys.stderr.write(f"{directory / name} is not up to date; run: python -m bridge.model.schema\n")
        return 1 if differing else 0
    directory.mkdir(exist_ok=True)
    for name in differing:
        if name in wanted:
            (directory / name).write_text(wanted[name], "utf-8")
        else:
            (directory / name).unlink()
    sys.stdout.write(f"{directory}: {len(differing)} of {len(wanted)} files changed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
