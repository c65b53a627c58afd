"""The manual page, containerd-bridge(1), made from the commands themselves.

    python -m bridge.cli.manual [--check]

It is one page with all commands, in the man macros that groff and mandoc read; the wheel puts it where `man` looks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import Final

import bridge
from bridge.cli.examples import EXAMPLES
from bridge.cli.tree import Node, Option, tree, walk

__all__ = ["main", "page"]

FILE: Final = Path(__file__).parents[2] / "share" / "man" / "man1" / "containerd-bridge.1"

WIDTH: Final = 58
"""Of a line, before what roff needs is put into it: no line of its source should have more than 80 letters."""

DATE: Final = "2026-11-27"
"""Of the page, changed with a release: the day on which it is made would change it every day."""

BOLD, PLAIN = "\x01", "\x02"
_ROFF: Final = {
    "\\": "\\e",
    "-": "\\-",
    "'": "\\(aq",
    "~": "\\(ti",
    "^": "\\(ha",
    "`": "\\(ga",
    BOLD: "\\fB",
    PLAIN: "\\fR",
}

_EXITS: Final = (
    ("0", "All went well. `run`, `exec`, `attach`, `start -a` and `wait` of one container end with its status."),
    ("1", "A command failed, or what was looked at is not in order. The sentence on standard error says why."),
    ("2", "The command line or the settings are wrong."),
    ("70", "A mistake of this program: please tell of it."),
    ("125, 126, 127", "What was to be run did not come to run, cannot be executed, or is not there."),
    ("130", "Interrupted from the keyboard."),
    ("141", "Whoever read the output went away."),
)
_ENVIRONMENT: Final = (
    ("CONTAINERD_BRIDGE_NATS", "NATS to use, as with --nats."),
    ("CONTAINERD_BRIDGE_*", "Every other setting: CONTAINERD_BRIDGE_NATS_CREDS, CONTAINERD_BRIDGE_STATE_DIR, ..."),
    ("CONTAINERD_BRIDGE_CONFIG", "File with settings, as with --config."),
    ("NO_COLOR", "Not empty: no colours."),
    ("FORCE_COLOR, CLICOLOR_FORCE", "Not empty, and not 0: colours also where the output is no terminal."),
    ("XDG_CACHE_HOME", "Where completion keeps what it found for some seconds."),
)
_FILES: Final = (
    ("/var/lib/containerd-bridge", "State of the daemon: its outbox, its journals, the embedded server."),
    ("/run/containerd/containerd.sock", "containerd's socket."),
)


def page(root: Node) -> str:
    """Return the page."""
    return "\n".join(_lines(root)) + "\n"


def _lines(root: Node) -> Iterator[str]:
    yield f'.TH CONTAINERD\\-BRIDGE 1 {DATE} "containerd\\-bridge {_escaped(bridge.__version__)}" "containerd\\-bridge"'
    yield from (".nh", ".ad l")
    yield from (".SH NAME", "containerd\\-bridge \\- container events as a log on NATS JetStream")
    yield from (".SH SYNOPSIS", ".B containerd\\-bridge", ".I COMMAND", "[OPTIONS] [ARGUMENTS]")
    yield from (".SH DESCRIPTION", *_text(root.text))
    yield from (
        ".PP",
        *_text("`serve` is the daemon of a host. Everything else talks to the bus, and works from any machine."),
    )
    for option in root.options:
        yield from _option(option)
    shared = _shared(root)
    sections: dict[str, list[Node]] = {}
    for node in walk(root):
        if node.path and not node.commands:
            sections.setdefault(next(one.section for one in root.commands if one.path[0] == node.path[0]), []).append(
                node
            )
    for section, nodes in sections.items():
        yield f".SH {_escaped(section).upper()} COMMANDS" if section != "Daemon" else ".SH THE DAEMON"
        for node in nodes:
            yield from _command(node, shared)
    yield ".SH OPTIONS OF THE CONNECTION"
    yield "What each command has that talks to the bus."
    for option in shared:
        yield from _option(option)
    for title, rows in (("EXIT STATUS", _EXITS), ("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES)):
        yield f".SH {title}"
        for name, text in rows:
            yield from (".TP", f".B {_escaped(name)}", *_text(text))
    yield from (".SH SEE ALSO", ".BR ctr (8),", ".BR docker (1),", ".BR nats\\-server (8)")


def _shared(root: Node) -> list[Option]:
    return next(
        [one for one in node.options if one.section == "Connection"] for node in walk(root) if node.path == ["ps"]
    )


def _command(node: Node, shared: list[Option]) -> Iterator[str]:
    yield f'.SS "{_escaped(" ".join(node.path))}"'
    arguments = [f"{one.name}{'...' if one.many else ''}" for one in node.arguments]
    shown = [name if one.required else f"[{name}]" for name, one in zip(arguments, node.arguments, strict=True)]
    yield f".B containerd\\-bridge {_escaped(' '.join(node.path))}"
    yield _escaped(" ".join(["[OPTIONS]", *shown]))
    yield from (".PP", *_text(node.text))
    for one, name in zip(node.arguments, arguments, strict=True):
        if one.help:
            yield from (".TP", f".I {_escaped(name)}", *_text(one.help))
    names = {tuple(one.names) for one in shared}
    for option in node.options:
        if option.section != "Connection" or tuple(option.names) not in names:
            yield from _option(option)
    examples = EXAMPLES.get(" ".join(node.path), ())
    if examples:
        yield from (".PP", "Examples:", ".PP", ".RS 4", ".nf")
        yield from (f"containerd\\-bridge {_escaped(example)}" for example in examples)
        yield from (".fi", ".RE")


def _option(option: Option) -> Iterator[str]:
    names = ", ".join(sorted(option.names, key=lambda name: (name.startswith("--"), name)))
    takes = f" \\fI{_escaped(option.takes)}\\fR" if option.takes else ""
    default = f" Default: {option.default}." if option.default else ""
    yield from (".TP", f"\\fB{_escaped(names)}\\fR{takes}", *_text((option.help or "") + default))


def _text(text: str) -> Iterator[str]:
    """Return paragraphs, a new line for each sentence, and examples as they stand."""
    text = re.sub(r"`([^`]+)`", lambda code: f"{BOLD}{code[1]}{PLAIN}", text)
    paragraphs = [each for each in re.split(r"\n\s*\n", text.strip()) if each.strip()]
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".PP"
        if paragraph.lstrip().startswith("\b"):
            yield from (
                ".nf",
                *(_escaped(line) for line in paragraph.replace("\b", "").strip("\n").splitlines()),
                ".fi",
            )
            continue
        for sentence in re.split(r"(?<=[.:;]) (?=[A-Z`])", " ".join(paragraph.split())):
            for line in wrap(sentence, WIDTH, break_long_words=False, break_on_hyphens=False):
                yield _escaped(line)


def _escaped(text: str) -> str:
    """Return text of which roff makes what stands there."""
    escaped = "".join(_ROFF.get(letter, letter) for letter in text)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` see that it is what it should be; return the exit status."""
    wanted = page(tree())
    if FILE.exists() and FILE.read_text("utf-8") == wanted:
        return 0
    if "--check" in arguments:
        sys.stderr.write(f"{FILE} is of old: run python -m bridge.cli.manual\n")
        return 1
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
