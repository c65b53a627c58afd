"""The id of a command whose options nobody can read, or will."""

from __future__ import annotations

from msgspec import Struct

from bridge.errors import BadEnvelope
from bridge.model.codec import decode_as
from bridge.model.commands.command import CommandId

__all__ = ["id_in"]


class _Named(Struct):
    """The only option that is worth reading from a body that is otherwise wrong."""

    id: CommandId | None = None


def id_in(body: bytes) -> str | None:
    """Return the id that stands in a command's body, None where there is no valid one. Never raises."""
    try:
        return decode_as(body, _Named).id
    except BadEnvelope:
        return None
