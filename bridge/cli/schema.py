"""`containerd-bridge schema`: what crosses the bus, as JSON Schema and AsyncAPI, for programs in other languages.

It is made by this program itself and asks nobody. What another bridge speaks, that bridge tells on `containerd.schemas.<name>`.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from bridge.cli.options import Json
from bridge.cli.terminal import Columns, Terminal
from bridge.model.catalogue import DOCUMENTS, document, short_names
from bridge.model.schema import schemas

__all__ = ["schema"]


def schema(
    *,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="exit, io.containerd.task.exit.v1, command.stop, outcome.stop, envelope, index, ..."
        ),
    ] = None,
    asyncapi: Annotated[bool, typer.Option("--asyncapi", help="Show all of it as one AsyncAPI 3 document.")] = False,
    as_json: Json = False,
) -> None:
    """Show the JSON Schema of an event, a command or an outcome.

    Without NAME, which ones there are.
    """
    terminal = Terminal()
    if asyncapi:
        if name is not None:
            raise typer.BadParameter("it shows everything: leave NAME out", param_hint="--asyncapi")
        name = "asyncapi"
    if name is None:
        _list(terminal, as_json=as_json)
        return
    wanted = document(name)
    if wanted is None:
        choices = ", ".join([*short_names(), *DOCUMENTS])
        raise typer.BadParameter(f"there is no schema {name!r}: choose from {choices}", param_hint="NAME")
    if as_json:
        terminal.json(wanted)
    else:
        terminal.line(json.dumps(wanted, indent=2, ensure_ascii=False))


def _list(terminal: Terminal, *, as_json: bool) -> None:
    every, names = schemas(), short_names()
    columns = Columns("NAME", "DESCRIPTION", widths=[max(map(len, names))], gap=3)
    if not as_json:
        terminal.line(columns.header())
    for short, full in names.items():
        found = every[f"{full}.json"]
        if as_json:
            terminal.json({"name": short, "schema": found})
        else:
            terminal.line(columns.line([short, str(found["description"]).partition(".")[0]]))
    for short, says in () if as_json else DOCUMENTS.items():
        terminal.line(columns.line([short, says.removesuffix(".")]))
