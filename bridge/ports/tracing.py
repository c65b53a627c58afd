"""Where spans of commands go; nowhere, unless the node is told to make some."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from bridge import trace
from bridge.model.outcomes import Outcome
from bridge.ports.commands import CommandRequest

__all__ = ["CommandSpan", "NoTraces", "Traces"]


class CommandSpan(Protocol):
    """What is to be told of one command."""

    def ended(self, outcome: Outcome) -> None:
        """Tell what came of it, when all events of it have been handed over. Returns at once and never raises."""
        ...


class Traces(Protocol):
    """Tells somebody what commands go through."""

    def command(self, request: CommandRequest) -> AbstractContextManager[CommandSpan]:
        """Be with a command from its receipt to its end; inside, `bridge.trace.current` is its trace. Never raises."""
        ...


class NoTraces:
    """Tells nobody, and passes on what the sender said."""

    @contextmanager
    def command(self, request: CommandRequest) -> Iterator[CommandSpan]:
        """Be with a command; see `Traces`."""
        with trace.under(trace.said(request.headers)):
            yield self

    def ended(self, outcome: Outcome) -> None:
        """Tell nobody."""
