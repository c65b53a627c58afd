"""`containerd-bridge doctor`: what is in order on the bus, what is not, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.text import Text

from bridge.cli.connection import Opening, opening_command
from bridge.cli.options import Json, Namespace, NodeName, checked
from bridge.cli.printable import printable
from bridge.cli.terminal import Columns, Terminal
from bridge.client import ConfigError, Finding
from bridge.ports import RoleAt

__all__ = ["doctor"]

_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "reader": (),
    "namespace": ("namespace",),
    "container": ("namespace", "container"),
    "node": ("node",),
}
"""What has to be said of each role."""

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def _check_role(role: str) -> None:
    if role not in _NEEDED:
        raise ValueError(f"there is no role {role!r}: choose from {', '.join(_NEEDED)}")


@opening_command
async def doctor(
    opening: Opening,
    *,
    role: Annotated[
        str | None,
        typer.Option(
            metavar="reader|namespace|container|node",
            help="Say what this login lacks for a role of deploy/nats.",
            callback=checked(_check_role),
        ),
    ] = None,
    node: NodeName = None,
    namespace: Namespace = None,
    container: Annotated[
        str | None, typer.Option("--container", "-c", metavar="ID", help="The container, for its operator.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look whether everything on the bus is in order.

    Server, stream, how long it keeps events, nodes, buckets, permissions: a line for each thing, with what to do where there is
    something to do. Ends with status 1 if one fails. Nothing is changed. --node, --namespace and --container say for whom the
    role is.
    """
    asked = _asked(role, node, namespace, container)
    try:
        async with opening as bus:
            found = await bus.checkup(asked)
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


def _asked(role: str | None, node: str | None, namespace: str | None, container: str | None) -> RoleAt | None:
    if role is None:
        return None
    given = {"node": node, "namespace": namespace, "container": container}
    for name in _NEEDED[role]:
        if not given[name]:
            raise typer.BadParameter(f"the role {role} is for one {name}: give --{name}", param_hint="--role")
    match role:
        case "reader" | "namespace" | "container" | "node":
            return RoleAt(role, node or "", namespace or "", container or "")
    return None


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
