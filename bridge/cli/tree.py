"""The commands as plain data: which there are, with which options and arguments, and what each of them takes.

Whatever is made of the whole command line is made from this: completion, the manual page, the table of options in docs/cli.md. It
is read off typer's commands, so there is no second list that could differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from msgspec import Struct

__all__ = ["Argument", "Node", "Option", "tree", "walk"]


class Option(Struct, frozen=True, kw_only=True):
    """An option: its names, the shortest last; `takes` is the metavar of its value, empty for a switch; `kind` what that is."""

    names: list[str]
    takes: str
    help: str
    kind: str = ""
    section: str = "Options"
    repeatable: bool = False
    default: str = ""


class Argument(Struct, frozen=True, kw_only=True):
    """An argument, of which there may be several with `many`."""

    name: str
    help: str
    kind: str = ""
    required: bool = False
    many: bool = False


class Node(Struct, frozen=True, kw_only=True):
    """A command, or a group of them.

    Attributes:
        path: its names, none for the program itself.
        short: what the list of commands says of it; `text` the whole of its help.
        section: under which heading it stands there.
        options: its own first, in the order of its help.
        commands: those of a group.
        as_it_stands: whether what follows its first argument is another program's.
    """

    path: list[str]
    short: str
    text: str
    section: str = ""
    options: list[Option] = []
    arguments: list[Argument] = []
    commands: list[Node] = []
    as_it_stands: bool = False


_BY_OPTION: Final = {
    "--node": "nodes",
    "--namespace": "namespaces",
    "--container": "containers",
    "--type": "words",
    "--signal": "signals",
    "--commands": "groups",
    "--format": "formats",
    "--log-level": "levels",
    "--stop-signal": "signals",
}
_BY_METAVAR: Final = {
    "CONTAINER": "containers",
    "IMAGE": "images",
    "FILE": "files",
    "SOCKET": "files",
    "PATH": "files",
    "DIR": "directories",
    "NODE": "nodes",
    "VERB": "verbs",
    "NS": "namespaces",
}
_BY_COMMAND: Final = {
    "jobs": {"ID": "jobs"},
    "checkpoint": {"NAME": "checkpoints"},
    "schema": {"NAME": "schemas"},
    "completion": {"SHELL": "bash|zsh|fish"},
}


def tree() -> Node:
    """Return all commands below the program."""
    # Completion reads what was kept of it, and does without typer.
    from typer.main import get_command  # noqa: PLC0415

    from bridge.cli.app import app  # noqa: PLC0415
    from bridge.cli.help import in_order  # noqa: PLC0415

    return _node(get_command(app), [], in_order)


def walk(node: Node) -> Iterator[Node]:
    """Iterate over a node and all below it, in the order of the help."""
    yield node
    for each in node.commands:
        yield from walk(each)


def _node(command: Any, path: list[str], in_order: Callable[[Iterable[Any]], list[Any]]) -> Node:
    commands = getattr(command, "commands", {})
    parameters = in_order(each for each in command.params if not getattr(each, "hidden", False))
    context = {"help_option_names": ["-h", "--help"]} | command.context_settings
    return Node(
        path=path,
        short=command.get_short_help_str(limit=200),
        text=(command.help or "").strip(),
        section=getattr(command, "rich_help_panel", None) or "Commands",
        options=[
            *(_option(each) for each in parameters if each.param_type_name == "option"),
            Option(names=["--help", "-h"], takes="", help="Show this message and exit."),
        ],
        arguments=[_argument(each, path) for each in parameters if each.param_type_name == "argument"],
        commands=[_node(each, [*path, name], in_order) for name, each in commands.items() if not each.hidden],
        as_it_stands=not context.get("allow_interspersed_args", True),
    )


def _option(option: Any) -> Option:
    names = sorted([*option.opts, *option.secondary_opts], key=len, reverse=True)
    takes = "" if option.is_flag else option.metavar or "VALUE"
    kind = _BY_OPTION.get(max(option.opts, key=len)) or (takes if "|" in takes else _BY_METAVAR.get(takes, ""))
    default = (
        option.default if isinstance(option.default, str | int | float) and not isinstance(option.default, bool) else ""
    )
    return Option(
        names=names,
        takes=takes,
        help=option.help or "",
        kind=kind if takes else "",
        section=getattr(option, "rich_help_panel", None) or "Options",
        repeatable=bool(option.multiple),
        default=str(default) if option.show_default else "",
    )


def _argument(argument: Any, path: list[str]) -> Argument:
    name = (argument.metavar or argument.name.upper()).strip("[]")
    kind = _BY_COMMAND.get(path[0], {}).get(name) or (name if "|" in name else _BY_METAVAR.get(name, ""))
    return Argument(
        name=name,
        help=getattr(argument, "help", None) or "",
        kind=kind,
        required=argument.required,
        many=argument.nargs != 1,
    )
