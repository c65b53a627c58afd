"""What is too big for one message goes into the log in raw parts that follow one another (decision 0003)."""

from __future__ import annotations

import hashlib
from typing import Any

from bridge.model.codec import encode_any
from bridge.model.events import RawEvent
from bridge.model.limits import RAW_PART

__all__ = ["parts"]


def parts(event: Any) -> list[RawEvent]:
    """Return an event cut into parts.

    What came raw keeps its topic, type and bytes; any other event goes as the JSON of its data, under its own type.
    """
    if isinstance(event, RawEvent):
        topic, type_url, value, reason = event.topic, event.type_url, event.value, event.reason
    else:
        topic, type_url, value, reason = "", event.type, encode_any(event), "oversize"
    digest = hashlib.sha256(value).hexdigest()
    pieces = [value[start : start + RAW_PART] for start in range(0, len(value), RAW_PART)]
    return [
        RawEvent(
            topic=topic,
            type_url=type_url,
            value=piece,
            reason=reason,
            size=len(value),
            sha256=digest,
            part=number,
            parts=len(pieces),
        )
        for number, piece in enumerate(pieces, 1)
    ]
