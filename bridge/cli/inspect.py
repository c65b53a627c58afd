"""`containerd-bridge inspect` and `pids`: one container looked at closely."""

from __future__ import annotations

import json
from collections.abc import Sequence

import typer
from msgspec import Struct

from bridge.cli.connection import client_command
from bridge.cli.exits import complain, complaint
from bridge.cli.options import Container, Containers, Json, Namespace, NodeName
from bridge.cli.terminal import Columns, Terminal
from bridge.client import Bus, CommandFailed
from bridge.model.codec import to_builtins

__all__ = ["inspect", "pids"]


@client_command
async def inspect(
    bus: Bus, *, containers: Containers, namespace: Namespace = None, node: NodeName = None, as_json: Json = False
) -> None:
    """Show all that is known of containers, as a JSON array."""
    found: list[Struct] = []
    failed = False
    for name in containers:
        try:
            at = await bus.locate(name, node=node, namespace=namespace)
            found.append(await at.node.inspect(at.container, namespace=at.namespace))
        except (CommandFailed, ValueError) as error:
            failed = True
            complain(complaint(error))
    _show(found, as_json=as_json)
    if failed:
        raise typer.Exit(1)


@client_command
async def pids(
    bus: Bus, *, container: Container, namespace: Namespace = None, node: NodeName = None, as_json: Json = False
) -> None:
    """Show the processes of a running container."""
    at = await bus.locate(container, node=node, namespace=namespace)
    processes = await at.node.pids(at.container, namespace=at.namespace)
    terminal = Terminal()
    if as_json:
        for process in processes:
            terminal.json(process)
        return
    columns = Columns("PID", "EXEC", widths=(8,), gap=3)
    terminal.line(columns.header())
    for process in processes:
        terminal.line(columns.line([str(process.pid), process.exec_id or "-"]))


def _show(found: Sequence[Struct], *, as_json: bool) -> None:
    terminal = Terminal()
    if as_json:
        for one in found:
            terminal.json(one)
    else:
        terminal.line(json.dumps([to_builtins(one) for one in found], indent=4, ensure_ascii=False))
