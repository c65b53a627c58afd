"""A checkpoint as an image of containerd's: what `ctr container checkpoint` makes and `ctr container restore` takes, and back.

Its parts are blobs of the content store, held by the lease until the index names them: the dump as a tar, the spec, how it was
dumped, and the layer that the container wrote.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from msgspec import Struct

from bridge.checkpoints import pack_criu_tar
from bridge.control.checkpoint_dump import Dump
from bridge.control.verb import Place
from bridge.control.workshop import Bench
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.checkpoints import CheckpointOptions
from bridge.ports import Archive, Descriptor
from bridge.ports.checkpoints import CRIU_TAR, OPTIONS_PART, RW_LAYER, SPEC_PART, CheckpointImage

__all__ = ["ImageParts", "make_checkpoint_image", "parts_of_image"]

IMAGE: Final = "org.opencontainers.image.ref.name"
IMAGE_OF_TASK: Final = "image.name"
RUNTIME: Final = "io.containerd.checkpoint.runtime"
SNAPSHOTTER: Final = "io.containerd.checkpoint.snapshotter"
LARGEST: Final = 4 << 20
"""Bytes of a spec, or of options."""


class ImageParts(Struct, frozen=True, kw_only=True):
    """What a checkpoint image has; empty and null where it does not say."""

    dump: Descriptor
    spec: dict[str, Any] | None
    layer: Descriptor | None
    image: str
    runtime: str
    snapshotter: str
    options: CheckpointOptions


async def make_checkpoint_image(place: Place, name: str, bench: Bench, dumped: Dump, lease: str) -> None:
    """Make an image of a dump; what is there of its parts already is as good."""
    assert place.namespace is not None
    namespace, checkpoints, draft = place.namespace, place.runtime.checkpoints, dumped.draft

    async def put(media_type: str, data: Archive) -> Descriptor:
        ref = f"containerd-bridge-{draft.id}-{media_type.rpartition('.')[2]}-{len(parts)}"
        return await checkpoints.write(namespace, media_type, data, ref=ref, lease=lease)

    parts: list[Descriptor] = []
    tar = await pack_criu_tar(bench.images)
    parts.append(await put(CRIU_TAR, tar()))
    parts.append(await put(SPEC_PART, _one(checkpoints.pack_spec(dumped.spec))))
    parts.append(await put(OPTIONS_PART, _one(checkpoints.pack_options(draft.options, ends=draft.exited))))
    if dumped.layer is not None:
        parts.append(dumped.layer)
    annotations = {
        IMAGE: draft.image,
        IMAGE_OF_TASK: draft.image,
        RUNTIME: draft.runtime,
        SNAPSHOTTER: draft.snapshotter,
    }
    image = CheckpointImage(name=name, manifests=tuple(parts), annotations=annotations)
    await checkpoints.make_image(namespace, image, labels={labels.COMMAND: draft.id}, lease=lease)


async def parts_of_image(place: Place, name: str) -> ImageParts:
    """Take an image apart that a client of containerd's made, whichever.

    Raises:
        CommandFailed: `not_found`; `failed_precondition`: it is no checkpoint of a task.
    """
    assert place.namespace is not None
    namespace, checkpoints = place.namespace, place.runtime.checkpoints
    found = await checkpoints.image(namespace, name)
    by_type = {each.media_type: each for each in reversed(found.manifests)}
    dump = by_type.get(CRIU_TAR)
    if dump is None:
        raise CommandFailed(
            "failed_precondition",
            f"image {name} has no dump of a task: `ctr container checkpoint` makes one with --task",
        )
    spec, options = by_type.get(SPEC_PART), by_type.get(OPTIONS_PART)
    return ImageParts(
        dump=dump,
        spec=None if spec is None else checkpoints.unpack_spec(await _small(place, spec)),
        layer=by_type.get(RW_LAYER),
        image=found.annotations.get(IMAGE) or found.annotations.get(IMAGE_OF_TASK) or "",
        runtime=found.annotations.get(RUNTIME, ""),
        snapshotter=found.annotations.get(SNAPSHOTTER, ""),
        options=CheckpointOptions() if options is None else checkpoints.unpack_options(await _small(place, options)),
    )


async def _small(place: Place, part: Descriptor) -> bytes:
    assert place.namespace is not None
    if part.size > LARGEST:
        raise CommandFailed("invalid_argument", f"part {part.digest} has {part.size} bytes, more than {LARGEST}")
    return b"".join([piece async for piece in place.runtime.checkpoints.read(place.namespace, part)])


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data
