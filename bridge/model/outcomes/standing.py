"""How a command stands: what is kept of it under its id, from its acceptance to long after its end."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from bridge.model.nanos import Nanos
from bridge.model.outcomes.outcome import Outcome

__all__ = ["Cancelled", "CommandState", "Stage", "Via"]

Stage: TypeAlias = Literal["accepted", "started", "finished"]
"""Accepted: it waits for its turn and has had no effect. Started: it may have had one. Finished: it has its outcome."""

Via: TypeAlias = Literal["request", "job"]
"""How it came: as a request whose sender waits for the reply, or as a durable job."""


class CommandState(Struct, frozen=True, kw_only=True):
    """What is known of one command. `outcome` is there once it is finished, and never changes from then on.

    `journal` is the UUID of the journal that has it: another bridge of the node that finds a command started there cannot know
    more than it sees. None has it where the id was another command's. `digest` tells this command from another one under its id.
    """

    id: str
    verb: str
    node: str
    stage: Stage
    via: Via = "request"
    namespace: str | None = None
    container: str | None = None
    received_at: Nanos | None = None
    started_at: Nanos | None = None
    journal: str = ""
    digest: str = ""
    outcome: Outcome | None = None


class Cancelled(Struct, frozen=True, kw_only=True):
    """Result of `cancel`: whether the command had begun, and so what it did until then stays done."""

    began: bool = False
