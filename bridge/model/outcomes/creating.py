"""What comes of making containers, and of images."""

from __future__ import annotations

from msgspec import Struct

from bridge.model.nanos import Nanos
from bridge.model.outcomes.execution import ExecResult

__all__ = ["Created", "ImageInfo", "ImageList", "ImageRemoved", "Imported", "Progress", "Pulled", "Ran"]


class Created(Struct, frozen=True, kw_only=True):
    """Result of `create`. `already` says that an earlier command of the same id had made it."""

    container: str
    image: str = ""
    image_digest: str = ""
    runtime: str = ""
    snapshotter: str = ""
    snapshot_key: str = ""
    already: bool = False


class Ran(Struct, frozen=True, kw_only=True):
    """Result of `run`: the container, and the pid of its task. How it ends, the log of events tells.

    `process` is its process, as `attach` tells of it, where its stdio is on the bus.
    """

    container: str
    pid: int
    image: str = ""
    already: bool = False
    process: ExecResult | None = None


class ImageInfo(Struct, frozen=True, kw_only=True):
    """An image's record. `size` is what its manifest, config and layers for this host take, None where they are not all there."""

    name: str
    digest: str
    media_type: str = ""
    size: int | None = None
    labels: dict[str, str] = {}
    created_at: Nanos | None = None
    updated_at: Nanos | None = None


class ImageList(Struct, frozen=True, kw_only=True):
    """Result of `images`."""

    images: list[ImageInfo]


class Pulled(Struct, frozen=True, kw_only=True):
    """Result of `pull`."""

    image: ImageInfo


class Imported(Struct, frozen=True, kw_only=True):
    """Result of `import`: the images that have come, with the sizes of what was read."""

    images: list[ImageInfo]
    bytes: int = 0


class ImageRemoved(Struct, frozen=True, kw_only=True):
    """Result of `rmi`. `used_by` are the containers that were made from it and go on without its name."""

    image: str
    used_by: list[str] = []


class Progress(Struct, frozen=True, kw_only=True):
    """How far a long command has come: one thing of several, in containerd's own word for what happens to it.

    `done` and `total` are bytes; `total` is 0 where it is not known.
    """

    id: str
    name: str
    event: str
    done: int = 0
    total: int = 0
    parents: list[str] = []
