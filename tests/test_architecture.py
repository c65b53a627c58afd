"""The table of imports in docs/architecture.md, enforced: rooms import one way, and only two of them know the outside.

A violation is named with its file and line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent

MAY_IMPORT: dict[str, set[str]] = {
    "bridge": set(),
    "errors": set(),
    "model": {"errors"},
    "ports": {"model", "errors"},
    "config": {"model", "errors"},
    "_pb": set(),
    "containerd": {"model", "ports", "errors", "_pb"},
    "jetstream": {"model", "ports", "errors", "config"},
    "capture": {"model", "ports", "errors"},
    "control": {"model", "ports", "errors", "bridge"},
    "testing": {"model", "ports", "errors"},
    "health": {"errors"},
    "daemon": {
        *("model", "ports", "errors", "config", "containerd", "jetstream", "capture", "control", "health", "bridge"),
    },
    "client": {"model", "ports", "errors", "config", "jetstream", "bridge"},
    "cli": {"model", "ports", "errors", "config", "client", "daemon", "bridge"},
    "__main__": {"cli"},
}
"""Room -> the rooms it may import, besides itself. `bridge` is the package itself: its version."""

OUTSIDE: dict[str, set[str]] = {
    "grpc": {"containerd", "_pb"},
    "google": {"containerd", "_pb"},
    "nats": {"jetstream"},
    "nkeys": {"jetstream"},
    "sqlite3": {"capture"},
    "starlette": {"health"},
    "uvicorn": {"health"},
    "prometheus_client": {"health"},
    "typer": {"cli"},
    "click": {"cli"},
    "rich": {"cli"},
}
"""Library -> the rooms that may know it."""

MAX_LINES = 400

Violation = str


class Import(NamedTuple):
    """One imported name, with where it stands."""

    file: Path
    line: int
    module: str


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Every module of the package with its room; generated ones are left out."""
    for file in sorted((root / "bridge").rglob("*.py")):
        parts = file.relative_to(root / "bridge").with_suffix("").parts
        room = "bridge" if parts == ("__init__",) else parts[0]
        if room != "_pb" or len(parts) == 2:
            yield room, file


def imports(file: Path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(file, node.lineno, name.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            for name in node.names:
                # `from bridge import daemon` imports a room, `from bridge import __version__` the package.
                inner = node.module == "bridge" and name.name in MAY_IMPORT
                yield Import(file, node.lineno, f"bridge.{name.name}" if inner else node.module or "")


def violations(root: Path) -> Iterator[Violation]:
    for room, file in modules(root):
        where = file.relative_to(root)
        if room not in MAY_IMPORT:
            yield f"{where}:1: {room!r} is no room of docs/architecture.md"
            continue
        for found in imports(file):
            top, _, rest = found.module.partition(".")
            if top == "bridge":
                target = rest.split(".")[0] or "bridge"
                allowed = {room, *MAY_IMPORT[room]}
                if target not in allowed:
                    yield f"{where}:{found.line}: {room} may not import {found.module}"
            elif room not in OUTSIDE.get(top, {room}):
                yield f"{where}:{found.line}: {room} may not know {top}"


def test_rooms_import_one_way() -> None:
    assert list(violations(ROOT)) == []


def test_every_module_says_why_it_exists() -> None:
    silent = [
        f"{file.relative_to(ROOT)}:1"
        for _, file in modules(ROOT)
        if not ast.get_docstring(ast.parse(file.read_text(), str(file)))
    ]
    assert silent == []


def test_no_module_is_about_more_than_one_noun_by_its_length() -> None:
    long = {
        str(file.relative_to(ROOT)): lines
        for _, file in modules(ROOT)
        if (lines := len(file.read_text().splitlines())) > MAX_LINES
    }
    assert long == {}


def test_the_table_in_the_documentation_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = {room for room, _ in modules(ROOT)} - {"bridge", "__main__", "_pb"}
    assert [room for room in sorted(rooms) if f"`bridge/{room}" not in text] == []


@pytest.mark.parametrize(
    ("where", "statement", "said"),
    [
        ("containerd/x.py", "import nats", "containerd may not know nats"),
        ("containerd/x.py", "from bridge.jetstream import log", "containerd may not import bridge.jetstream"),
        ("jetstream/x.py", "def f():\n    import grpc.aio", "jetstream may not know grpc"),
        ("model/x.py", "from bridge.ports import Entry", "model may not import bridge.ports"),
        ("capture/x.py", "from bridge import daemon", "capture may not import bridge.daemon"),
        ("control/x.py", "from bridge.containerd.runtime import R", "control may not import bridge.containerd.runtime"),
        ("client/x.py", "from bridge import cli", "client may not import bridge.cli"),
        ("manager/x.py", "", "'manager' is no room"),
    ],
)
def test_a_planted_violation_is_named_with_file_and_line(tmp_path: Path, where: str, statement: str, said: str) -> None:
    file = tmp_path / "bridge" / where
    file.parent.mkdir(parents=True)
    file.write_text(f'"""Planted."""\n{statement}\n')
    [violation] = violations(tmp_path)
    line = 3 if "\n" in statement else 2 if statement else 1
    assert violation.startswith(f"bridge/{where}:{line}: ")
    assert said in violation
