"""`containerd-bridge resize` and `close-stdin`: what is done to the stdio of a process by somebody who is not with it.

Whoever is with a process (`exec -it`, `attach`) needs neither: its terminal follows theirs, and the end of their input is that of
its own.
"""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.cli.connection import client_command
from bridge.cli.console import terminal_size
from bridge.cli.options import Container, DryRun, ExecName, Json, Namespace, NodeName, Purpose, Sender, checked
from bridge.cli.sending import told
from bridge.cli.terminal import Terminal
from bridge.client import Bus, ConfigError, Remarks
from bridge.model.outcomes import Done

__all__ = ["close_stdin", "resize"]

MOST_CELLS = 65_535


def _check_cells(count: int) -> None:
    if not 1 <= count <= MOST_CELLS:
        raise ValueError(f"{count} is no size of a terminal: give 1 to {MOST_CELLS}")


@client_command
async def resize(
    bus: Bus,
    *,
    container: Container,
    width: Annotated[
        int | None,
        typer.Option("--width", metavar="COLUMNS", help="Ours unless given.", callback=checked(_check_cells)),
    ] = None,
    height: Annotated[
        int | None, typer.Option("--height", metavar="LINES", help="Ours unless given.", callback=checked(_check_cells))
    ] = None,
    exec_id: ExecName = None,
    namespace: Namespace = None,
    node: NodeName = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    purpose: Purpose = None,
    sender: Sender = None,
) -> None:
    """Give the terminal of a process another size."""
    ours = terminal_size()
    if ours is None and (width is None or height is None):
        raise ConfigError("there is no terminal here to take a size from: give --width and --height")
    columns, lines = ours or (0, 0)
    at = await bus.locate(container, node=node, namespace=namespace)
    to = at.node.remarking(Remarks(dry_run=dry_run, purpose=purpose, sender=sender))
    with told(at.container, as_json=as_json):
        size = {"width": width or columns, "height": height or lines}
        _done(await to.resize(at.container, exec_id, **size, namespace=at.namespace), container, as_json=as_json)


@client_command
async def close_stdin(
    bus: Bus,
    *,
    container: Container,
    exec_id: ExecName = None,
    namespace: Namespace = None,
    node: NodeName = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    purpose: Purpose = None,
    sender: Sender = None,
) -> None:
    """End the input of a process, which reads an end of file behind what was sent to it."""
    at = await bus.locate(container, node=node, namespace=namespace)
    to = at.node.remarking(Remarks(dry_run=dry_run, purpose=purpose, sender=sender))
    with told(at.container, as_json=as_json):
        _done(await to.close_stdin(at.container, exec_id, namespace=at.namespace), container, as_json=as_json)


def _done(result: Done, container: str, *, as_json: bool) -> None:
    if as_json:
        Terminal().json(result)
    else:
        Terminal().line(container)
