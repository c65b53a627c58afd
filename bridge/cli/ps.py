"""`containerd-bridge ps` and `list`: the containers of every node."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from bridge.cli.connection import client_command
from bridge.cli.durations import ago
from bridge.cli.exits import complain, complaint
from bridge.cli.options import Json, Namespaces, NodeNames, NoTruncate
from bridge.cli.terminal import Columns, Terminal, printable
from bridge.client import Bus, Listing
from bridge.model.outcomes import ContainerInfo, TaskInfo

__all__ = ["list_containers", "ps"]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only the ids.")]


@client_command
async def ps(
    bus: Bus,
    *,
    all_of_them: Annotated[bool, typer.Option("--all", "-a", help="Also those that do not run.")] = False,
    namespace: Namespaces = None,
    node: NodeNames = None,
    quiet: Quiet = False,
    as_json: Json = False,
    no_truncate: NoTruncate = False,
) -> None:
    """Show the containers that run, on every node that answers."""
    found = await bus.containers(node=node or (), namespace=namespace or ())
    shown = [one for one in found.containers if all_of_them or _runs(one.task)]
    _show(shown, Terminal(truncate=not no_truncate), quiet=quiet, as_json=as_json)
    _end(found)


@client_command
async def list_containers(
    bus: Bus,
    *,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="FILTER", help="containerd's own, such as labels.app==web (repeatable)."),
    ] = None,
    namespace: Namespaces = None,
    node: NodeNames = None,
    quiet: Quiet = False,
    as_json: Json = False,
    no_truncate: NoTruncate = False,
) -> None:
    """Show all containers, running or not, on every node that answers."""
    found = await bus.containers(node=node or (), namespace=namespace or (), filters=filters or ())
    _show(found.containers, Terminal(truncate=not no_truncate), quiet=quiet, as_json=as_json)
    _end(found)


def _runs(task: TaskInfo | None) -> bool:
    return task is not None and task.status not in {"created", "stopped"}


def _show(containers: list[ContainerInfo], terminal: Terminal, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        for one in containers:
            terminal.json(one)
        return
    if quiet:
        for one in containers:
            terminal.line(terminal.id(one.id))
        return
    columns = Columns("NODE", "NAMESPACE", "CONTAINER", "IMAGE", "STATUS", "PID", "CREATED", "NAME", gap=3)
    rows = [_row(one, terminal) for one in containers]
    for row in rows:
        columns.fit(row)
    terminal.line(columns.header())
    for row in rows:
        terminal.line(columns.line(row))


def _row(one: ContainerInfo, terminal: Terminal) -> list[Text | str]:
    return [
        one.node,
        one.namespace,
        terminal.id(one.id),
        printable(one.image) or "-",
        _status(one.task),
        str(one.task.pid) if one.task and one.task.pid and one.task.status != "stopped" else "-",
        ago(one.created_at),
        printable(one.name or ""),
    ]


def _status(task: TaskInfo | None) -> Text:
    match task:
        case None:
            return Text("-")
        case TaskInfo(status="stopped", exit_status=status):
            return Text(f"exited ({'?' if status is None else status})", "" if status == 0 else "red")
        case _:
            return Text(task.status, {"running": "green", "paused": "blue", "unknown": "yellow"}.get(task.status, ""))


def _end(found: Listing) -> None:
    for name, error in found.failures.items():
        complain(f"{name}: {complaint(error)}")
    if found.failures:
        raise typer.Exit(1)
