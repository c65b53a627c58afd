"""`containerd-bridge state`: whether the states that are kept are what the log says, and making them so."""

from __future__ import annotations

import json

import typer

from bridge.cli.colours import busy
from bridge.cli.connection import client_command
from bridge.cli.options import Json, Namespaces, NodeNames
from bridge.cli.printable import printable
from bridge.cli.terminal import Terminal
from bridge.client import Bus, Difference, Verified

__all__ = ["rebuild", "verify"]

_WORDS = {
    "missing": "nothing is kept",
    "behind": "events have come since",
    "ahead": "the log has fewer events than it knows of",
    "different": "another state is kept",
    "unreadable": "what is kept is no state",
    "extra": "the log has no such container",
}


@client_command
async def verify(bus: Bus, *, namespace: Namespaces = None, node: NodeNames = None, as_json: Json = False) -> None:
    """Fold the log and compare it with the states that are kept.

    Prints each difference and ends with status 1 if there is any. What a bridge is just writing is given time to be written.
    """
    with busy("reading the log", quiet=as_json):
        found = await bus.verify(node=node or (), namespace=namespace or ())
    terminal = Terminal()
    _tell(found, terminal, as_json=as_json)
    if found.differences:
        raise typer.Exit(1)


@client_command
async def rebuild(bus: Bus, *, namespace: Namespaces = None, node: NodeNames = None, as_json: Json = False) -> None:
    """Write what the log says wherever something else is kept.

    A running bridge is not disturbed: a state is replaced only where it stands as it was read, so what a bridge writes
    meanwhile stays. Afterwards all is compared again; ends with status 1 if there still is a difference.
    """
    with busy("reading the log, writing states", quiet=as_json):
        done = await bus.rebuild(node=node or (), namespace=namespace or ())
    terminal = Terminal()
    if as_json:
        terminal.json({"written": done.written, "removed": done.removed, "left": done.left})
    else:
        left = f", {done.left} left to a bridge that was quicker" if done.left else ""
        terminal.line(f"{done.written} states written, {done.removed} taken away{left}")
    _tell(done.verified, terminal, as_json=as_json)
    if done.verified.differences:
        raise typer.Exit(1)


def _tell(found: Verified, terminal: Terminal, *, as_json: bool) -> None:
    if as_json:
        for difference in found.differences:
            terminal.json(difference)
        return
    for difference in found.differences:
        _show(difference, terminal)
    said = f"{found.containers} containers compared, {len(found.differences)} differ"
    if found.incomplete:
        said += f"; of {found.incomplete} the log no longer has the first events"
    if found.expired:
        said += f"; {found.expired} more have no events any more and stay as they are"
    terminal.line(said)


def _show(difference: Difference, terminal: Terminal) -> None:
    place = f"{difference.node}/{difference.namespace}/{difference.container}"
    why = f": {difference.reason}" if difference.reason else ""
    terminal.line(printable(f"{place}: {_WORDS[difference.kind]}{why}"))
    for field, (kept, said) in difference.fields.items():
        terminal.line(printable(f"  {field}: kept {_shown(kept)}, the log says {_shown(said)}"))


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
