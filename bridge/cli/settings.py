"""`containerd-bridge config`: the settings as they come out of command line, environment and file, as TOML."""

from __future__ import annotations

import json
import re
from typing import Any

from bridge.cli.connection import ConnectionOptions, with_connection_options
from bridge.cli.terminal import Terminal
from bridge.config import Config

__all__ = ["config"]

_SECRETS = {"password", "token"}
_MASK = "********"


@with_connection_options
def config(options: ConnectionOptions) -> None:
    """Show the settings that apply, as TOML.

    Secrets are masked; what is not set is a comment.
    """
    terminal = Terminal()
    for line in to_toml(options.load()):
        terminal.line(line)


def to_toml(settings: Config) -> list[str]:
    """Return the lines of a file that `--config` takes."""
    top = [_line(name, getattr(settings, name)) for name in settings.__struct_fields__ if name != "nats"]
    nats = [_line(name, getattr(settings.nats, name)) for name in settings.nats.__struct_fields__]
    return [*top, "", "[nats]", *nats]


def _line(name: str, value: Any) -> str:
    match value:
        case None:
            return f"# {name} is not set"
        case _ if name in _SECRETS:
            return f"{name} = {_string(_MASK)}"
        case bool() | int():
            return f"{name} = {json.dumps(value)}"
        case list():
            return f"{name} = [{', '.join(_string(str(each)) for each in value)}]"
        case _:
            return f"{name} = {_string(str(value))}"


def _string(text: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which only TOML wants escaped (TOML 1.0, String).
    masked = re.sub(r"(?<=://)[^/@,]+(?=@)", _mask_login, text)
    return json.dumps(masked, ensure_ascii=False).replace("\x7f", "\\u007f")


def _mask_login(match: re.Match[str]) -> str:
    user, colon, _ = match.group().partition(":")
    return f"{user}:{_MASK}" if colon else _MASK
