"""Bytes to structs and back, for everything that crosses the bus.

`encode` and `decode` are inverse for every event of ours. An event of a type this version does not know decodes to
`Unrecognized`, so old readers survive new events; whatever else is wrong raises `BadEnvelope`, and nothing but that.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from bridge.errors import BadEnvelope
from bridge.model.envelope import EVENT_TYPES, Event, Recorded, Sequence, Unrecognized
from bridge.model.kinds import decoder
from bridge.model.nanos import Nanos, format_rfc3339, parse_rfc3339

__all__ = ["decode", "decode_as", "encode", "encode_any", "to_builtins"]

T = TypeVar("T")


def _enc_hook(value: Any) -> Any:
    if type(value) is Nanos:
        return format_rfc3339(value)
    if type(value) is Sequence:
        return f"{value:020d}"
    raise NotImplementedError(f"{type(value).__name__} is nothing that crosses the bus")


def _dec_hook(expected: type, value: Any) -> Any:
    if expected is Nanos and isinstance(value, str):
        return parse_rfc3339(value)
    if expected is Sequence and isinstance(value, str) and value.isascii() and value.isdigit():
        return Sequence(value)
    raise ValueError(f"{value!r} is no {expected.__name__}")


class _Peek(Struct):
    """The only part of an envelope that has to be read to know how to read the rest."""

    type: str


_encoder = msgspec.json.Encoder(enc_hook=_enc_hook)
_peek = decoder(_Peek)
_typed: dict[str, msgspec.json.Decoder[Any]] = {
    name: decoder(Recorded[event], _dec_hook)  # type: ignore[valid-type]
    for name, event in EVENT_TYPES.items()
}
_untyped = decoder(Recorded[Raw], _dec_hook)


def encode(recorded: Recorded[Event]) -> bytes:
    """Return the CloudEvent as JSON, UTF-8."""
    return _encoder.encode(recorded)


def decode(body: bytes) -> Recorded[Event] | Recorded[Unrecognized]:
    """Return the event in `body`.

    Raises:
        BadEnvelope: `body` is no CloudEvent of ours; keeps the bytes as `data`.
    """
    try:
        typed = _typed.get(_peek.decode(body).type)
        if typed is not None:
            known: Recorded[Event] = typed.decode(body)
            return known
        raw = _untyped.decode(body)
        fields = {name: getattr(raw, name) for name in raw.__struct_fields__}
        return Recorded(**{**fields, "data": Unrecognized(json=bytes(raw.data))})
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadEnvelope(f"not a CloudEvent of containerd-bridge: {error}", data=body) from error


def encode_any(value: Any) -> bytes:
    """Return a struct of `bridge.model` (or builtins) as JSON, with our forms for times and sequences."""
    return _encoder.encode(value)


def decode_as(body: bytes, kind: type[T]) -> T:
    """Return `body` as one struct of `bridge.model`.

    Raises:
        BadEnvelope: it is none; the sentence names the field; keeps the bytes as `data`.
    """
    try:
        return decoder(kind, _dec_hook).decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadEnvelope(str(error), data=body) from error


def to_builtins(value: Any) -> Any:
    """Return a struct as dicts, lists and strings, exactly as it would stand in JSON."""
    return msgspec.to_builtins(value, enc_hook=_enc_hook, builtin_types=())
