"""What an image's configuration makes of a spec (OCI image-spec, config.md; containerd, pkg/oci: WithImageConfig).

An image is foreign data: what in its configuration is not of the type that it has to be is refused by its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from bridge.control.lifecycle import STOP_SIGNAL_LABEL
from bridge.control.spec.default import DEFAULT_PATH
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.commands import Create
from bridge.model.kinds import convert

__all__ = ["ImageConfig", "apply_image", "environment", "image_config", "image_labels"]

RESERVED: Final = (*labels.OF_OTHERS, labels.OURS)
"""Beginnings of labels that an image may not set: they mean something to somebody."""

LONGEST_LABEL: Final = 4096
"""Bytes of key and value together (containerd, pkg/labels)."""


class ImageConfig(Struct, frozen=True, kw_only=True):
    """The part of an image's configuration that says how to run it; null stands for "not given"."""

    user: str | None = field(default=None, name="User")
    env: list[str] | None = field(default=None, name="Env")
    entrypoint: list[str] | None = field(default=None, name="Entrypoint")
    cmd: list[str] | None = field(default=None, name="Cmd")
    working_dir: str | None = field(default=None, name="WorkingDir")
    labels: dict[str, str] | None = field(default=None, name="Labels")
    stop_signal: str | None = field(default=None, name="StopSignal")


def image_config(name: str, configuration: dict[str, Any]) -> ImageConfig:
    """Return how an image wants to be run.

    Raises:
        CommandFailed: `failed_precondition`: its configuration is not what it has to be.
    """
    try:
        return convert(configuration.get("config") or {}, ImageConfig)
    except msgspec.ValidationError as error:
        raise CommandFailed(
            "failed_precondition", f"the configuration of image {name} is not valid: {error}"
        ) from error


def apply_image(spec: dict[str, Any], config: ImageConfig, command: Create) -> None:
    """Say in the spec what the process runs: the image's Entrypoint, Cmd, Env and WorkingDir, as the command changes them.

    Raises:
        CommandFailed: `invalid_argument`: neither names anything to run.
    """
    process = spec["process"]
    process["args"] = _arguments(config, command)
    process["env"] = environment(config.env or [DEFAULT_PATH], command.env, tty=command.tty)
    process["cwd"] = command.cwd or config.working_dir or "/"
    if not process["cwd"].startswith("/"):
        process["cwd"] = f"/{process['cwd']}"  # as dockerd reads it


def image_labels(config: ImageConfig) -> dict[str, str]:
    """Return the labels that a container gets from its image: those that mean nothing to anybody, and its stop signal."""
    given = {
        key: value
        for key, value in (config.labels or {}).items()
        if not key.startswith(RESERVED) and len(key.encode()) + len(value.encode()) <= LONGEST_LABEL
    }
    given[STOP_SIGNAL_LABEL] = config.stop_signal or "SIGTERM"
    return given


def environment(given: Sequence[str], wanted: Sequence[str], *, tty: bool) -> list[str]:
    """Return variables as `NAME=value`: those of the image, changed by the command's; a NAME alone takes one away.

    A terminal needs its TERM; which one it is, containerd's client does not ask either.
    """
    variables = dict(each.partition("=")[::2] for each in given)
    if tty:
        variables.setdefault("TERM", "xterm")
    for each in wanted:
        name, equals, value = each.partition("=")
        if equals:
            variables[name] = value
        else:
            variables.pop(name, None)
    return [f"{name}={value}" for name, value in variables.items()]


def _arguments(config: ImageConfig, command: Create) -> list[str]:
    if command.entrypoint is not None:
        arguments = [*command.entrypoint, *(command.command or [])]
    else:
        cmd = config.cmd or [] if command.command is None else command.command
        arguments = [*(config.entrypoint or []), *cmd]
    if not arguments or not arguments[0]:
        raise CommandFailed(
            "invalid_argument", f"image {command.image} names nothing to run, and neither do you: give a command"
        )
    return arguments
