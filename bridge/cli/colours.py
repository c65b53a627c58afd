"""Whether there are colours, and whether somebody looks: two things that are not the same.

Colours follow what people set for all programs: `NO_COLOR` not empty has none (no-color.org), `FORCE_COLOR` or `CLICOLOR_FORCE`
not empty and not 0 has them also off a terminal, `CLICOLOR=0` or `TERM=dumb` has none. What is drawn again and again, cut to the
width, or shortened is so on a real terminal only, whatever the colours are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console

__all__ = ["busy", "colours", "console", "is_drawn_on"]


def colours(environ: Mapping[str, str]) -> Literal["forced", "none", "on a terminal"]:
    """Return what the environment says."""
    if environ.get("NO_COLOR"):
        return "none"
    if any(environ.get(name) not in {None, "", "0"} for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return "forced"
    if environ.get("FORCE_COLOR") == "0" or environ.get("CLICOLOR") == "0" or environ.get("TERM") == "dumb":
        return "none"
    return "on a terminal"


def console(kind: type[Console] = Console, **options: Any) -> Console:
    """Return a console with these colours, which takes text as it stands."""
    said = colours(os.environ)
    environ = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "NO_COLOR"}}
    if said == "forced":
        options["force_terminal"] = True
    return kind(highlight=False, markup=False, emoji=False, no_color=said == "none", _environ=environ, **options)


def is_drawn_on(*, stderr: bool = False) -> bool:
    """Tell whether the output is a terminal on which what stands there can be drawn over."""
    stream = sys.stderr if stderr else sys.stdout
    return stream.isatty() and os.environ.get("TERM", "") not in {"", "dumb", "unknown"}


@contextmanager
def busy(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Say on standard error what takes its time, for as long as it does, where a person looks at it."""
    if quiet or not is_drawn_on(stderr=True):
        yield
        return
    with console(stderr=True).status(what, spinner="line"):
        yield
