"""The images, snapshots and leases of a containerd in memory: records, no bytes but those of small files."""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.commands import Pull
from bridge.model.nanos import now
from bridge.model.outcomes import ImageInfo, Progress
from bridge.ports import Archive, Descriptor, ImageContent, Leased, Tell
from bridge.testing.calls import Calls
from bridge.testing.filters import BadFilter, image_filter
from bridge.testing.task import Refusal

if TYPE_CHECKING:
    from bridge.testing.containerd import MemoryContainerd

__all__ = [
    "GC_ROOT",
    "MANIFEST",
    "MemoryImage",
    "MemoryImages",
    "MemoryLeases",
    "MemorySnapshot",
    "MemorySnapshots",
    "digest_of",
    "manifest_of",
    "memory_image",
]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
FULL_NAME = "io.containerd.image.name"
GC_ROOT = "containerd.io/gc.root"
"""Label of what is no garbage."""


class MemoryImage(Struct, frozen=True, kw_only=True):
    """An image: its record, its configuration, the small files in it by their absolute paths, and the blobs that it keeps."""

    info: ImageInfo
    config: dict[str, Any]
    files: dict[str, bytes] = {}
    holds: tuple[str, ...] = ()


class MemorySnapshot(Struct, frozen=True, kw_only=True):
    """A container's root file system."""

    labels: Mapping[str, str] = {}
    files: dict[str, bytes] = {}
    layers: tuple[str, ...] | None = None
    """Of the image that it was made on; None for that which is called as the container's image is."""


def memory_image(
    name: str,
    config: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes] | None = None,
    *,
    digest: str | None = None,
) -> MemoryImage:
    """Return an image of this name; `config` says how to run it, in the words of an image configuration (`Cmd`, `User`)."""
    body = {
        "config": dict(config or {}),
        "rootfs": {"type": "layers", "diff_ids": [digest_of(f"layer {name}".encode())]},
    }
    digest = digest or digest_of(manifest_of(body)[0])
    moment = now()
    info = ImageInfo(name=name, digest=digest, media_type=MANIFEST, created_at=moment, updated_at=moment)
    return MemoryImage(info=info, config=body, files=dict(files or {}))


def manifest_of(config: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return the manifest of an image with this configuration, and the configuration, as bytes."""
    body = msgspec.json.encode(config, order="sorted")
    layers = [{"mediaType": LAYER, "digest": each, "size": 0} for each in config["rootfs"]["diff_ids"]]
    blob = {"digest": digest_of(body), "size": len(body)}
    return msgspec.json.encode({"config": blob, "layers": layers, "mediaType": MANIFEST}, order="sorted"), body


class MemoryImages:
    """Implements `bridge.ports.ImageStore`. Made by `MemoryRuntime`."""

    def __init__(self, containerd: MemoryContainerd, calls: Calls) -> None:
        self._containerd = containerd
        self._calls = calls

    async def list(self, namespace: str, filters: Sequence[str] = (), *, sizes: bool = False) -> Sequence[ImageInfo]:
        """Return the images of a namespace; see the port."""

        def found() -> Sequence[ImageInfo]:
            try:
                matches = image_filter(filters)
            except BadFilter as error:
                raise Refusal("invalid_argument", f"filters: {error}") from error
            infos = [one.info for (where, _), one in sorted(self._containerd.images.items()) if where == namespace]
            return [
                msgspec.structs.replace(info, size=len(info.name) if sizes else None) for info in infos if matches(info)
            ]

        return await self._calls.call(f"list the images in {namespace}", found)

    async def resolve(self, namespace: str, name: str) -> ImageContent:
        """Return what an image is; see the port."""

        def found() -> ImageContent:
            image = self._image(namespace, name)
            diff_ids = tuple(image.config["rootfs"]["diff_ids"])
            return ImageContent(
                name=name,
                digest=image.info.digest,
                config_digest=digest_of(manifest_of(image.config)[1]),
                config=image.config,
                layers=tuple(Descriptor(LAYER, each, 0) for each in diff_ids),
                diff_ids=diff_ids,
            )

        return await self._calls.call(f"look at image {name} in {namespace}", found)

    async def delete(self, namespace: str, name: str, *, sync: bool = False) -> None:  # noqa: ARG002 - nothing to wait for
        """Remove the record; see the port."""

        def remove() -> None:
            self._image(namespace, name)
            self._containerd.remove_image(namespace, name)

        await self._calls.call(f"remove image {name} in {namespace}", remove)

    async def pull(self, namespace: str, wanted: Pull, tell: Tell, *, lease: str) -> ImageInfo:  # noqa: ARG002
        """Take an image out of the registry in memory; see the port."""

        def fetch() -> ImageInfo:
            image = self._containerd.registry.get(wanted.image)
            if image is None:
                raise Refusal("not_found", f"{wanted.image}: not found")
            for done in (0, 1):
                tell(Progress(id=wanted.id or "", name=wanted.image, event="downloading", done=done, total=1))
            image = _labelled(image, wanted.labels)
            self._containerd.put_image(namespace, image)
            return image.info

        return await self._calls.call(f"pull {wanted.image} in {namespace}", fetch)

    async def take_in(
        self,
        namespace: str,
        archive: Archive,
        *,
        name: str,
        lease: str,  # noqa: ARG002
        command_id: str,
        digest: str = "",
    ) -> Sequence[ImageInfo]:
        """Read an OCI image layout with one manifest for each image; see the port."""
        data = b"".join([piece async for piece in archive])

        def put() -> Sequence[ImageInfo]:
            images = _images_in(data, name)
            if digest:
                if [one.info.digest for one in images] != [digest]:
                    raise CommandFailed(
                        "invalid_argument", f"the archive is not that of image {name} with {digest} alone"
                    )
                images = [
                    msgspec.structs.replace(one, info=msgspec.structs.replace(one.info, name=name)) for one in images
                ]
            given = {labels.COMMAND: command_id, labels.IMAGES: str(len(images))}
            images = [_labelled(image, given) for image in images]
            for image in images:
                self._containerd.put_image(namespace, image)
            return [image.info for image in images]

        return await self._calls.call(f"import into {namespace}", put)

    def _image(self, namespace: str, name: str) -> MemoryImage:
        image = self._containerd.images.get((namespace, name))
        if image is None:
            raise Refusal("not_found", f"image {name}: not found")
        return image


class MemorySnapshots:
    """Implements `bridge.ports.SnapshotStore`. Made by `MemoryRuntime`."""

    def __init__(self, containerd: MemoryContainerd, calls: Calls) -> None:
        self._containerd = containerd
        self._calls = calls

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
        """Make a snapshot; see the port."""

        def make() -> None:
            if snapshotter != "overlayfs":
                raise Refusal("invalid_argument", f"snapshotter not loaded: {snapshotter}: invalid argument")
            if (namespace, lease) not in self._containerd.leases:
                raise Refusal("not_found", f"lease {lease}: not found")
            if (namespace, key) in self._containerd.snapshots:
                raise Refusal("already_exists", f"snapshot {key}: already exists")
            files = self._containerd.images[namespace, image.name].files
            self._containerd.snapshots[namespace, key] = MemorySnapshot(
                labels=dict(labels), files=files, layers=image.diff_ids
            )

        await self._calls.call(f"prepare snapshot {key} of {image.name} in {namespace}", make)

    async def labels(self, namespace: str, snapshotter: str, key: str) -> Mapping[str, str] | None:  # noqa: ARG002
        """Return a snapshot's labels; see the port."""

        def found() -> Mapping[str, str] | None:
            snapshot = self._containerd.snapshots.get((namespace, key))
            return None if snapshot is None else snapshot.labels

        return await self._calls.call(f"look at snapshot {key} in {namespace}", found)

    async def stands_on(self, namespace: str, snapshotter: str, key: str, image: ImageContent) -> bool | None:  # noqa: ARG002
        """Tell whether a snapshot was made on an image; see the port."""

        def found() -> bool | None:
            snapshot = self._containerd.snapshots.get((namespace, key))
            return None if snapshot is None else snapshot.layers in {None, image.diff_ids}

        return await self._calls.call(f"look at snapshot {key} in {namespace}", found)

    async def remove(self, namespace: str, snapshotter: str, key: str) -> None:  # noqa: ARG002
        """Remove a snapshot; see the port."""
        await self._calls.call(
            f"remove snapshot {key} in {namespace}", lambda: self._containerd.snapshots.pop((namespace, key), None)
        )

    async def read(self, namespace: str, snapshotter: str, key: str, path: str, *, most: int) -> bytes | None:  # noqa: ARG002
        """Return a file; see the port."""

        def found() -> bytes | None:
            snapshot = self._containerd.snapshots.get((namespace, key))
            if snapshot is None:
                raise Refusal("not_found", f"snapshot {key}: not found")
            data = snapshot.files.get(posixpath.normpath(path))
            if data is not None and len(data) > most:
                raise Refusal("failed_precondition", f"{path} is longer than {most} bytes")
            return data

        return await self._calls.call(f"look into snapshot {key} in {namespace}", found)


class MemoryLeases:
    """Implements `bridge.ports.LeaseStore`. Made by `MemoryRuntime`."""

    def __init__(self, containerd: MemoryContainerd, calls: Calls) -> None:
        self._containerd = containerd
        self._calls = calls

    async def create(self, namespace: str, lease: str, labels: Mapping[str, str]) -> None:
        """Make one; see the port."""
        await self._calls.call(
            f"make lease {lease} in {namespace}",
            lambda: self._containerd.leases.setdefault((namespace, lease), dict(labels)),
        )

    async def delete(self, namespace: str, lease: str, *, sync: bool = False) -> None:  # noqa: ARG002
        """Give it up; what nothing else refers to goes with it, at once; see the port."""

        def give_up() -> None:
            if self._containerd.leases.pop((namespace, lease), None) is not None:
                self._containerd.collect_garbage(namespace)

        await self._calls.call(f"delete lease {lease} in {namespace}", give_up)

    async def hold(self, namespace: str, lease: str, snapshotter: str, key: str) -> None:  # noqa: ARG002
        """Hold a snapshot, as a lease does with everything here while it is there; see the port."""

        def look() -> None:
            if (namespace, lease) not in self._containerd.leases:
                raise Refusal("not_found", f"lease {lease}: not found")

        await self._calls.call(f"hold snapshot {key} in {namespace}", look)

    async def list(self, namespaces: Sequence[str], label: str) -> Sequence[Leased]:
        """Return those with this label; see the port."""
        return await self._calls.call(
            "list the leases",
            lambda: [
                Leased(namespace, lease, labels)
                for (namespace, lease), labels in sorted(self._containerd.leases.items())
                if label in labels and (not namespaces or namespace in namespaces)
            ],
        )


def _images_in(data: bytes, name: str) -> Sequence[MemoryImage]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            files = {
                posixpath.normpath(info.name): file.read()
                for info in tar
                if info.isreg() and (file := tar.extractfile(info)) is not None
            }
        index = msgspec.json.decode(files["index.json"])
        found = []
        for entry in index["manifests"]:
            manifest = files[f"blobs/{entry['digest'].replace(':', '/')}"]
            if digest_of(manifest) != entry["digest"]:
                raise Refusal("invalid_argument", f"content that should be {entry['digest']} is damaged")
            config = msgspec.json.decode(
                files[f"blobs/{msgspec.json.decode(manifest)['config']['digest'].replace(':', '/')}"]
            )
            own = entry.get("annotations", {}).get(FULL_NAME) or name
            if not own:
                raise Refusal("invalid_argument", "the archive names none of its images: give a name")
            image = memory_image(own, config.get("config"), digest=entry["digest"])
            found.append(msgspec.structs.replace(image, config=config))
    except (tarfile.TarError, KeyError, msgspec.DecodeError) as error:
        raise CommandFailed("invalid_argument", f"this is no image archive: {error}") from error
    return found


def _labelled(image: MemoryImage, labels: Mapping[str, str]) -> MemoryImage:
    info = msgspec.structs.replace(image.info, labels={**image.info.labels, **labels}, updated_at=now())
    return msgspec.structs.replace(image, info=info)


def digest_of(data: bytes) -> str:
    """Return the digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
