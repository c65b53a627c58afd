"""The image that a restored container's files come from: what it was made from, by its digest, wherever that is.

It is here, under its own name or another one, or it is brought from the catalogue. What is brought goes again where the restore
fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from bridge.control.checkpoint_dump import checkpointing_at
from bridge.control.leases import taken_back
from bridge.control.restore_source import Taken
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model.outcomes import ImageInfo
from bridge.ports import ImageContent

__all__ = ["CANCELLED", "bring_image", "content_of", "with_image"]

CANCELLED: Final = "restore was cancelled: nothing of it is left"


async def content_of(place: Place, taken: Taken) -> tuple[str, ImageInfo | None, ImageInfo | None]:
    """Return the image that the files come from, by name and as it is here, and what is here under its own name.

    A name may mean another image by now, or here. Then what the container was made from is taken by its digest: under another
    name that it has here, or brought, under a name that says the digest. Nothing that is here gets another meaning.
    """
    assert place.namespace is not None
    name, digest = taken.image, "" if taken.record is None else taken.record.image_digest
    images = await place.runtime.images.list(place.namespace)
    named = next((one for one in images if one.name == name), None)
    if named is None or not digest or named.digest == digest:
        return name, named, named
    same = next((one for one in images if one.digest == digest), None)
    return (f"{_repository(name)}@{digest}", None, named) if same is None else (same.name, same, named)


def _repository(name: str) -> str:
    """Return an image's name without tag and digest; a colon before the last slash is a port's."""
    path, slash, last = name.partition("@")[0].rpartition("/")
    return f"{path}{slash}{last.partition(':')[0]}"


@asynccontextmanager
async def with_image(
    place: Place, taken: Taken, name: str, *, here: bool, lease: str
) -> AsyncIterator[ImageContent | None]:
    """Have the image of this name, none where it is empty; what was brought goes again where the block fails."""
    if not name:
        yield None
        return
    namespace, _ = place.target
    if not here:
        await place.interruption.through(bring_image(place, taken, name, lease), otherwise=CANCELLED)
    try:
        yield await place.runtime.images.resolve(namespace, name)
    except BaseException as error:
        if not here:
            await taken_back(error, f"image {name}", partial(place.runtime.images.delete, namespace, name))
        raise


async def bring_image(place: Place, taken: Taken, name: str, lease: str) -> None:
    """Take in the image that lies beside the checkpoint.

    Raises:
        CommandFailed: `failed_precondition`: it does not, or is another one.
    """
    record = taken.record
    namespace, _ = place.target
    missing = CommandFailed(
        "failed_precondition", f"image {name} is not on node {place.node}, and not in the catalogue: pull it first"
    )
    if record is None or not taken.vouched or not record.image_digest:
        raise missing
    archive = checkpointing_at(place).catalogue.load_image(record.image_digest)
    try:
        await place.runtime.images.take_in(
            namespace,
            archive,
            name=name,
            lease=lease,
            command_id=place.command_id,
            digest=record.image_digest,
        )
    except CommandFailed as error:
        if error.code == "not_found":
            raise missing from error
        raise
