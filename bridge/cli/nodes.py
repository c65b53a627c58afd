"""`containerd-bridge nodes` and `version`: who is on the bus."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import typer

import bridge
from bridge.cli.connection import client_command
from bridge.cli.durations import ago
from bridge.cli.exits import PROGRAM, complain, complaint
from bridge.cli.options import Json, NodeNames
from bridge.cli.printable import printable
from bridge.cli.terminal import Columns, Terminal
from bridge.client import Bus, CommandFailed, KnownNode, Node
from bridge.client.known import known
from bridge.errors import LogError
from bridge.model.outcomes import VersionInfo

__all__ = ["nodes", "version"]


@client_command
async def nodes(bus: Bus, *, as_json: Json = False) -> None:
    """Show every node that has a bridge, and which commands it takes.

    RENEWED is the bridge's last sign of life. Where that is long ago it ended without a stop, or cannot reach NATS.
    """
    terminal = Terminal()
    found = await _known(bus)
    if as_json:
        for one in found:
            terminal.json(one)
        return
    columns = Columns("NODE", "VERSION", "COMMANDS", "SINCE", "RENEWED", gap=3)
    rows = [
        [
            printable(one.node),
            printable(one.version),
            printable(", ".join(one.groups)) or "-",
            ago(one.record.since if one.record else None),
            ago(one.record.renewed if one.record else None),
        ]
        for one in found
    ]
    for row in rows:
        columns.fit(row)
    terminal.line(columns.header())
    for row in rows:
        terminal.line(columns.line(row))


async def _known(bus: Bus) -> Sequence[KnownNode]:
    try:
        return await bus.known_nodes()
    except LogError as error:
        complain(f"nodes that take no commands are not shown: {complaint(error)}")
        return known(await bus.nodes(), [])


@client_command
async def version(bus: Bus, *, node: NodeNames = None, as_json: Json = False) -> None:
    """Show the versions of all that is involved."""
    terminal = Terminal()
    if not as_json:
        terminal.line(f"{PROGRAM} {bridge.__version__}")
        terminal.line()
    asked = [await bus.node(name) for name in node or [one.node for one in await bus.nodes()]]
    answers = await asyncio.gather(*[_version(one) for one in asked])
    found = [answer for answer in answers if isinstance(answer, VersionInfo)]
    if as_json:
        terminal.json({"client": bridge.__version__, "nodes": found})
    else:
        columns = Columns("NODE", "BRIDGE", "CONTAINERD", "REVISION", gap=3)
        rows = [[one.node, one.bridge, one.containerd, one.containerd_revision or "-"] for one in found]
        for row in rows:
            columns.fit(row)
        terminal.line(columns.header())
        for row in rows:
            terminal.line(columns.line(row))
    failures = [answer for answer in answers if isinstance(answer, CommandFailed)]
    for failure in failures:
        complain(complaint(failure))
    if failures:
        raise typer.Exit(1)


async def _version(node: Node) -> VersionInfo | CommandFailed:
    try:
        return await node.version()
    except CommandFailed as error:
        return error
