"""What control needs of containerd to make containers: images, snapshots, leases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeAlias

from msgspec import Struct

from bridge.model.commands import Pull, RuncOptions
from bridge.model.outcomes import ImageInfo, Progress

__all__ = [
    "Archive",
    "Defaults",
    "Descriptor",
    "ImageContent",
    "ImageStore",
    "LeaseStore",
    "Leased",
    "NewContainer",
    "ObjectShelf",
    "ObjectSource",
    "ProgressFeed",
    "SnapshotStore",
    "Tell",
]

Archive: TypeAlias = AsyncIterator[bytes]
"""The bytes of an archive, in pieces. It ends with an error rather than early."""

Tell: TypeAlias = Callable[[Progress], None]
"""Takes how far something has come; returns at once and never raises."""


class Descriptor(NamedTuple):
    """A blob of an image (OCI image-spec, descriptor.md)."""

    media_type: str
    digest: str
    size: int


class ImageContent(Struct, frozen=True, kw_only=True):
    """An image as this host would run it: one manifest's config and layers.

    `config` is the whole image configuration; what a container is made from stands under its key `config`.
    """

    name: str
    digest: str
    config_digest: str
    config: dict[str, Any]
    layers: tuple[Descriptor, ...]
    diff_ids: tuple[str, ...]


class NewContainer(Struct, frozen=True, kw_only=True):
    """A record that is to be made. `runc` are options for runc's shim, None for its defaults."""

    id: str
    spec: dict[str, Any]
    runtime: str
    image: str = ""
    labels: dict[str, str] = {}
    runc: RuncOptions | None = None
    snapshotter: str = ""
    snapshot_key: str = ""


class Defaults(NamedTuple):
    """What a namespace uses where nobody says otherwise: its labels, else containerd's own."""

    runtime: str
    snapshotter: str


class Leased(NamedTuple):
    """A lease: what it holds stays until it is deleted or expires."""

    namespace: str
    id: str
    labels: Mapping[str, str]


class ImageStore(Protocol):
    """containerd's images. Errors are `CommandFailed` with containerd's own words."""

    async def list(self, namespace: str, filters: Sequence[str] = (), *, sizes: bool = False) -> Sequence[ImageInfo]:
        """Return the images of a namespace by name; `filters` are containerd's own. Without `sizes` none is looked up."""
        ...

    async def resolve(self, namespace: str, name: str) -> ImageContent:
        """Return what an image is on this host's platform.

        `not_found` where there is no such image; `failed_precondition` where it has no manifest for this platform, or not
        all of its content is there.
        """
        ...

    async def delete(self, namespace: str, name: str, *, sync: bool = False) -> None:
        """Remove the record, and never content; with `sync` return after containerd has collected its garbage."""
        ...

    async def pull(self, namespace: str, wanted: Pull, tell: Tell, *, lease: str) -> ImageInfo:
        """Fetch an image from its registry and unpack it; its record has the labels that are wanted.

        `unimplemented` where containerd cannot.
        """
        ...

    async def take_in(
        self, namespace: str, archive: Archive, *, name: str, lease: str, command_id: str, digest: str = ""
    ) -> Sequence[ImageInfo]:
        """Store an archive's content and make a record of each image in it; one of the same name is replaced.

        With `digest` it has to be the archive of one image of this digest, else there is no new record; that image is called
        `name` then, whatever the archive calls it.

        The records carry the command's id, and how many they are, as labels (`bridge.model.labels`).

        `invalid_argument` where it is no image archive, or not what its digests say; then there is no new record. What was
        stored until then falls to the garbage collector with the lease.
        """
        ...


class SnapshotStore(Protocol):
    """The snapshots that are containers' root file systems. Errors are `CommandFailed` with containerd's own words."""

    async def prepare(
        self,
        namespace: str,
        snapshotter: str,
        key: str,
        image: ImageContent,
        *,
        labels: Mapping[str, str],
        lease: str,
    ) -> None:
        """Make a snapshot to write on, of the image's layers, which are unpacked where they are not yet.

        `already_exists` where there is one of that key.
        """
        ...

    async def labels(self, namespace: str, snapshotter: str, key: str) -> Mapping[str, str] | None:
        """Return a snapshot's labels, None where there is none of that key."""
        ...

    async def stands_on(self, namespace: str, snapshotter: str, key: str, image: ImageContent) -> bool | None:
        """Tell whether a snapshot was made on an image's layers, None where there is none of that key."""
        ...

    async def remove(self, namespace: str, snapshotter: str, key: str) -> None:
        """Remove a snapshot; that there is none is as good."""
        ...

    async def read(self, namespace: str, snapshotter: str, key: str, path: str, *, most: int) -> bytes | None:
        """Return a file of a snapshot's file tree, None where there is none there.

        Links in it lead where they would inside the container, never out of the tree. `failed_precondition` where it cannot
        be looked into, or the file is longer than `most` bytes.
        """
        ...


class LeaseStore(Protocol):
    """containerd's leases: what is under one is not garbage. Errors are `CommandFailed` with containerd's own words."""

    async def create(self, namespace: str, lease: str, labels: Mapping[str, str]) -> None:
        """Make one that expires in a day by itself; one of that id which is there already is as good."""
        ...

    async def delete(self, namespace: str, lease: str, *, sync: bool = False) -> None:
        """Give it up; that there is none is as good. With `sync` return after containerd has collected its garbage."""
        ...

    async def hold(self, namespace: str, lease: str, snapshotter: str, key: str) -> None:
        """Put a snapshot under it that is there already, so that it stays though no record names it any more."""
        ...

    async def list(self, namespaces: Sequence[str], label: str) -> Sequence[Leased]:
        """Return the leases that have this label, of these namespaces or, with none, of all."""
        ...


class ObjectSource(Protocol):
    """The bus's object stores, for who reads."""

    def read(self, bucket: str, name: str) -> Archive:
        """Return an object's bytes in order, as they are read; a wrong digest is an error before the end.

        Raises:
            CommandFailed: while it is read: `not_found`, or `unavailable` where the bus does not give it.
        """
        ...


class ObjectShelf(Protocol):
    """The bus's object stores, for who writes."""

    async def put(self, bucket: str, name: str, file: BinaryIO, read: Callable[[int], None]) -> None:
        """Write a file as an object; the bucket is made where there is none.

        Args:
            bucket: which store.
            name: the object's name.
            file: what it is to be; it is read in a thread.
            read: takes how many bytes have been read so far; in that thread.

        Raises:
            CommandFailed: `unavailable`; then there is no such object.
        """
        ...

    async def remove(self, bucket: str, name: str) -> None:
        """Take an object away; that there is none is as good."""
        ...


class ProgressFeed(Protocol):
    """What nodes tell of the progress of commands."""

    def listen(self, node: str, command_id: str, tell: Tell) -> AbstractAsyncContextManager[None]:
        """Hand over what a node tells of a command, from the moment of entering to that of leaving.

        Raises:
            CommandFailed: on entering: `unavailable`.
        """
        ...
