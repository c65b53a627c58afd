"""What every command is, and the pieces that options are made of."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

from bridge.model.commands.groups import Group

__all__ = ["Command", "CommandId", "Seconds", "Targets"]

Targets: TypeAlias = Literal["node", "namespace", "container", "any"]
"""What a command is for: the node, a namespace or all of them, one container; or any of these."""

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=86400)]
# `$` alone would let a newline pass at the end, and an id goes into headers and keys.
CommandId: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*(?!\n)$")
]


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every command. `id` names it for ever; the bridge makes one (a ULID) where the sender gave none."""

    verb: ClassVar[str]
    group: ClassVar[Group]
    result: ClassVar[type[Struct]]
    targets: ClassVar[Targets] = "container"
    lasting: ClassVar[bool] = False
    """Whether it only waits, perhaps for hours: such commands have a bound of their own, and end when the bridge stops."""

    id: CommandId | None = None
