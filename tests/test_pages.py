"""Every block of code of the documentation is claimed by one test module, which runs it, or stands here with the reason.

What claims are is told in `tests/pages.py`, which languages there are too.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.pages import LANGUAGES, PAGES, Block, blocks, differs

TESTS: Final = Path(__file__).parent

NOT_RUN: Final = {
    "README.md: make demo": "`.ci/run` runs both at each change",
    "tests/README.md: make unit": "this is how the suite itself is run",
    "tests/faults/README.md: make test-faults": "the same",
    "benchmarks/README.md: make bench": "minutes each; tests/integration/test_benchmarks.py runs the smallest form",
}
"""Page and beginning of a block that no test runs -> why."""

TYPED: Final = re.compile(
    r"^\s*(\$ |containerd-bridge |nats |make |pip |docker |sudo |python |curl |\.venv)", re.MULTILINE
)
"""What somebody would type; it does not stand in a block of `text`."""


def claimed() -> Counter[Block]:
    """Every block that a test module says it runs, and how many say so."""
    found: Counter[Block] = Counter()
    for file in TESTS.glob("**/test_*.py"):
        if re.search(r"^CLAIMED\b", file.read_text("utf-8"), re.MULTILINE):
            module = importlib.import_module(".".join(file.relative_to(TESTS.parent).with_suffix("").parts))
            found.update(module.CLAIMED)
    return found


def why_not(block: Block) -> str | None:
    """The reason why nobody runs it, if there is one."""
    return next((why for begins, why in NOT_RUN.items() if f"{block.page}: {block.text}".startswith(begins)), None)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_by_one_test(page: str) -> None:
    claims = claimed()
    unclaimed = [one for one in blocks(page) if one.language != "text" and claims[one] != 1 and not why_not(one)]
    assert [f"{one} ({one.language}): claimed {claims[one]} times" for one in unclaimed] == []


def test_what_is_not_run_is_there_and_nobody_runs_it() -> None:
    claims = claimed()
    every = [block for page in PAGES for block in blocks(page)]
    for begins in NOT_RUN:
        [block] = [one for one in every if f"{one.page}: {one.text}".startswith(begins)]
        assert claims[block] == 0, f"{block} is run, and need not stand in NOT_RUN"


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page: str) -> None:
    assert [str(one) for one in blocks(page) if one.language not in LANGUAGES] == []
    commands = [str(one) for one in blocks(page) if one.language == "text" and TYPED.search(one.text)]
    assert commands == [], "a block of commands is `console` or `sh`"


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        (["web.1 runs since 12:00:00.123"], ["web.1 runs  since 09:13:44.9 "]),
        (["...", "last"], ["first", "second", "last"]),
        (["first", "..."], ["first"]),
        (["id deploy-7 ... done"], ["id deploy-7 after 3 s done"]),
    ],
)
def test_what_is_another_each_time_is_not_compared(expected: list[str], printed: list[str]) -> None:
    assert differs(expected, printed) == ""


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        (["status 3"], ["status 137"]),
        (["web.1"], ["web.2"]),
        (["first", "second"], ["second", "first"]),
        (["first"], []),
        ([], ["a complaint"]),
        (["first", "...", "last"], ["first", "second"]),
    ],
)
def test_what_is_said_is_compared(expected: list[str], printed: list[str]) -> None:
    assert "the page shows" in differs(expected, printed)
