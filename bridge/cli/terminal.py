"""Standard output: colours on a terminal only, never a line broken, nothing that could steer the terminal."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from bridge.cli.colours import console
from bridge.cli.printable import printable
from bridge.model.codec import encode_any

__all__ = ["Columns", "Terminal"]

_LONG_ID: Final = re.compile(r"[0-9a-f]{64}")
_SHORT: Final = 12
"""Digits that docker shows of a container id."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class Terminal:
    """Where a command's output goes."""

    def __init__(self, *, truncate: bool = True) -> None:
        """Take whether long ids are shortened; they never are where the output is not for people to look at."""
        self._console = console(_Console, soft_wrap=True)
        self._truncate = truncate and sys.stdout.isatty()

    def line(self, text: Text | str = "") -> None:
        """Print one line."""
        if self._console.is_terminal:
            self._console.print(text)
        else:
            sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def json(self, value: Any) -> None:
        """Print a struct, or JSON as it came, as one line."""
        body = value if isinstance(value, bytes) else encode_any(value)
        sys.stdout.buffer.write(body + b"\n")
        sys.stdout.buffer.flush()

    def id(self, text: str) -> str:
        """Return a container's id as it is to be shown."""
        return text[:_SHORT] if self._truncate and _LONG_ID.fullmatch(text) else printable(text)


class Columns:
    """Cells under one another. A column is as wide as its widest cell so far, so rows can be printed as they come."""

    def __init__(self, *names: str, widths: Sequence[int] = (), gap: int = 2) -> None:
        """Take the names of the columns and, where rows are not known beforehand, how wide to begin."""
        self.names = names
        self._gap = gap
        self._widths = [max(len(name), least) for name, least in zip(names, [*widths, *[0] * len(names)], strict=False)]

    def fit(self, cells: Sequence[Text | str]) -> None:
        """Widen the columns for these cells."""
        for position, cell in enumerate(cells):
            self._widths[position] = max(self._widths[position], cell_len(str(cell)))

    def header(self) -> Text:
        """Return the line of names."""
        return self.line([Text(name, "bold") for name in self.names])

    def line(self, cells: Sequence[Text | str]) -> Text:
        """Return one row."""
        self.fit(cells)
        line = Text()
        for cell, width in zip(cells, self._widths, strict=True):
            line.append_text(cell if isinstance(cell, Text) else Text(cell))
            line.append(" " * (width - cell_len(str(cell)) + self._gap))
        line.rstrip()
        return line
