"""JSON Schema 2020-12 of everything that crosses the bus, for readers in every other language.

Generated from the structs, so that it cannot say anything else than they do: `python -m bridge.model.schema` writes the
files under `schemas/`, `--check` tells whether they are up to date.

    <type>.json            data of one kind of event; the envelope's `dataschema` names this file
    envelope.json          the whole CloudEvent, its `data` by its `type`
    command.<verb>.json    body of a command
    outcome.<verb>.json    the reply to it
    node.json              a node's record in the bucket of nodes
    state.json             a container's state in the bucket of states
    command-state.json     how a command stands, in the bucket of commands
    stdio.credit.json      what an owner of a process has read
    stdio.input-reply.json the reply to a piece of input
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from bridge.model.commands import COMMANDS
from bridge.model.envelope import EVENT_TYPES, Recorded
from bridge.model.envelope import Sequence as EventNumber
from bridge.model.nanos import Nanos
from bridge.model.nodes import NodeRecord
from bridge.model.outcomes import CommandState, Outcome
from bridge.model.state import ContainerState
from bridge.model.stdio import Credit, InputReply

__all__ = ["DIRECTORY", "dataschema_of", "schemas"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DIRECTORY: Final = "schemas"

_TEXT_FORMS: dict[type, dict[str, Any]] = {
    Nanos: {
        "type": "string",
        "format": "date-time",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z$",
        "description": "RFC 3339, UTC, nine fractional digits.",
    },
    EventNumber: {
        "type": "string",
        "pattern": "^[0-9]{20}$",
        "description": "Decimal, padded with zeros so that text order is number order.",
    },
}


def dataschema_of(kind: type[Any]) -> str:
    """Return the CloudEvents attribute `dataschema` for an event's struct: the file that describes its data."""
    return f"{DIRECTORY}/{kind.type}.json"


def schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by the name of its file."""
    return dict(_all())


def _all() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "envelope.json", _envelope()
    for name, event in EVENT_TYPES.items():
        yield f"{name}.json", _schema(event, f"{name}.json")
    for verb, command in COMMANDS.items():
        yield f"command.{verb}.json", _schema(command, f"command.{verb}.json")
        yield f"outcome.{verb}.json", _outcome(verb, command.result)
    yield "node.json", _schema(NodeRecord, "node.json")
    yield "state.json", _schema(ContainerState, "state.json")
    yield "command-state.json", _schema(CommandState, "command-state.json")
    yield "stdio.credit.json", _schema(Credit, "stdio.credit.json")
    yield "stdio.input-reply.json", _schema(InputReply, "stdio.input-reply.json")


def _schema(kind: Any, file: str) -> dict[str, Any]:
    return {"$schema": DIALECT, "$id": file, **_generated(kind)}


def _generated(kind: Any) -> dict[str, Any]:
    schema = msgspec.json.schema(kind, schema_hook=_TEXT_FORMS.__getitem__)
    for definition in schema.get("$defs", {}).values():
        if "description" in definition:
            # Of a docstring only the first paragraph: the rest is about Python.
            definition["description"] = " ".join(definition["description"].split("\n\n")[0].split())
    return schema


def _envelope() -> dict[str, Any]:
    schema = _schema(Recorded[Any], "envelope.json")
    [name] = [name for name in schema["$defs"] if name.startswith("Recorded")]
    body = schema["$defs"].pop(name)
    body["oneOf"] = [
        {"properties": {"type": {"const": kind}, "data": {"$ref": f"{kind}.json"}}} for kind in sorted(EVENT_TYPES)
    ]
    del schema["$ref"]
    if not schema["$defs"]:
        del schema["$defs"]
    return {**schema, **body, "title": "Recorded"}


def _outcome(verb: str, result: type[Struct]) -> dict[str, Any]:
    schema = _schema(Outcome, f"outcome.{verb}.json")
    results = _generated(result)
    schema["$defs"] |= results["$defs"]
    properties = schema["$defs"]["Outcome"]["properties"]
    properties["verb"] = {"const": verb}
    properties["result"] = {"anyOf": [{"$ref": results["$ref"]}, {"type": "null"}], "default": None}
    return schema


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with `--check` compare them; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bridge.model.schema", description="Write schemas/ from bridge.model."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name what is not up to date")
    parser.add_argument("--directory", type=Path, default=Path(DIRECTORY), help="where the files are")
    options = parser.parse_args(arguments)
    directory: Path = options.directory
    wanted = {name: _text(schema) for name, schema in schemas().items()}
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
