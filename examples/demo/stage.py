"""What the audience sees: headings, commands as one would type them, and the events that arrive meanwhile."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

__all__ = ["Stage"]


class Stage:
    """The terminal, shared by the story and by what happens beside it. Lines are never mixed."""

    def __init__(self, *, pace: float) -> None:
        """Take the seconds that a sentence is left to be read; 0 for an audience of programs."""
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._turn = threading.Lock()
        self._pace = pace

    @property
    def colours(self) -> bool:
        """Whether the audience sees colours."""
        return self._console.is_terminal and not self._console.no_color

    def heading(self, text: str, *more: str) -> None:
        """Begin a scene."""
        with self._turn:
            self._console.print()
            self._console.print(Text(text, "bold"))
            for line in more:
                self._console.print(Text(line))
        self.rest()

    def say(self, text: str = "") -> None:
        """Say something in between."""
        with self._turn:
            self._console.print(Text(text))

    def typed(self, argv: Sequence[str], *, behind: str = "") -> None:
        """Show a command."""
        with self._turn:
            self._console.print(Text(f"$ {shlex.join(argv)}{behind}", "bold cyan"))

    def printed(self, text: str) -> None:
        """Show what a command printed, colours and all."""
        with self._turn:
            for line in text.splitlines():
                self._console.print(Text.from_ansi(line) if self.colours else Text(line))

    def event(self, line: str) -> None:
        """Show a line of the events that arrive beside the story."""
        with self._turn:
            self._console.print(Text.assemble(("  | ", "dim"), Text.from_ansi(line)))

    def rest(self, times: float = 1.0) -> None:
        """Leave the audience a moment."""
        time.sleep(self._pace * times)
