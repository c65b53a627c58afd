"""`containerd-bridge schema`: what crosses the bus, as JSON Schema, for programs in other languages."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from bridge.cli.options import Json
from bridge.cli.terminal import Columns, Terminal
from bridge.model.envelope import WORDS
from bridge.model.schema import schemas

__all__ = ["schema"]


def schema(
    *,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="exit, io.containerd.task.exit.v1, command.stop, outcome.stop, envelope, ..."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the JSON Schema of an event, a command or an outcome.

    Without NAME, which ones there are.
    """
    terminal = Terminal()
    every = _by_name()
    if name is None:
        columns = Columns("NAME", "DESCRIPTION", widths=[max(map(len, every))], gap=3)
        if not as_json:
            terminal.line(columns.header())
        for each, found in every.items():
            if as_json:
                terminal.json({"name": each, "schema": found})
            else:
                terminal.line(columns.line([each, _description(found)]))
        return
    wanted = every.get(name) or schemas().get(f"{name.removesuffix('.json')}.json")
    if wanted is None:
        raise typer.BadParameter(f"there is no schema {name!r}: choose from {', '.join(every)}", param_hint="NAME")
    if as_json:
        terminal.json(wanted)
    else:
        terminal.line(json.dumps(wanted, indent=2, ensure_ascii=False))


def _by_name() -> dict[str, dict[str, Any]]:
    """Return the schemas by short names: an event by its word, the others by their file's name without the ending."""
    words = {event.type: word for word, event in WORDS.items()}
    files = {file.removesuffix(".json"): found for file, found in schemas().items()}
    return {words.get(name, name): found for name, found in files.items()}


def _description(found: dict[str, Any]) -> str:
    reference = str(found.get("$ref", "")).rpartition("/")[2]
    described = found.get("$defs", {}).get(reference, found)
    return str(described.get("description", "")).partition(".")[0]
