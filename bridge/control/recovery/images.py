"""What became of pull, import and rmi: an image's record carries the id of the command that made it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bridge.control.leases import lease_of
from bridge.control.recovery.finding import NotDone, Recover, Undecided
from bridge.control.verb import Place
from bridge.model import labels
from bridge.model.commands import Import, Pull, Rmi
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ImageInfo, ImageRemoved, Imported, Pulled

__all__ = ["IMAGES"]


async def recover_pull(place: Place, command: Pull, _started_at: Nanos) -> Pulled:
    """The image's record carries this command's id; else what had come is given up with the lease."""
    image = next((one for one in await _made(place) if one.name == command.image), None)
    await _give_up(place)
    if image is None:
        raise NotDone(f"the bridge ended while it pulled {command.image}: what had come is given up")
    return Pulled(image=image)


async def recover_import(place: Place, command: Import, started_at: Nanos) -> Imported:
    """As many images carry this command's id as each of them says that the archive has; else the archive is given up.

    Names that some of it had got are taken away again, unless other images had them before: those cannot be brought back.
    """
    images = await _made(place)
    wanted = max((_number(image.labels.get(labels.IMAGES, "")) for image in images), default=0)
    if images and len(images) >= wanted:
        await _give_up(place)
        return Imported(images=images, bytes=0)
    replaced = [image.name for image in images if image.created_at is None or image.created_at < started_at]
    if not replaced:
        assert place.namespace is not None
        for image in images:
            await place.runtime.images.delete(place.namespace, image.name)
    await _give_up(place)
    if replaced:
        sentence = f"some of the {wanted} images in {command.object} are there, in the place of what was there before: "
        raise Undecided(sentence + ", ".join(replaced))
    raise NotDone(f"the bridge ended while it imported {command.object}: what had come is given up")


async def recover_rmi(place: Place, command: Rmi, started_at: Nanos) -> ImageRemoved:
    """The name is gone, or was, since it was made after the command had begun; one that is older was not removed."""
    image = next((one for one in await _images(place) if one.name == command.image), None)
    if image is None:
        return ImageRemoved(image=command.image)
    if image.created_at is None:
        raise Undecided(f"image {command.image} is there, and nobody knows since when")
    if image.created_at < started_at:
        raise NotDone(f"the bridge ended before image {command.image} was removed: it is there as before")
    return ImageRemoved(image=command.image)


async def _images(place: Place) -> list[ImageInfo]:
    assert place.namespace is not None
    return list(await place.runtime.images.list(place.namespace, sizes=True))


async def _made(place: Place) -> list[ImageInfo]:
    """Return the images whose records this command made."""
    return [one for one in await _images(place) if one.labels.get(labels.COMMAND) == place.command_id]


async def _give_up(place: Place) -> None:
    """Let go of what came; containerd has collected it, as far as no image holds it, when this returns."""
    assert place.namespace is not None
    await place.runtime.leases.delete(place.namespace, lease_of(place.command_id), sync=True)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 1


IMAGES: Mapping[str, Recover] = MappingProxyType(
    {Pull.verb: recover_pull, Import.verb: recover_import, Rmi.verb: recover_rmi}
)
"""Verb -> how its outcome is found."""
