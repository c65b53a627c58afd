"""What a benchmark found out, held against what was aimed at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["Finding", "Tell", "percentile", "plain", "print_findings"]

Tell: TypeAlias = Callable[[str], None]
"""Takes a sentence on how a benchmark gets on."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the table.

    Attributes:
        what: what was measured, and with how much.
        aim: what it should be.
        figure: what it is.
        met: whether that is so.
        numbers: the same and more for programs.
        others: how many of our processors were busy with something else meanwhile, the most of all runs.
    """

    what: str
    aim: str
    figure: str
    met: bool
    numbers: Mapping[str, Any]
    others: float


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value that `part` of all values do not exceed; `values` are sorted."""
    return values[min(len(values) - 1, int(part * len(values)))]


def plain(finding: Finding) -> dict[str, Any]:
    """Return everything as builtins."""
    return {
        "what": finding.what,
        "aim": finding.aim,
        "figure": finding.figure,
        "met": finding.met,
        "cores_busy_elsewhere": round(finding.others, 2),
        **finding.numbers,
    }


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print aim, figure and whether it is met, a line for each."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("", "aim", "figure", "", "others"):
        table.add_column(title, justify="right" if title == "others" else "left")
    for found in findings:
        met = Text("met", "green") if found.met else Text("missed", "red")
        table.add_row(found.what, found.aim, found.figure, met, f"{found.others:.2f}")
    console.print(table)
    console.print("others: processors that were busy with something else meanwhile, out of those that all of this had")
