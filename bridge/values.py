"""Values of settings as people write them, in a file, a variable or an option, and what each comes to.

Everything here raises ValueError with a sentence that says what to give instead.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal, NewType

__all__ = [
    "Size",
    "address",
    "detail",
    "domain",
    "kind",
    "log_format",
    "log_level",
    "names",
    "number",
    "path",
    "shown",
    "size",
    "socket",
    "switch",
    "text",
]

Size = NewType("Size", int)
"""A number of bytes; where people write it, `512MiB` will do."""


def text(value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise ValueError("give a text in quotes")
    if "\0" in value:
        raise ValueError("it cannot hold a NUL")
    return value


def path(value: Any) -> Path:
    """Return a path."""
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("give a path, as a text in quotes")
    return Path(text(str(value)))


def switch(value: Any) -> bool:
    """Return whether a switch is on."""
    word = value.strip().lower() if isinstance(value, str) else value
    if word in ("true", "yes", "on", "1", 1):
        return True
    if word in ("false", "no", "off", "0", 0):
        return False
    raise ValueError("give true or false (yes, no, on, off, 1 and 0 will do)")


def number(value: Any) -> int:
    """Return a whole number."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,9}\s*", value, re.ASCII):
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("give a whole number")
    return value


def size(value: Any) -> Size:
    """Return a number of bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Size(value)
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("give a number of bytes, such as 1073741824 or 512MiB")
    return Size(int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[(found[2] or "").upper()])


def names(value: Any) -> list[str]:
    """Return a list of names."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError('give a list of names, such as ["default"]')
    return [text(each) for each in value]


_SIZE: Final = re.compile(r"([0-9]{1,15})\s*(?:([KMGT])(?:i?B)?|B)?", re.ASCII | re.IGNORECASE)


def kind(value: Any) -> str:
    """Return what sort of value this is, for a sentence that must not repeat it."""
    if isinstance(value, str | Path):
        return "a text" if str(value) else "empty"
    kinds = {bool: "a switch", int: "a number", float: "a number", list: "a list", dict: "a table"}
    return kinds.get(type(value), "a date")


def shown(value: Any) -> str:
    """Return a value as a short text for a sentence."""
    if isinstance(value, str | Path):
        text = str(value)
        return repr(text if len(text) <= 80 else f"{text[:80]}…")
    try:
        text = str(value)
    except ValueError:  # a number of thousands of digits
        return kind(value)
    return kind(value) if isinstance(value, dict) or len(text) > 80 else text


def address(text: str) -> tuple[str, int]:
    """Return host and port."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) and int(port) <= 65535 and _is_host(host)):
        raise ValueError(f"{shown(text)} is no address: give HOST:PORT, such as 127.0.0.1:9464")
    return host or "127.0.0.1", int(port)


def socket(text: str) -> Path:
    """Return the path of a Unix socket."""
    path = Path(text.removeprefix("unix://"))
    if not path.is_absolute():
        raise ValueError(f"{shown(text)} is no Unix socket: give one such as unix:///var/run/docker.sock")
    return path


def _is_host(text: str) -> bool:
    try:
        text.encode("idna")  # what looking it up does first: labels of 1 to 63 characters (RFC 3490, section 4)
    except UnicodeError:
        return False
    return text.isprintable()


def log_format(text: str) -> None:
    """See that this is one."""
    if text.strip().lower() not in {"auto", "text", "json", "journal"}:
        raise ValueError(f"log format {shown(text)} does not exist: choose from auto, text, json, journal")


def log_level(text: str) -> None:
    """See that this is one."""
    if text.lower() not in {"debug", "info", "warning", "error"}:
        raise ValueError(f"log level {shown(text)} does not exist: choose from debug, info, warning, error")


def detail(name: str, value: str) -> Literal["redacted", "full"]:
    """Return how much of commands is told; `name` is the setting's.

    Raises:
        ValueError: it is neither.
    """
    match value.strip().lower():
        case "redacted":
            return "redacted"
        case "full":
            return "full"
    raise ValueError(f"{name} {shown(value)} does not exist: choose from redacted, full")


def domain(name: str, *, embedded: bool) -> None:
    """See that a JetStream domain goes with the server that has been named."""
    if name and embedded:
        raise ValueError("the embedded nats-server has no domain: leave nats.domain out, or name a server in nats.url")
