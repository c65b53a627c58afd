"""Colours as people set them for all programs, and that they make no terminal of a pipe."""

from __future__ import annotations

import pytest

from bridge.cli.colours import busy, colours, console, is_drawn_on
from bridge.cli.terminal import Columns, Terminal
from tests.unit.cli.conftest import Cli
from tests.unit.cli.recorded import LIFE_OF_WEB, state
from tests.unit.client.small_bus import kept

VARIABLES = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE")


@pytest.fixture(autouse=True)
def _of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "on a terminal"),
        ({"NO_COLOR": "1"}, "none"),
        ({"NO_COLOR": ""}, "on a terminal"),
        ({"FORCE_COLOR": "1"}, "forced"),
        ({"FORCE_COLOR": "0"}, "none"),
        ({"CLICOLOR_FORCE": "1"}, "forced"),
        ({"CLICOLOR_FORCE": "0"}, "on a terminal"),
        ({"CLICOLOR": "0"}, "none"),
        ({"CLICOLOR": "1"}, "on a terminal"),
        ({"TERM": "dumb"}, "none"),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, "none"),
    ],
)
def test_what_the_environment_says(environ: dict[str, str], expected: str) -> None:
    assert colours(environ) == expected


def test_off_a_terminal_there_are_none(cli: Cli) -> None:
    assert "\x1b[" not in cli("events", "--no-follow", events=LIFE_OF_WEB).out


def test_they_can_be_forced_and_nothing_else_changes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    long_id = "a" * 64
    plain = cli("ps", states=kept(state(long_id))).out
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    coloured = cli("ps", states=kept(state(long_id))).out

    assert "\x1b[" in coloured
    assert long_id in coloured  # what is for programs is not shortened
    assert [line.split() for line in _without(coloured).splitlines()] == [line.split() for line in plain.splitlines()]


def _without(text: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_json_has_none_even_then(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert "\x1b" not in cli("ps", "--json", states=kept(state("web"))).out


def test_what_is_drawn_over_is_so_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not is_drawn_on()
    assert console().is_terminal

    with busy("reading"):
        pass
    assert capsys.readouterr() == ("", "")


def test_wide_letters_take_two_columns() -> None:
    columns = Columns("A", "B")
    rows = [["大きい", "1"], ["é", "2"]]
    for row in rows:
        columns.fit(row)

    assert [str(columns.line(row)) for row in rows] == ["大きい  1", "é       2"]
    Terminal().line("大")
