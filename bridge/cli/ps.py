"""`containerd-bridge ps` and `list`: the containers of every node."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from msgspec import Struct
from rich.text import Text

from bridge.cli.colours import busy
from bridge.cli.connection import client_command
from bridge.cli.details import status_colour
from bridge.cli.durations import ago, clock, day
from bridge.cli.exits import as_json, complain, complaint
from bridge.cli.options import (
    ExitStatuses,
    Images,
    Json,
    Labels,
    NamePatterns,
    Namespaces,
    NodeNames,
    NoTruncate,
    checked,
)
from bridge.cli.printable import printable
from bridge.cli.terminal import Columns, Terminal
from bridge.client import Bus, CommandFailed, Doubt, LogRefused, read_point
from bridge.model.codec import to_builtins
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo, TaskInfo
from bridge.model.selection import Selection
from bridge.model.state import ContainerState

__all__ = ["list_containers", "ps"]

log = logging.getLogger(__name__)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only what it is called, a line each.")]


class _Row(Struct, frozen=True, kw_only=True):
    """One container as the table shows it; `told` is what `--json` prints."""

    node: str
    namespace: str
    id: str
    image: str
    status: Text
    pid: int | None
    created_at: Nanos | None
    name: str
    runs: bool
    told: Any
    known: ContainerState | ContainerInfo

    def admitted(self, selection: Selection) -> bool:
        """Tell whether the container was chosen."""
        if isinstance(self.known, ContainerState):
            return selection.admits_state(self.known)
        return selection.admits_container(self.known)


class _Found(Struct, frozen=True, kw_only=True):
    """Containers, what of it may be wrong, and which nodes failed."""

    rows: list[_Row]
    doubts: Sequence[Doubt] = ()
    failures: Mapping[str, CommandFailed] = {}


@client_command
async def ps(
    bus: Bus,
    *,
    all_of_them: Annotated[bool, typer.Option("--all", "-a", help="Also those that do not run.")] = False,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="POINT",
            help="As it was at a time, 10m or 2h30m ago, or after a stream sequence number.",
            callback=checked(read_point),
        ),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask the nodes that answer instead of the log.")] = False,
    namespace: Namespaces = None,
    label: Labels = None,
    name: NamePatterns = None,
    image: Images = None,
    exit_status: ExitStatuses = None,
    node: NodeNames = None,
    quiet: Quiet = False,
    as_json: Json = False,
    no_truncate: NoTruncate = False,
) -> None:
    """Show the containers that run, on every node.

    It shows what the bridges keep beside the log; where nothing is kept the nodes are asked. What is known of a node whose
    bridge is not heard is shown as of when it last was. With --exit-status also containers that ended.
    """
    if live and at is not None:
        raise typer.BadParameter("--live asks the nodes, which only know of now: leave out --at")
    selection = Selection(label=label or (), name=name or (), image=image or (), exit_status=exit_status or ())
    found = None if live else await _kept(bus, at, node or (), namespace or ())
    if found is None:
        found = await _asked(bus, node or (), namespace or ())
    rows = [row for row in found.rows if row.admitted(selection)]
    if not (all_of_them or selection.by_ending):
        rows = [row for row in rows if row.runs]
    _show(rows, Terminal(truncate=not no_truncate), quiet=quiet, as_json=as_json)
    _end(found)


@client_command
async def list_containers(
    bus: Bus,
    *,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", "-f", metavar="FILTER", help="containerd's own, such as labels.app==web (repeatable)."
        ),
    ] = None,
    namespace: Namespaces = None,
    node: NodeNames = None,
    quiet: Quiet = False,
    as_json: Json = False,
    no_truncate: NoTruncate = False,
) -> None:
    """Show all containers, running or not, on every node that answers."""
    found = await _asked(bus, node or (), namespace or (), filters or ())
    _show(found.rows, Terminal(truncate=not no_truncate), quiet=quiet, as_json=as_json)
    _end(found)


# -- what there is to show


async def _kept(bus: Bus, at: str | None, nodes: Sequence[str], namespaces: Sequence[str]) -> _Found | None:
    """Return what the log tells, None where nothing is kept beside it."""
    try:
        with busy("reading the log", quiet=at is None or as_json.get()):
            states = await bus.states(at=at, node=nodes, namespace=namespaces)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    except LogRefused as error:
        if at is not None:
            raise
        log.info("asking the nodes: %s", error)
        return None
    if at is None and not states:
        return await _asked_or_nothing(bus, nodes, namespaces)
    doubts = await bus.doubts(at, node=nodes, states=states)
    doubtful = {doubt.node: doubt for doubt in doubts}
    rows = [_of_state(state, doubtful.get(state.node)) for state in states if state.status != "gone"]
    return _Found(rows=rows, doubts=doubts)


async def _asked(bus: Bus, nodes: Sequence[str], namespaces: Sequence[str], filters: Sequence[str] = ()) -> _Found:
    listing = await bus.containers(node=nodes, namespace=namespaces, filters=filters)
    return _Found(rows=[_of_info(one) for one in listing.containers], failures=listing.failures)


async def _asked_or_nothing(bus: Bus, nodes: Sequence[str], namespaces: Sequence[str]) -> _Found:
    # Nothing is kept: there are no containers, or the bridges are of a version that keeps no states. The nodes know, if they
    # take commands.
    try:
        return await _asked(bus, nodes, namespaces)
    except CommandFailed as error:
        log.info("no states are kept, and no node can be asked: %s", error)
        return _Found(rows=[])


def _of_state(state: ContainerState, doubt: Doubt | None) -> _Row:
    told: Any = state
    if doubt is not None:
        told = {**to_builtins(state), "doubt": to_builtins(doubt)}
    return _Row(
        node=state.node,
        namespace=state.namespace,
        id=state.container,
        image=state.image or "",
        status=_marked(_status(state.status, state.exit_status, state.health), doubt),
        pid=state.pid,
        created_at=state.created_at,
        name=state.name or "",
        runs=state.status in {"running", "paused", "unknown"},
        told=told,
        known=state,
    )


def _marked(status: Text, doubt: Doubt | None) -> Text:
    if doubt is None:
        return status
    return Text(f"{status}?" if doubt.since is None else f"{status}, {ago(doubt.since)}", "yellow")


def _of_info(one: ContainerInfo) -> _Row:
    task = one.task
    return _Row(
        node=one.node,
        namespace=one.namespace,
        id=one.id,
        image=one.image,
        status=Text("-") if task is None else _status(task.status, task.exit_status),
        pid=None if task is None else task.pid,
        created_at=one.created_at,
        name=one.name or "",
        runs=_runs(task),
        told=one,
        known=one,
    )


def _runs(task: TaskInfo | None) -> bool:
    return task is not None and task.status not in {"created", "stopped"}


def _status(status: str, exit_status: int | None, health: str | None = None) -> Text:
    match status:
        case "running" | "paused" if health is not None:
            return Text(f"{status} ({printable(health)})", "red" if health == "unhealthy" else status_colour(status))
        case "stopped":
            shown = "?" if exit_status is None else str(exit_status)
            return Text(f"exited ({shown})", "" if exit_status == 0 else "red")
        case "none":
            return Text("-")
        case _:
            return Text(status, status_colour(status))


# -- showing it


def _show(rows: Sequence[_Row], terminal: Terminal, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        for row in rows:
            terminal.json(row.told)
        return
    if quiet:
        for row in rows:
            terminal.line(terminal.id(row.id))
        return
    columns = Columns("NODE", "NAMESPACE", "CONTAINER", "IMAGE", "STATUS", "PID", "CREATED", "NAME", gap=3)
    lines = [_cells(row, terminal) for row in rows]
    for line in lines:
        columns.fit(line)
    terminal.line(columns.header())
    for line in lines:
        terminal.line(columns.line(line))


def _cells(row: _Row, terminal: Terminal) -> list[Text | str]:
    return [
        row.node,
        row.namespace,
        terminal.id(row.id),
        printable(row.image) or "-",
        row.status,
        str(row.pid) if row.pid and row.runs else "-",
        ago(row.created_at),
        printable(row.name),
    ]


def _end(found: _Found) -> None:
    """Say on standard error what of it all is missing or may be wrong; only what is missing is a failure."""
    for doubt in found.doubts:
        complain(_doubted(doubt))
    for name, error in found.failures.items():
        complain(f"{name}: {complaint(error)}")
    if found.failures:
        raise typer.Exit(1)


def _doubted(doubt: Doubt) -> str:
    since = "" if doubt.since is None else f" since {day(doubt.since)} {clock(doubt.since)}"
    until = "" if doubt.until is None else f" until {day(doubt.until)} {clock(doubt.until)}"
    return f"{doubt.node}: what happened there{since}{until} is not known: {doubt.reason}"
