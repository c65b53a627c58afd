"""`containerd-bridge stats`: what containers use, as a table that is kept up to date, or as lines for programs."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from msgspec import Struct
from rich.text import Text

from bridge.cli.connection import client_command
from bridge.cli.exits import complain, complaint
from bridge.cli.options import Json, Namespaces, NodeNames, NoTruncate
from bridge.cli.screen import is_terminal, screen
from bridge.cli.terminal import Terminal
from bridge.cli.usage import Interval, cells, columns, meter
from bridge.client import Bus, Look, Measured, Meter
from bridge.model.outcomes import TaskStats
from bridge.model.usage import Usage

__all__ = ["stats"]

BETWEEN_S = 1.0
"""Between the two looks that a percentage is made of, where only one table is wanted."""


class _Line(TaskStats, frozen=True, kw_only=True):
    """One container as `--json` prints it."""

    usage: Usage


@client_command
async def stats(
    bus: Bus,
    *,
    containers: Annotated[
        list[str] | None, typer.Argument(metavar="CONTAINER", help="Only these: ids, names or first digits of ids.")
    ] = None,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Once, over one second.")] = False,
    interval: Interval = 2.0,
    namespace: Namespaces = None,
    node: NodeNames = None,
    as_json: Json = False,
    no_truncate: NoTruncate = False,
) -> None:
    """Show what running containers use, on every node.

    CPU is in percent of one processor, memory without what can be dropped at once; network and disk since the task's beginning. A
    dash is what nobody knows.
    """
    measuring = await meter(bus, containers or (), nodes=node or (), namespaces=namespace or ())
    terminal = Terminal(truncate=not no_truncate)
    if no_stream:
        await _once(measuring, terminal, as_json=as_json)
    elif as_json or not is_terminal():
        await _lines(measuring, terminal, interval, as_json=as_json)
    else:
        await _live(measuring, terminal, interval)


async def _once(measuring: Meter, terminal: Terminal, *, as_json: bool) -> None:
    await measuring.look()
    await asyncio.sleep(BETWEEN_S)
    look = await measuring.look()
    _tell(look, terminal, as_json=as_json)
    for failure in look.failures.values():
        complain(complaint(failure))
    if look.failures:
        raise typer.Exit(1)


async def _lines(measuring: Meter, terminal: Terminal, interval: float, *, as_json: bool) -> None:
    await measuring.look()
    told: set[str] = set()
    while True:
        await asyncio.sleep(interval)
        look = await measuring.look()
        _tell(look, terminal, as_json=as_json)
        for name in look.failures.keys() - told:  # once each time that it goes
            complain(complaint(look.failures[name]))
        told = set(look.failures)


async def _live(measuring: Meter, terminal: Terminal, interval: float) -> None:
    async with screen(whole=False) as drawn:
        while True:
            look = await measuring.look()
            drawn.draw([*_table(look.containers, terminal), *_failures(look)])
            await asyncio.sleep(interval)


def _tell(look: Look, terminal: Terminal, *, as_json: bool) -> None:
    if as_json:
        for one in look.containers:
            terminal.json(_merged(one))
        return
    for line in _table(look.containers, terminal):
        terminal.line(line)


def _merged(one: Measured) -> Struct:
    fields = {name: getattr(one.stats, name) for name in one.stats.__struct_fields__}
    return _Line(**fields, usage=one.usage)


def _table(containers: list[Measured], terminal: Terminal) -> list[Text]:
    several = len({one.stats.node for one in containers}) > 1
    table = columns(nodes=several)
    rows = [cells(one, terminal.id(one.stats.container), nodes=several) for one in containers]
    for row in rows:
        table.fit(row)
    return [table.header(), *map(table.line, rows)]


def _failures(look: Look) -> list[Text]:
    return [Text(complaint(failure), "yellow") for failure in look.failures.values()]
