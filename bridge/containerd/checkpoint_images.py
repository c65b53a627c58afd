"""Checkpoints in containerd's own image store, in the two forms that containerd's clients make of them.

Both are an index whose manifests are not images but parts: CRIU's images as one tar, the spec, the image that the container was
made from, what it wrote, and how it was dumped. `Container.Checkpoint` (that is `ctr container checkpoint`) names image,
snapshotter and runtime in annotations of the index, and is what `ctr container restore` takes; `Task.Checkpoint` (docker,
nerdctl) only the image, in an annotation of another name. We write the first, with the label of the second, and read both.

Spec and options stand in these parts as serialized `google.protobuf.Any`. Foreign ones may hold anything: what cannot be read
is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import grpc
import msgspec
from google.protobuf.message import DecodeError
from msgspec import Struct, field

from bridge._pb.containerd.runc_pb2 import CheckpointOptions as WireOptions
from bridge._pb.containerd.services import images_pb2
from bridge._pb.containerd.types_pb2 import Descriptor as WireDescriptor
from bridge._pb.google.protobuf.any_pb2 import Any as Packed
from bridge.containerd.channel import in_namespace
from bridge.containerd.checkpoint_options import read_options, wire_options
from bridge.containerd.containers import SPEC
from bridge.containerd.content import Content, is_digest
from bridge.containerd.deadlines import CHANGE_S, LOOK_S
from bridge.containerd.errors import command_errors, look_errors
from bridge.containerd.manifests import LARGEST, host_platform
from bridge.errors import CommandFailed
from bridge.model.checkpoints import CheckpointOptions
from bridge.model.kinds import decoder
from bridge.ports import Descriptor
from bridge.ports.checkpoints import CRIU_TAR, CheckpointImage

__all__ = ["CheckpointImages", "pack_options", "pack_spec", "unpack_options", "unpack_spec"]

INDEX: Final = "application/vnd.oci.image.index.v1+json"
LABEL: Final = "containerd.io/checkpoint"
REF: Final = "containerd.io/gc.ref.content"
"""Label of a blob, followed by a dot and a name of its own: keeps the blob whose digest it holds."""


IMAGE_NAME: Final = "org.opencontainers.image.ref.name"
"""Annotation with the name of the image that the container was made from. Its content stays as long as the checkpoint."""


class _Part(Struct):
    media_type: str = field(name="mediaType")
    digest: str
    size: int


class _Index(Struct):
    manifests: list[_Part] = []
    annotations: dict[str, str] | None = None


class CheckpointImages:
    """The checkpoints among one containerd's images."""

    def __init__(self, channel: Any, content: Content) -> None:
        self._images = images_pb2.ImagesStub(channel)
        self._content = content

    async def read(self, namespace: str, name: str) -> CheckpointImage:
        """Return a checkpoint's parts; see the port."""
        target = await self._target(namespace, name)
        if target is None:
            raise CommandFailed("not_found", f"there is no image {name} in namespace {namespace}")
        if target.media_type != INDEX:
            raise CommandFailed("failed_precondition", f"image {name} is no checkpoint: it has no index")
        data = await self._content.read(namespace, target.digest, most=LARGEST)
        try:
            index = decoder(_Index).decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise CommandFailed("failed_precondition", f"the index of image {name} is not well-formed") from error
        if not all(is_digest(part.digest) for part in index.manifests):
            raise CommandFailed("failed_precondition", f"the index of image {name} has parts without a whole digest")
        if not any(part.media_type == CRIU_TAR for part in index.manifests):
            raise CommandFailed(
                "failed_precondition",
                f"image {name} holds no dump of a task: make the checkpoint with its task (`ctr container checkpoint --task`)",
            )
        return CheckpointImage(
            name=name,
            manifests=tuple(Descriptor(part.media_type, part.digest, part.size) for part in index.manifests),
            annotations=index.annotations or {},
        )

    async def make(self, namespace: str, image: CheckpointImage, *, labels: Mapping[str, str], lease: str) -> None:
        """Write an index and the image's record; see the port."""
        here = host_platform()
        platform = {"os": here.os, "architecture": here.architecture}
        parts = [
            {"mediaType": part.media_type, "digest": part.digest, "size": part.size, "platform": platform}
            for part in image.manifests
        ]
        refs = {f"{REF}.{number}": part.digest for number, part in enumerate(image.manifests)}
        of = await self._target(namespace, image.annotations.get(IMAGE_NAME, ""))
        if of is not None:
            refs[f"{REF}.image"] = of.digest
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": parts, "annotations": image.annotations}
        written = await self._content.write_whole(
            namespace,
            f"{lease}-{image.name}",
            msgspec.json.encode(index, order="sorted"),
            lease=lease,
            labels=refs,
        )
        record = images_pb2.Image(
            name=image.name,
            labels={**labels, LABEL: "true"},
            target=WireDescriptor(media_type=INDEX, digest=written.digest, size=written.size),
        )
        with command_errors(f"make image {image.name} in {namespace}"):
            try:
                await self._images.Create(
                    images_pb2.CreateImageRequest(image=record),
                    timeout=CHANGE_S,
                    metadata=in_namespace(namespace, lease),
                )
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                    raise
                there = await self._target(namespace, image.name)
                if there is None or there.digest != written.digest:
                    raise

    async def _target(self, namespace: str, name: str) -> WireDescriptor | None:
        if not name:
            return None
        with look_errors(f"look at image {name} in {namespace}"):
            try:
                request = images_pb2.GetImageRequest(name=name)
                answer = await self._images.Get(request, timeout=LOOK_S, metadata=in_namespace(namespace))
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return None
                raise
        target: WireDescriptor = answer.image.target
        return target


def pack_spec(spec: Mapping[str, Any]) -> bytes:
    """Return what stands in a checkpoint image for a spec."""
    return Packed(type_url=SPEC, value=msgspec.json.encode(spec)).SerializeToString(deterministic=True)


def unpack_spec(data: bytes) -> dict[str, Any]:
    """Return the spec of a checkpoint image.

    Raises:
        CommandFailed: `failed_precondition`: it is none.
    """
    try:
        packed = Packed.FromString(data)
        if packed.type_url.rpartition("/")[2] != SPEC.rpartition("/")[2]:
            raise CommandFailed("failed_precondition", f"the checkpoint's spec is of type {packed.type_url!r}, no spec")
        spec: dict[str, Any] = msgspec.json.decode(packed.value, type=dict[str, Any])
    except (DecodeError, msgspec.DecodeError, RecursionError) as error:
        raise CommandFailed("failed_precondition", "the checkpoint's spec cannot be read: it is damaged") from error
    return spec


def pack_options(options: CheckpointOptions, *, ends: bool) -> bytes:
    """Return what stands in a checkpoint image for how it was dumped."""
    wire = wire_options(options, ends=ends)
    packed = Packed(type_url=wire.DESCRIPTOR.full_name, value=wire.SerializeToString(deterministic=True))
    return packed.SerializeToString(deterministic=True)


def unpack_options(data: bytes) -> CheckpointOptions:
    """Return how the task of a checkpoint image was dumped.

    Raises:
        CommandFailed: `failed_precondition`: it does not say so.
    """
    try:
        packed = Packed.FromString(data)
        if packed.type_url.rpartition("/")[2] != WireOptions.DESCRIPTOR.full_name:
            raise CommandFailed("failed_precondition", f"the checkpoint's options are of type {packed.type_url!r}")
        return read_options(WireOptions.FromString(packed.value))
    except DecodeError as error:
        raise CommandFailed("failed_precondition", "the checkpoint's options cannot be read: it is damaged") from error
