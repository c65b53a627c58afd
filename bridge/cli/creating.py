"""`containerd-bridge create` and `run`: new containers, in the words of docker and ctr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Annotated, Any, Final, TypeVar, get_type_hints

import msgspec
import typer
from msgspec import Struct

from bridge.cli.attached import UNKNOWN_STATUS, Manner, attached
from bridge.cli.connection import client_command
from bridge.cli.console import DetachKeys, terminal_size
from bridge.cli.container_options import CreateOptions, command_options, container_id
from bridge.cli.execs import KEYS
from bridge.cli.exits import PROGRAM, USAGE, complain, complaint
from bridge.cli.options import DetachWith, Json, NodeName, SigProxy, checked
from bridge.cli.sending import MAKING, remarks, sending, told
from bridge.cli.signatures import own_parameters, parameter, taken, with_parameters
from bridge.cli.terminal import Terminal
from bridge.client import Bus, CommandFailed, ConfigError, Node, Process
from bridge.model.commands import Create, Run, explained
from bridge.model.events import TaskExit
from bridge.model.identity import check_identifier
from bridge.model.kinds import convert
from bridge.model.outcomes import Ran
from bridge.model.stdio import WINDOW

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
        place, how = taken(values, _PLACE), taken(values, MAKING)
        node = (await bus.node(place["node"])).sending(sending(how)).remarking(remarks(how))
        await body(bus, node, container_id(shape), fields, {**place, **how}, **values)

    parameters = [parameter("bus", Bus), *_FIRST, *_after(body), *_SHAPE, *_PLACE, *MAKING]
    return client_command(with_parameters(command, body, parameters))


def _after(body: Callable[..., Any]) -> list[Any]:
    return own_parameters(body)[4:]


def _read(fields: Mapping[str, Any], kind: type[C]) -> C:
    try:
        return convert(fields, kind)
    except msgspec.ValidationError as error:
        complain(explained(kind, str(error)))
        raise typer.Exit(USAGE) from error


@_shaping
async def create(_bus: Bus, node: Node, container: str, fields: dict[str, Any], given: dict[str, Any]) -> None:
    """Make a container, and do not start it."""
    with told(container, as_json=given["as_json"]):
        created = await node.create(container, _read(fields, Create), namespace=given["namespace"])
        _show(created, created.container, given)


@_shaping
async def run(
    bus: Bus,
    node: Node,
    container: str,
    fields: dict[str, Any],
    given: dict[str, Any],
    *,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print what it is called, and leave it running.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--rm", help="The node deletes it as soon as it has ended, whatever becomes of us.")
    ] = False,
    sig_proxy: SigProxy = True,
    detach_keys: DetachWith = KEYS,
) -> None:
    """Make a container and start it; be with it to its end, and end with its exit status.

    Its output is kept on the bus, also with -d: `attach` shows it, `attach --from-start` all of it. Signals go to it; the third
    Ctrl-C leaves it alone. The status is 125 where it did not come to run, 126 or 127 where its program cannot be executed or
    is not there.
    """
    awaited = not given["dry_run"] and (given["wait"] or not given["durable"])
    seen = fields["stdio"] == "bus" and not detach and awaited
    if seen and given["as_json"]:
        raise ConfigError("--json is for what -d prints: without it standard output is the container's own")
    if seen and fields["stdin"] and fields["tty"] and not sys.stdin.isatty():
        raise ConfigError("the input is no terminal: leave -t out, or -i")
    if seen and fields["tty"] and (size := terminal_size()) is not None:
        fields |= {"width": size[0], "height": size[1]}
    command = _read({**fields, "rm": remove, "window": WINDOW if seen else None}, Run)
    with told(container, as_json=given["as_json"]):
        begin = 0 if detach or not awaited else await bus.end()
        running = _Running(
            bus=bus, node=node, container=container, namespace=given["namespace"], command=command, begin=begin
        )
        name = command.name or Terminal().id(container)
        manner = Manner(
            name=name,
            stdin=command.stdin,
            rule="leave" if command.tty or not sig_proxy else "forward",
            owner=True,
            keys=DetachKeys.read(detach_keys),
            back=f"{PROGRAM} attach {name if given['node'] is None else container}",
            # A bridge that was away at the end may have learnt of it on another way.
            otherwise=lambda: running.ended(follow=False),
        )
        if seen:
            raise typer.Exit(await attached(running.process(), manner))
        ran = await running.started()
        _show(ran, ran.container, given)
        if not detach:
            raise typer.Exit(await running.status())


class _Running(Struct, frozen=True, kw_only=True):
    """One run: from the command to what its end makes of us. `begin` is where the log ended before it."""

    bus: Bus
    node: Node
    container: str
    namespace: str
    command: Run
    begin: int

    async def started(self) -> Ran:
        """Send the command; end as docker does where nothing comes to run."""
        try:
            return await self.node.run(self.container, self.command, namespace=self.namespace)
        except CommandFailed as error:
            complain(complaint(error))
            raise typer.Exit(_status_of(error)) from error

    async def status(self) -> int:
        """Wait for its end without being with it; return its exit status."""
        status = await self.ended(follow=True)
        if status is None:
            complain(f"container {self.container} has ended, and nobody saw how")
        return UNKNOWN_STATUS if status is None else status

    async def process(self) -> Process:
        """Return its process, where its stdio can be had; else wait for its end, and end with its status.

        Raises:
            LogError: its output could not be read; nothing was run.
        """
        await self.node.check_output(self.container, namespace=self.namespace)
        ran = await self.started()
        if ran.process is None:
            complain(f"the output of container {self.container} cannot be seen, its end is waited for")
            raise typer.Exit(await self.status())
        return self.node.process(ran.process, self.container, namespace=self.namespace, owned=True)

    async def ended(self, *, follow: bool) -> int | None:
        """Return the exit status as the log tells it, with `follow` however long that takes and whatever is restarted."""
        events = self.bus.events(
            node=self.node.name,
            namespace=self.namespace,
            container=self.container,
            type="exit",
            since=self.begin + 1,
            follow=follow,
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event.recorded.data, TaskExit):
                    return event.recorded.data.exit_status
        return None


def _show(result: Any, container: str, given: dict[str, Any]) -> None:
    terminal = Terminal()
    if given["as_json"]:
        terminal.json(result)
    else:
        terminal.line(container)


def _status_of(error: CommandFailed) -> int:
    if error.code == "failed_precondition":
        return NOT_RUN
    words = f"{error.message} {error.containerd or ''}".lower()
    if any(clause in words for clause in NO_PERMISSION):
        return NOT_EXECUTABLE
    return NOT_FOUND if any(clause in words for clause in NO_PROGRAM) else NOT_RUN
