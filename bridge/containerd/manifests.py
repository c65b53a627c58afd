"""An image's index, manifest and configuration, read from the content store (OCI image-spec; docker's forms of the same).

They are foreign data of bounded size: what is not of the shape that it has to be is refused by name.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from bridge._pb.containerd.types_pb2 import Platform
from bridge.containerd.content import Content, is_digest
from bridge.errors import CommandFailed
from bridge.model.kinds import decoder
from bridge.ports import Descriptor, ImageContent

__all__ = ["Blob", "Manifest", "Manifests", "host_platform", "is_index", "is_layer", "is_manifest", "read_platform"]

LARGEST: Final = 4 << 20
"""Bytes of an index, a manifest or a configuration: what registries take (OCI distribution-spec)."""

DEEPEST: Final = 3
"""Indexes inside of indexes."""

MEASURING: Final = 8
"""Calls under way for the sizes of images: a list of them has thousands of blobs, and others look at containerd too."""

_INDEXES: Final = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
}
_MANIFESTS: Final = {
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
}
_LAYERS: Final = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386"}
_VARIANTS: Final = {"aarch64": "v8", "armv7l": "v7", "armv6l": "v6"}


class _Platform(Struct):
    os: str = ""
    architecture: str = ""
    variant: str = ""


class Blob(Struct):
    """A descriptor as it stands in JSON."""

    digest: str
    size: int = 0
    media_type: str = field(default="", name="mediaType")
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None

    @property
    def descriptor(self) -> Descriptor:
        """It as a value."""
        return Descriptor(self.media_type, self.digest, self.size)


class Manifest(Struct):
    """What an index or a manifest refers to: an index to `manifests`, a manifest to `config` and `layers`."""

    media_type: str = field(default="", name="mediaType")
    manifests: list[Blob] | None = None
    config: Blob | None = None
    layers: list[Blob] | None = None

    @property
    def children(self) -> Iterator[tuple[str, Blob]]:
        """All that it refers to, with the ends of the labels that keep each from the garbage collector."""
        if self.config is not None:
            yield "config", self.config
        for number, layer in enumerate(self.layers or []):
            yield f"l.{number}", layer
        for number, manifest in enumerate(self.manifests or []):
            yield f"m.{number}", manifest


class _RootFs(Struct):
    diff_ids: list[str] = []


class _Configuration(Struct):
    rootfs: _RootFs = field(default_factory=_RootFs)


def is_index(media_type: str) -> bool:
    """Tell whether it names several manifests."""
    return media_type in _INDEXES


def is_manifest(media_type: str) -> bool:
    """Tell whether it is one image."""
    return media_type in _MANIFESTS


def is_layer(media_type: str) -> bool:
    """Tell whether it is a file tree, packed in whatever way."""
    return media_type.startswith(_LAYERS)


def host_platform() -> Platform:
    """Return this host's platform in the words of images."""
    machine = platform.machine()
    return Platform(os="linux", architecture=_ARCHITECTURES.get(machine, machine), variant=_VARIANTS.get(machine, ""))


def read_platform(text: str) -> Platform:
    """Return a platform written as `linux/arm64/v8`; this host's for none."""
    if not text:
        return host_platform()
    system, architecture, *variant = text.split("/")
    return Platform(os=system, architecture=architecture, variant=variant[0] if variant else "")


class Manifests:
    """Reads images' manifests from one content store."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._measuring = asyncio.Semaphore(MEASURING)

    async def content_of(self, namespace: str, name: str, target: Descriptor) -> ImageContent:
        """Return what an image is on this host.

        Raises:
            CommandFailed: `failed_precondition`: it is not all there, is none for this platform, or not well-formed.
        """
        manifest = await self._manifest(namespace, name, target)
        if manifest.config is None:
            raise _malformed(name, "its manifest has no config")
        configuration = await self._read(namespace, name, manifest.config.digest)
        diff_ids = _decoded(name, configuration, _Configuration).rootfs.diff_ids
        layers = [layer.descriptor for layer in manifest.layers or [] if is_layer(layer.media_type)]
        if len(layers) != len(diff_ids) or not all(is_digest(each) for each in diff_ids):
            raise _malformed(name, f"it has {len(layers)} layers and {len(diff_ids)} digests for them")
        return ImageContent(
            name=name,
            digest=target.digest,
            config_digest=manifest.config.digest,
            config=_decoded(name, configuration, dict[str, Any]),
            layers=tuple(layers),
            diff_ids=tuple(diff_ids),
        )

    async def blobs(
        self, namespace: str, name: str, target: Descriptor, platforms: Sequence[str] = ()
    ) -> Sequence[Descriptor]:
        """Return all blobs of an image that these platforms need, this host's for none, each once; indexes come first.

        Raises:
            CommandFailed: `failed_precondition`: they are not all there, or there is none for one of the platforms.
        """
        found: dict[str, Descriptor] = {}
        for platform_name in platforms or [""]:
            way = await self._way(namespace, name, target, read_platform(platform_name))
            found |= {each.digest: each for each, _ in way}
            found |= {blob.digest: blob.descriptor for _, blob in way[-1][1].children}
        for digest, each in found.items():
            size = await self._size(namespace, digest)
            if size is None:
                raise _missing(name, digest)
            found[digest] = each._replace(size=size)
        return list(found.values())

    async def size(self, namespace: str, name: str, target: Descriptor) -> int | None:
        """Return what the image's manifest, config and layers for this host take; None where they are not all there."""
        async with self._measuring:
            try:
                manifest = await self._manifest(namespace, name, target)
            except CommandFailed:
                return None
        sizes = await asyncio.gather(*[self._size(namespace, blob.digest) for _, blob in manifest.children])
        return None if None in sizes else sum(size for size in sizes if size is not None)

    async def _size(self, namespace: str, digest: str) -> int | None:
        async with self._measuring:
            return await self._content.size(namespace, digest)

    async def _manifest(self, namespace: str, name: str, target: Descriptor) -> Manifest:
        return (await self._way(namespace, name, target, host_platform()))[-1][1]

    async def _way(
        self, namespace: str, name: str, target: Descriptor, wanted: Platform
    ) -> list[tuple[Descriptor, Manifest]]:
        """Return the indexes that lead to the manifest for a platform, and last that manifest."""
        way: list[tuple[Descriptor, Manifest]] = []
        choice: Descriptor | None = target
        while choice is not None:
            manifest: Manifest = _decoded(name, await self._read(namespace, name, choice.digest), Manifest)
            way.append((choice, manifest))
            if manifest.manifests is None:
                return way
            choice = await self._choice(namespace, manifest.manifests, wanted) if len(way) <= DEEPEST else None
        raise CommandFailed(
            "failed_precondition",
            f"image {name} has nothing for {wanted.os}/{wanted.architecture} here: pull it for this platform",
        )

    async def _choice(self, namespace: str, manifests: Sequence[Blob], wanted: Platform) -> Descriptor | None:
        for each in _best_first(manifests, wanted):
            known = is_manifest(each.media_type) or is_index(each.media_type)
            if known and await self._content.size(namespace, each.digest) is not None:
                return each.descriptor
        return None

    async def _read(self, namespace: str, name: str, digest: str) -> bytes:
        try:
            return await self._content.read(namespace, digest, most=LARGEST)
        except CommandFailed as error:
            if error.code != "not_found":
                raise
            raise _missing(name, digest) from error


def _missing(name: str, digest: str) -> CommandFailed:
    return CommandFailed(
        "failed_precondition", f"image {name} is not all there, {digest} is missing: pull or import it again"
    )


def _best_first(manifests: Sequence[Blob], here: Platform) -> list[Blob]:
    """Return those that a platform can run: of its very variant first, then those that name no platform."""

    def rank(blob: Blob) -> int | None:
        if blob.platform is None:
            return 2
        if (blob.platform.os, blob.platform.architecture) != (here.os, here.architecture):
            return None
        return 0 if blob.platform.variant in {here.variant, ""} else 1 if _older(blob.platform.variant, here) else None

    ranked = [(rank(blob), number, blob) for number, blob in enumerate(manifests)]
    fitting = sorted((order, number) for order, number, _ in ranked if order is not None)
    return [manifests[number] for _, number in fitting]


def _older(variant: str, here: Platform) -> bool:
    return here.architecture in {"arm", "arm64"} and variant < here.variant


def _decoded(name: str, data: bytes, kind: Any) -> Any:
    try:
        return decoder(kind).decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(name, str(error)) from error


def _malformed(name: str, why: str) -> CommandFailed:
    return CommandFailed("failed_precondition", f"image {name} is not well-formed: {why}")
