"""The whole command line, walked: one name means one thing, what prints has --json, and every command has an example."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest
from typer.main import get_command

from bridge.cli.app import app
from bridge.cli.examples import EXAMPLES
from bridge.cli.help import LAST
from bridge.cli.tree import Node, Option, tree, walk

PAGE: Final = Path(__file__).parents[3] / "docs" / "cli.md"
COMMANDS: Final = [node for node in walk(tree()) if node.path and not node.commands]
PATHS: Final = [" ".join(node.path) for node in COMMANDS]

WITHOUT_JSON: Final = {
    "serve": "is the daemon: off a terminal its log is JSON",
    "top": "draws on a terminal: `stats --json` is for programs",
    "attach": "prints what a process writes",
    "completion": "prints a script",
    "page": "serves a page",
}

SEVERAL: Final = {
    # option -> how many things it may mean: it chooses among many, names the one, or says what is made
    "--container": 5,
    "--namespace": 5,
    "--node": 5,
    "--label": 3,
    "--name": 5,
    "--image": 3,
    # switches whose effect is another with each verb, as with docker
    "--all": 3,
    "--force": 4,
    "--timeout": 3,
    "--user": 3,  # of a process, of a registry, or of NATS
    "--as": 2,  # who asks; under which id a checkpoint is restored
    "--to": 2,
    "--stdio": 2,
    "--spec": 2,
    "--policy": 2,
    "--annotation": 2,
    "--exec-id": 2,
    "--log-uri": 2,
    "--pids-limit": 2,
    "--memory": 2,
    # the daemon's own, and those of whoever talks to it
    "--nats": 2,
    "--state-dir": 2,
    "--log-level": 2,
    "--json": 3,
    "--http": 2,
}
"""What stands here is explained in docs/cli.md; everything else means one thing."""


def by_name() -> dict[str, dict[tuple[str, str], list[str]]]:
    found: dict[str, dict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    for node in COMMANDS:
        for option in node.options:
            found[option.names[0]][option.takes, option.help].append(" ".join(node.path))
    return found


def test_one_name_means_one_thing() -> None:
    unlike = {name: dict(meanings) for name, meanings in by_name().items() if len(meanings) > SEVERAL.get(name, 1)}

    assert unlike == {}


def test_one_name_has_the_same_short_form_everywhere() -> None:
    forms: dict[str, set[str]] = defaultdict(set)
    for node in COMMANDS:
        for option in node.options:
            forms[option.names[0]].update(name for name in option.names if re.fullmatch("-[a-zA-Z]", name))

    assert {name: short for name, short in forms.items() if len(short) > 1} == {}
    for node in COMMANDS:
        short = [name for option in node.options for name in option.names if len(name) == 2]
        assert len(short) == len(set(short)), node.path


def test_a_short_form_is_used_by_every_command_that_has_the_option() -> None:
    having: dict[str, set[bool]] = defaultdict(set)
    for node in COMMANDS:
        if node.path == ["serve"]:  # reads its own line, of long names alone (docs/decisions/0014)
            continue
        for option in node.options:
            having[option.names[0]].add(any(len(name) == 2 for name in option.names))

    assert {name for name, has in having.items() if len(has) > 1} == set()


@pytest.mark.parametrize("node", COMMANDS, ids=PATHS)
def test_what_many_have_stands_last_and_in_one_order(node: Node) -> None:
    own = [option.names[0] for option in node.options if option.section == "Options"]
    places = [LAST.index(name) + 1 if name in LAST else 0 for name in own]

    assert places == sorted(places)


def test_whatever_prints_data_has_json() -> None:
    without = {path for node, path in zip(COMMANDS, PATHS, strict=True) if not _named(node, "--json")}

    assert without <= WITHOUT_JSON.keys()


def _named(node: Node, name: str) -> Option | None:
    return next((each for each in node.options if name in each.names), None)


def test_every_option_says_what_it_is_in_a_sentence() -> None:
    for node in COMMANDS:
        for option in node.options:
            assert re.fullmatch(r".+[.')]", option.help), (node.path, option.names)


@pytest.mark.parametrize("path", PATHS)
def test_every_command_has_an_example_that_can_be_typed(path: str) -> None:
    assert EXAMPLES.get(path), f"bridge/cli/examples.py has none of {path}"
    for example in EXAMPLES[path]:
        assert len(f"  containerd-bridge {example}") <= 80
        words = shlex.split(example)
        command: Any = get_command(app)
        names = path.split()
        assert words[: len(names)] == names
        for name in names:
            command = command.commands[name]
        command.make_context(path, words[len(names) :], resilient_parsing=False)


def test_no_example_is_of_a_command_that_there_is_not() -> None:
    assert EXAMPLES.keys() <= set(PATHS)


def test_the_page_has_the_options_that_mean_several_things() -> None:
    text = PAGE.read_text("utf-8")

    meanings = by_name()
    for name in SEVERAL:
        if len(meanings.get(name, {})) > 1:
            assert f"`{name}`" in text, f"docs/cli.md does not explain {name}"
    for status in (0, 1, 2, 70, 125, 126, 127, 130, 141):
        assert re.search(rf"^\| [^|]*\b{status}\b", text, re.MULTILINE)
