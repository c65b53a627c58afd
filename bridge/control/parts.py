"""The parts of a running command path, for whoever shows their figures."""

from __future__ import annotations

from typing import NamedTuple

from bridge.control.dispatch import Dispatcher
from bridge.control.jobs import Worker
from bridge.control.journal import Journal
from bridge.control.migration.harbour import Harbour
from bridge.control.policy import Policy
from bridge.control.rulebook import PolicyFile
from bridge.control.telling import Teller
from bridge.ports import StdioSessions

__all__ = ["Control", "Ruling"]


class Ruling(NamedTuple):
    """What the node allows, and the file whose rules these are."""

    policy: Policy
    file: PolicyFile


class Control(NamedTuple):
    """What takes, remembers and tells of commands, what is allowed, whose stdio is on the bus, and what moves."""

    dispatcher: Dispatcher
    journal: Journal
    teller: Teller
    worker: Worker
    ruling: Ruling
    sessions: StdioSessions | None
    harbour: Harbour | None = None
