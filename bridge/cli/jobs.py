"""`containerd-bridge jobs`: commands as they stand, and what is done about those that wait or were put aside."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from bridge.cli.connection import client_command
from bridge.cli.durations import ago
from bridge.cli.options import Json, NodeName, NodeNames, OneContainer, OneNamespace
from bridge.cli.printable import printable
from bridge.cli.terminal import Columns, Terminal
from bridge.client import Bus, CommandFailed, JobView
from bridge.model.codec import to_builtins

__all__ = ["cancel", "drop", "jobs", "retry", "show"]

CommandName: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The command's id.")]
Everything: TypeAlias = Annotated[bool, typer.Option("--all", "-a", help="Also requests, and what has ended.")]


@client_command
async def jobs(
    bus: Bus,
    *,
    node: NodeNames = None,
    namespace: OneNamespace = None,
    container: OneContainer = None,
    everything: Everything = False,
    as_json: Json = False,
) -> None:
    """Show the jobs that wait, are under way, or were put aside.

    A login for one namespace, or one container, gives that: it sees what bridges have taken on, and not what still waits.
    STANDING is waiting (in the stream), accepted (in its container's queue), started, finished with its outcome, or quarantined.
    """
    known = await bus.jobs.list(node=node or (), namespace=_namespace(namespace, container), container=container)
    found = [view for view in known if everything or _open(view)]
    terminal = Terminal()
    if as_json:
        for view in found:
            terminal.json(view)
        return
    columns = Columns("ID", "NODE", "VERB", "CONTAINER", "STANDING", "SINCE", gap=3)
    rows = [
        [
            printable(view.id),
            printable(view.node),
            printable(view.verb),
            _container(view),
            _standing(view),
            ago(view.started_at or view.received_at),
        ]
        for view in found
    ]
    for row in rows:
        columns.fit(row)
    terminal.line(columns.header())
    for row in rows:
        terminal.line(columns.line(row))


@client_command
async def show(
    bus: Bus,
    command_id: CommandName,
    *,
    node: NodeName = None,
    namespace: OneNamespace = None,
    container: OneContainer = None,
    as_json: Json = False,
) -> None:
    """Show how a command stands, and what came of it."""
    terminal = Terminal()
    for view in await _known(bus, command_id, node, namespace, container):
        if as_json:
            terminal.json(view)
            continue
        outcome = view.outcome
        lines = {
            "id": view.id,
            "node": view.node,
            "command": f"{view.verb} {_container(view)}",
            "standing": _standing(view),
            "came": f"{view.received_at} as a {view.via}",
            "started": view.started_at,
            "finished": outcome.finished_at if outcome else None,
            "result": to_builtins(outcome.result) if outcome and outcome.result is not None else None,
            "error": f"{outcome.error.code}: {outcome.error.message}" if outcome and outcome.error else None,
            "put aside": view.why,
        }
        for name, value in lines.items():
            if value is not None:
                terminal.line(f"{name:<10} {printable(str(value))}")


@client_command
async def retry(bus: Bus, command_id: CommandName, *, node: NodeName = None, as_json: Json = False) -> None:
    """Send a job that was put aside once more; prints its id, a new one if it had started before."""
    sent = (await bus.jobs.retry(command_id, node=node)).command_id
    _done(command_id, as_json=as_json, sent=sent)


@client_command
async def drop(bus: Bus, command_id: CommandName, *, node: NodeName = None, as_json: Json = False) -> None:
    """Take a job that was put aside out of the quarantine."""
    await bus.jobs.drop(command_id, node=node)
    _done(command_id, as_json=as_json)


@client_command
async def cancel(
    bus: Bus,
    command_id: CommandName,
    *,
    node: NodeName = None,
    namespace: OneNamespace = None,
    container: OneContainer = None,
    as_json: Json = False,
) -> None:
    """Take back a command that waits, or that waits for something itself, as a stop does."""
    known = await _known(bus, command_id, node, namespace, container)
    view = next((view for view in known if view.standing != "finished"), None)
    if view is None:
        raise CommandFailed(
            "failed_precondition", f"command {command_id} has ended: `jobs show {command_id}` tells how"
        )
    await (await bus.node(view.node)).cancel(command_id, namespace=view.namespace, container=view.container)
    _done(command_id, as_json=as_json)


def _done(command_id: str, *, as_json: bool, sent: str | None = None) -> None:
    """Print the id of what is done, or of what was sent in its place."""
    terminal = Terminal()
    if as_json:
        terminal.json({"command_id": command_id} | ({} if sent is None else {"sent": sent}))
    else:
        terminal.line(sent or command_id)


async def _known(
    bus: Bus, command_id: str, node: str | None, namespace: str | None, container: str | None
) -> list[JobView]:
    found = list(
        await bus.jobs.show(command_id, node=node, namespace=_namespace(namespace, container), container=container)
    )
    if not found:
        raise CommandFailed("not_found", f"nobody knows a command {command_id}; what has ended is kept for two weeks")
    return found


def _namespace(namespace: str | None, container: str | None) -> str | None:
    return "default" if namespace is None and container is not None else namespace


def _open(view: JobView) -> bool:
    return view.via == "job" and view.standing != "finished"


def _container(view: JobView) -> str:
    return printable(view.container or view.namespace or "-")


def _standing(view: JobView) -> str:
    return view.standing if view.outcome is None else f"{view.standing}: {view.outcome.outcome}"
