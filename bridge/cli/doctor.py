"""`containerd-bridge doctor`: what is in order on the bus, what is not, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import typer
from rich.text import Text

from bridge.cli.connection import Opening, opening_command
from bridge.cli.options import Json
from bridge.cli.printable import printable
from bridge.cli.terminal import Columns, Terminal
from bridge.client import ConfigError, Finding

__all__ = ["doctor"]

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@opening_command
async def doctor(opening: Opening, *, as_json: Json = False) -> None:
    """Look whether everything on the bus is in order.

    Server, stream, how long it keeps events, nodes, buckets, permissions: a line for each thing, with what to do where there is
    something to do. Ends with status 1 if one fails. Nothing is changed.
    """
    try:
        async with opening as bus:
            found = await bus.checkup()
    except ConfigError as error:
        found = [Finding(level="fail", area="nats", message=str(error))]
    terminal = Terminal()
    if as_json:
        for finding in found:
            terminal.json(finding)
    else:
        _show(found, terminal)
    if any(finding.level == "fail" for finding in found):
        raise typer.Exit(1)


def _show(found: Sequence[Finding], terminal: Terminal) -> None:
    columns = Columns("", "", "", gap=2)
    rows: list[list[Text | str]] = [
        [
            Text(finding.level, _COLOURS[finding.level]),
            printable(finding.area),
            printable(finding.message + (f"; {finding.remedy}" if finding.remedy else "")),
        ]
        for finding in found
    ]
    for row in rows:
        columns.fit(row)
    for row in rows:
        terminal.line(columns.line(row))
