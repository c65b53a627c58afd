"""Header fields as HPACK (RFC 7541), as far as a server needs that wants to know a call's path and metadata.

The server announces a dynamic table of size 0, so every field stands for itself. gRPC's core writes texts plainly and uses
Huffman's code for binary metadata only; what is coded is left as it is, and a coded path is refused by whoever looks for it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["field", "read_fields", "STATUS_200"]

STATUS_200: Final = b"\x88"
""":status: 200, by its place in the static table."""

_PATH: Final = frozenset({4, 5})
"""Where the static table has `:path` as a name (RFC 7541, appendix A)."""


def field(name: bytes, value: bytes) -> bytes:
    """Return one field as a literal that enters no table."""
    return b"\0" + _literal(name) + _literal(value)


def read_fields(block: bytes) -> dict[bytes, bytes]:
    """Return the fields of a block: `:path` and those whose names are not in the static table; the others are skipped."""
    fields: dict[bytes, bytes] = {}
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:  # a whole field of the static table: never one of those that differ between calls
            _, at = _integer(block, at, 7)
        elif first & 0xE0 == 0x20:  # a new size of the dynamic table
            _, at = _integer(block, at, 5)
        else:
            index, at = _integer(block, at, 6 if first & 0x40 else 4)
            name = b":path" if index in _PATH else b""
            if index == 0:
                name, at = _string(block, at)
            value, at = _string(block, at)
            if name:
                fields[name] = value
    return fields


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """Read an integer whose first `bits` bits stand in `block[at]` (section 5.1); return it and where it ends."""
    full = (1 << bits) - 1
    value = block[at] & full
    at += 1
    if value < full:
        return value, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    length, begin = _integer(block, at, 7)
    return block[begin : begin + length], begin + length


def _literal(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest = len(text) - 127
    length = [127]
    while rest >= 128:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*length, rest]) + text
