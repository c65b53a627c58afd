"""What every command is, and the pieces that options are made of."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from bridge.model.commands.groups import Group
from bridge.model.lifecycle import Status
from bridge.model.nanos import Nanos

__all__ = [
    "OF_EVERY",
    "PRECONDITIONS",
    "Cells",
    "Command",
    "CommandId",
    "Remark",
    "Seconds",
    "Targets",
    "WindowSize",
    "is_command_id",
]

Targets: TypeAlias = Literal["node", "namespace", "container", "any"]
"""What a command is for: the node, a namespace or all of them, one container; or any of these."""

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=86400)]
Cells: TypeAlias = Annotated[int, Meta(ge=0, le=65535)]
"""Columns or lines of a terminal; 0 for as it is."""
WindowSize: TypeAlias = Annotated[int, Meta(ge=65536, le=1 << 30)]
"""Bytes of output that may be stored before somebody has read them."""
# `$` alone would let a newline pass at the end, and an id goes into headers and keys.
_ID: Final = r"^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*(?!\n)$"
CommandId: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=_ID,
        description="letters and digits, with single '.', '_' or '-' between them",
    ),
]
Remark: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+(?!\n)$", description="one line of text")
]
"""A line of text for people."""


def is_command_id(text: str) -> bool:
    """Tell whether `text` can be the id of a command."""
    return len(text) <= 64 and re.match(_ID, text) is not None


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every command. `id` names it for ever; the bridge makes one (a ULID) where the sender gave none.

    With `dry_run` it is judged and not done: the outcome says which rule of the node's policy decides.

    The preconditions are looked at right before the command would have an effect, in the container's turn. Where one does not
    hold the outcome is `stale`, and nothing was done.

    Attributes:
        purpose: why it is sent, and `sender` who the sender says to be: both go into the record, and nothing depends on them.
        expected_incarnation: only for this life of the container's task, by the id that its events carry.
        expected_status: only while the container stands so, as containerd says at that moment.
        expected_sequence: only if the container's newest event in the log still has this number.
        not_after: not carried out later than this.
    """

    verb: ClassVar[str]
    group: ClassVar[Group]
    result: ClassVar[type[Struct]]
    targets: ClassVar[Targets] = "container"
    lasting: ClassVar[bool] = False
    """Whether it only waits, perhaps for hours: such commands have a bound of their own, and end when the bridge stops."""
    repeatable: ClassVar[bool] = False
    """Whether it may be carried out twice under one id: what only looks, or is about the moment only. The rest is journaled."""

    follows: ClassVar[bool] = False
    """Whether it is about what an earlier command for the container may be about to make: what is not there yet is waited for."""

    id: CommandId | None = None
    dry_run: bool = False
    purpose: Remark | None = None
    sender: Remark | None = None
    expected_incarnation: str | None = None
    expected_status: Status | None = None
    expected_sequence: int | None = None
    not_after: Nanos | None = None


OF_EVERY: Final = ("id", "dry_run", "purpose", "sender")
"""The options of every command that do not change what it does; its record has fields of their own for them."""

PRECONDITIONS: Final = ("expected_incarnation", "expected_status", "expected_sequence", "not_after")
"""The options of every command that say when it is not to be carried out any more."""
