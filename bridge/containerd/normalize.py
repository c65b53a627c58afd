"""From containerd's envelopes to observations. Pure functions that take whatever comes: nothing is dropped, nothing raises.

What cannot be told as an event of ours becomes a `RawEvent` with its bytes, and a reason:

    undecodable        the payload is not what its type says, or the message is no envelope at all
    invalid-namespace  the namespace is no identifier, so it has no place in a subject or a source
    no-payload         the envelope has a topic and nothing else
    unknown-topic      a topic that this version does not know
    unknown-type       the payload is not of the type that belongs to the topic
    invalid-id         the container's id is no identifier; the bytes hold it

A raw event holds the payload and its type. Where that would lose something, because the envelope itself is at fault, it
holds the whole envelope, of type `containerd.types.Envelope`, and stands in no namespace.
"""

from __future__ import annotations

import hashlib

from google.protobuf.message import DecodeError

from bridge.containerd.envelope import ENVELOPE_TYPE, Envelope, read_envelope
from bridge.containerd.payloads import PAYLOADS
from bridge.model.envelope import Event
from bridge.model.events import RawEvent
from bridge.model.identity import is_identifier
from bridge.model.nanos import Nanos
from bridge.ports import Observed

__all__ = ["normalize", "observe", "unreadable"]


def observe(wire: bytes, recorded: Nanos) -> Observed:
    """Return what one message of `Events.Subscribe` says.

    Args:
        wire: the message as it came.
        recorded: when it was read.
    """
    envelope = read_envelope(wire)
    return unreadable(wire, recorded) if envelope is None else normalize(envelope, recorded)


def unreadable(wire: bytes, recorded: Nanos) -> Observed:
    """Return the observation of a message that is no envelope."""
    event = _raw("", ENVELOPE_TYPE, wire, "undecodable")
    return Observed(event=event, namespace=None, container=None, time=recorded, recorded=recorded)


def normalize(envelope: Envelope, recorded: Nanos) -> Observed:
    """Return what an envelope says. Its time is `recorded` where it has none of its own.

    Args:
        envelope: what containerd sent.
        recorded: when it was read.
    """
    time, namespace, topic, type_url, value, wire = envelope
    event: Event
    container: str | None
    known = is_identifier(namespace)
    if known:
        event, container = _event(topic, type_url, value)
    else:
        event, container = _raw(topic, ENVELOPE_TYPE, wire, "invalid-namespace"), None
    return Observed(event, namespace if known else None, container, recorded if time is None else time, recorded)


def _event(topic: str, type_url: str, value: bytes) -> tuple[Event, str | None]:
    """Return the event and its container: a valid id, or None where the event belongs to none, or to none that is known."""
    if not type_url and not value:
        return _raw(topic, type_url, value, "no-payload"), None
    payload = PAYLOADS.get(topic)
    if payload is None:
        return _raw(topic, type_url, value, "unknown-topic"), None
    # containerd writes the bare name; a host before it, as in other protobuf worlds, is as good.
    if type_url != payload.type and type_url.rpartition("/")[2] != payload.type:
        return _raw(topic, type_url, value, "unknown-type"), None
    try:
        event, container = payload.event(payload.read(value))
    except (DecodeError, ValueError):
        return _raw(topic, type_url, value, "undecodable"), None
    if container is not None and not is_identifier(container):
        return _raw(topic, type_url, value, "invalid-id"), None
    return event, container


def _raw(topic: str, type_url: str, value: bytes, reason: str) -> RawEvent:
    return RawEvent(
        topic=topic,
        type_url=type_url,
        value=value,
        reason=reason,
        size=len(value),
        sha256=hashlib.sha256(value).hexdigest(),
    )
