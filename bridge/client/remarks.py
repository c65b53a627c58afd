"""What a sender says beside a command: that it is to be judged only, why it is sent, and who sends it."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct, structs

from bridge.model.commands import Command
from bridge.model.outcomes import Judged

__all__ = ["NONE", "Judgement", "Remarks"]

C = TypeVar("C", bound=Command)


class Judgement(Exception):
    """The command was judged only: it would be allowed, and nothing was done."""

    def __init__(self, judged: Judged) -> None:
        super().__init__(judged.reason)
        self.judged = judged


class Remarks(Struct, frozen=True, kw_only=True):
    """What goes with every command to a node. `purpose` and `sender` are recorded and believed by nobody."""

    dry_run: bool = False
    purpose: str | None = None
    sender: str | None = None

    def applied(self, command: C) -> C:
        """Return the command with these remarks; what it says itself stays."""
        return structs.replace(
            command,
            dry_run=self.dry_run or command.dry_run,
            purpose=command.purpose or self.purpose,
            sender=command.sender or self.sender,
        )


NONE = Remarks()
