"""containerd's images: `bridge.ports.ImageStore`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from bridge._pb.containerd.services import images_pb2
from bridge._pb.containerd.types_pb2 import Descriptor as WireDescriptor
from bridge.containerd.channel import in_namespace
from bridge.containerd.content import Content
from bridge.containerd.deadlines import CHANGE_S, LOOK_S, MOUNT_S
from bridge.containerd.errors import command_errors, look_errors
from bridge.containerd.importing import read_archive
from bridge.containerd.manifests import Manifests, read_platform
from bridge.containerd.records import moment
from bridge.containerd.transfer import Transfer
from bridge.containerd.unpacking import Unpacking
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.commands import Pull
from bridge.model.outcomes import ImageInfo
from bridge.ports import Archive, Descriptor, ImageContent, Tell

__all__ = ["Images"]


class Images:
    """The images of one containerd. Made by `ContainerdRuntime`."""

    def __init__(self, channel: Any, content: Content, unpacking: Unpacking, transfer: Transfer) -> None:
        self._images = images_pb2.ImagesStub(channel)
        self._content = content
        self._manifests = Manifests(content)
        self._unpacking = unpacking
        self._transfer = transfer

    async def list(self, namespace: str, filters: Sequence[str] = (), *, sizes: bool = False) -> Sequence[ImageInfo]:
        """Return the images of a namespace by name; `filters` are containerd's own."""
        with look_errors(f"list the images in {namespace}"):
            request = images_pb2.ListImagesRequest(filters=filters)
            answer = await self._images.List(request, timeout=LOOK_S, metadata=in_namespace(namespace))
        found = sorted(answer.images, key=lambda image: image.name)
        return await asyncio.gather(*[self._info(namespace, image, sizes=sizes) for image in found])

    async def resolve(self, namespace: str, name: str) -> ImageContent:
        """Return what an image is on this host's platform."""
        image = await self._one(namespace, name)
        return await self._manifests.content_of(namespace, name, _descriptor(image))

    async def delete(self, namespace: str, name: str, *, sync: bool = False) -> None:
        """Remove the record, and never content."""
        with command_errors(f"remove image {name} in {namespace}"):
            request = images_pb2.DeleteImageRequest(name=name, sync=sync)
            await self._images.Delete(request, timeout=MOUNT_S if sync else CHANGE_S, metadata=in_namespace(namespace))

    async def pull(self, namespace: str, wanted: Pull, tell: Tell, *, lease: str) -> ImageInfo:
        """Fetch an image from its registry and unpack it.

        containerd does not unpack what it is not configured to, so that is made good; what is for another platform stays packed.
        """
        await self._transfer.pull(namespace, wanted, tell)
        if read_platform(wanted.platform) == read_platform(""):
            image = await self.resolve(namespace, wanted.image)
            await self._unpacking.unpack(namespace, wanted.snapshotter, image, lease=lease)
        return await self._info(namespace, await self._one(namespace, wanted.image), sizes=True)

    async def take_in(
        self, namespace: str, archive: Archive, *, name: str, lease: str, command_id: str, digest: str = ""
    ) -> Sequence[ImageInfo]:
        """Store an archive's content and make a record of each image in it; one of the same name is replaced."""
        found = await read_archive(self._content, namespace, archive, name=name, lease=lease)
        if digest:
            if [one.digest for one in found.values()] != [digest]:
                raise CommandFailed("invalid_argument", f"the archive is not that of image {name} with {digest} alone")
            found = dict(zip([name], found.values(), strict=True))
        for each, descriptor in found.items():  # first whether they are all there, then the records
            await self._manifests.content_of(namespace, each, descriptor)
        given = {labels.COMMAND: command_id, labels.IMAGES: str(len(found))}
        infos = []
        for each, descriptor in found.items():
            await self._put(namespace, each, descriptor, lease, given)
            infos.append(await self._info(namespace, await self._one(namespace, each), sizes=True))
        return infos

    async def _put(self, namespace: str, name: str, target: Descriptor, lease: str, given: Mapping[str, str]) -> None:
        image = images_pb2.Image(
            name=name,
            labels=given,
            target=WireDescriptor(media_type=target.media_type, digest=target.digest, size=target.size),
        )
        options: dict[str, Any] = {"timeout": CHANGE_S, "metadata": in_namespace(namespace, lease)}
        with command_errors(f"make image {name} in {namespace}"):
            try:
                await self._images.Create(images_pb2.CreateImageRequest(image=image), **options)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                    raise
                await self._images.Update(images_pb2.UpdateImageRequest(image=image), **options)

    async def _one(self, namespace: str, name: str) -> images_pb2.Image:
        with look_errors(f"look at image {name} in {namespace}"):
            try:
                request = images_pb2.GetImageRequest(name=name)
                answer = await self._images.Get(request, timeout=LOOK_S, metadata=in_namespace(namespace))
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
                raise CommandFailed(
                    "not_found", f"there is no image {name} in namespace {namespace}: pull or import it first"
                ) from error
        return answer.image

    async def _info(self, namespace: str, image: images_pb2.Image, *, sizes: bool) -> ImageInfo:
        target = _descriptor(image)
        return ImageInfo(
            name=image.name,
            digest=target.digest,
            media_type=target.media_type,
            size=await self._manifests.size(namespace, image.name, target) if sizes else None,
            labels=dict(image.labels),
            created_at=moment(image.created_at),
            updated_at=moment(image.updated_at),
        )


def _descriptor(image: images_pb2.Image) -> Descriptor:
    return Descriptor(image.target.media_type, image.target.digest, image.target.size)
