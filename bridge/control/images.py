"""The verbs about images: images, pull, import, rmi.

Content is never deleted by a verb: what an image was is shared with others, and containerd's garbage collector alone knows
with whom. A verb adds and removes names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import structs

from bridge.control.leases import held, undo
from bridge.control.verb import Place, Verb, image_at
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
    before = await image_at(place, command.image)
    async with held(place, command_id) as lease:
        try:
            image = await place.interruption.through(
                place.runtime.images.pull(namespace, wanted, place.tell, lease=lease),
                otherwise=f"pull was cancelled: nothing of {command.image} is left",
            )
        except CommandFailed as error:
            if error.code == "cancelled":
                await _unpulled(place, command.image, command_id, there_before=before is not None)
            raise
        failpoint("fetched")
    return Pulled(image=image)


async def _unpulled(place: Place, name: str, command_id: str, *, there_before: bool) -> None:
    """Take the name away that a cancelled pull gave at its very end, unless another image had it before.

    Raises:
        CommandFailed: `cancelled`: that one is gone, and the name stays with the new one.
    """
    image = await image_at(place, name)
    if image is None or image.labels.get(labels.COMMAND) != command_id:
        return
    if there_before:
        raise CommandFailed(
            "cancelled", f"pull was cancelled when {name} was there: it is the new one, maybe not unpacked"
        )
    await undo(f"image {name}", place.runtime.images.delete(_namespace(place), name))


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
    read, whole = 0, asyncio.Event()

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
        whole.set()  # the names come next, all or none

    async with held(place, command_id) as lease:
        found = await place.interruption.through(
            place.runtime.images.take_in(namespace, measured(), name=command.name, lease=lease, command_id=command_id),
            otherwise=f"import was cancelled: nothing of {command.object} is left",
            until=whole,
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
