"""A spec that the command brings itself: it is checked for its shape, so that the record is none that nothing can run.

What it may ask for is the policy's affair; what is in it beyond the few fields here, the runtime's.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from bridge.errors import CommandFailed
from bridge.model.commands import Create
from bridge.model.kinds import convert

__all__ = ["LARGEST_SPEC", "check_whole"]

LARGEST_SPEC: Final = 512 * 1024
"""Bytes as JSON. containerd's own are some ten thousand."""

_SHAPING: Final = (
    *("command", "entrypoint", "env", "cwd", "user", "tty", "mounts", "read_only", "hostname", "network", "memory"),
    *("cpus", "pids_limit", "cap_add", "cap_drop", "privileged", "annotations"),
)
"""Options that have nothing to change where the spec is whole already."""

Absolute = Annotated[str, Meta(pattern=r"^/")]


class _User(Struct):
    uid: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    gid: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0


class _Process(Struct):
    args: Annotated[list[str], Meta(min_length=1)]
    cwd: Absolute
    env: list[str] = []
    user: _User | None = None
    terminal: bool = False


class _Root(Struct):
    path: Annotated[str, Meta(min_length=1)]


class _Mount(Struct):
    destination: Absolute
    type: str = ""
    source: str = ""
    options: list[str] = []


class _Spec(Struct):
    ociVersion: Annotated[str, Meta(pattern=r"^1\.")]  # noqa: N815 - the spec's own word
    process: _Process
    root: _Root
    mounts: list[_Mount] = []
    linux: dict[str, Any] | None = None
    annotations: dict[str, str] | None = None


def check_whole(command: Create) -> dict[str, Any]:
    """Return the command's own spec.

    Raises:
        CommandFailed: `invalid_argument`: it has not the shape of one, or options stand beside it that would change it.
    """
    spec = command.spec
    assert spec is not None
    untouched = Create()
    beside = [name for name in _SHAPING if getattr(command, name) != getattr(untouched, name)]
    if beside:
        raise CommandFailed(
            "invalid_argument", f"a whole spec is taken as it is: leave {', '.join(beside)} out, or the spec"
        )
    size = len(msgspec.json.encode(spec))
    if size > LARGEST_SPEC:
        raise CommandFailed("invalid_argument", f"the spec is {size} bytes long, {LARGEST_SPEC} at most")
    try:
        read = convert(spec, _Spec)
    except msgspec.ValidationError as error:
        raise CommandFailed("invalid_argument", f"the spec is not valid: {error}") from error
    if command.image is None and not read.root.path.startswith("/"):
        raise CommandFailed(
            "invalid_argument",
            f"root.path of the spec is {read.root.path!r}: give an absolute directory of the host, or an image",
        )
    if command.image is not None and read.root.path != "rootfs":
        raise CommandFailed(
            "invalid_argument",
            f"root.path of the spec is {read.root.path!r}: with an image it has to be 'rootfs', where that is mounted",
        )
    return dict(spec)
