"""What every command is, and the pieces that options are made of."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from bridge.model.commands.groups import Group

__all__ = ["OF_EVERY", "Command", "CommandId", "Remark", "Seconds"]

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=86400)]
# `$` alone would let a newline pass at the end, and an id goes into headers and keys.
CommandId: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*(?!\n)$")
]
Remark: TypeAlias = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+(?!\n)$")]
"""A line of text for people."""

OF_EVERY: Final = ("id", "dry_run", "purpose", "sender")
"""The options that every command has; they are told apart from the verb's own."""


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every command. `id` names it for ever; the bridge makes one (a ULID) where the sender gave none.

    With `dry_run` it is judged and not done: the outcome says which rule of the node's policy decides. `purpose` is why, and
    `sender` who the sender says to be; both go into the record of the command, and nothing depends on them.
    """

    verb: ClassVar[str]
    group: ClassVar[Group]
    result: ClassVar[type[Struct]]
    targets: ClassVar[Literal["node", "namespace", "container"]] = "container"

    id: CommandId | None = None
    dry_run: bool = False
    purpose: Remark | None = None
    sender: Remark | None = None
