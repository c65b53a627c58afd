"""What the documentation says of the command line: every call in it can be made, and every command and option is told of.

Nothing is carried out here: a call is read as the program would read it. What the calls do, the tests of the pages show.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from typer.main import get_command

from bridge.cli.app import app
from bridge.cli.sending import SENDING
from bridge.model.commands import COMMANDS, OF_EVERY, PRECONDITIONS

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
PROGRAM: Final = "containerd-bridge"
FENCE: Final = re.compile(r"^```.*?$(.*?)^```", re.MULTILINE | re.DOTALL)
CODE: Final = re.compile(r"(?<!`)`([^`]+)`(?!`)")

cli: Final[Any] = get_command(app)


class Call(NamedTuple):
    """A call of the program on a page."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def calls() -> Iterator[Call]:
    """Every call that names the program: lines of shell, and code in sentences that is more than a command's name."""
    for page in PAGES:
        text = page.read_text("utf-8")
        lines = [line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
        lines += [" ".join(code.split()) for code in CODE.findall(FENCE.sub("", text)) if len(code.split()) > 2]
        for line in lines:
            if PROGRAM in line and not line.startswith(f"{PROGRAM}: "):  # that is a complaint
                yield from (Call(page.name, words) for words in of_ours(line.removeprefix("$ ")))


def of_ours(line: str) -> Iterator[tuple[str, ...]]:
    """The arguments of each call of ours in a line of shell: also behind a pipe, and before one."""
    words = shlex.shlex(line.replace("$(hostname)", "n1"), posix=True, punctuation_chars=True)
    words.wordchars += "!:@,"
    command: list[str] = []
    try:
        for word in [*words, ";"]:
            if set(word) <= set("|;&<>"):
                if command[:1] == [PROGRAM] and len(command) > 1:
                    yield tuple(command[1:])
                command = []
            else:
                command.append(word)
    except ValueError:
        assert not line.startswith(PROGRAM), f"this is no line of shell: {line}"


def mentioned() -> Iterator[Call]:
    """Code in sentences and comments that leaves the program out and has options: `jobs list -n shop`."""
    for page in PAGES:
        for code in CODE.findall(re.sub(r"^```.*$", "", page.read_text("utf-8"), flags=re.MULTILINE)):
            words = tuple(code.split())
            if words[0] in cli.commands and any(word.startswith("-") and not word[1:].isdigit() for word in words):
                yield Call(page.name, words)


def found(words: tuple[str, ...]) -> tuple[Any, list[str], list[str]]:
    """The command that is called, its names, and its arguments."""
    command: Any = cli
    path: list[str] = []
    rest = list(words)
    while hasattr(command, "commands"):
        assert rest, f"{' '.join(path)} is a group of commands"
        assert rest[0] in command.commands, f"there is no command {' '.join([*path, rest[0]])}"
        path.append(rest[0])
        command = command.commands[rest.pop(0)]
    return command, path, rest


def options_of(command: Any) -> set[str]:
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts) if name.startswith("-")}


@pytest.mark.parametrize("call", sorted(set(calls())), ids=str)
def test_every_call_on_a_page_can_be_made(call: Call) -> None:
    command, path, arguments = found(call.words)
    if {"-h", "--help"} & set(arguments):
        return
    command.make_context(" ".join(path), arguments)


@pytest.mark.parametrize("call", sorted(set(mentioned())), ids=str)
def test_every_option_in_a_sentence_is_one(call: Call) -> None:
    command, _, arguments = found(call.words)
    there = options_of(command) | {"-h", "--help"}
    given = [word.partition("=")[0] for word in arguments if word.startswith("-") and len(word) > 1]
    letters = [f"-{letter}" for word in given if not word.startswith("--") for letter in word[1:]]
    assert [word for word in [*letters, *(word for word in given if word.startswith("--"))] if word not in there] == []


def test_there_are_calls_to_look_at() -> None:
    assert len(set(calls())) > 50
    assert len(set(mentioned())) > 10
    assert {call.words[0] for call in calls()} > {"serve", "run", "exec", "update", "jobs"}


# -- docs/commands.md

COMMANDS_PAGE: Final = (ROOT / "docs" / "commands.md").read_text("utf-8")


def table(header: str) -> list[list[str]]:
    """The rows of the table whose first column has this header."""
    _, _, rest = COMMANDS_PAGE.partition(f"| {header} |")
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    assert lines, f"docs/commands.md has no table of {header}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(cell: str) -> list[str]:
    return re.findall(r"`(-{0,2}[a-z][a-z_-]*)", cell)


def test_every_verb_is_in_the_table_with_its_options_and_under_its_group() -> None:
    group = ""
    told: dict[str, Any] = {}
    for verbs, options, _ in table("verb"):
        group = options.strip("*") if options.startswith("**") else group
        told |= {verb: (group, None if "](" in options else set(names(options))) for verb in names(verbs)}
    there: dict[str, Any] = {
        verb: (kind.group, set(kind.__struct_fields__) - {*OF_EVERY, *PRECONDITIONS}) for verb, kind in COMMANDS.items()
    }
    for verb in ("create", "run", "update", "checkpoint"):  # a page, or a section, of their own
        there[verb] = (COMMANDS[verb].group, None)
    assert told == there


def test_every_verb_is_a_command() -> None:
    # `jobs cancel`, `checkpoint rm`, `checkpoint restore`, `migrate --abandon`; and what bridges ask each other
    elsewhere = {"cancel", "checkpoint-remove", "restore", "migrate-abandon", "receive"}
    assert set(COMMANDS) - set(cli.commands) == elsewhere
    assert "cancel" in cli.commands["jobs"].commands


def test_how_a_command_is_sent_is_told_with_every_option() -> None:
    told = [(names(options), names(fields)) for options, fields, _ in table("option")]
    sent = {each.name for each in SENDING}
    there = {name for each in cli.commands["pause"].params if each.name in sent for name in each.opts}
    assert {name for options, _ in told for name in options} == {name for name in there if name.startswith("--")} - {
        "--command-id"
    }
    assert {name for _, fields in told for name in fields} == {*OF_EVERY, *PRECONDITIONS}
