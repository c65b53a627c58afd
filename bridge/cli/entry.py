"""Where a call begins: the daemon goes the short way, everything else through typer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bridge.cli.exits import Exit, exits
from bridge.cli.plain import plain_serve
from bridge.cli.running import run

if TYPE_CHECKING:
    from bridge.cli.connection import Connect

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, *, connect: Connect | None = None) -> int:
    """Run one command and return its exit status.

    Status 0 is success, 1 a command that failed, 2 wrong usage or configuration, 70 a mistake of ours, 130 an interrupt,
    141 a reader of the output that went away.

    Args:
        arguments: what stands behind the program's name; the process's own unless given.
        connect: how the client commands reach the bus; `bridge.client.connect` unless given.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["__complete"]:
        from bridge.cli.completing import complete  # noqa: PLC0415 - what the daemon must not have in memory

        return complete(given[1:])
    plain = plain_serve(given)
    if plain is None:
        from bridge.cli import app  # noqa: PLC0415 - what the daemon must not have in memory

        return app.main(given, connect=connect)
    try:
        with exits():
            run(plain.options, plain.file)
    except Exit as end:
        return end.status
    return 0
