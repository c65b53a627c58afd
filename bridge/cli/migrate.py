"""`containerd-bridge migrate`: a running container goes on at another node."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.progress import BarColumn, DownloadColumn, TextColumn
from rich.progress import Progress as Bars

from bridge.cli.colours import console, is_drawn_on
from bridge.cli.connection import Opening, opening_command
from bridge.cli.exits import USAGE, complain
from bridge.cli.options import Container, Json, Namespace, NodeName
from bridge.cli.printable import printable
from bridge.cli.sending import AT_ONCE, remarks, sending, told
from bridge.cli.signatures import own_parameters, parameter, taken, with_parameters
from bridge.cli.terminal import Terminal
from bridge.client import Bus, ConfigError
from bridge.client.containers import Place
from bridge.model.commands import Migrate, explained
from bridge.model.identity import new_ulid
from bridge.model.kinds import convert
from bridge.model.outcomes import Migrated, Progress
from bridge.ports import Tell

__all__ = ["migrate"]

AUTO: Final = "auto"
_CRIU: Final = "How CRIU dumps"


def _flag(*names: str, help: str) -> Any:  # noqa: A002 - typer's word
    return typer.Option(*names, help=help, rich_help_panel=_CRIU)


async def _migrate(
    opening: Opening,
    how: Mapping[str, Any],
    *,
    container: Container,
    to: Annotated[str, typer.Option("--to", metavar="NODE", help="Where it is to go on.")] = "",
    pre_copy: Annotated[
        str,
        typer.Option(
            "--pre-copy",
            metavar="N|auto",
            help="Send its memory N times while it runs, or for as long as that gets less (auto).",
        ),
    ] = "0",
    verify: Annotated[bool, typer.Option("--verify", help="Compare both ends before the source lets go.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say what would be met.")] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Take back one that hangs: it runs on where it is.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="In spite of what blocks; with --abandon: it runs nowhere else.")
    ] = False,
    tcp_established: Annotated[bool, _flag("--tcp-established", help="With its TCP connections.")] = False,
    tcp_close: Annotated[bool, _flag("--tcp-close", help="Let TCP connections be closed there.")] = False,
    tcp_skip_in_flight: Annotated[
        bool, _flag("--tcp-skip-in-flight", help="Without those not established yet.")
    ] = False,
    file_locks: Annotated[bool, _flag("--file-locks/--no-file-locks", help="With its locks on files.")] = True,
    ext_unix: Annotated[bool, _flag("--ext-unix", help="With sockets whose other end is outside.")] = False,
    link_remap: Annotated[bool, _flag("--link-remap", help="With open files that have no name any more.")] = False,
    empty_ns: Annotated[
        list[str] | None,
        typer.Option(
            "--empty-ns", metavar="NS", help="Without this namespace: network (repeatable).", rich_help_panel=_CRIU
        ),
    ] = None,
    cgroups_mode: Annotated[
        str,
        typer.Option("--cgroups-mode", metavar="MODE", help="ignore, soft, full or strict.", rich_help_panel=_CRIU),
    ] = "",
    namespace: Namespace = None,
    node: NodeName = None,
    as_json: Json = False,
) -> None:
    """Move a running container to another node, where it goes on.

    Until it runs there it is here, and where anything fails it runs on here.
    """
    if abandon == bool(to):
        raise ConfigError("give --to NODE, or --abandon for a migration that hangs")
    sent = sending(how)
    fields = {
        "id": sent.id or new_ulid(),
        "to": to,
        "pre_copy": _rounds(pre_copy),
        "verify": verify,
        "check": check,
        "force": force,
        "tcp_established": tcp_established,
        "tcp_close": tcp_close,
        "tcp_skip_in_flight": tcp_skip_in_flight,
        "file_locks": file_locks,
        "ext_unix": ext_unix,
        "link_remap": link_remap,
        "empty_ns": empty_ns or [],
        "cgroups_mode": cgroups_mode,
    }
    try:
        command = convert(fields, Migrate)
    except msgspec.ValidationError as error:
        complain(explained(Migrate, str(error)))
        raise typer.Exit(USAGE) from error
    async with opening as bus:
        at = await bus.locate(container, node=node, namespace=namespace)
        if not abandon:
            await _move(bus, how, at, command, as_json=as_json)
            return
        with told(at.container, as_json=as_json):
            to_node = at.node.sending(sent).remarking(remarks(how))
            await to_node.migrate_abandon(at.container, namespace=at.namespace, force=force)
            _say(at.container, as_json=as_json)


async def _command(opening: Opening, /, **values: Any) -> None:
    await _migrate(opening, taken(values, AT_ONCE), **values)


migrate = opening_command(
    with_parameters(_command, _migrate, [parameter("opening", Opening), *own_parameters(_migrate)[1:], *AT_ONCE])
)


async def _move(bus: Bus, how: Mapping[str, Any], at: Place, command: Migrate, *, as_json: bool) -> None:
    source = at.node.sending(sending(how)).remarking(remarks(how))
    with told(at.container, as_json=as_json):
        with _bar(at.container, quiet=as_json) as tell:
            async with bus.transport.progress(source.name, command.id or "", tell):
                moved = await source.migrate(at.container, command, namespace=at.namespace)
        if as_json:
            Terminal().json(moved)
        elif command.check:
            _verdict(moved)
        else:
            _say(f"{at.container} runs on node {moved.node}", as_json=False)
            _figures(moved)


def _rounds(text: str) -> int:
    if text == AUTO:
        return -1
    if not text.isdecimal():
        raise ConfigError(f"--pre-copy {text!r} is no number of rounds: give one, or auto")
    return int(text)


def _say(line: str, *, as_json: bool) -> None:
    if not as_json:
        Terminal().line(printable(line))


def _verdict(moved: Migrated) -> None:
    terminal = Terminal()
    for one in moved.verdict.findings:
        terminal.line(f"{one.level:<8} {printable(one.says)}")
        if one.way_out:
            terminal.line(f"{'':<8} {printable(one.way_out)}")
    if not moved.verdict.ok:
        raise typer.Exit(1)


def _figures(moved: Migrated) -> None:
    sent = f"{moved.sent / (1 << 20):.1f} MiB sent, {moved.sent_frozen / (1 << 20):.1f} MiB of it while it stood still"
    rounds = f" after {moved.rounds} rounds" if moved.rounds else ""
    sys.stderr.write(f"it stood still for {moved.frozen_ns / 1e9:.2f} s{rounds}; {sent}\n")
    if moved.verified:
        sys.stderr.write(f"compared: {', '.join(moved.verified)}\n")


@contextmanager
def _bar(container: str, *, quiet: bool) -> Iterator[Tell]:
    """Show one bar for the phase that it is in, on standard error, if a person looks at it, else a line for each phase."""
    if quiet:
        yield lambda _: None
        return
    if not is_drawn_on(stderr=True):
        yield _lines()
        return
    name = TextColumn(f"{printable(container)[:24]}", markup=False)
    phase = TextColumn("{task.fields[phase]:<24}", markup=False)
    with Bars(
        name, phase, BarColumn(bar_width=24), DownloadColumn(), console=console(stderr=True), transient=True
    ) as bars:
        row = bars.add_task("", total=None, phase="asking")

        def tell(progress: Progress) -> None:
            bars.update(
                row, completed=progress.done, total=progress.total or None, phase=printable(progress.event)[:24]
            )

        yield tell


def _lines() -> Tell:
    """Return what writes a line for each phase, and when it began."""
    began, last = time.monotonic(), ""

    def tell(progress: Progress) -> None:
        nonlocal last
        if progress.event != last:
            last = progress.event
            sys.stderr.write(f"{time.monotonic() - began:7.2f} s  {printable(progress.event)}\n")

    return tell
