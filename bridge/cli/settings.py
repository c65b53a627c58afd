"""`containerd-bridge config`: the settings of `serve` as they come out of command line, environment and file, as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import structs

from bridge.cli.connection import ConnectionOptions, with_connection_options
from bridge.cli.options import Json
from bridge.cli.policy import summary
from bridge.cli.terminal import Terminal
from bridge.client import ConfigError
from bridge.config import Config
from bridge.policy import read_policy

__all__ = ["config"]

_SECRETS = {"password", "token", "page_token"}
_MASK = "********"


@with_connection_options
def config(
    options: ConnectionOptions,
    *,
    action: Annotated[
        str, typer.Argument(metavar="show|check", help="Show the settings, or only see whether they are in order.")
    ] = "show",
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The settings to look at, as with --config.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the settings of `serve` that apply, as TOML, or check them.

    Secrets are masked; what is not set is a comment, and so is the embedded server that the other commands use where no
    NATS is configured. `check` looks at the settings and at the policy that they name, and ends with status 2 where one of them
    is wrong.
    """
    if action not in ("show", "check"):
        raise typer.BadParameter(f"there is no {action!r}: choose from show, check", param_hint="ACTION")
    if file is not None:
        options = structs.replace(options, config=file)
    terminal = Terminal()
    settings = options.load()
    if action == "check":
        terminal.line(f"the settings are in order: node {settings.node}, commands {settings.commands}")
        if settings.policy is not None:
            book = read_policy(settings.policy)
            if book.asks_who and not settings.request_info:
                raise ConfigError(f"{settings.policy}: a rule names users: leave users out, or set request_info")
            terminal.line(summary(settings.policy, book))
        return
    if as_json:
        terminal.json(masked(settings))
        return
    for line in to_toml(masked(settings)):
        terminal.line(line)
    used = options.nats_config(settings)
    if used != settings.nats:
        url = masked(Config(nats=used))["nats"]["url"]
        terminal.line(f"# commands use {url}, the embedded server of {settings.state_dir}")


def masked(settings: Config) -> dict[str, Any]:
    """Return the settings as builtins, without secrets."""

    def mask(value: Any, name: str = "") -> Any:
        match value:
            case dict():
                return {inner: mask(each, inner) for inner, each in value.items()}
            case str() if name in _SECRETS:
                return _MASK
            case str():
                return re.sub(r"(?<=://)[^/@,]+(?=@)", _mask_login, value)
            case _:
                return value

    found: dict[str, Any] = mask(msgspec.to_builtins(settings, enc_hook=str))
    return found


def to_toml(settings: Mapping[str, Any]) -> list[str]:
    """Return the lines of a file that `--config` takes."""
    top = [_line(name, value) for name, value in settings.items() if name != "nats"]
    return [*top, "", "[nats]", *[_line(name, value) for name, value in settings["nats"].items()]]


def _line(name: str, value: Any) -> str:
    match value:
        case None:
            return f"# {name} is not set"
        case list():
            return f"{name} = [{', '.join(map(_value, value))}]"
        case _:
            return f"{name} = {_value(value)}"


def _value(value: Any) -> str:
    # A JSON string is a TOML basic string, but for DEL, which only TOML wants escaped (TOML 1.0, String).
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _mask_login(match: re.Match[str]) -> str:
    user, colon, _ = match.group().partition(":")
    return f"{user}:{_MASK}" if colon else _MASK
