"""containerd's envelope around every event, read from the wire.

Probes are told from events here, and an envelope that cannot be read becomes a raw event elsewhere, so this knows
nothing of payloads.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from bridge._pb.containerd.types_pb2 import Envelope as _Envelope
from bridge._pb.google.protobuf.timestamp_pb2 import Timestamp
from bridge.model.nanos import Nanos

__all__ = ["ENVELOPE_TYPE", "Envelope", "moment", "read_envelope"]

ENVELOPE_TYPE: Final = _Envelope.DESCRIPTOR.full_name

_GO_ZERO_TIME: Final = -62_135_596_800
"""0001-01-01T00:00:00Z: what containerd sends for a time that was never set, when it does not leave it out."""

_YEAR_10000: Final = 253_402_300_800
_SECOND: Final = 1_000_000_000


class Envelope(NamedTuple):
    """An event as containerd sent it. `wire` is all of it; an event without payload has an empty `type_url` and `value`."""

    time: Nanos | None
    namespace: str
    topic: str
    type_url: str
    value: bytes
    wire: bytes


_parse = _Envelope.FromString


def read_envelope(wire: bytes) -> Envelope | None:
    """Return the envelope in `wire`, None where it is none.

    A time that is no time is left out: it is the one thing in an envelope that can be done without.
    """
    try:
        message = _parse(wire)
        event = message.event
        namespace, topic, type_url = message.namespace, message.topic, event.type_url
    except (DecodeError, ValueError):  # ValueError: a string that is no UTF-8
        return None
    try:
        time = moment(message.timestamp)
    except ValueError:
        time = None
    return Envelope(time, namespace, topic, type_url, event.value, wire)


def moment(timestamp: Timestamp) -> Nanos | None:
    """Return a time of containerd's; None for a time that was never set.

    Raises:
        ValueError: it is a time before 1970 or after 9999, or its nanoseconds are more than a second.
    """
    seconds, nanos = timestamp.seconds, timestamp.nanos
    if 0 < seconds < _YEAR_10000 and 0 <= nanos < _SECOND:
        return Nanos(seconds * _SECOND + nanos)
    if not nanos and seconds in {0, _GO_ZERO_TIME}:
        return None
    if seconds == 0 < nanos < _SECOND:
        return Nanos(nanos)
    raise ValueError(f"{seconds} s and {nanos} ns is no time")
