"""The parts of a running command path, for whoever shows their figures."""

from __future__ import annotations

from typing import NamedTuple

from bridge.control.dispatch import Dispatcher
from bridge.control.jobs import Worker
from bridge.control.journal import Journal
from bridge.control.telling import Teller

__all__ = ["Control"]


class Control(NamedTuple):
    """What takes commands, what remembers them, and what tells how they stand."""

    dispatcher: Dispatcher
    journal: Journal
    teller: Teller
    worker: Worker
