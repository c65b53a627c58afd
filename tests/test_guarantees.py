"""Each guarantee of the README names tests that there are."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"`([a-z_/]+\.py)::(test_\w+)`")


def _guarantees() -> list[str]:
    section = (ROOT / "README.md").read_text().split("\n## Guarantees\n")[1].split("\n## ")[0]
    return re.split(r"\n\d\. ", section)[1:]


def test_every_guarantee_names_its_tests() -> None:
    assert len(_guarantees()) == 6
    for guarantee in _guarantees():
        assert NAMED.findall(guarantee), guarantee


def test_the_tests_are_there() -> None:
    for file, name in NAMED.findall((ROOT / "README.md").read_text()):
        tree = ast.parse((ROOT / "tests" / file).read_text())
        there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in there, f"{file} has no {name}"
