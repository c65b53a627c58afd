"""The image that a container was made from: what its snapshot stands on, and not what is called as that image was.

containerd's record names the image alone, and a name may mean another one by now, after a pull for example. Files that the
container wrote fit on no other one, so a checkpoint and a move go by the digest of what its snapshot stands on.
"""

from __future__ import annotations

from typing import Final

from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model.outcomes import ContainerInfo, ImageInfo
from bridge.ports import Archive

__all__ = ["exported", "origin_of"]

MOST: Final = 100
"""So many images are compared with a snapshot whose own is not where it is looked for first."""


async def origin_of(place: Place, record: ContainerInfo) -> str:
    """Return the digest of the image that a container was made from, empty where that is not here, or there is none."""
    if not record.image:
        return ""
    assert place.namespace is not None
    images = await place.runtime.images.list(place.namespace)
    named = next((one for one in images if one.name == record.image), None)
    by_its_name = "" if named is None else named.digest
    if not record.snapshot_key:
        return by_its_name
    known = None if named is None else await _stands_on(place, record, named)
    if known:
        return by_its_name
    others = {one.digest: one for one in images if one.digest != by_its_name}
    for one in list(others.values())[:MOST]:
        if await _stands_on(place, record, one):
            return one.digest
    return by_its_name if known is None else ""


async def _stands_on(place: Place, record: ContainerInfo, image: ImageInfo) -> bool | None:
    """Tell whether a container's snapshot was made on this image; None where that cannot be told."""
    namespace, _ = place.target
    try:
        content = await place.runtime.images.resolve(namespace, image.name)
        return await place.runtime.snapshots.stands_on(namespace, record.snapshotter, record.snapshot_key, content)
    except CommandFailed:
        return None  # it is not whole, or of another platform


async def exported(place: Place, digest: str, name: str) -> Archive:
    """Return the bytes of an image's archive, by its digest: under whatever name it is here, that one if it is.

    Raises:
        CommandFailed: while it is read: `not_found` where it is not here any more.
    """
    assert place.namespace is not None
    images = [one.name for one in await place.runtime.images.list(place.namespace) if one.digest == digest]
    if not images:  # what is called so now is another one
        raise CommandFailed(
            "not_found", f"image {name} is not on node {place.node} any more as {digest}: pull it by that"
        )
    source = name if name in images else images[0]
    async for piece in await place.runtime.checkpoints.export_image(place.namespace, source):
        yield piece
