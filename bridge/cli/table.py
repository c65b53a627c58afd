"""Events as a table that grows: rows are printed as they come, aligned as far as can be known beforehand."""

from __future__ import annotations

from rich.text import Text

from bridge.cli.details import colour, details, word
from bridge.cli.durations import clock, day
from bridge.cli.terminal import Columns, Terminal
from bridge.ports import StoredEvent

__all__ = ["EventTable"]


class EventTable:
    """The live table of `events`.

    A line with the date stands where the day begins. The column of nodes appears with the second node; nearly everybody looks
    at one.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._nodes: set[str] = set()
        self._day = ""
        self._columns = _columns(nodes=False)

    def begin(self) -> None:
        """Print the names of the columns, so that something is there while nothing happens."""
        self._terminal.line(self._columns.header())

    def show(self, event: StoredEvent) -> None:
        """Print one event."""
        recorded = event.recorded
        if recorded.node not in self._nodes:
            self._nodes.add(recorded.node)
            if len(self._nodes) == 2:
                self._columns = _columns(nodes=True)
                self.begin()
        today = day(recorded.time)
        if today != self._day:
            self._day = today
            self._terminal.line(Text(today, "dim"))
        container = self._terminal.id(recorded.container) if recorded.container else "-"
        cells: list[Text | str] = [Text(clock(recorded.time), "dim")]
        if len(self._nodes) > 1:
            cells.append(recorded.node)
        cells += [
            recorded.namespace or "-",
            container,
            Text(word(recorded), colour(recorded.data)),
            details(recorded),
        ]
        self._terminal.line(self._columns.line(cells))


def _columns(*, nodes: bool) -> Columns:
    names = ["TIME", "NAMESPACE", "CONTAINER", "EVENT", "DETAILS"]
    widths = [12, 10, 14, 16]
    if nodes:
        names.insert(1, "NODE")
        widths.insert(1, 10)
    return Columns(*names, widths=widths)
