"""The commands that make containers."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

from bridge.model import outcomes
from bridge.model.commands.command import Cells, Command, WindowSize
from bridge.model.commands.groups import Group

__all__ = ["CREATING", "Create", "MountOption", "Run", "RuncOptions"]

# NUL ends every text in the kernel, so none of these may hold one; and `$` alone would let a newline pass at the end.
Text: TypeAlias = Annotated[str, Meta(max_length=128 * 1024, pattern=r"^[^\x00]*$", description="text without NUL")]
Path: TypeAlias = Annotated[str, Meta(max_length=4095, pattern=r"^/[^\x00]*$", description="an absolute path")]
Label: TypeAlias = Annotated[str, Meta(max_length=4096)]
Variable: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128 * 1024,
        pattern=r"^[^\x00=]+(=[^\x00]*)?(?!\n)$",
        description="NAME=VALUE, or a NAME alone",
    ),
]
UserAndGroup: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=r"^[^\x00:\n]+(:[^\x00:\n]+)?(?!\n)$",
        description="USER or USER:GROUP, names or numbers",
    ),
]
Hostname: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*(?!\n)$",
        description="a host name: letters, digits, '.' and '-'",
    ),
]
Network: TypeAlias = Annotated[
    str,
    Meta(
        max_length=4096,
        pattern=r"^(none|host|ns:/[^\x00]+)(?!\n)$",
        description="none, host, or ns:/PATH of a network namespace",
    ),
]
Capability: TypeAlias = Annotated[
    str, Meta(max_length=64, pattern=r"^[A-Za-z_]+(?!\n)$", description="a capability such as NET_ADMIN, or ALL")
]
Name: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*(?!\n)$",
        description="a name: letters, digits, '_', '.' and '-', a letter or digit first",
    ),
]
Stdio: TypeAlias = Annotated[
    str,
    Meta(
        max_length=4096,
        pattern=r"^(null|bus|(file|binary):///[^\x00]+)(?!\n)$",
        description="null, bus, file:///PATH or binary:///PROGRAM",
    ),
]


class MountOption(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One more mount inside the container: a directory or file of the host (`bind`), or a `tmpfs`."""

    target: Path
    source: Annotated[str, Meta(max_length=4095)] = ""
    type: Literal["bind", "tmpfs"] = "bind"
    options: list[
        Annotated[
            str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00,]+(?!\n)$", description="one option of a mount")
        ]
    ] = []


class RuncOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What runc's shim is told (containerd.runc.v1.Options). They stay with the container's record, for every task of it."""

    binary_name: str = ""
    root: str = ""
    systemd_cgroup: bool = False
    no_pivot_root: bool = False
    no_new_keyring: bool = False
    shim_cgroup: str = ""
    io_uid: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    io_gid: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0


class Create(Command, frozen=True, kw_only=True):
    """Make a container: a snapshot of its image, its OCI spec, its record. It has no task yet; `start` makes that.

    Either `image`, with the spec that containerd's own client makes of it and of the options, or `image` and a whole `spec`,
    or a `spec` alone whose `root.path` is an absolute directory of the host. `command` replaces the image's Cmd,
    `entrypoint` its Entrypoint and its Cmd. `env` are `NAME=value`; a NAME alone takes that variable of the image away. `memory`
    is in bytes, `cpus` in processors, `pids_limit` in processes. `stdio` is where every task of the container writes to:
    nowhere, the `bus` (see `start`), a file of the host (`file:///path`), or the logging program `binary:///path?key=value` on
    the host. With `stdin`, which wants the `bus`, every task takes its input from there.

    The same command id a second time finds what the first one made.
    """

    verb: ClassVar[str] = "create"
    group: ClassVar[Group] = "create"
    result: ClassVar[type[Struct]] = outcomes.Created

    image: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    spec: dict[str, Any] | None = None
    command: list[Text] | None = None
    entrypoint: list[Text] | None = None
    env: list[Variable] = []  # noqa: RUF012 - msgspec copies it, and the others, for each
    cwd: Path | None = None
    user: UserAndGroup | None = None
    tty: bool = False
    mounts: list[MountOption] = []  # noqa: RUF012
    read_only: bool = False
    hostname: Hostname | None = None
    network: Network = "none"
    memory: Annotated[int, Meta(ge=1 << 20, le=2**62)] | None = None
    cpus: Annotated[float, Meta(ge=0.01, le=4096)] | None = None
    pids_limit: Annotated[int, Meta(ge=1, lt=2**31)] | None = None
    cap_add: list[Capability] = []  # noqa: RUF012
    cap_drop: list[Capability] = []  # noqa: RUF012
    privileged: bool = False
    name: Name | None = None
    labels: dict[Label, Label] = {}  # noqa: RUF012
    annotations: dict[Label, Label] = {}  # noqa: RUF012
    runtime: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    runc: RuncOptions | None = None
    snapshotter: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    stdio: Stdio = "null"
    stdin: bool = False


class Run(Create, frozen=True, kw_only=True):
    """`create` and `start`. What cannot be started is not left behind.

    With `rm` the container is deleted as soon as its task has ended, also when the bridge was restarted meanwhile. `window`,
    `width` and `height` are as in `start`, for this first task.
    """

    verb: ClassVar[str] = "run"
    group: ClassVar[Group] = "create"
    result: ClassVar[type[Struct]] = outcomes.Ran

    rm: bool = False
    window: WindowSize | None = None
    width: Cells = 0
    height: Cells = 0


CREATING: tuple[type[Command], ...] = (Create, Run)
