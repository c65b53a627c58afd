"""The blocks of code on the pages of the documentation, and who runs them: every block is run, or somebody says why not.

A test module that runs blocks says so in a constant, and goes through that same constant:

    CLAIMED = blocks("docs/page.md")                     # all of a page
    CLAIMED = blocks("docs/page.md", "console", "json")  # those of some languages

`test_pages.py` reads these constants of all test modules and fails where a block is claimed by nobody, or by two. The language
of a block says how it is run; `LANGUAGES` has them all. Why it is so is told in docs/decisions/0046.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["FENCE", "LANGUAGES", "PAGES", "ROOT", "Block", "Shown", "blocks", "differs", "shown"]

ROOT: Final = Path(__file__).parent.parent

PAGES: Final = sorted(
    str(page.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "examples/**/*.md", "deploy/**/*.md", "tests/**/*.md", "benchmarks/*.md")
    for page in ROOT.glob(pattern)
    if page.name != "CHANGELOG.md"
)
"""Pages for whoever uses this or works on it. Decisions are not edited afterwards, so what they show need not work for ever."""

LANGUAGES: Final = {
    "console": "commands behind `$ `, and below each what it prints; `...` stands for whatever is left out",
    "sh": "lines of shell, of which only the status is looked at",
    "python": "a program, or a piece of one",
    "toml": "a file of ours: read by our own loader",
    "json": "what stands on the bus: valid against its schema",
    "jsonl": "the same, a line each",
    "yaml": "a file for docker compose, Kubernetes, Prometheus",
    "nats": "a piece of nats-server's configuration: `nats-server -t` takes it",
    "ini": "a unit for systemd",
    "javascript": "a program on the official client",
    "mermaid": "a diagram that is printed by a program of ours",
    "text": "no code: a drawing, or a list of names. It has no line that could be typed",
}

FENCE: Final = re.compile(r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """What stands between two fences."""

    page: str
    line: int
    """Of its first line."""

    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


class Shown(NamedTuple):
    """A command on a page and what it is shown to print."""

    command: str
    lines: list[str]


def blocks(page: str, *languages: str) -> tuple[Block, ...]:
    """All blocks of a page, or those of some languages."""
    text = (ROOT / page).read_text("utf-8")
    found = [
        Block(page, text.count("\n", 0, each.start("text")) + 1, each["language"].strip(), each["text"])
        for each in FENCE.finditer(text)
    ]
    return tuple(one for one in found if not languages or one.language in languages)


def shown(block: Block) -> list[Shown]:
    """The commands of a `console` block, each with what it is shown to print. A line that ends with a backslash goes on."""
    found: list[Shown] = []
    goes_on = False
    for line in block.text.splitlines():
        if goes_on:
            found[-1] = Shown(f"{found[-1].command}\n{line.removeprefix('> ')}", [])
        elif line.startswith("$ "):
            found.append(Shown(line[2:], []))
        else:
            assert found, f"{block}: a block of `console` begins with a command behind `$ `"
            found[-1].lines.append(line)
            continue
        goes_on = line.endswith("\\")
    return found


ANOTHER_DAY: Final = ((r"(?<![\w.])(just now|now|\d+ \w+ ago)", "AGO"), (r"[ \t]+", " "))
ANOTHER_EACH_TIME: Final = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"\d\d:\d\d:\d\d(\.\d+)?", "CLOCK"),
    (r"\b[0-9A-HJKMNP-TV-Z]{26}\b", "ULID"),
    (r"\b[0-9a-f]{16,64}\b", "DIGITS"),
    (r"(?<![\w.])(just now|now|\d+ \w+ ago)", "AGO"),
    (r"(\d+(\.\d+)? ?(ns|us|µs|ms|s|min|m|h|d|days?)\b ?)+", "DURATION "),
    (r"\d+(\.\d+)? ?([KMGT]i?B|bytes|B)\b", "SIZE"),
    (r"(?<!status )(?<![\w.:/=-])\d{2,}(?![\w.:])", "NUMBER"),
    (r"-{3,}|─{3,}", "---"),
    (r"[ \t]+", " "),
)


def _comparable(line: str, again: Iterable[tuple[str, str]]) -> str:
    """The line without what is another each time: times, durations, sizes, process ids, ids, the width of columns."""
    for pattern, instead in again:
        line = re.sub(pattern, instead, line)
    return line.strip()


def differs(expected: list[str], printed: list[str], *, exact: bool = False) -> str:
    """Say how what was printed differs from what is shown, or nothing. `...` is any text in a line; alone, any lines.

    With `exact` only the width of columns and how long ago something was are left out: for a page about a log that is made up.
    """
    again = ANOTHER_DAY if exact else ANOTHER_EACH_TIME
    lines = [_comparable(line, again) for line in expected]
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", "[^\n]*") + "\n" for line in lines
    )
    said = "".join(f"{_comparable(line, again)}\n" for line in printed)
    if re.fullmatch(pattern, said):
        return ""
    return "the page shows:\n" + "\n".join(expected) + "\nbut it prints:\n" + "\n".join(printed)
