"""`containerd-bridge doctor`: what is in order on the bus, what is not, and what to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.text import Text

from bridge.cli.connection import Opening, settings_command
from bridge.cli.options import Json, Namespace, NodeName, checked
from bridge.cli.printable import printable
from bridge.cli.terminal import Columns, Terminal
from bridge.client import BridgeError, Bus, ConfigError, Finding
from bridge.client.troubles import explained, unreachable
from bridge.config import Config
from bridge.model.nodes import NodeRecord
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


@settings_command
async def doctor(
    opening: Opening,
    config: Config,
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
    host: Annotated[
        bool | None,
        typer.Option(
            "--host/--no-host",
            help="Look at this host too, as its bridge's settings have it; so for root where a bridge has run.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look whether everything on the bus, and on a bridge's host, is in order.

    Server, stream, how long it keeps events, nodes, buckets, permissions: a line for each thing, with what to do where there is
    something to do, and why that matters. Ends with status 1 if one fails. Nothing is changed. --node, --namespace and
    --container say for whom the role is. The host is looked at with the settings of --config and the environment, as `serve` has
    them.
    """
    asked = _asked(role, node, namespace, container)
    records: list[NodeRecord] = []
    try:
        async with opening as bus:
            found = await bus.checkup(asked)
            records = await _records(bus)
    except ConfigError as error:
        found = explained([unreachable(str(error))])
    if _bridge_has_run(config) if host is None else host:
        from bridge import host_checkup  # noqa: PLC0415 - who looks at the bus alone needs no gRPC

        found += await host_checkup.checkup(config, records=records)
    terminal = Terminal()
    if as_json:
        for finding in found:
            terminal.json(finding)
    else:
        _show(found, terminal)
    if any(finding.level == "fail" for finding in found):
        raise typer.Exit(1)


async def _records(bus: Bus) -> list[NodeRecord]:
    try:
        return [one.record for one in await bus.known_nodes(wait=0) if one.record is not None]
    except BridgeError:
        return []  # who may not read them is told so


def _bridge_has_run(config: Config) -> bool:
    return os.geteuid() == 0 and (config.state_dir / "lock").exists()


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
    for row, finding in zip(rows, found, strict=True):
        terminal.line(columns.line(row))
        if finding.why:
            terminal.line(Text(f"      {finding.why} ({finding.trouble})", "dim"))
