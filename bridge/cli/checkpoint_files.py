"""`containerd-bridge checkpoint export` and `import`: archives of the catalogue as files of whoever types."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

import typer
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from bridge.cli.checkpoints import CheckpointName, OfContainer, OfNode
from bridge.cli.colours import console, is_drawn_on
from bridge.cli.connection import client_command
from bridge.cli.exits import USAGE, complain
from bridge.cli.options import Json, OneNamespace, checked
from bridge.cli.printable import printable
from bridge.cli.terminal import Terminal
from bridge.client import Bus
from bridge.client.checkpoint_import import Into
from bridge.model.checkpoints import is_checkpoint_name
from bridge.model.identity import check_identifier, check_node

__all__ = ["export", "import_file"]

Compression: TypeAlias = Literal["zstd", "gzip", "none"]
KeyFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        readable=False,
        help="Keys of encrypted archives; those of the settings (checkpoint_key) unless given.",
    ),
]


def _check_compression(text: str) -> None:
    if text not in get_args(Compression):
        raise ValueError(f"{text!r} is no compression: choose from {', '.join(get_args(Compression))}")


def _check_name(text: str) -> None:
    if not is_checkpoint_name(text):
        raise ValueError(f"{text!r} is no name of a checkpoint: letters, digits, '_', '.' and '-', 64 at the most")


@client_command
async def export(
    bus: Bus,
    *,
    name: CheckpointName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; - for standard output.")],
    compression: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="zstd, gzip or none; as it is stored (zstd) unless given.",
            callback=checked(_check_compression),
        ),
    ] = None,
    key: KeyFile = None,
    node: OfNode = None,
    namespace: OneNamespace = None,
    container: OfContainer = None,
    as_json: Json = False,
) -> None:
    """Write a checkpoint's archive to a file, which only its owner can read.

    It holds the memory of processes, passwords and keys included. `checkpointctl` reads it too.
    """
    checkpoints = bus.checkpoints if key is None else bus.checkpoints.with_key(key)
    record = await checkpoints.find(name, node=node, namespace=namespace, container=container)
    output = None if str(file) == "-" else file
    if output is None and sys.stdout.isatty():
        complain("an archive is nothing for a terminal: redirect standard output, or give a file")
        raise typer.Exit(USAGE)
    packing: Compression | None = next((how for how in get_args(Compression) if how == compression), None)
    with _bar(f"{record.container}/{record.name}", record.archive.size, quiet=as_json) as tell:
        await checkpoints.export(record, output, packing=packing, tell=tell)
    if as_json:
        if output is None:  # the archive is there
            complain(f"{record.container}/{record.name} is written to standard output")
        else:
            Terminal().json({"checkpoint": record.key.token, "file": str(output), "bytes": output.stat().st_size})


@client_command
async def import_file(
    bus: Bus,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `checkpoint export` wrote, or the like.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Its name.", callback=checked(_check_name))
    ] = None,
    node: Annotated[
        str | None,
        typer.Option("--node", metavar="NODE", help="Node that it is filed under.", callback=checked(check_node)),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            metavar="NS",
            help="containerd namespace.",
            callback=checked(lambda text: check_identifier(text, "namespace")),
        ),
    ] = None,
    container: Annotated[
        str | None,
        typer.Option(
            "--container",
            "-c",
            metavar="ID",
            help="Container that it is of.",
            callback=checked(lambda text: check_identifier(text, "container id")),
        ),
    ] = None,
    key: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Put an archive from a file into the catalogue; prints its key.

    What is not given is taken from the archive. Nobody vouches for what it says of itself, so it is restored with --trust
    only.
    """
    checkpoints = bus.checkpoints if key is None else bus.checkpoints.with_key(key)
    into = Into(node=node or "", namespace=namespace or "", container=container or "", name=name or "")
    size = file.stat().st_size if file.is_file() else 0
    with _bar(file.name, size, quiet=as_json) as tell:
        record = await checkpoints.bring(file, into, tell=tell)
    terminal = Terminal()
    if as_json:
        terminal.json(record)
    else:
        terminal.line(record.key.token)


@contextmanager
def _bar(what: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error, if a person looks at it; yield what moves it."""
    if quiet or not is_drawn_on(stderr=True):
        yield lambda _: None
        return
    columns = (TextColumn("{task.fields[what]:<36}", markup=False), BarColumn(bar_width=24), DownloadColumn())
    with Bars(*columns, TransferSpeedColumn(), console=console(stderr=True), transient=True) as bars:
        row = bars.add_task("", total=total or None, what=printable(what)[:36])
        yield lambda size: bars.update(row, completed=size)
