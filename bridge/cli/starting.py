"""`containerd-bridge start`: containers run again, and one of them as if it were a program of this terminal."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec import Struct

from bridge.cli.attached import Manner, attached
from bridge.cli.console import DetachKeys, terminal_size
from bridge.cli.execs import KEYS
from bridge.cli.exits import PROGRAM
from bridge.cli.options import DetachWith, SigProxy
from bridge.cli.terminal import Terminal
from bridge.cli.verbs import for_each_container
from bridge.client import CommandFailed, Place, Process
from bridge.model.stdio import WINDOW

__all__ = ["start"]


@for_each_container
async def start(
    at: Place,
    *,
    attach: Annotated[
        bool, typer.Option("--attach", "-a", help="Be with it to its end, and end with its status.")
    ] = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="It takes input, ours where we are attached.")
    ] = False,
    stdio: Annotated[
        bool,
        typer.Option("--stdio", help="Put their output on the bus, for `attach`.", show_default=False),
    ] = False,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="And take their input from there.", show_default=False)
    ] = False,
    sig_proxy: SigProxy = True,
    detach_keys: DetachWith = KEYS,
) -> Struct:
    """Run containers.

    Their stdio is where they were created to have it; these options put it on the bus for this once.
    """
    if not attach and not interactive:
        return await at.node.start(
            at.container, namespace=at.namespace, stdio="bus" if stdio or stdin else "none", stdin=stdin
        )
    found = await at.node.inspect(at.container, namespace=at.namespace)
    process = (found.container.spec or {}).get("process")
    terminal = isinstance(process, dict) and process.get("terminal") is True
    manner = Manner(
        name=Terminal().id(at.container),
        stdin=interactive,
        rule="leave" if not sig_proxy or terminal else "forward",
        owner=True,
        keys=DetachKeys.read(detach_keys),
        back=f"{PROGRAM} attach {Terminal().id(at.container)}",
    )
    raise typer.Exit(await attached(_started(at, stdin=stdin or interactive, terminal=terminal), manner))


async def _started(at: Place, *, stdin: bool, terminal: bool) -> Process:
    await at.node.check_output(at.container, namespace=at.namespace)
    width, height = (terminal_size() if terminal else None) or (0, 0)
    started = await at.node.start(
        at.container,
        namespace=at.namespace,
        stdio="bus",
        stdin=stdin,
        window=WINDOW,
        width=width,
        height=height,
    )
    if started.process is None:
        raise CommandFailed(
            "unimplemented", f"node {at.node.name} does not say where the output of {at.container} is: use attach"
        )
    # Somebody may have written to it before it was started.
    return at.node.process(started.process, at.container, namespace=at.namespace, owned=True, joined=True)
