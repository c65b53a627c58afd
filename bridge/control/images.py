"""The verbs about images: images, pull, import, rmi.

Content is never deleted by a verb: what an image was is shared with others, and containerd's garbage collector alone knows
with whom. A verb adds and removes names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final

from msgspec import structs

from bridge.control.creation import lease_labels, lease_of, undo
from bridge.control.verb import Place, Verb
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model import labels
from bridge.model.commands import Images, Import, Pull, Rmi
from bridge.model.identity import new_ulid
from bridge.model.outcomes import ImageList, ImageRemoved, Imported, Progress, Pulled
from bridge.ports import Archive

__all__ = ["VERBS"]

TOLD_EVERY: Final = 4 << 20
"""Bytes of an archive after which it is told how far that has come."""

SHOWN: Final = 5
"""Containers that a sentence names."""


async def images(place: Place, command: Images) -> ImageList:
    """Return the images of a namespace."""
    found = await place.runtime.images.list(_namespace(place), command.filters, sizes=command.sizes)
    return ImageList(images=list(found))


async def pull(place: Place, command: Pull) -> Pulled:
    """Fetch an image from its registry and unpack it."""
    namespace = _namespace(place)
    _named(command.image, whole=True)
    snapshotter = command.snapshotter or (await place.runtime.containers.defaults(namespace)).snapshotter
    command_id = place.command_id or command.id or new_ulid()
    given = {**command.labels, labels.COMMAND: command_id}
    wanted = structs.replace(command, id=command_id, snapshotter=snapshotter, labels=given)
    async with _leased(place, command_id) as lease:
        image = await place.runtime.images.pull(namespace, wanted, place.tell, lease=lease)
        failpoint("fetched")
    return Pulled(image=image)


async def import_archive(place: Place, command: Import) -> Imported:
    """Take in the images of an archive that lies in an object store."""
    namespace = _namespace(place)
    if not command.bucket or not command.object:
        raise CommandFailed(
            "invalid_argument", "there is nothing to import: give the bucket and the object of an archive"
        )
    if place.objects is None:
        raise CommandFailed("unimplemented", "this bridge reads no object stores")
    command_id = place.command_id or command.id or new_ulid()
    read = 0

    async def measured() -> Archive:
        nonlocal read
        assert place.objects is not None
        told = 0
        async for piece in place.objects.read(command.bucket, command.object):
            read += len(piece)
            if read - told >= TOLD_EVERY:
                told = read
                place.tell(Progress(id=command_id, name=command.object, event="importing", done=read))
            yield piece

    async with _leased(place, command_id) as lease:
        found = await place.runtime.images.take_in(
            namespace, measured(), name=command.name, lease=lease, command_id=command_id
        )
        failpoint("fetched")
    return Imported(images=list(found), bytes=read)


async def rmi(place: Place, command: Rmi) -> ImageRemoved:
    """Remove an image's name, unless containers were made from it."""
    namespace = _namespace(place)
    _named(command.image, whole=False)
    used_by = [one.id for one in await place.runtime.containers.list(namespace) if one.image == command.image]
    if used_by and not command.force:
        shown = ", ".join(sorted(used_by)[:SHOWN]) + (" and others" if len(used_by) > SHOWN else "")
        raise CommandFailed(
            "failed_precondition",
            f"image {command.image} is used by {shown}: delete them first, or remove its name with force",
        )
    try:
        await place.runtime.images.delete(namespace, command.image, sync=command.sync)
    except CommandFailed as error:
        if error.code != "not_found":
            raise
        sentence = f"there is no image {command.image} in namespace {namespace}: `images` lists those that there are"
        raise CommandFailed("not_found", sentence, containerd=error.containerd) from error
    return ImageRemoved(image=command.image, used_by=sorted(used_by))


@asynccontextmanager
async def _leased(place: Place, command_id: str) -> AsyncIterator[str]:
    """Hold what comes until an image's record refers to it; where none does in the end, it is garbage."""
    namespace, lease = _namespace(place), lease_of(command_id)
    try:
        await place.runtime.leases.create(namespace, lease, lease_labels(command_id, place.node))
        failpoint("leased")
        yield lease
    finally:
        await undo(f"lease {lease}", place.runtime.leases.delete(namespace, lease))


def _namespace(place: Place) -> str:
    if place.namespace is None:
        raise CommandFailed("invalid_argument", "images are in a namespace each: name it")
    return place.namespace


def _named(image: str, *, whole: bool) -> None:
    if not image:
        raise CommandFailed("invalid_argument", "no image is named: give its name")
    if not whole:
        return
    host, slash, rest = image.partition("/")
    last = rest.rpartition("/")[2]
    if not slash or not rest or not (set(".:") & set(host) or host == "localhost") or not (set(":@") & set(last)):
        raise CommandFailed(
            "invalid_argument",
            f"{image} is no whole name: give registry, repository and tag, such as docker.io/library/nginx:1.27",
        )


VERBS: Mapping[str, Verb] = MappingProxyType(
    {Images.verb: images, Pull.verb: pull, Import.verb: import_archive, Rmi.verb: rmi}
)
"""Verb -> coroutine."""
