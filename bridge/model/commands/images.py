"""The commands about images."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

from bridge.model import outcomes
from bridge.model.commands.command import Command
from bridge.model.commands.groups import Group
from bridge.model.commands.redaction import SECRET

__all__ = ["IMAGES", "Images", "Import", "Pull", "Rmi"]

Reference: TypeAlias = Annotated[
    str, Meta(max_length=4096, pattern=r"^[^\x00-\x20\x7f]*(?!\n)$", description="the name of an image, without blanks")
]


class Images(Command, frozen=True, kw_only=True):
    """The images of a namespace. `filters` are containerd's own; with `sizes` each one's content is added up."""

    verb: ClassVar[str] = "images"
    group: ClassVar[Group] = "observe"
    result: ClassVar[type[Struct]] = outcomes.ImageList
    targets: ClassVar[Literal["node", "namespace", "container"]] = "namespace"

    filters: list[str] = []  # noqa: RUF012 - msgspec copies it for each
    sizes: bool = True


class Pull(Command, frozen=True, kw_only=True):
    """Fetch an image from its registry and unpack it. containerd does it itself, from 1.7 on.

    `image` is the whole name, such as `docker.io/library/nginx:1.27`. `plain_http` is for a registry without TLS, and
    `hosts_dir` names a directory of the host with containerd's `hosts.toml` files; both take containerd 2.0. `username` and
    `password` go to the registry alone: they are kept nowhere, so a pull with them cannot be a job.
    While it goes on, the subject `progress.<node>.<command id>` tells how far it has come. Where the registry sends nothing for
    `stall` seconds, the pull has failed; what is fetched and has to be unpacked yet may take longer.
    """

    verb: ClassVar[str] = "pull"
    group: ClassVar[Group] = "create"
    result: ClassVar[type[Struct]] = outcomes.Pulled
    targets: ClassVar[Literal["node", "namespace", "container"]] = "namespace"

    image: Reference = ""
    platform: Annotated[
        str, Meta(pattern=r"^([a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?)?(?!\n)$", description="a platform such as linux/arm64")
    ] = ""
    snapshotter: Annotated[str, Meta(max_length=255)] = ""
    labels: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it for each
    plain_http: bool = False
    hosts_dir: Annotated[
        str, Meta(max_length=4095, pattern=r"^(/[^\x00]*)?(?!\n)$", description="an absolute path")
    ] = ""
    username: Annotated[str, SECRET] = ""
    password: Annotated[str, SECRET] = ""
    stall: Annotated[float, Meta(ge=1, le=86400)] = 300


class Import(Command, frozen=True, kw_only=True):
    """Take in images from an archive (OCI layout, or what `docker save` writes) that lies in an object store of the bus.

    `name` is for an archive that names no image itself.
    """

    verb: ClassVar[str] = "import"
    group: ClassVar[Group] = "create"
    result: ClassVar[type[Struct]] = outcomes.Imported
    targets: ClassVar[Literal["node", "namespace", "container"]] = "namespace"

    bucket: Annotated[
        str,
        Meta(max_length=255, pattern=r"^[A-Za-z0-9_-]*(?!\n)$", description="a bucket: letters, digits, '_' and '-'"),
    ] = ""
    object: Annotated[str, Meta(max_length=1024)] = ""
    name: Reference = ""


class Rmi(Command, frozen=True, kw_only=True):
    """Remove an image's name; containerd's garbage collector takes what nothing refers to any more.

    An image that containers were made from stays, unless `force` is given; they run on without it. With `sync` the
    garbage is gone when the outcome comes.
    """

    verb: ClassVar[str] = "rmi"
    group: ClassVar[Group] = "create"
    result: ClassVar[type[Struct]] = outcomes.ImageRemoved
    targets: ClassVar[Literal["node", "namespace", "container"]] = "namespace"

    image: Reference = ""
    force: bool = False
    sync: bool = False


IMAGES: tuple[type[Command], ...] = (Images, Pull, Import, Rmi)
