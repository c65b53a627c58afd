"""The fields of a protobuf message by number, without knowing which message it is: a page of code instead of a package.

What is read may have come from anywhere: it is bounded by its own length, and whatever it is, fields come out or a refusal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from bridge.checkpoints.layout import refusal

__all__ = ["Value", "fields"]

Value: TypeAlias = int | bytes

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT: Final = 10


def fields(message: bytes, what: str) -> Iterator[tuple[int, Value]]:
    """Return each field's number and value, as they come: numbers, and bytes for all else.

    Raises:
        CommandFailed: `invalid_argument`: `what` is no protobuf message.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at, what)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at, what)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint(message, at, what)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise refusal(f"{what} has a field of a kind that there is not")
        if len(message) - at < length:
            raise refusal(f"{what} ends in the middle of a field")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int, what: str) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & (1 << 64) - 1, at + index + 1
    raise refusal(f"{what} has a number without an end")
