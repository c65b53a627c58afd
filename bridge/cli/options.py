"""Options and arguments that several commands share, in the words of docker and ctr."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias, TypeVar

import typer

from bridge.model.commands import signal_number

__all__ = [
    "Container",
    "Containers",
    "Json",
    "Namespace",
    "Namespaces",
    "NoTruncate",
    "NodeName",
    "NodeNames",
    "Signal",
    "checked",
]


V = TypeVar("V")


def checked(check: Callable[[Any], object]) -> Callable[[V], V]:
    """Return a callback for an option whose value, where it is given, `check` has to take without a ValueError."""

    def callback(value: V) -> V:
        if value:
            try:
                check(value)
            except ValueError as error:
                raise typer.BadParameter(str(error)) from error
        return value

    return callback


Container: TypeAlias = Annotated[
    str, typer.Argument(metavar="CONTAINER", help="Id, name or first digits of the id.", show_default=False)
]
Containers: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="CONTAINER", help="Ids, names or first digits of ids.", show_default=False)
]
Namespace: TypeAlias = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NS", help="containerd namespace; looked for unless given."),
]
Namespaces: TypeAlias = Annotated[
    list[str] | None, typer.Option("--namespace", "-n", metavar="NS", help="Only this namespace (repeatable).")
]
NodeName: TypeAlias = Annotated[
    str | None, typer.Option("--node", metavar="NODE", help="Node; looked for unless given.")
]
NodeNames: TypeAlias = Annotated[
    list[str] | None, typer.Option("--node", metavar="NODE", help="Only this node (repeatable).")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
NoTruncate: TypeAlias = Annotated[bool, typer.Option("--no-trunc", help="Long ids in full.")]
Signal: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--signal", "-s", metavar="SIGNAL", help="Name or number of the signal.", callback=checked(signal_number)
    ),
]
