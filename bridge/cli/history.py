"""`containerd-bridge history`: one container's life, from its first event in the log on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress
from itertools import pairwise

import typer
from rich.text import Text

from bridge.cli.connection import client_command
from bridge.cli.details import colour, details, ending, status_colour, word
from bridge.cli.durations import clock, day, span
from bridge.cli.events import one_line
from bridge.cli.options import Container, Json, Namespaces, NodeNames
from bridge.cli.printable import printable
from bridge.cli.terminal import Columns, Terminal
from bridge.client import Bus, CommandFailed, LogRefused, Moment
from bridge.client.containers import SHORTEST
from bridge.model.nanos import Nanos
from bridge.model.state import ContainerState

__all__ = ["history"]


@client_command
async def history(
    bus: Bus, *, container: Container, namespace: Namespaces = None, node: NodeNames = None, as_json: Json = False
) -> None:
    """Show a container's life, task by task; also of one that is gone.

    Each event stands with the status after it, and where events may be missing it says so. Of a container that has been gone for
    long the full id has to be given.
    """
    found = await _moments(bus, container, namespace or (), node or ())
    if not found:
        found = await _moments_of_meant(bus, container, namespace, node)
    if not found:
        raise CommandFailed("not_found", f"the log has no events of a container {container}")
    terminal = Terminal()
    if as_json:
        for moment in found:
            terminal.json(one_line(moment.event.body))
        return
    for number, life in enumerate(_lives(found)):
        if number:
            terminal.line()
        _tell(life, terminal)


async def _moments(bus: Bus, container: str, namespaces: Sequence[str], nodes: Sequence[str]) -> list[Moment]:
    try:
        reading = bus.history(container, namespace=namespaces, node=nodes)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    async with aclosing(reading) as stream:
        return [moment async for moment in stream]


async def _moments_of_meant(bus: Bus, name: str, namespaces: list[str] | None, nodes: list[str] | None) -> list[Moment]:
    """Take the argument for a name, or for the beginning of an id: of a container whose state is kept, or that a node has."""
    with suppress(LogRefused):
        states = await bus.states(namespace=namespaces or (), node=nodes or ())
        found = [state for state in states if state.name == name]
        if not found and len(name) >= SHORTEST:
            found = [state for state in states if state.container.startswith(name)]
        if len({state.container for state in found}) == 1:
            places = {state.namespace for state in found}, {state.node for state in found}
            return await _moments(bus, found[0].container, *map(sorted, places))
    with suppress(CommandFailed, ValueError):
        at = await bus.locate(
            name,
            node=nodes[0] if nodes and len(nodes) == 1 else None,
            namespace=namespaces[0] if namespaces and len(namespaces) == 1 else None,
        )
        return await _moments(bus, at.container, [at.namespace], [at.node.name])
    return []


def _lives(moments: Sequence[Moment]) -> Iterator[list[Moment]]:
    """Return the moments of each place where there was such an id, by node and namespace, with the gaps of its node."""
    lives: dict[tuple[str, str], list[Moment]] = {}
    for moment in moments:
        recorded = moment.event.recorded
        if moment.state is not None:
            lives.setdefault((moment.state.node, moment.state.namespace), []).append(moment)
            continue
        for (node, _), life in lives.items():
            if node == recorded.node and _state(life).status != "gone":
                life.append(moment)
    return (lives[place] for place in sorted(lives))


def _state(moments: Sequence[Moment]) -> ContainerState:
    """Return the last state; a life, and each task in it, begins with an event that has one."""
    return next(moment.state for moment in reversed(moments) if moment.state is not None)


def _tell(life: Sequence[Moment], terminal: Terminal) -> None:
    """Print one container's events under a heading for each of its tasks."""
    first, last = life[0].event.recorded, _state(life)
    terminal.line(Text(f"{last.container} in namespace {last.namespace} on {last.node}", "bold"))
    about = [f"{field} {printable(value)}" for field in ("name", "image", "runtime") if (value := getattr(last, field))]
    if about:
        terminal.line(", ".join(about))
    if first.sequence is not None and first.sequence > 1:
        terminal.line(f"{first.sequence - 1} earlier events are no longer in the log")
    columns = Columns("", "", "", "", "", widths=(25, 9, 16, 7))
    previous = None
    task = 0
    for moments in _tasks(life):
        begun = moments[0].event.recorded.incarnation is not None
        task += begun
        terminal.line()
        terminal.line(Text(f"Task {task}: {_summary(moments)}" if begun else "Before the first task", "bold"))
        for moment in moments:
            terminal.line(columns.line(_row(moment, previous, about)))
            previous = moment.event.recorded.time


def _tasks(life: Sequence[Moment]) -> Iterator[Sequence[Moment]]:
    """Cut a life where the incarnation changes; a gap belongs to the task before it."""
    begins = [0]
    incarnation = life[0].event.recorded.incarnation
    for number, moment in enumerate(life):
        if moment.state is not None and moment.event.recorded.incarnation != incarnation:
            incarnation = moment.event.recorded.incarnation
            begins.append(number)
    return (life[begin:end] for begin, end in pairwise([*begins, len(life)]))


def _row(moment: Moment, previous: Nanos | None, about: Sequence[str]) -> list[Text | str]:
    recorded = moment.event.recorded
    since = "" if previous is None else f"+{span(recorded.time - previous)}"
    cells: list[Text | str] = [
        Text(f"  {day(recorded.time)} {clock(recorded.time)}", "dim"),
        since,
        Text(word(recorded), colour(recorded.data)),
    ]
    if moment.state is None:
        return [*cells, "", Text(f"events may be missing: {details(recorded)}", "yellow")]
    status = moment.state.status
    return [*cells, Text(status, status_colour(status)), details(recorded, known=about)]


def _summary(moments: Sequence[Moment]) -> str:
    state = _state(moments)
    if state.exited or state.exit_status is not None:
        ended = state.exited_at if state.exited_at is not None else _time_of_exit(moments)
        ran = f"ran {span(ended - state.started_at)}, " if ended is not None and state.started_at is not None else ""
        return f"{ran}{ending(state)}"
    if state.status in {"none", "gone"}:
        return "its end is not in the log"
    paused = f", paused since {clock(state.paused_at)}" if state.paused_at is not None else ""
    if state.started_at is not None:
        return f"runs since {clock(state.started_at)}{paused}"
    return "created" if state.task_created_at is not None else f"began before the log does{paused}"


def _time_of_exit(moments: Sequence[Moment]) -> Nanos | None:
    return next((one.event.recorded.time for one in moments if one.state is not None and one.state.exited), None)
