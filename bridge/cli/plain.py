"""Plain calls of `serve`, which is how units, containers and scripts call it: read without typer.

typer with pydantic and rich takes twenty MiB and a third of a second, and the daemon would keep them for all its life. So
whatever can only be meant in one way is read here: known options, each with a value that needs no second look. All the rest is
left to typer, which finds the same or says what is wrong: help, mistakes, values that are empty, begin with a dash or hold
something unprintable. What is read here becomes the settings that typer would make of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec import structs

from bridge.config import Config, NatsConfig, option

__all__ = ["Plain", "plain_serve"]

_KINDS: Final[dict[str, tuple[str, Any]]] = {
    option(f"{prefix}{field.name}"): (f"{prefix}{field.name}", field.type)
    for prefix, struct in (("", Config), ("nats.", NatsConfig))
    for field in structs.fields(struct)
    if field.type is not NatsConfig
}
"""Every option that is a setting, with the setting and what it is."""


class Plain(NamedTuple):
    """What the command line gave: settings by name, and the file that has more of them."""

    options: dict[str, Any]
    file: Path | None


def plain_serve(arguments: Sequence[str]) -> Plain | None:
    """Return what a plain call of `serve` gives; None if this is none."""
    if not arguments or arguments[0] != "serve":
        return None
    options: dict[str, Any] = {}
    file: Path | None = None
    words = iter(arguments[1:])
    for word in words:
        name, equals, value = word.partition("=")
        field, kind = ("", Path) if name == "--config" else _KINDS.get(name, ("", None))
        if kind is None or (kind is bool and equals):
            return None
        if kind is bool:
            options[field] = True
            continue
        if not equals:
            value = next(words, "")
        if not value.isprintable() or value.startswith(("-", " ")) or not value.strip():
            return None
        if not field:
            file = Path(value)
        elif kind is int:
            if not (value.isascii() and value.isdigit() and len(value) < 15):
                return None
            options[field] = int(value)
        elif kind == list[str]:
            options.setdefault(field, []).append(value)
        else:
            options[field] = value
    return Plain(options, file)
