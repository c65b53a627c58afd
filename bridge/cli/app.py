"""The commands, in the order in which the help shows them, and how a call begins and ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

import bridge
from bridge.cli import events, history, inspect, nodes, ps, schema, settings, verbs
from bridge.cli.connection import Connect
from bridge.cli.exits import PROGRAM, complain
from bridge.cli.help import Command, Group
from bridge.cli.serve import serve
from bridge.client import connect as connect_to_nats

__all__ = ["app", "main"]

_UsageError: Final[Any] = typer.BadParameter.__base__
"""click's UsageError, or that of the copy of click which newer versions of typer bring along."""

_COMMANDS: Final[dict[str, tuple[Callable[..., Any], ...]]] = {
    "Daemon": (serve,),
    "Look": (events.events, history.history, ps.ps, ps.list_containers, inspect.inspect, inspect.pids),
    "Act": (verbs.start, verbs.stop, verbs.kill, verbs.pause, verbs.resume, verbs.delete),
    "More": (nodes.nodes, nodes.version, settings.config, schema.schema),
}

app = typer.Typer(
    name=PROGRAM,
    cls=Group,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _section, _functions in _COMMANDS.items():
    for _function in _functions:
        _name = "list" if _function is ps.list_containers else None
        _short = "Keep a containerd's events in JetStream, take commands for it." if _function is serve else None
        app.command(_name, cls=Command, rich_help_panel=_section, short_help=_short)(_function)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer's signature of a callback
    if asked:
        typer.echo(f"{PROGRAM} {bridge.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Every container event of a containerd as one ordered log on NATS JetStream, and its tasks under command of the bus."""


def main(arguments: Sequence[str] | None = None, *, connect: Connect = connect_to_nats) -> int:
    """Run one command and return its exit status.

    Status 0 is success, 1 a command that failed, 2 wrong usage or configuration, 70 a mistake of ours, 130 an interrupt,
    141 a reader of the output that went away.

    Args:
        arguments: what stands behind the program's name; the process's own unless given.
        connect: how the client commands reach the bus.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status = get_command(app).main(args=given, prog_name=PROGRAM, standalone_mode=False, obj=connect)
    except _UsageError as error:
        message: str = error.format_message()
        if error.ctx is None or not message:
            complain(message)
        elif type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(message, err=True)
        else:
            complain(f"{message[:1].lower()}{message[1:].rstrip('.')}", hint=f"See '{error.ctx.command_path} --help'.")
        return 2
    return status if isinstance(status, int) else 0
