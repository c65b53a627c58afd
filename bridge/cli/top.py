"""`containerd-bridge top`: the containers of all nodes that use most, drawn again and again on the whole terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import strftime
from types import MappingProxyType
from typing import Final

import typer
from rich.text import Text

from bridge.cli.connection import client_command
from bridge.cli.exits import complaint
from bridge.cli.options import Namespaces, NodeNames, NoTruncate
from bridge.cli.screen import Screen, is_terminal, screen
from bridge.cli.sizes import size
from bridge.cli.terminal import Terminal
from bridge.cli.usage import Interval, cells, columns, meter
from bridge.client import Bus, Look, Measured, Meter

__all__ = ["top"]

_ORDERS: Final[Mapping[str, tuple[str, Callable[[Measured], float]]]] = MappingProxyType(
    {
        "c": ("CPU", lambda one: one.usage.cpu_percent or 0.0),
        "m": ("memory", lambda one: one.stats.memory.working_set if one.stats.memory is not None else 0),
    }
)
"""Key -> by what it sorts, the most first."""

_QUIT: Final = "qQ\x03"


@client_command
async def top(
    bus: Bus,
    *,
    interval: Interval = 2.0,
    namespace: Namespaces = None,
    node: NodeNames = None,
    no_truncate: NoTruncate = False,
) -> None:
    """Show the containers that use most, kept up to date.

    The key c sorts by CPU, m by memory, q ends it.
    """
    if not is_terminal():
        raise typer.BadParameter("top draws on a terminal, and standard output is none: use stats")
    measuring = await meter(bus, (), nodes=node or (), namespaces=namespace or ())
    terminal = Terminal(truncate=not no_truncate)
    async with screen(whole=True) as drawn:
        await _until_quit(measuring, drawn, terminal, interval)


async def _until_quit(measuring: Meter, drawn: Screen, terminal: Terminal, interval: float) -> None:
    loop = asyncio.get_running_loop()
    order = "c"
    while True:
        due = loop.time() + interval
        look = await measuring.look()
        drawn.draw(_lines(look, order, terminal, drawn.height))
        while (left := due - loop.time()) > 0:
            key = await drawn.key(within=left)
            if key is None:
                break
            if key in _QUIT:
                return
            if key.lower() in _ORDERS:
                order = key.lower()
                drawn.draw(_lines(look, order, terminal, drawn.height))


def _lines(look: Look, order: str, terminal: Terminal, height: int) -> list[Text]:
    word, measure = _ORDERS[order]
    ranked = sorted(look.containers, key=lambda one: (-measure(one), one.stats.node, one.stats.container))
    several = len({one.stats.node for one in ranked}) > 1
    table = columns(nodes=several)
    rows = [cells(one, terminal.id(one.stats.container), nodes=several) for one in ranked]
    for row in rows:
        table.fit(row)
    failures = [Text(complaint(failure), "yellow") for failure in look.failures.values()]
    heading = [_summary(look, word), *failures, Text(), table.header()]
    room = max(0, height - len(heading))
    return [*heading, *map(table.line, rows[:room])]


def _summary(look: Look, word: str) -> Text:
    cpu = sum(one.usage.cpu_percent or 0 for one in look.containers)
    memory = sum(one.stats.memory.working_set for one in look.containers if one.stats.memory is not None)
    nodes = len({one.stats.node for one in look.containers})
    count = f"{_several(len(look.containers), 'container')} on {_several(nodes, 'node')}"
    said = f"{strftime('%H:%M:%S')}  {count}, CPU {cpu:.1f} %, memory {size(memory)}"
    return Text.assemble((said, "bold"), (f"   by {word}; c CPU, m memory, q quit", "dim"))


def _several(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
