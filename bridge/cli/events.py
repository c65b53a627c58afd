"""`containerd-bridge events`: the log, as it grows or from any point on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated

import msgspec
import typer

from bridge.cli.connection import client_command
from bridge.cli.docker_events import DockerEvents
from bridge.cli.near import did_you_mean
from bridge.cli.options import (
    ContainerIds,
    ExitStatuses,
    Images,
    Labels,
    NamePatterns,
    Namespaces,
    NodeNames,
    NoTruncate,
    checked,
)
from bridge.cli.table import EventTable
from bridge.cli.template import Template
from bridge.cli.terminal import Terminal
from bridge.client import Bus, EventFilter, LogError, read_point
from bridge.model.state import ContainerState

__all__ = ["events"]


_FORMATS = ("table", "json", "docker")


def _check_format(form: str) -> None:
    if form in _FORMATS:
        return
    if "{" not in form:
        meant = did_you_mean(form, _FORMATS) or f"choose from {', '.join(_FORMATS)}"
        raise ValueError(
            f"{form!r} is no format: {meant}, or give a template such as '{{time}} {{word}} {{container}}'"
        )
    Template(form)


def _check_word(word: str) -> None:
    EventFilter(words=word)


@client_command
async def events(
    bus: Bus,
    *,
    namespace: Namespaces = None,
    container: ContainerIds = None,
    word: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            "-t",
            metavar="WORD",
            help="Only this type, such as exit, oom or gap (repeatable).",
            callback=checked(_check_word),
        ),
    ] = None,
    label: Labels = None,
    name: NamePatterns = None,
    image: Images = None,
    exit_status: ExitStatuses = None,
    node: NodeNames = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="POINT",
            help="Begin at a time, 10m or 2h30m ago, or a stream sequence number.",
            callback=checked(read_point),
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="POINT",
            help="End there; durations count back from now. A time to come is waited for, a number with --follow.",
            callback=checked(read_point),
        ),
    ] = None,
    follow: Annotated[
        bool | None,
        typer.Option(
            "--follow/--no-follow", "-f", help="Go on with what comes; so unless --until.", show_default=False
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="table, json (one CloudEvent per line), docker (as Docker 29 has it), or a template: '{time} {word}'.",
            callback=checked(_check_format),
        ),
    ] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    node_events: Annotated[
        bool | None,
        typer.Option(
            "--node-events/--no-node-events",
            help="Also events of nodes; so unless containers are chosen.",
            show_default=False,
        ),
    ] = None,
    no_truncate: NoTruncate = False,
) -> None:
    """Show what happens to containers, from any point of the log on.

    Without --since it begins now, with --no-follow at the log's first event. Of one option any value may match, of several
    options each has to.
    """
    try:
        found = bus.events(
            node=node or (),
            namespace=namespace or (),
            container=container or (),
            type=word or (),
            label=label or (),
            name=name or (),
            image=image or (),
            exit_status=exit_status or (),
            since=since,
            until=until,
            follow=follow,
            node_events=node_events,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    terminal = Terminal(truncate=not no_truncate)
    async with aclosing(found) as stream:
        if as_json or form == "json":
            async for event in stream:
                terminal.json(one_line(event.body))
        elif form == "docker":
            ours = DockerEvents(await _running(bus))
            async for event in stream:
                if (told := ours.told(event.recorded)) is not None:
                    terminal.json(told)
        elif form != "table":
            template = Template(form)
            async for event in stream:
                terminal.line(template.filled(event))
        else:
            table = EventTable(terminal)
            table.begin()
            async for event in stream:
                table.show(event)


async def _running(bus: Bus) -> Sequence[ContainerState]:
    try:
        return await bus.states()
    except LogError:
        return []  # nobody keeps states: how long something ran is then known of what is seen to start


def one_line(body: bytes) -> bytes:
    """Return the CloudEvent as it stands in the log; one that somebody else wrote over several lines is folded to one."""
    return msgspec.json.format(body, indent=-1) if b"\n" in body else body
