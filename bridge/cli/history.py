"""`containerd-bridge history`: one container's life, from its first event in the log on."""

from __future__ import annotations

from contextlib import aclosing, suppress
from itertools import groupby

import typer
from rich.text import Text

from bridge.cli.connection import client_command
from bridge.cli.details import colour, details, exit_status, word
from bridge.cli.durations import clock, day, span
from bridge.cli.events import one_line
from bridge.cli.options import Container, Json, Namespaces, NodeNames
from bridge.cli.terminal import Columns, Terminal, printable
from bridge.client import Bus, CommandFailed, StoredEvent
from bridge.model.events import ContainerEvent, TaskCreate, TaskExit, TaskRestored, TaskStart

__all__ = ["history"]


@client_command
async def history(
    bus: Bus, *, container: Container, namespace: Namespaces = None, node: NodeNames = None, as_json: Json = False
) -> None:
    """Show a container's life, task by task; also of one that is gone.

    Of a container that is gone the full id has to be given.
    """
    found = await _events(bus, container, namespace, node)
    if not found:
        found = await _events_of_meant(bus, container, namespace, node)
    if not found:
        raise CommandFailed("not_found", f"the log has no events of a container {container}")
    terminal = Terminal()
    if as_json:
        for event in found:
            terminal.json(one_line(event.body))
        return
    found.sort(key=_place)  # stable: a container's own events stay in their order
    for number, (_, of_one) in enumerate(groupby(found, key=_place)):
        if number:
            terminal.line()
        _tell(list(of_one), terminal)


async def _events(bus: Bus, container: str, namespaces: list[str] | None, nodes: list[str] | None) -> list[StoredEvent]:
    try:
        reading = bus.events(container=container, namespace=namespaces or (), node=nodes or (), follow=False)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    async with aclosing(reading) as stream:
        return [event async for event in stream]


async def _events_of_meant(
    bus: Bus, name: str, namespaces: list[str] | None, nodes: list[str] | None
) -> list[StoredEvent]:
    """Take the argument for a name, or for the beginning of an id, of a container that a node still has."""
    with suppress(CommandFailed, ValueError):
        at = await bus.locate(
            name,
            node=nodes[0] if nodes and len(nodes) == 1 else None,
            namespace=namespaces[0] if namespaces and len(namespaces) == 1 else None,
        )
        return await _events(bus, at.container, [at.namespace], [at.node.name])
    return []


def _place(event: StoredEvent) -> tuple[str, str, str]:
    recorded = event.recorded
    return recorded.node, recorded.namespace or "", recorded.container or ""


def _tell(events: list[StoredEvent], terminal: Terminal) -> None:
    """Print one container's events under a heading for each of its tasks."""
    first = events[0].recorded
    terminal.line(Text(f"{first.container} in namespace {first.namespace} on {first.node}", "bold"))
    about = _about(events)
    if about:
        terminal.line(", ".join(about))
    if first.sequence is not None and first.sequence > 1:
        terminal.line(f"{first.sequence - 1} earlier events are no longer in the log")
    columns = Columns("", "", "", "", widths=(25, 9, 16))
    previous = None
    task = 0
    for incarnation, of_task in groupby(events, key=lambda event: event.recorded.incarnation):
        rows = list(of_task)
        task += incarnation is not None
        terminal.line()
        terminal.line(Text(f"Task {task}: {_summary(rows)}" if incarnation else "Before the first task", "bold"))
        for event in rows:
            recorded = event.recorded
            since = "" if previous is None else f"+{span(recorded.time - previous)}"
            previous = recorded.time
            time = Text(f"  {day(recorded.time)} {clock(recorded.time)}", "dim")
            kind = Text(word(recorded), colour(recorded.data))
            terminal.line(columns.line([time, since, kind, details(recorded, known=about)]))


def _about(events: list[StoredEvent]) -> list[str]:
    known: dict[str, str] = {}
    for event in events:
        match event.recorded.data:
            case ContainerEvent() as data:
                for field in ("name", "image", "runtime"):
                    if value := getattr(data, field):
                        known[field] = f"{field} {printable(value)}"
            case _:
                pass
    return [known[field] for field in ("name", "image", "runtime") if field in known]


def _summary(events: list[StoredEvent]) -> str:
    created = started = exited = None
    status = ""
    for event in events:
        match event.recorded.data:
            case TaskCreate() | TaskRestored():
                created = event.recorded.time
            case TaskStart():
                started = event.recorded.time
            case TaskExit(exit_status=code):
                exited = event.recorded.time
                status = exit_status(code)
            case _:
                pass
    if exited is not None:
        ran = f"ran {span(exited - started)}, " if started is not None else ""
        return f"{ran}exit status {status}"
    if started is not None:
        return f"runs since {clock(started)}"
    return "created" if created is not None else "began before the log does"
