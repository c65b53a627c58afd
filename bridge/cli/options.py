"""Options and arguments that several commands share, in the words of docker and ctr."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias, TypeVar

import typer

from bridge.cli.console import DetachKeys
from bridge.model.commands import signal_number
from bridge.model.identity import check_identifier, check_node
from bridge.model.selection import Selection

__all__ = [
    "ChosenContainers",
    "Container",
    "ContainerIds",
    "Containers",
    "DetachWith",
    "DryRun",
    "ExitStatuses",
    "ExecName",
    "Images",
    "Json",
    "Labels",
    "NamePatterns",
    "Namespace",
    "Namespaces",
    "OneContainer",
    "OneNamespace",
    "NoTruncate",
    "NodeName",
    "NodeNames",
    "Purpose",
    "Sender",
    "SigProxy",
    "Signal",
    "checked",
]


V = TypeVar("V")


def checked(check: Callable[[Any], object]) -> Callable[[V], V]:
    """Return a callback for an option: `check` has to take its value, or each of its values, without a ValueError."""

    def callback(value: V) -> V:
        try:
            for each in value if isinstance(value, list) else [value]:
                if each is not None:
                    check(each)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        return value

    return callback


def _check_remark(text: str) -> None:
    if not (0 < len(text) <= 500 and text.isprintable()):
        raise ValueError("this is no line of up to 500 characters")


def _identifier(what: str) -> Callable[[V], V]:
    return checked(lambda text: check_identifier(text, what))


Container: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="CONTAINER", help="Id, name or first digits of the id.", callback=_identifier("container")),
]
Containers: TypeAlias = Annotated[
    list[str],
    typer.Argument(metavar="CONTAINER", help="Ids, names or first digits of ids.", callback=_identifier("container")),
]
ChosenContainers: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="CONTAINER", help="Ids, names or first digits of ids.", callback=_identifier("container")),
]
"""Containers that may be chosen in another way."""
Namespace: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NS",
        help="containerd namespace; looked for unless given.",
        callback=_identifier("namespace"),
    ),
]
Namespaces: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace", "-n", metavar="NS", help="Only this namespace (repeatable).", callback=_identifier("namespace")
    ),
]
OneNamespace: TypeAlias = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NS", help="Only of this namespace.", callback=_identifier("namespace")),
]
OneContainer: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--container",
        "-c",
        metavar="ID",
        help="Only of the container of this id, of namespace default unless another is given.",
        callback=_identifier("container"),
    ),
]
NodeName: TypeAlias = Annotated[
    str | None,
    typer.Option("--node", metavar="NODE", help="Node; looked for unless given.", callback=checked(check_node)),
]
NodeNames: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--node", metavar="NODE", help="Only this node (repeatable).", callback=checked(check_node)),
]
ContainerIds: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--container",
        "-c",
        metavar="ID",
        help="Only this container, by its full id (repeatable).",
        callback=_identifier("container id"),
    ),
]
Labels: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        "-l",
        metavar="LABEL",
        help="Only with this label: k, k=v or k!=v (repeatable; different keys must all hold).",
        callback=checked(lambda text: Selection(label=text)),
    ),
]
NamePatterns: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="GLOB",
        help="Only of this name, or id where there is no name, such as 'web*' (repeatable).",
        callback=checked(lambda text: Selection(name=text)),
    ),
]
ExecName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--exec",
        "--exec-id",
        metavar="EXEC",
        help="This additional process, not the container's own.",
        callback=_identifier("exec id"),
    ),
]
Images: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--image",
        metavar="GLOB",
        help="Only of this image, such as nginx, nginx:1.* or '*/web@*' (repeatable).",
        callback=checked(lambda text: Selection(image=text)),
    ),
]
ExitStatuses: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--exit-status",
        metavar="STATUS",
        help="Only what ended with 0, another number, '!=0', or unknown (repeatable).",
        callback=checked(lambda text: Selection(exit_status=text)),
    ),
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Only have it judged, and say which rule of the node decides.")
]
Purpose: TypeAlias = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why, for the record.", callback=checked(_check_remark))
]
Sender: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="NAME", help="Who asks, for the record; nobody checks it.", callback=checked(_check_remark)
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
NoTruncate: TypeAlias = Annotated[bool, typer.Option("--no-trunc", help="Long ids in full.")]
Signal: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--signal", "-s", metavar="SIGNAL", help="Name or number of the signal.", callback=checked(signal_number)
    ),
]
SigProxy: TypeAlias = Annotated[
    bool,
    typer.Option("--sig-proxy/--no-sig-proxy", help="Send signals on to it, unless keys of a terminal do that."),
]
DetachWith: TypeAlias = Annotated[
    str,
    typer.Option(
        "--detach-keys", metavar="KEYS", help="Keys that leave it running.", callback=checked(DetachKeys.read)
    ),
]
