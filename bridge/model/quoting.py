"""Names that come from outside, as tokens of subjects and keys.

Each byte outside `[A-Za-z0-9_-]` becomes `=XX` in upper-case hex, so that `k8s.io` is `k8s=2Eio`. Quoting is injective and
reversible, and its results are valid NATS subject tokens (ADR-6) and KV keys (ADR-8). `-` alone stands for "no container"; a
literal `-` is therefore quoted as `=2D`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["NONE", "joined", "parted", "quote", "unquote"]

NONE = "-"
"""The token that stands for "no container" or "no namespace"."""

_PLAIN = re.compile(rb"[A-Za-z0-9_-]*")
_QUOTED = re.compile(r"(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+", re.ASCII)
_TABLE = [chr(b) if _PLAIN.fullmatch(bytes([b])) else f"={b:02X}" for b in range(256)]


def quote(text: str) -> str:
    """Return `text` as one subject token.

    Any text is taken, with `surrogateescape` (PEP 383) for bytes that are no UTF-8. Strings that no bytes decode to have
    no token, else two texts could share one.

    Raises:
        ValueError: `text` is empty or holds surrogates that stand for no byte.
    """
    if not text:
        raise ValueError("an empty name has no subject token")
    if text == NONE:
        return "=2D"
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ValueError(f"{text!r} is no text: it holds a lone surrogate") from error
    if _PLAIN.fullmatch(raw):
        return text
    if raw.decode("utf-8", "surrogateescape") != text:
        raise ValueError(f"{text!r} is no text: its surrogates spell out valid UTF-8")
    return "".join([_TABLE[b] for b in raw])


def unquote(token: str) -> str:
    """Return the text that `quote` made `token` from.

    Raises:
        ValueError: `token` is nothing that `quote` makes. There is exactly one token per text, so that a permission for
            one spelling cannot be passed by with another.
    """
    if not _QUOTED.fullmatch(token):
        raise ValueError(f"{token!r} is not a quoted subject token")
    raw = bytearray()
    position = 0
    while position < len(token):
        if token[position] == "=":
            raw.append(int(token[position + 1 : position + 3], 16))
            position += 3
        else:
            raw.append(ord(token[position]))
            position += 1
    text = raw.decode("utf-8", "surrogateescape")
    if quote(text) != token:
        raise ValueError(f"{token!r} is not how a token is quoted; {quote(text)!r} would be")
    return text


def joined(names: Iterable[str]) -> str:
    """Return names as the key of a bucket: each one quoted, with a dot between them."""
    return ".".join(quote(name) for name in names)


def parted(key: str, count: int, wrong: str) -> list[str]:
    """Return the names that `joined` made a key of.

    Raises:
        ValueError: it is not one of so many names, which is said in the words of `wrong`, or one of them is not quoted so.
    """
    tokens = key.split(".")
    if len(tokens) != count:
        raise ValueError(f"{key!r} {wrong}")
    return [unquote(token) for token in tokens]
