"""Columns line up, ids are shortened for people only, and nothing reaches the terminal that could steer it."""

import pytest

from bridge.cli.printable import printable
from bridge.cli.terminal import Columns, Terminal

LONG = "0123456789abcdef" * 4


def test_columns_line_up_and_no_line_ends_in_blanks() -> None:
    columns = Columns("A", "BB", gap=2)
    rows = [["long cell", "x"], ["y", ""]]
    for row in rows:
        columns.fit(row)

    assert [str(columns.header()), *[str(columns.line(row)) for row in rows]] == [
        "A          BB",
        "long cell  x",
        "y",
    ]


def test_a_column_grows_with_what_comes() -> None:
    columns = Columns("A", "B", widths=(3, 1))

    assert str(columns.line(["x", "1"])) == "x    1"
    assert str(columns.line(["longer", "2"])) == "longer  2"
    assert str(columns.line(["y", "3"])) == "y       3"


def test_wide_characters_take_their_room() -> None:
    columns = Columns("A", "B")
    columns.fit(["漢字", ""])

    assert str(columns.line(["xxxx", "1"])) == "xxxx  1"


def test_long_ids_are_whole_where_nobody_looks() -> None:
    assert Terminal().id(LONG) == LONG


def test_long_ids_are_short_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    assert Terminal().id(LONG) == LONG[:12]
    assert Terminal(truncate=False).id(LONG) == LONG
    assert Terminal().id("web." + LONG[:60]) == "web." + LONG[:60]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain ü", "plain ü"), ("\x1b]0;x\x07", r"\x1b]0;x\x07"), ("a\nb", r"a\nb"), ("\udc80", r"\udc80")],
)
def test_control_characters_are_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown
