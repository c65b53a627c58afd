"""Envelopes as text: the JSON of an event's CloudEvent, put together from pieces instead of encoded from a struct.

Every event of a host passes here, and most of its envelope is the same as that of the event before. What a container's
events have in common (source, subject, incarnation, description) is encoded once and kept with its account; what an event's
kind says (type, dataschema) once for all. What is left for each event is its own data and six short texts.

The promise is that this is only a quicker way: `decode` makes of it what it would make of `codec.encode` of the same
`Recorded`. The pieces that are written without escaping are identifiers, ULIDs, numbers and times, none of which holds
anything that JSON would escape.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from bridge.model.codec import encode_any
from bridge.model.envelope import EVENT_TYPES, Event
from bridge.model.nanos import format_rfc3339
from bridge.model.schema import dataschema_of
from bridge.ports import Observed

__all__ = ["Description", "EnvelopeWriter", "NOTHING", "about", "described"]


class Description(Struct, frozen=True, kw_only=True):
    """What a container is, as it is added to each of its events; null is "never seen".

    The fields are those that every `ContainerEvent` begins with, in the same order.
    """

    image: str | None = None
    labels: dict[str, str] | None = None
    name: str | None = None
    runtime: str | None = None


NOTHING: Final = Description()
"""The description of a container of which nothing was ever seen."""

_BLANK: Final = encode_any(NOTHING)[:-1] + b","
"""How the data of an event begins that says nothing of its container itself."""

_KINDS: Final = {kind: f'","type":"{name}","dataschema":"{dataschema_of(kind)}' for name, kind in EVENT_TYPES.items()}


def about(source: str, container: str) -> str:
    """Return the piece that says whose events these are: `source` and `subject`, both made of identifiers."""
    return f'","source":"{source}","subject":"{container}","time":"'


def described(description: Description) -> bytes:
    """Return the piece that stands at the beginning of an event's data in place of nothing."""
    return encode_any(description)[:-1] + b","


class EnvelopeWriter:
    """Writes the envelopes of containers' events for one log."""

    def __init__(self, log: str) -> None:
        """Take the log's UUID."""
        self._position = f'","position":"{log}:'

    def write(
        self,
        observed: Observed,
        event: Event,
        *,
        identity: str,
        n: int,
        sequence: int,
        about: str,
        incarnation: str | None,
        description: bytes,
    ) -> bytes:
        """Return the CloudEvent of an event of a container.

        Args:
            observed: when it happened and how it came to be known.
            event: what happened; where it says itself what its container is, that stands, else `description`.
            identity: its id.
            n: its position in the log.
            sequence: its number among its container's events.
            about: whose it is, see `about`.
            incarnation: which task of the container, None before the first.
            description: what its container is, see `described`.
        """
        run = "" if incarnation is None else f'","incarnation":"{incarnation}'
        head = (
            f'{{"specversion":"1.0","datacontenttype":"application/json","id":"{identity}{_KINDS[type(event)]}{about}'
            f'{format_rfc3339(observed.time)}","recordedtime":"{format_rfc3339(observed.recorded)}{self._position}{n}",'
            f'"sequence":"{sequence:020d}{run}","origin":"{observed.origin}",'
        )
        if observed.correlation_id is not None:  # these two come from outside, and are escaped
            head += f'"correlationid":{encode_any(observed.correlation_id).decode()},'
        if observed.causation_id is not None:
            head += f'"causationid":{encode_any(observed.causation_id).decode()},'
        if observed.traceparent is not None:  # hex digits, see `bridge.trace.said`
            head += f'"traceparent":"{observed.traceparent}",'
        data = encode_any(event)
        if data.startswith(_BLANK):
            return b"".join((head.encode(), b'"data":', description, data[len(_BLANK) :], b"}"))
        return b"".join((head.encode(), b'"data":', data, b"}"))
