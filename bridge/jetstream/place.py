"""Where an event stands in its node's log, read from its body and nothing else of it."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from bridge.model.envelope import Position
from bridge.model.kinds import decoder

__all__ = ["position_in"]


class _Envelope(Struct):
    position: str | None = None


def position_in(body: bytes) -> Position | None:
    """Return the position of the event in `body`, None if that is no event of ours, or a lease, which has none."""
    try:
        position = _envelope.decode(body).position
        return None if position is None else Position.parse(position)
    except (msgspec.DecodeError, ValueError):
        return None


_envelope = decoder(_Envelope)
