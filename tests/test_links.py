"""What the documentation links to within the project is there, down to the heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pages import FENCE, PAGES, ROOT

EVERY = sorted({*PAGES, "CHANGELOG.md", *(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/decisions/*.md"))})


def headings(page: Path) -> set[str]:
    """The anchors of a page, as they are made of its headings: lower case, words joined by hyphens, no punctuation."""
    lines = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", EVERY)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    here = ROOT / page
    dead = []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", FENCE.sub("", here.read_text("utf-8"))):
        there = here.parent / target if target else here
        if "://" in target:
            continue
        if not there.exists() or (anchor and anchor not in headings(there)):
            dead.append(f"{target}#{anchor}")
    assert dead == []


def test_every_page_of_the_documentation_is_reached_from_its_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert [page for page in sorted(pages) if f"]({page})" not in index] == []
