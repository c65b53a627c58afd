"""`containerd-bridge checkpoint ls`, `inspect` and `rm`: the catalogue of checkpoints, and taking some out of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import typer

from bridge.cli.connection import client_command
from bridge.cli.durations import ago
from bridge.cli.exits import complain, complaint
from bridge.cli.options import Json, NoTruncate, OneNamespace
from bridge.cli.printable import printable
from bridge.cli.sending import TO_A_NODE, remarks, sending, told
from bridge.cli.signatures import own_parameters, parameter, taken, with_parameters
from bridge.cli.sizes import size
from bridge.cli.terminal import Columns, Terminal
from bridge.client import Bus, CommandFailed, Node
from bridge.model.checkpoints import CheckpointRecord
from bridge.model.codec import to_builtins

__all__ = ["CheckpointName", "OfContainer", "OfNode", "inspect", "ls", "rm"]

CheckpointName: TypeAlias = Annotated[
    str, typer.Argument(metavar="NAME", help="Its name, CONTAINER/NAME, or its whole key (`ls --quiet`).")
]
CheckpointNames: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="NAME", help="Names, CONTAINER/NAME, or whole keys (`ls --quiet`).")
]
OfNode: TypeAlias = Annotated[str | None, typer.Option("--node", metavar="NODE", help="Only what this node made.")]
OfContainer: TypeAlias = Annotated[
    str | None, typer.Option("--container", "-c", metavar="ID", help="Only of the container of this id.")
]
_CHOICE = [
    parameter("node", OfNode, None),
    parameter("namespace", OneNamespace, None),
    parameter("container", OfContainer, None),
]


@client_command
async def ls(
    bus: Bus,
    *,
    container: Annotated[
        str | None, typer.Argument(metavar="[CONTAINER]", help="Only of the container of this id.")
    ] = None,
    node: OfNode = None,
    namespace: OneNamespace = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what it is called, a line each.")] = False,
    as_json: Json = False,
    no_truncate: NoTruncate = False,
) -> None:
    """Show the checkpoints in the catalogue, the oldest first."""
    found = await bus.checkpoints.list(node=node, namespace=namespace, container=container)
    terminal = Terminal(truncate=not no_truncate)
    if as_json:
        for record in found:
            terminal.json(record)
    elif quiet:
        for record in found:
            terminal.line(record.key.token)
    else:
        _table(terminal, found)


@client_command
async def inspect(
    bus: Bus,
    *,
    names: CheckpointNames,
    node: OfNode = None,
    namespace: OneNamespace = None,
    container: OfContainer = None,
    as_json: Json = False,
) -> None:
    """Show all that the catalogue knows of checkpoints, as a JSON array."""
    terminal = Terminal()
    found, failed = [], False
    for name in names:
        try:
            found.append(await bus.checkpoints.find(name, node=node, namespace=namespace, container=container))
        except CommandFailed as error:
            failed = True
            complain(complaint(error))
    if as_json:
        for record in found:
            terminal.json(record)
    else:
        shown = [{"key": record.key.token, **to_builtins(record)} for record in found]
        terminal.line(json.dumps(shown, indent=4, ensure_ascii=True))
    _lacking(bus, found)
    if failed:
        raise typer.Exit(1)


def _lacking(bus: Bus, found: Sequence[CheckpointRecord]) -> None:
    """Say of what is encrypted which key it takes, where that is not here."""
    if not any(record.archive.key for record in found):
        return
    here = bus.checkpoints.fingerprints()
    for record in found:
        if (key := record.archive.key) and key not in here:
            complain(
                f"checkpoint {record.key.token} is encrypted with the key {key}, which is not in checkpoint_key here"
            )


def _chosen(body: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a command of what changes chosen checkpoints: it is given how it is sent, and what they are chosen among."""

    async def command(bus: Bus, /, **values: Any) -> None:
        given, choice = taken(values, TO_A_NODE), taken(values, _CHOICE)
        await body(bus, given, choice, **values)

    own = [each for each in own_parameters(body) if each.name not in {"given", "choice"}]
    return client_command(with_parameters(command, body, [parameter("bus", Bus), *own, *_CHOICE, *TO_A_NODE]))


@_chosen
async def rm(
    bus: Bus,
    given: Mapping[str, Any],
    choice: Mapping[str, Any],
    *,
    names: CheckpointNames,
    on: Annotated[
        str | None,
        typer.Option("--on", metavar="NODE", help="Node that removes it; the one that made it unless given."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Remove checkpoints: their records, then their archives."""
    sending(given)  # what does not go together is said before anybody is asked
    terminal = Terminal()
    failed = False
    for name in names:
        try:
            record = await bus.checkpoints.find(name, **choice)
            at = await _remover(bus, record, on, given, several=len(names) > 1)
            with told(record.key.token, as_json=as_json):
                removed = await at.checkpoint_remove(
                    record.container, record.name, namespace=record.namespace, of=record.node
                )
                if as_json:
                    terminal.json(removed)
                else:
                    terminal.line(record.key.token)
        except CommandFailed as error:
            failed = True
            complain(complaint(error))
    if failed:
        raise typer.Exit(1)


async def _remover(
    bus: Bus, record: CheckpointRecord, on: str | None, given: Mapping[str, Any], *, several: bool
) -> Node:
    """Return the node that removes a checkpoint: the one that made it, or any if that one does not answer."""
    name = on
    if name is None:
        present = [one.node for one in await bus.nodes()]
        name = record.node if record.node in present or not present else present[0]
    node = await bus.node(name)
    how = sending(given, *([node.name, record.key.token] if several else []), several=several)
    return node.sending(how).remarking(remarks(given))


def _table(terminal: Terminal, found: Sequence[CheckpointRecord]) -> None:
    columns = Columns("NAME", "CONTAINER", "NAMESPACE", "NODE", "IMAGE", "SIZE", "CREATED", "NOTES", gap=3)
    rows = [
        [
            printable(record.name),
            terminal.id(record.container),
            printable(record.namespace),
            printable(record.node),
            printable(record.image) or "-",
            size(record.archive.size),
            ago(record.created_at),
            ", ".join(_notes(record)) or "-",
        ]
        for record in found
    ]
    for row in rows:
        columns.fit(row)
    terminal.line(columns.header())
    for row in rows:
        terminal.line(columns.line(row))


def _notes(record: CheckpointRecord) -> list[str]:
    """Return what is worth knowing before it is restored."""
    notes = {
        "imported": record.imported,
        "encrypted": bool(record.archive.key),
        "ended it": record.exited,
        "without files": not record.rw,
        "restored before": bool(record.parent),
    }
    return [note for note, holds in notes.items() if holds]
