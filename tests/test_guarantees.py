"""The guarantees: each has its conditions and names tests that there are, and none says more than can be kept."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"`([a-z_/]+\.py)::(test_\w+)`")

NEVER = (
    "exactly-once",
    "exactly once",
    "no event is ever lost",
    "total order",
    "real time",
    "real-time",
    "zero data loss",
)


def _guarantees() -> list[str]:
    section = (ROOT / "docs/guarantees.md").read_text().split("\n## Guarantees\n")[1].split("\n## ")[0]
    return re.split(r"\n\d+\. ", section)[1:]


def test_every_guarantee_has_its_conditions_and_names_its_tests() -> None:
    assert len(_guarantees()) == 11
    for guarantee in _guarantees():
        assert guarantee.startswith("**"), guarantee
        assert "Holds if: " in guarantee, guarantee
        assert NAMED.findall(guarantee), guarantee


@pytest.mark.parametrize("text", ["README.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/*.md"))])
def test_nothing_is_promised_that_nobody_can_keep(text: str) -> None:
    said = " ".join((ROOT / text).read_text().lower().split())
    assert [words for words in NEVER if words in said] == []


def test_what_is_said_of_the_time_until_the_log_agrees_is_what_its_test_requires() -> None:
    [guarantee] = [guarantee for guarantee in _guarantees() if "within R seconds" in guarantee]
    required = re.search(r"^R_S = ([\d.]+)$", (ROOT / "tests/faults/recovery.py").read_text(), re.MULTILINE)
    promised = re.search(r"R is (\d+) for 500 containers", guarantee)
    assert required is not None
    assert promised is not None
    assert float(promised[1]) == float(required[1])


@pytest.mark.parametrize("text", ["docs/guarantees.md", "tests/README.md"])
def test_the_tests_are_there(text: str) -> None:
    named = NAMED.findall((ROOT / text).read_text())
    assert named
    for file, name in named:
        tree = ast.parse((ROOT / "tests" / file).read_text())
        there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in there, f"{file} has no {name}"
