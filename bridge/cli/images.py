"""`containerd-bridge images`, `pull`, `import` and `rmi`."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from bridge.cli.colours import console, is_drawn_on
from bridge.cli.connection import client_command
from bridge.cli.creating import Namespace
from bridge.cli.durations import ago
from bridge.cli.exits import USAGE, complain, complaint
from bridge.cli.options import Json, NodeName
from bridge.cli.printable import printable
from bridge.cli.sending import AT_ONCE, TO_A_NODE, remarks, sending, told
from bridge.cli.signatures import own_parameters, parameter, taken, with_parameters
from bridge.cli.terminal import Columns, Terminal
from bridge.client import Bus, CommandFailed, ConfigError, Node
from bridge.model.commands import Import, Pull, explained
from bridge.model.identity import new_ulid
from bridge.model.kinds import convert
from bridge.model.outcomes import ImageInfo, Progress
from bridge.model.references import full_reference
from bridge.ports import Tell

__all__ = ["bars", "images", "import_archive", "pull", "rmi"]

SHORT_DIGEST: Final = len("sha256:") + 12
_PART: Final = re.compile(r"(\w+)-sha256:([0-9a-f]{12})[0-9a-f]*")
_PLACE = [
    parameter("namespace", Namespace, "default"),
    parameter("node", NodeName, None),
    parameter("as_json", Json, False),  # noqa: FBT003 - a default
]


def _changing(
    options: Sequence[inspect.Parameter],
) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Make a command of what changes the images of a node: with these options, which it is given as a mapping."""

    def shaped(body: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        async def command(bus: Bus, /, **values: Any) -> None:
            given = {**taken(values, _PLACE), **taken(values, options)}
            await body(bus, given, **values)

        parameters = [parameter("bus", Bus), *own_parameters(body)[1:], *_PLACE, *options]
        return client_command(with_parameters(command, body, parameters))

    return shaped


@client_command
async def images(
    bus: Bus,
    *,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", "-f", metavar="FILTER", help="containerd's own, such as labels.app==web (repeatable)."
        ),
    ] = None,
    names_only: Annotated[bool, typer.Option("--quiet", "-q", help="Only what it is called, a line each.")] = False,
    namespace: Namespace = "default",
    node: NodeName = None,
    as_json: Json = False,
) -> None:
    """List the images of a node."""
    found = await (await bus.node(node)).images(namespace=namespace, filters=filters or [], sizes=not names_only)
    terminal = Terminal()
    if as_json:
        for image in found:
            terminal.json(image)
    elif names_only:
        for image in found:
            terminal.line(printable(image.name))
    else:
        _table(terminal, found)


@_changing(TO_A_NODE)
async def pull(
    bus: Bus,
    given: Mapping[str, Any],
    *,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Name, such as nginx:1.27.")],
    platform: Annotated[str, typer.Option("--platform", metavar="OS/ARCH", help="Another one than the node's.")] = "",
    snapshotter: Annotated[str, typer.Option("--snapshotter", metavar="NAME", help="containerd's.")] = "",
    plain_http: Annotated[bool, typer.Option("--plain-http", help="The registry has no TLS.")] = False,
    hosts_dir: Annotated[
        str, typer.Option("--hosts-dir", metavar="DIR", help="The node's directory with hosts.toml files.")
    ] = "",
    user: Annotated[
        str, typer.Option("--user", "-u", metavar="NAME", help="Its password is read from $REGISTRY_PASSWORD.")
    ] = "",
    stall: Annotated[
        float, typer.Option("--stall", metavar="SECONDS", help="Give up after as long without a byte.")
    ] = Pull().stall,
) -> None:
    """Fetch an image from its registry."""
    if user and given["durable"]:
        raise ConfigError("the password would stand in the stream of jobs: leave --durable out, or --user")
    fields = {
        "id": given["command_id"] or new_ulid(),
        "image": full_reference(image),
        "platform": platform,
        "snapshotter": snapshotter,
        "plain_http": plain_http,
        "hosts_dir": hosts_dir,
        "stall": stall,
        "username": user,
        "password": os.environ.get("REGISTRY_PASSWORD", "") if user else "",
    }
    try:
        command = convert(fields, Pull)
    except msgspec.ValidationError as error:
        complain(explained(Pull, str(error)))
        raise typer.Exit(USAGE) from error
    at = await _node(bus, given)
    with told(command.image, as_json=given["as_json"]):
        with bars(quiet=given["as_json"]) as tell:
            async with bus.transport.progress(at.name, command.id or "", tell):
                pulled = await at.pull(command, namespace=given["namespace"])
        _done([pulled], as_json=given["as_json"])


@_changing(AT_ONCE)
async def import_archive(
    bus: Bus,
    given: Mapping[str, Any],
    *,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="OCI layout or `docker save`, as a tar; - for standard input.")
    ],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="For an image that has none in it.")] = "",
) -> None:
    """Hand the images of an archive to a node."""
    at = await _node(bus, given)
    full_name = full_reference(name) if name else ""
    if given["dry_run"]:
        with told(str(file), as_json=given["as_json"]):
            nothing = Import(bucket=bus.subjects.archive_bucket, object="none", name=full_name)
            await at.import_archive(nothing, namespace=given["namespace"])
        return
    try:
        archive = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    except OSError as error:
        complain(f"{file} cannot be read: {error.strerror}")
        raise typer.Exit(USAGE) from error
    with archive, bars(total=_size(file), quiet=given["as_json"]) as tell:
        async with (
            bus.transport.archive(archive, tell) as command,
            bus.transport.progress(at.name, command.id or "", tell),
        ):
            wanted = msgspec.structs.replace(command, id=given["command_id"] or command.id, name=full_name)
            imported = await at.import_archive(wanted, namespace=given["namespace"])
    _done(imported, as_json=given["as_json"])


@_changing(TO_A_NODE)
async def rmi(
    bus: Bus,
    given: Mapping[str, Any],
    *,
    names: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Names of images.")],
    force: Annotated[bool, typer.Option("--force", "-f", help="Also of those that containers use.")] = False,
    sync: Annotated[bool, typer.Option("--sync", help="Return when their content is gone too.")] = False,
) -> None:
    """Remove the names of images."""
    terminal = Terminal()
    failed = False
    for name in names:
        image = full_reference(name)
        at = await _node(bus, given, *([image] if len(names) > 1 else []))
        try:
            with told(printable(image), as_json=given["as_json"]):
                removed = await at.rmi(image, namespace=given["namespace"], force=force, sync=sync)
                if given["as_json"]:
                    terminal.json(removed)
                else:
                    terminal.line(printable(removed.image))
        except CommandFailed as error:
            failed = True
            complain(complaint(error))
    if failed:
        raise typer.Exit(1)


async def _node(bus: Bus, given: Mapping[str, Any], *one_of: str) -> Node:
    """Return the node, to which a command is sent as was said; of several under one id, each under its own."""
    sending(given)  # what does not go together is said before anybody is asked
    node = await bus.node(given["node"])
    how = sending(given, node.name, given["namespace"], *one_of, several=bool(one_of))
    return node.sending(how).remarking(remarks(given))


def _table(terminal: Terminal, found: list[ImageInfo]) -> None:
    rows = [
        [printable(one.name), printable(one.digest[:SHORT_DIGEST]), _bytes(one.size), ago(one.created_at)]
        for one in found
    ]
    columns = Columns("IMAGE", "DIGEST", "SIZE", "CREATED", gap=3)
    for row in rows:
        columns.fit(row)
    terminal.line(columns.header())
    for row in rows:
        terminal.line(columns.line(row))


def _done(found: list[ImageInfo], *, as_json: bool) -> None:
    terminal = Terminal()
    for image in found:
        if as_json:
            terminal.json(image)
        else:
            terminal.line(printable(image.name))


def _bytes(size: int | None) -> str:
    if size is None:
        return "-"
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def _size(file: Path) -> int | None:
    return file.stat().st_size if str(file) != "-" and file.is_file() else None


@contextmanager
def bars(*, total: int | None = None, quiet: bool = False) -> Iterator[Tell]:
    """Show bars on standard error, if a person looks at it, else a line for each step; yield what moves them."""
    if quiet:
        yield lambda _: None
        return
    if not is_drawn_on(stderr=True):
        yield _lines()
        return
    names = TextColumn("{task.fields[what]:<36}", markup=False)
    events = TextColumn("{task.fields[event]:<12}", markup=False)
    with Bars(
        names, events, BarColumn(bar_width=24), DownloadColumn(), console=console(stderr=True), transient=True
    ) as shown:
        rows: dict[str, TaskID] = {}

        def tell(progress: Progress) -> None:
            if not (progress.total or progress.done):
                return
            if progress.name not in rows:
                what = _thing(progress.name)[:36]
                rows[progress.name] = shown.add_task("", total=None, what=what, event="")
            shown.update(
                rows[progress.name],
                completed=progress.done,
                total=progress.total or total,
                event=printable(progress.event)[:12],
            )

        yield tell


def _thing(name: str) -> str:
    """Return what containerd calls a part of an image as docker would: `layer-sha256:...` by its first digits."""
    found = _PART.fullmatch(name)
    return f"{found[1]} {found[2]}" if found else printable(name)


def _lines() -> Tell:
    """Return what writes a line for each new step of each thing: a log wants no bars, and no number that only grows."""
    steps: dict[str, str] = {}

    def tell(progress: Progress) -> None:
        if steps.get(progress.name) == progress.event:
            return
        steps[progress.name] = progress.event
        thing = f"{_thing(progress.name)}: " if progress.name else ""
        size = f" {_bytes(progress.total)}" if progress.total else ""
        sys.stderr.write(f"{thing}{printable(progress.event)}{size}\n")

    return tell
