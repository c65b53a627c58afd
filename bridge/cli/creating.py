"""`containerd-bridge create` and `run`: new containers, in the words of docker and ctr."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Annotated, Any, Final, TypeVar, get_type_hints

import msgspec
import typer

from bridge.cli.connection import client_command
from bridge.cli.container_options import CreateOptions, command_options, container_id
from bridge.cli.exits import USAGE, complain, complaint
from bridge.cli.options import Json, NodeName, checked
from bridge.cli.signatures import own_parameters, parameter, taken, with_parameters
from bridge.cli.terminal import Terminal
from bridge.client import Bus, CommandFailed, Node
from bridge.model.commands import Create, Run
from bridge.model.events import TaskExit
from bridge.model.identity import check_identifier, new_ulid

__all__ = ["create", "run"]

C = TypeVar("C", bound=Create)

NOT_RUN: Final = 125
NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
"""As docker run ends where there was nothing to take an exit status from."""

NO_PROGRAM: Final = ("executable file not found", "no such file or directory", "not a directory")
NO_PERMISSION: Final = ("permission denied", "is a directory")

Namespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NS",
        help="containerd namespace.",
        callback=checked(lambda text: check_identifier(text, "namespace")),
    ),
]
_SHAPE = [
    parameter(name, hint, getattr(CreateOptions(), name))
    for name, hint in get_type_hints(CreateOptions, include_extras=True).items()
]
_FIRST = [
    parameter("image", Annotated[str | None, typer.Argument(metavar="IMAGE", help="Image to run.")], None),
    parameter(
        "command",
        Annotated[list[str] | None, typer.Argument(metavar="COMMAND", help="Instead of the image's own.")],
        None,
    ),
]
_PLACE = [
    parameter("namespace", Namespace, "default"),
    parameter("node", NodeName, None),
    parameter("as_json", Json, False),  # noqa: FBT003 - a default
]


def _shaping(body: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a command of `body` that has all the options of a new container."""

    async def command(bus: Bus, /, **values: Any) -> None:
        shape = CreateOptions(**taken(values, _SHAPE))
        first = taken(values, _FIRST)
        if first["image"] is None and shape.spec is None:
            complain(
                "there is nothing to make a container of: name an image", hint="See 'containerd-bridge run --help'."
            )
            raise typer.Exit(USAGE)
        try:
            fields = command_options(shape, first["image"], first["command"] or [])
        except ValueError as error:
            complain(str(error))
            raise typer.Exit(USAGE) from error
        place = taken(values, _PLACE)
        node = await bus.node(place["node"])
        await body(bus, node, container_id(shape), fields, place, **values)

    parameters = [parameter("bus", Bus), *_FIRST, *_after(body), *_SHAPE, *_PLACE]
    return client_command(with_parameters(command, body, parameters))


def _after(body: Callable[..., Any]) -> list[Any]:
    return own_parameters(body)[4:]


def _read(fields: dict[str, Any], kind: type[C]) -> C:
    try:
        return msgspec.convert({**fields, "id": new_ulid()}, kind)
    except msgspec.ValidationError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from error


@_shaping
async def create(_bus: Bus, node: Node, container: str, fields: dict[str, Any], place: dict[str, Any]) -> None:
    """Make a container, and do not start it."""
    created = await node.create(container, _read(fields, Create), namespace=place["namespace"])
    _show(created, created.container, place)


@_shaping
async def run(
    bus: Bus,
    node: Node,
    container: str,
    fields: dict[str, Any],
    place: dict[str, Any],
    *,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once it runs; else when it has ended.")
    ] = False,
    remove: Annotated[bool, typer.Option("--rm", help="Delete it as soon as it has ended.")] = False,
) -> None:
    """Make a container and start it; wait for its end, and end with its exit status."""
    command = _read({**fields, "rm": remove}, Run)
    begin = 0 if detach else await bus.end()
    try:
        ran = await node.run(container, command, namespace=place["namespace"])
    except CommandFailed as error:
        complain(complaint(error))
        raise typer.Exit(_status_of(error)) from error
    _show(ran, ran.container, place)
    if not detach:
        status = await _ended(bus, node, place["namespace"], container, begin)
        if status is None:
            complain(f"container {container} has ended, and nobody saw how")
        raise typer.Exit(NOT_RUN if status is None else status)


async def _ended(bus: Bus, node: Node, namespace: str, container: str, begin: int) -> int | None:
    """Return the exit status as the log tells it, however long that takes and whatever is restarted meanwhile."""
    events = bus.events(
        node=node.name, namespace=namespace, container=container, type="exit", since=begin + 1, follow=True
    )
    async with aclosing(events):
        async for event in events:
            if isinstance(event.recorded.data, TaskExit):
                return event.recorded.data.exit_status
    return None


def _show(result: Any, container: str, place: dict[str, Any]) -> None:
    terminal = Terminal()
    if place["as_json"]:
        terminal.json(result)
    else:
        terminal.line(container)


def _status_of(error: CommandFailed) -> int:
    words = f"{error.message} {error.containerd or ''}".lower()
    if any(clause in words for clause in NO_PERMISSION):
        return NOT_EXECUTABLE
    return NOT_FOUND if any(clause in words for clause in NO_PROGRAM) else NOT_RUN
