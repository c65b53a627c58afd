"""The commands about checkpoints."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

from bridge.model import outcomes
from bridge.model.checkpoints import CgroupsMode, CheckpointName, EmptyNamespace
from bridge.model.commands.command import Command, CommandId
from bridge.model.commands.groups import Group

__all__ = [
    "CHECKPOINTING",
    "MIGRATING",
    "Checkpoint",
    "CheckpointRemove",
    "Migrate",
    "MigrateAbandon",
    "Receive",
    "Restore",
]

HostPath: TypeAlias = Annotated[
    str, Meta(max_length=4095, pattern=r"^(/[^\x00\n]*)?(?!\n)$", description="an absolute path of the host")
]
ImageName: TypeAlias = Annotated[
    str, Meta(max_length=4096, pattern=r"^[^\x00-\x20\x7f]*(?!\n)$", description="the name of an image, without blanks")
]
Token: TypeAlias = Annotated[
    str,
    Meta(
        max_length=1024,
        pattern=r"^([A-Za-z0-9=_-]+(\.[A-Za-z0-9=_-]+){3})?(?!\n)$",
        description="NODE.NAMESPACE.CONTAINER.NAME, quoted as in subjects",
    ),
]
Node: TypeAlias = Annotated[
    str, Meta(max_length=255, pattern=r"^[^\x00-\x20\x7f]*(?!\n)$", description="a node's name")
]


class Checkpoint(Command, frozen=True, kw_only=True):
    """Dump a running or paused container's task with CRIU, and what it wrote to its file system; it stands afterwards as before.

    `to` says where it goes: the `catalogue` of the bus; an `image` of containerd's, as `ctr container checkpoint` makes it; a
    directory (`dir`) of the node's host, as `docker checkpoint create` makes it; or a `file` there, the archive that the
    catalogue holds too. `target` is the image's name or the path. With `exit` the task is ended by the dump.

    With `check` nothing is dumped: the verdict comes back. What a verdict finds to block is refused, unless `force`.
    The other options are `bridge.model.checkpoints.CheckpointOptions`.

    Attributes:
        name: among the container's checkpoints; one is made where none is given.
        rw: whether what the container wrote to its file system comes along.
        expires: removed from the catalogue after as many seconds; 0 for what the node's settings say.
    """

    verb: ClassVar[str] = "checkpoint"
    group: ClassVar[Group] = "checkpoint"
    result: ClassVar[type[Struct]] = outcomes.Checkpointed

    name: CheckpointName | None = None
    exit: bool = False
    rw: bool = True
    to: Literal["catalogue", "image", "dir", "file"] = "catalogue"
    target: Annotated[
        str,
        Meta(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*(?!\n)$", description="a path, or the name of an image"),
    ] = ""
    check: bool = False
    force: bool = False
    expires: Annotated[float, Meta(ge=0, le=10 * 365 * 86400)] = 0
    tcp_established: bool = False
    tcp_skip_in_flight: bool = False
    file_locks: bool = True
    ext_unix: bool = False
    terminal: bool = False
    link_remap: bool = False
    empty_ns: list[EmptyNamespace] = []  # noqa: RUF012 - msgspec copies it for each
    cgroups_mode: CgroupsMode = ""


class CheckpointRemove(Command, frozen=True, kw_only=True):
    """Remove a checkpoint of this container from the catalogue: its record and its archive.

    `of` is the node that made it, this one unless given: so those of a node that is gone can be removed too.
    """

    verb: ClassVar[str] = "checkpoint-remove"
    group: ClassVar[Group] = "checkpoint"
    result: ClassVar[type[Struct]] = outcomes.CheckpointRemoved

    name: CheckpointName = ""
    of: Node = ""


class Restore(Command, frozen=True, kw_only=True):
    """Make a container whose task goes on where a checkpoint was made, under the id in the subject.

    It comes from the catalogue (`checkpoint`, a key), from an `image` in containerd's store that a checkpoint made, or from a
    directory (`dir`) or archive (`file`) of the node's host. The container is made as the checkpoint's spec says, from its
    image and with what it had written; where there is a container of this id without a task, made from the same image, that one
    is started instead. What the checkpoint was made with is applied again (`CheckpointOptions` in the record).

    `trust` is for what the catalogue does not vouch for: what was imported, and images, directories and files.

    Attributes:
        tcp_close: let established TCP connections be closed rather than restored; a clone on the same network needs it.
        stdio: as in `create`; as it was, unless given.
        check: restore nothing; the verdict comes back.
        force: in spite of what blocks.
    """

    verb: ClassVar[str] = "restore"
    group: ClassVar[Group] = "checkpoint"
    result: ClassVar[type[Struct]] = outcomes.Restored

    checkpoint: Token = ""
    image: ImageName = ""
    dir: HostPath = ""
    file: HostPath = ""
    tcp_close: bool = False
    trust: bool = False
    check: bool = False
    force: bool = False
    stdio: Annotated[str, Meta(max_length=4096, pattern=r"^(null|bus)?(?!\n)$", description="null or bus")] = ""


class Migrate(Command, frozen=True, kw_only=True):
    """Move a running container to another node, where it goes on; it stays where it is if anything fails.

    Attributes:
        to: the node.
        pre_copy: how often its memory is sent while it runs, before it stands still; -1 for as long as that gets less.
        verify: compare both ends before the source lets go.
    """

    verb: ClassVar[str] = "migrate"
    group: ClassVar[Group] = "checkpoint"
    result: ClassVar[type[Struct]] = outcomes.Migrated

    to: Node = ""
    pre_copy: Annotated[int, Meta(ge=-1, le=16)] = 0
    verify: bool = False
    check: bool = False
    force: bool = False
    tcp_established: bool = False
    tcp_close: bool = False
    tcp_skip_in_flight: bool = False
    file_locks: bool = True
    ext_unix: bool = False
    link_remap: bool = False
    empty_ns: list[EmptyNamespace] = []  # noqa: RUF012 - msgspec copies it for each
    cgroups_mode: CgroupsMode = ""


class MigrateAbandon(Command, frozen=True, kw_only=True):
    """Take back a migration of this container that hangs: it runs on here. Where nothing has been given away yet, that is safe.

    Where the target has taken it, only the target knows what came of it, and with `force` whoever sends this says that it does
    not run there, and never will: its host is gone, say. See docs/migration.md.

    Attributes:
        migration: its id; the one that is under way unless given.
    """

    verb: ClassVar[str] = "migrate-abandon"
    group: ClassVar[Group] = "checkpoint"
    result: ClassVar[type[Struct]] = outcomes.Done
    repeatable: ClassVar[bool] = True

    migration: CommandId | None = None
    force: bool = False


class Receive(Command, frozen=True, kw_only=True):
    """The target's part of a migration, sent by the source's bridge and by nobody else. See docs/decisions/0031.

    Attributes:
        migration: the id of the `migrate` command.
        source: the node that it comes from.
        stage: what is to be done: `reserve` room for it, `prepare` by taking in a part, `restore` it, `abandon` it.
        part: which part, in `prepare`.
        image: whether its image lies ready, in the first `prepare`.
    """

    verb: ClassVar[str] = "receive"
    group: ClassVar[Group] = "checkpoint"
    result: ClassVar[type[Struct]] = outcomes.Received

    migration: CommandId = ""
    source: Node = ""
    stage: Literal["reserve", "prepare", "restore", "abandon"] = "reserve"
    part: Annotated[int, Meta(ge=0, le=64)] = 0
    image: bool = False


CHECKPOINTING: tuple[type[Command], ...] = (Checkpoint, CheckpointRemove, Restore)
MIGRATING: tuple[type[Command], ...] = (Migrate, MigrateAbandon, Receive)
