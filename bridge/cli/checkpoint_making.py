"""`containerd-bridge checkpoint create` and `restore`: what is in a container's memory kept, and gone on with."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec
import typer

from bridge.cli.connection import client_command
from bridge.cli.creating import Namespace as IntoNamespace
from bridge.cli.exits import USAGE, complain
from bridge.cli.images import bars
from bridge.cli.options import Json, Namespace, NodeName, checked
from bridge.cli.printable import printable
from bridge.cli.sending import MAKING, SENDING, remarks, sending, told
from bridge.cli.signatures import own_parameters, parameter, taken, with_parameters
from bridge.cli.terminal import Columns, Terminal
from bridge.client import Bus, ConfigError, Node, derived_id
from bridge.model.checkpoints import Verdict, is_checkpoint_name
from bridge.model.commands import Checkpoint, Restore, explained
from bridge.model.commands.command import Command
from bridge.model.identity import check_identifier, new_ulid
from bridge.model.kinds import convert
from bridge.model.outcomes import Checkpointed, Restored

__all__ = ["create", "restore"]

C = TypeVar("C", bound=Command)

MOST_CLONES: Final = 100

_DUMP = "How it is dumped"
_MAKING: Final = [each for each in MAKING if each.name != "sender"]
"""Of `restore`, whose `--as` is the container's id."""

_HOW: Final = [each for each in SENDING if each.name != "label"]


def _check_name(text: str) -> None:
    if not is_checkpoint_name(text):
        raise ValueError(f"{text!r} is no name of a checkpoint: letters, digits, '_', '.' and '-', 64 at the most")


def _place(text: str) -> tuple[str, str]:
    """Read where a checkpoint goes: `catalogue`, or `image`, `dir` or `file` with what that is called behind `=`.

    Raises:
        ValueError: it is no such place.
    """
    kind, _, target = text.partition("=")
    if (kind == "catalogue" and not target) or (kind in {"image", "dir", "file"} and target):
        return kind, target
    raise ValueError(f"{text!r} is no place for a checkpoint: give catalogue, image=NAME, dir=DIR or file=FILE")


Check: TypeAlias = Annotated[bool, typer.Option("--check", help="Only say what would be met.")]
Force: TypeAlias = Annotated[bool, typer.Option("--force", "-f", help="Also if that is known to fail.")]


def _command(options: list[Any]) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Make a command of `body`, which is given how it is sent as a mapping."""

    def shaped(body: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        async def command(bus: Bus, /, **values: Any) -> None:
            given = taken(values, options)
            sending(given)  # what does not go together is said before anybody is asked
            await body(bus, given, **values)

        own = [each for each in own_parameters(body) if each.name != "given"]
        return client_command(with_parameters(command, body, [parameter("bus", Bus), *own, *options]))

    return shaped


@_command(_HOW)
async def create(
    bus: Bus,
    given: Mapping[str, Any],
    *,
    container: Annotated[str, typer.Argument(metavar="CONTAINER", help="Its id, name, or first digits.")],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Its name; the time unless given.", callback=checked(_check_name)),
    ] = None,
    exit_: Annotated[bool, typer.Option("--exit", help="The container ends with it.")] = False,
    rw: Annotated[bool, typer.Option("--rw/--no-rw", help="With what it wrote to its files.")] = True,
    expires: Annotated[
        float, typer.Option("--expires", metavar="SECONDS", help="Removed from the catalogue after this.")
    ] = 0,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="PLACE",
            help="catalogue, image=NAME in the node's containerd, dir=DIR or file=FILE of its host.",
            callback=checked(_place),
        ),
    ] = "catalogue",
    tcp_established: Annotated[
        bool, typer.Option("--tcp-established", rich_help_panel=_DUMP, help="With its TCP connections.")
    ] = False,
    tcp_skip_in_flight: Annotated[
        bool, typer.Option("--tcp-skip-in-flight", rich_help_panel=_DUMP, help="Without those not established yet.")
    ] = False,
    file_locks: Annotated[
        bool, typer.Option("--file-locks/--no-file-locks", rich_help_panel=_DUMP, help="With its locks on files.")
    ] = True,
    ext_unix: Annotated[
        bool, typer.Option("--ext-unix", rich_help_panel=_DUMP, help="With sockets whose other end is outside.")
    ] = False,
    terminal: Annotated[
        bool, typer.Option("--terminal", rich_help_panel=_DUMP, help="With a terminal of somebody else's.")
    ] = False,
    link_remap: Annotated[
        bool, typer.Option("--link-remap", rich_help_panel=_DUMP, help="With open files that have no name any more.")
    ] = False,
    empty_ns: Annotated[
        list[str] | None,
        typer.Option(
            "--empty-ns", metavar="NS", rich_help_panel=_DUMP, help="Without this namespace: network (repeatable)."
        ),
    ] = None,
    cgroups_mode: Annotated[
        str, typer.Option("--cgroups-mode", metavar="MODE", rich_help_panel=_DUMP, help="ignore, soft, full or strict.")
    ] = "",
    check: Check = False,
    force: Force = False,
    namespace: Namespace = None,
    node: NodeName = None,
    as_json: Json = False,
) -> None:
    """Make a checkpoint of a running container, which goes on afterwards.

    It goes into the catalogue of the bus unless something else is said. It holds the memory of processes, passwords and keys
    included.
    """
    kind, target = _place(to)
    fields = {
        "id": given["command_id"] or new_ulid(),
        "name": name,
        "exit": exit_,
        "rw": rw,
        "to": kind,
        "target": target,
        "check": check,
        "force": force,
        "expires": expires,
        "tcp_established": tcp_established,
        "tcp_skip_in_flight": tcp_skip_in_flight,
        "file_locks": file_locks,
        "ext_unix": ext_unix,
        "terminal": terminal,
        "link_remap": link_remap,
        "empty_ns": empty_ns or [],
        "cgroups_mode": cgroups_mode,
    }
    command = _read(fields, Checkpoint)
    place = await bus.locate(container, node=node, namespace=namespace)
    at = place.node.sending(sending(given)).remarking(remarks(given))
    with told(place.container, as_json=as_json):
        with bars(quiet=as_json or check) as tell:
            async with bus.transport.progress(at.name, command.id or "", tell):
                made = await at.checkpoint(place.container, command, namespace=place.namespace)
        _made(made, check=check, as_json=as_json)


@_command(_MAKING)
async def restore(
    bus: Bus,
    given: Mapping[str, Any],
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Its name, CONTAINER/NAME, or its whole key (`ls --quiet`).")
    ] = None,
    as_: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="ID",
            help="Id of the container; that which it was made of unless given.",
            callback=checked(lambda text: check_identifier(text, "container id")),
        ),
    ] = None,
    clones: Annotated[
        int | None, typer.Option("--clone", metavar="N", min=1, max=MOST_CLONES, help="So many, ID-1 to ID-N.")
    ] = None,
    tcp_close: Annotated[bool, typer.Option("--tcp-close", help="Let TCP connections be closed there.")] = False,
    stdio: Annotated[str, typer.Option("--stdio", metavar="WHERE", help="null or bus; as it was unless given.")] = "",
    trust: Annotated[bool, typer.Option("--trust", help="Also what the catalogue does not vouch for.")] = False,
    check: Check = False,
    force: Force = False,
    image: Annotated[str, typer.Option("--image", metavar="NAME", help="From an image of the node's containerd.")] = "",
    directory: Annotated[str, typer.Option("--dir", metavar="DIR", help="From a directory of the node's host.")] = "",
    file: Annotated[str, typer.Option("--file", metavar="FILE", help="From a file of the node's host.")] = "",
    namespace: IntoNamespace = "default",
    node: NodeName = None,
    as_json: Json = False,
) -> None:
    """Make a container that goes on where a checkpoint was made, on the node that made it or on another one.

    Its image comes along where the node has none. Prints the container's id.
    """
    if (name is None) == (not (image or directory or file)):
        complain("one thing is restored: a NAME in the catalogue, or --image, --dir or --file")
        raise typer.Exit(USAGE)
    source: dict[str, Any] = {"image": image, "dir": directory, "file": file}
    container, on = as_, node
    if name is not None:
        record = await bus.checkpoints.find(name)
        source = {"checkpoint": record.key.token}
        container, on = as_ or record.container, node or record.node
    if container is None:
        raise ConfigError("what is not in the catalogue says no id that could be believed: give one with --as")
    at = await bus.node(on)
    common = {"tcp_close": tcp_close, "trust": trust, "check": check, "force": force, "stdio": stdio}
    ids = [container] if clones is None else [f"{container}-{number}" for number in range(1, clones + 1)]
    first = given["command_id"] or new_ulid()
    for one in ids:
        command_id = first if clones is None else derived_id(first, at.name, namespace, one)
        command = _read({"id": command_id, **source, **common}, Restore)
        how = sending({**given, "command_id": command_id})
        sender = at.sending(how).remarking(remarks({**given, "sender": None}))
        await _restored(bus, sender, one, command, namespace=namespace, as_json=as_json)


async def _restored(bus: Bus, at: Node, container: str, command: Restore, *, namespace: str, as_json: bool) -> None:
    with told(container, as_json=as_json):
        with bars(quiet=as_json or command.check) as tell:
            async with bus.transport.progress(at.name, command.id or "", tell):
                restored = await at.restore(container, command, namespace=namespace)
        _told_of(restored, check=command.check, as_json=as_json)


def _made(made: Checkpointed, *, check: bool, as_json: bool) -> None:
    terminal = Terminal()
    if as_json:
        terminal.json(made)
        return
    _findings(terminal, made.verdict, every=check)
    if not check:
        terminal.line(printable(made.image or made.path or (made.record.key.token if made.record else "")))


def _told_of(restored: Restored, *, check: bool, as_json: bool) -> None:
    terminal = Terminal()
    if as_json:
        terminal.json(restored)
        return
    _findings(terminal, restored.verdict, every=check)
    if not check:
        terminal.line(printable(restored.container))


def _findings(terminal: Terminal, verdict: Verdict, *, every: bool) -> None:
    """Print what was found: all of it where that was asked for, else what may go wrong, and that to where errors go."""
    if not every:
        for one in verdict.findings:
            if one.level in {"risk", "blocks"}:
                complain(f"{one.says}: {one.way_out}" if one.way_out else one.says)
        return
    rows = [[one.level, one.check, printable(one.says), printable(one.way_out) or "-"] for one in verdict.findings]
    columns = Columns("LEVEL", "CHECK", "FOUND", "WAY OUT", gap=3)
    for row in rows:
        columns.fit(row)
    terminal.line(columns.header())
    for row in rows:
        terminal.line(columns.line(row))
    if not verdict.ok:
        raise typer.Exit(1)


def _read(fields: Mapping[str, Any], kind: type[C]) -> C:
    try:
        return convert(fields, kind)
    except msgspec.ValidationError as error:
        complain(explained(kind, str(error)))
        raise typer.Exit(USAGE) from error
