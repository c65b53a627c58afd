"""What containers use, as rows of a table; `stats` prints it, `top` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import typer
from rich.text import Text

from bridge.cli.options import checked
from bridge.cli.printable import printable
from bridge.cli.sizes import size
from bridge.cli.terminal import Columns
from bridge.client import Bus, Measured, Meter

__all__ = ["Interval", "LEAST_INTERVAL_S", "cells", "columns", "meter"]

LEAST_INTERVAL_S = 0.2


def _check_interval(seconds: float) -> None:
    if not LEAST_INTERVAL_S <= seconds <= 3600:
        raise ValueError(f"{seconds:g} is no interval: give {LEAST_INTERVAL_S:g} to 3600 seconds")


Interval: TypeAlias = Annotated[
    float,
    typer.Option("--interval", "-i", metavar="SECONDS", help="How often to look.", callback=checked(_check_interval)),
]


async def meter(bus: Bus, containers: Sequence[str], *, nodes: Sequence[str], namespaces: Sequence[str]) -> Meter:
    """Return the meter for the containers that are named, or for all of these nodes and namespaces."""
    if containers:
        node = nodes[0] if len(nodes) == 1 else None
        namespace = namespaces[0] if len(namespaces) == 1 else None
        places = [await bus.locate(name, node=node, namespace=namespace) for name in containers]
        return bus.meter(places=places)
    return bus.meter(
        nodes=[await bus.node(name) for name in nodes or [one.node for one in await bus.nodes()]], namespace=namespaces
    )


def columns(*, nodes: bool) -> Columns:
    """Return the columns; that of the nodes where there is more than one."""
    names = ["NAMESPACE", "CONTAINER", "CPU %", "MEMORY", "LIMIT", "MEM %", "NET RX / TX", "DISK R / W", "PIDS"]
    return Columns(*(["NODE", *names] if nodes else names))


def cells(measured: Measured, container: str, *, nodes: bool) -> list[Text | str]:
    """Return one row; what nobody knows is a dash."""
    stats, used = measured.stats, measured.usage
    memory, network, io = stats.memory, stats.network, stats.io
    row: list[Text | str] = [printable(stats.node)] if nodes else []
    row += [
        printable(stats.namespace),
        container,
        _percent(used.cpu_percent),
        "-" if memory is None else size(memory.working_set),
        "-" if memory is None or memory.limit is None else size(memory.limit),
        _percent(used.memory_percent),
        "-"
        if network is None
        else f"{size(sum(one.rx_bytes for one in network))} / {size(sum(one.tx_bytes for one in network))}",
        "-" if io is None else f"{size(io.read_bytes)} / {size(io.write_bytes)}",
        "-" if stats.pids is None else str(stats.pids.current),
    ]
    return row


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
