"""`containerd-bridge inspect` and `pids`: one container looked at closely."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated, Any

import typer
from msgspec import Struct, structs

from bridge.cli.connection import client_command
from bridge.cli.durations import ago
from bridge.cli.exits import complain, complaint
from bridge.cli.options import Container, Containers, Json, Namespace, NodeName
from bridge.cli.printable import printable
from bridge.cli.sizes import size
from bridge.cli.terminal import Columns, Terminal
from bridge.client import Bus, CommandFailed, Place
from bridge.errors import LogError
from bridge.model.codec import to_builtins
from bridge.model.outcomes import InspectResult, ProcessInfo

__all__ = ["inspect", "pids"]


class _Inspected(InspectResult, frozen=True, kw_only=True):
    """What is printed: what the node says, and the last events where they were asked for."""

    events: list[Any] = []  # noqa: RUF012 - msgspec copies it for each


@client_command
async def inspect(
    bus: Bus,
    *,
    containers: Containers,
    namespace: Namespace = None,
    node: NodeName = None,
    events: Annotated[
        int, typer.Option("--events", metavar="N", min=0, help="The last N events too, from the log.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Show all that is known of containers, as a JSON array."""
    found: list[Struct] = []
    failed = False
    for name in containers:
        try:
            at = await bus.locate(name, node=node, namespace=namespace)
            result = await at.node.inspect(at.container, namespace=at.namespace)
            found.append(_Inspected(**structs.asdict(result), events=await _last(bus, at, events) if events else []))
        except (CommandFailed, LogError, ValueError) as error:
            failed = True
            complain(complaint(error))
    _show(found, as_json=as_json)
    if failed:
        raise typer.Exit(1)


async def _last(bus: Bus, at: Place, count: int) -> list[Any]:
    """Return a container's last events, as they stand in the log."""
    reading = bus.history(at.container, node=at.node.name, namespace=at.namespace)
    async with aclosing(reading) as moments:
        last = deque([moment.event.body async for moment in moments if moment.state is not None], maxlen=count)
    return [json.loads(body) for body in last]


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
    columns = Columns("PID", "PPID", "UID", "EXEC", "STARTED", "CPU", "MEMORY", "COMMAND", gap=3)
    rows = [_row(process) for process in processes]
    for row in rows:
        columns.fit(row)
    terminal.line(columns.header())
    for row in rows:
        terminal.line(columns.line(row))


def _row(process: ProcessInfo) -> list[str]:
    """Return one process as `ps` and docker show it; what cannot be seen from the bridge is a dash."""
    command = " ".join(process.command) if process.command else f"[{process.name}]" if process.name else "-"
    return [
        str(process.pid),
        _known(process.parent),
        _known(process.uid),
        process.exec_id or "-",
        "-" if process.started_at is None else ago(process.started_at),
        "-" if process.cpu_ns is None else f"{process.cpu_ns / 1e9:.2f}",
        "-" if process.memory is None else size(process.memory),
        printable(command),
    ]


def _known(value: int | None) -> str:
    return "-" if value is None else str(value)


def _show(found: Sequence[Struct], *, as_json: bool) -> None:
    terminal = Terminal()
    if as_json:
        for one in found:
            terminal.json(one)
    else:
        terminal.line(json.dumps([to_builtins(one) for one in found], indent=4, ensure_ascii=False))
