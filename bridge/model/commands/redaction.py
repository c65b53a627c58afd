"""What may be told of a command's options to everybody who reads the log.

A list or a table is told by its length and its names alone, unless it is known to be harmless, and so is every option that is
marked `SECRET` or has a name that speaks of secrets. So the options of a command that is yet to be written are safe before
anybody has thought of it; what may be told is what has to be said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from bridge.model.commands.command import OF_EVERY

__all__ = ["HARMLESS", "HIDDEN", "SECRET", "blanked", "credentials_of", "redacted", "scrubbed", "secrets_of"]

HIDDEN: Final = "********"

SECRET: Final = Meta(extra={"secret": True})
"""Marks an option that nobody but containerd is told: `password: Annotated[str, SECRET] = ""`."""

HARMLESS: Final = frozenset(
    {
        "cap_add",
        "cap_drop",
        "capabilities",
        "devices",
        "empty_ns",
        "filters",
        "labels",
        "mounts",
        "resources",
        "rlimits",
    }
    | {"runc"}
)
"""Options that hold lists or tables and are told in full."""

_SPEAKING: Final = ("password", "secret", "token", "credential", "username", "auth")
_SHORTEST: Final = 4
"""A secret of fewer characters is in every sentence."""


def redacted(kind: type[Struct], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options, as they would stand in JSON, without what may be secret.

    A hidden table keeps its keys, of `NAME=value` the name stays, and a list its length.
    """
    hidden = _hidden(kind)
    return {
        name: _masked(value) if _is_secret(name, value, hidden) else value
        for name, value in options.items()
        if name not in OF_EVERY
    }


def secrets_of(kind: type[Struct], options: Mapping[str, Any]) -> list[str]:
    """Return the texts that `redacted` hides, the longest first, as far as they can be told from ordinary words."""
    hidden = _hidden(kind)
    found: set[str] = set()
    for name, value in options.items():
        if name not in OF_EVERY and _is_secret(name, value, hidden):
            found.update(_texts(value))
    return sorted((text for text in found if len(text) >= _SHORTEST), key=len, reverse=True)


def credentials_of(kind: type[Struct], options: Mapping[str, Any]) -> list[str]:
    """Return the texts that nobody but containerd is told: they are kept nowhere, not even where everything else is."""
    hidden = _hidden(kind)
    return [value for name, value in options.items() if value and isinstance(value, str) and _speaks(name, hidden)]


def blanked(kind: type[Struct] | None, body: bytes) -> bytes:
    """Return the options as they came, but for those that nobody but containerd is told; the very bytes where there are none."""
    hidden = frozenset[str]() if kind is None else _hidden(kind)
    try:
        options: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return body
    found = {name: HIDDEN for name, value in options.items() if value and _speaks(name, hidden)}
    return msgspec.json.encode(options | found) if found else body


def scrubbed(text: str, secrets: list[str]) -> str:
    """Return a sentence without these texts: containerd likes to repeat what it was given."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def _is_secret(name: str, value: object, hidden: frozenset[str]) -> bool:
    return _speaks(name, hidden) or (isinstance(value, list | dict) and name not in HARMLESS)


def _speaks(name: str, hidden: frozenset[str]) -> bool:
    return name in hidden or any(word in name for word in _SPEAKING)


@cache
def _hidden(kind: type[Struct]) -> frozenset[str]:
    # Reading the hints of a command costs more than all the rest that recording it takes.
    hints = get_type_hints(kind, include_extras=True)
    return frozenset(name for name in kind.__struct_fields__ if _is_marked(hints.get(name)))


def _is_marked(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        if any(isinstance(mark, Meta) and (mark.extra or {}).get("secret") for mark in marks):
            return True
        return _is_marked(inner)
    return any(map(_is_marked, get_args(hint)))


def _masked(value: Any) -> Any:
    if not value or value is True:
        return value  # that nothing was given is no secret
    match value:
        case dict():
            return dict.fromkeys(value, HIDDEN)
        case list():
            return [_masked_item(each) for each in value]
        case _:
            return HIDDEN


def _masked_item(item: object) -> str:
    name, equals, _ = item.partition("=") if isinstance(item, str) else ("", "", "")
    return f"{name}={HIDDEN}" if equals and name.replace("_", "a").isalnum() and name.isascii() else HIDDEN


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
            name, equals, rest = value.partition("=")
            if equals and name.isidentifier():
                yield rest
        case dict():
            for each in value.values():
                yield from _texts(each)
        case list():
            for each in value:
                yield from _texts(each)
