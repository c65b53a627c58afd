"""Plain help that reads well in 80 columns: a command's own options first, those of the connection under a heading."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from bridge.cli.examples import EXAMPLES
from bridge.cli.exits import PROGRAM, as_json, exits

__all__ = ["Command", "Group", "in_order"]


LAST: Final = (
    *("--container", "--namespace", "--node", "--quiet", "--no-trunc", "--format", "--json"),
    *("--dry-run", "--reason", "--as", "--help"),
)
"""What many commands have stands behind their own options, in this order."""


def in_order(parameters: Iterable[Any]) -> list[Any]:
    """Return options in the order in which every command shows them: its own first, then those that many have."""

    def place(parameter: Any) -> int:
        return max((LAST.index(name) + 1 for name in parameter.opts if name in LAST), default=0)

    return sorted(parameters, key=place)


class Command(TyperCommand):
    """One command: its help in sections, and its end as `exits` wants it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        as_json.set(bool(ctx.params.get("as_json")) or ctx.params.get("form") in {"json", "docker"})
        with exits(typer.Exit, typer.Abort, typer.BadParameter):
            return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what the usage line says: arguments as docker writes them."""
        options = [self.options_metavar] if self.options_metavar else []
        arguments = [each for each in self.get_params(ctx) if each.param_type_name == "argument"]
        return [*options, *(_name(each) if each.required else f"[{_name(each)}]" for each in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options in their sections."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in in_order(self.get_params(ctx)):
            record = parameter.get_help_record(ctx)
            if record is not None:
                argument = parameter.param_type_name == "argument"
                section = "Arguments" if argument else getattr(parameter, "rich_help_panel", None) or "Options"
                name = _name(parameter) if argument else record[0]
                sections.setdefault(section, []).append((name, record[1]))
        _write(formatter, sections)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write its examples."""
        examples = EXAMPLES.get(ctx.command_path.partition(" ")[2], ())
        if examples:
            with formatter.section("Examples"):
                for example in examples:
                    formatter.write(f"{' ' * formatter.current_indent}{PROGRAM} {example}\n")


class Group(TyperGroup):
    """The program: its commands in sections, in the order in which they were registered."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands in their sections."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                section = getattr(command, "rich_help_panel", None) or "Commands"
                sections.setdefault(section, []).append((name, command.get_short_help_str(limit=67)))
        _write(formatter, sections)


def _name(argument: Any) -> str:
    return f"{argument.metavar or argument.name.upper()}{'' if argument.nargs == 1 else '...'}"


def _write(formatter: Any, sections: dict[str, list[tuple[str, str]]]) -> None:
    for section, rows in sections.items():
        if rows:
            with formatter.section(section):
                formatter.write_dl(rows, col_max=26)
