"""What people write for a new container, in the words of docker and ctr, as options of the command."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec
import typer
from msgspec import Struct

from bridge.cli.options import checked
from bridge.model.commands import UNLIMITED, MountOption, RuncOptions, explained, size_of
from bridge.model.identity import check_identifier
from bridge.model.kinds import convert
from bridge.model.references import full_reference

__all__ = ["CreateOptions", "command_options", "container_id"]


def _container_id(text: str) -> str:
    return check_identifier(text, "container id")


def _size(text: str) -> int:
    size = size_of(text)
    if size == UNLIMITED:
        raise ValueError("a new container has no limit unless it is given one: leave it out")
    return size


def _volume(text: str) -> MountOption:
    source, colon, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not colon or not source.startswith("/") or not target.startswith("/"):
        raise ValueError(f"{text!r} is no volume: give /ON/THE/HOST:/IN/THE/CONTAINER, with :ro to keep it unchanged")
    return MountOption(source=source, target=target, options=[each for each in options.split(",") if each])


def _mount(text: str) -> MountOption:
    fields: dict[str, str] = {}
    options: list[str] = []
    for part in text.split(","):
        key, equals, value = part.partition("=")
        match key:
            case "type":
                fields["type"] = value
            case "source" | "src":
                fields["source"] = value
            case "target" | "dst" | "destination":
                fields["target"] = value
            case "readonly" | "ro" if not equals or value == "true":
                options.append("ro")
            case "options":  # as ctr has them
                options += value.split(":")
            case _:
                raise ValueError(f"{part!r} is no part of a mount: give type=bind,source=/ON/THE/HOST,target=/PATH")
    return _converted(f"mount {text!r}", fields | {"options": options})


def _converted(what: str, fields: dict[str, Any]) -> MountOption:
    try:
        return convert(fields, MountOption)
    except msgspec.ValidationError as error:
        raise ValueError(f"{what} is not valid: {explained(MountOption, str(error))}") from error


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def _variables(texts: Sequence[str]) -> list[str]:
    # As with docker, a name alone takes its value from here, where there is one.
    return [text if "=" in text or text not in os.environ else f"{text}={os.environ[text]}" for text in texts]


def _texts(flag: str, *more: str, metavar: str, help: str, check: Any = None) -> Any:  # noqa: A002 - typer's word
    return typer.Option(
        flag, *more, metavar=metavar, help=f"{help} (repeatable).", callback=checked(check) if check else None
    )


Texts: TypeAlias = list[str] | None


class CreateOptions(Struct, frozen=True, kw_only=True):
    """The options of `create` and `run`."""

    container: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="ID",
            help="The container's id; a new one unless given.",
            callback=checked(_container_id),
        ),
    ] = None
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="A name for people, kept as a label.")] = (
        None
    )
    env: Annotated[Texts, _texts("--env", "-e", metavar="NAME=VALUE", help="Set a variable; NAME alone takes ours")] = (
        None
    )
    volumes: Annotated[
        Texts, _texts("--volume", "-v", metavar="SRC:DST[:ro]", help="Mount a path of the host", check=_volume)
    ] = None
    mounts: Annotated[
        Texts,
        _texts(
            "--mount", metavar="type=bind,source=SRC,target=DST[,readonly]", help="The same at length", check=_mount
        ),
    ] = None
    tmpfs: Annotated[Texts, _texts("--tmpfs", metavar="PATH", help="An empty directory in memory")] = None
    cwd: Annotated[
        str | None, typer.Option("--workdir", "-w", metavar="PATH", help="Directory in which it begins.")
    ] = None
    user: Annotated[str | None, typer.Option("--user", "-u", metavar="USER[:GROUP]", help="Names or numbers.")] = None
    stdin: Annotated[bool, typer.Option("--interactive", "-i", help="It takes input, ours where we are attached.")] = (
        False
    )
    tty: Annotated[bool, typer.Option("--tty", "-t", help="Give it a terminal.")] = False
    entrypoint: Annotated[
        str | None, typer.Option("--entrypoint", metavar="PROGRAM", help="Instead of the image's.")
    ] = None
    hostname: Annotated[str | None, typer.Option("--hostname", metavar="NAME", help="What it calls its host.")] = None
    network: Annotated[
        str, typer.Option("--network", metavar="none|host|ns:PATH", help="The network that it is in.")
    ] = "none"
    memory: Annotated[
        str | None,
        typer.Option("--memory", "-m", metavar="SIZE", help="At most so much, such as 64m.", callback=checked(_size)),
    ] = None
    cpus: Annotated[
        float | None, typer.Option("--cpus", metavar="N", help="Processors' worth of time, such as 1.5.")
    ] = None
    pids_limit: Annotated[int | None, typer.Option("--pids-limit", metavar="N", help="At most so many processes.")] = (
        None
    )
    read_only: Annotated[bool, typer.Option("--read-only", help="It cannot change its file system.")] = False
    cap_add: Annotated[Texts, _texts("--cap-add", metavar="CAP", help="One capability more, or ALL")] = None
    cap_drop: Annotated[Texts, _texts("--cap-drop", metavar="CAP", help="One less, or ALL")] = None
    privileged: Annotated[bool, typer.Option("--privileged", help="Root on the host, where policy allows that.")] = (
        False
    )
    labels: Annotated[Texts, _texts("--label", "-l", metavar="KEY=VALUE", help="Label the container")] = None
    annotations: Annotated[Texts, _texts("--annotation", metavar="KEY=VALUE", help="An annotation of its spec")] = None
    runtime: Annotated[
        str | None,
        typer.Option("--runtime", metavar="NAME", help="containerd's runtime, such as io.containerd.runc.v2."),
    ] = None
    runc_binary: Annotated[
        str | None, typer.Option("--runc-binary", metavar="PATH", help="Another program than runc.")
    ] = None
    runc_root: Annotated[str | None, typer.Option("--runc-root", metavar="DIR", help="Where runc keeps its state.")] = (
        None
    )
    runc_systemd_cgroup: Annotated[
        bool, typer.Option("--runc-systemd-cgroup", help="systemd makes the control group.")
    ] = False
    runc_no_pivot: Annotated[
        bool, typer.Option("--runc-no-pivot", "--no-pivot", help="MS_MOVE instead of pivot_root, for a host in RAM.")
    ] = False
    runc_no_new_keyring: Annotated[
        bool, typer.Option("--runc-no-new-keyring", help="It has the session keyring of the shim.")
    ] = False
    runc_shim_cgroup: Annotated[
        str | None, typer.Option("--runc-shim-cgroup", metavar="PATH", help="The control group of its shim.")
    ] = None
    runc_io_uid: Annotated[int | None, typer.Option("--runc-io-uid", metavar="UID", help="Who owns its pipes.")] = None
    runc_io_gid: Annotated[int | None, typer.Option("--runc-io-gid", metavar="GID", help="Whose group owns them.")] = (
        None
    )
    snapshotter: Annotated[str | None, typer.Option("--snapshotter", metavar="NAME", help="containerd's.")] = None
    log_uri: Annotated[
        str | None,
        typer.Option(
            "--stdio",
            "--log-uri",
            metavar="URI",
            help="Where its output goes: bus (as it is unless given), file:///PATH, binary:///PROGRAM, or null.",
        ),
    ] = None
    spec: Annotated[
        Path | None,
        typer.Option(
            "--spec",
            metavar="FILE",
            help="A whole OCI spec, taken as it is.",
            exists=True,
            dir_okay=False,
            readable=False,
        ),
    ] = None


def container_id(options: CreateOptions) -> str:
    """Return the container's id, a new one as docker makes them where none is given."""
    return options.container or secrets.token_hex(32)


def command_options(options: CreateOptions, image: str | None, command: Sequence[str]) -> dict[str, Any]:
    """Return the fields of the command, as msgspec reads them.

    Raises:
        ValueError: something that was given cannot be meant.
    """
    mounts = [
        *(_volume(text) for text in options.volumes or []),
        *(_mount(text) for text in options.mounts or []),
        *(MountOption(type="tmpfs", target=text) for text in options.tmpfs or []),
    ]
    fields: dict[str, Any] = {
        "image": full_reference(image) if image else None,
        "command": list(command) or None,
        "entrypoint": [options.entrypoint] if options.entrypoint is not None else None,
        "env": _variables(options.env or []),
        "mounts": [msgspec.to_builtins(mount) for mount in mounts],
        "labels": _pairs(options.labels or []),
        "annotations": _pairs(options.annotations or []),
        "memory": _size(options.memory) if options.memory is not None else None,
        "runc": _runc(options),
        "stdio": options.log_uri or "bus",
        "spec": _spec(options.spec),
        "cap_add": options.cap_add,
        "cap_drop": options.cap_drop,
    }
    alike = (
        "name",
        "cwd",
        "user",
        "tty",
        "stdin",
        "hostname",
        "network",
        "cpus",
        "pids_limit",
        "read_only",
        "privileged",
    )
    fields |= {name: getattr(options, name) for name in (*alike, "runtime", "snapshotter")}
    return {name: value for name, value in fields.items() if value is not None}


def _runc(options: CreateOptions) -> dict[str, Any] | None:
    runc = RuncOptions(
        binary_name=options.runc_binary or "",
        root=options.runc_root or "",
        systemd_cgroup=options.runc_systemd_cgroup,
        no_pivot_root=options.runc_no_pivot,
        no_new_keyring=options.runc_no_new_keyring,
        shim_cgroup=options.runc_shim_cgroup or "",
        io_uid=options.runc_io_uid or 0,
        io_gid=options.runc_io_gid or 0,
    )
    return None if runc == RuncOptions() else msgspec.to_builtins(runc)


def _spec(file: Path | None) -> Any:
    if file is None:
        return None
    try:
        return msgspec.json.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(f"the spec in {file} cannot be read: {error}") from error
