"""The manual page: it is of now, has every command and option, and real readers of such pages find nothing wrong in it."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from bridge.cli.manual import FILE, main, page
from bridge.cli.tree import tree, walk
from tests.guards import lacking


def read(*reader: str) -> tuple[str, str]:
    if shutil.which(reader[0]) is None:
        lacking(f"{reader[0]} is not installed: `scripts/machine` does that as root")
    done = subprocess.run([*reader, str(FILE)], capture_output=True, text=True, check=False)
    return done.stdout, done.stderr


def test_it_is_of_now() -> None:
    assert main(["--check"]) == 0, "run python -m bridge.cli.manual"
    assert page(tree()) == FILE.read_text("utf-8")


def test_it_has_every_command_and_every_option() -> None:
    text, _ = read("mandoc", "-T", "utf8", "-O", "width=500")
    plain = subprocess.run(["col", "-bx"], input=text, capture_output=True, text=True, check=True).stdout

    for node in walk(tree()):
        if node.path and not node.commands:
            assert f"containerd-bridge {' '.join(node.path)}" in plain
        for option in node.options:
            assert [name for name in option.names if name not in plain] == []
    assert "EXIT STATUS" in plain


@pytest.mark.parametrize("reader", [("mandoc", "-T", "lint"), ("groff", "-man", "-Tutf8", "-ww", "-z")])
def test_readers_find_nothing_wrong(reader: tuple[str, ...]) -> None:
    assert read(*reader) == ("", "")


def test_the_wheel_has_it_where_man_looks(tmp_path: Path) -> None:
    root = FILE.parents[3]
    build = ["hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run([str(root / ".venv/bin" / build[0]), *build[1:]], cwd=root, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")

    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.endswith(".data/data/share/man/man1/containerd-bridge.1")]
