"""An archive of images taken into the content store: an OCI image layout, or what `docker save` writes.

One way for every containerd, those without the Transfer service included. The archive is hostile input: nothing of it
touches a file system here, names in it are only compared, and every blob is held against its digest. Until an image's record
refers to it, what is stored hangs on the lease alone.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from bridge.containerd.content import Content, Written, is_digest
from bridge.containerd.manifests import LARGEST, Blob, Manifest, is_index, is_manifest
from bridge.containerd.tar_stream import Member, TarStream
from bridge.errors import CommandFailed
from bridge.model.kinds import decoder
from bridge.model.references import full_reference
from bridge.ports import Archive, Descriptor

__all__ = ["read_archive"]

REF: Final = "containerd.io/gc.ref.content"
"""Label of a blob, followed by a dot and a name of its own: keeps the blob whose digest it holds."""

FULL_NAME: Final = "io.containerd.image.name"
REF_NAME: Final = "org.opencontainers.image.ref.name"
"""Annotations of an index: the image's whole name, and its tag, or whatever its maker had for a name."""

DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"

MOST_KEPT: Final = 64 << 20
"""Bytes of names, and of small files, that are kept in memory until it is known which of them are manifests."""

_NO_BLOBS: Final = {"index.json", "manifest.json", "oci-layout", "repositories", "json", "VERSION"}
"""Files that say what the others are. Everything else is kept as content, until it is known what is none."""

_BLOB: Final = re.compile(r"blobs/sha256/([0-9a-f]{64})", re.ASCII)
_GZIP: Final = b"\x1f\x8b"


class _Saved(Struct):
    """One image in docker's manifest.json."""

    config: str = field(name="Config")
    layers: list[str] = field(name="Layers")
    tags: list[str] | None = field(default=None, name="RepoTags")


async def read_archive(
    content: Content, namespace: str, archive: Archive, *, name: str, lease: str
) -> dict[str, Descriptor]:
    """Store what is in an archive; return its images: whole name -> manifest or index.

    Args:
        content: where to.
        namespace: in which namespace.
        archive: a tar, plain or packed with gzip, bzip2, xz or zstd.
        name: for the one image of an archive that names none; empty for none.
        lease: what holds the content.

    Raises:
        CommandFailed: `invalid_argument`: it is no such archive, or damaged.
    """
    intake = _Intake(content, namespace, lease)
    async with TarStream(archive) as stream:
        async for member in stream:
            await intake.take(member, stream)
    found = await (intake.layout() if "index.json" in intake.small else intake.saved())
    return _named(found, name)


class _Intake:
    """What has come out of one archive so far."""

    def __init__(self, content: Content, namespace: str, lease: str) -> None:
        self._content = content
        self._namespace = namespace
        self._lease = lease
        self.small: dict[str, bytes] = {}
        """Files that may be JSON, by their names."""
        self._stored: dict[str, Written] = {}
        self._links: dict[str, str] = {}
        self._packed: set[str] = set()
        self._kept = 0

    async def take(self, member: Member, stream: TarStream) -> None:
        name = posixpath.normpath(member.name).lstrip("/")
        self._count(len(member.name) + len(member.link or ""))
        if member.link is not None:
            self._links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.link)).lstrip("/")
            return
        if posixpath.basename(name) in _NO_BLOBS:
            self._keep(name, await _whole(stream))
            return
        blob = _BLOB.fullmatch(name)
        expected = f"sha256:{blob[1]}" if blob else ""
        begin = bytearray()

        async def seen() -> AsyncIterator[bytes]:
            async for piece in stream.pieces():
                if len(begin) < LARGEST:
                    begin.extend(piece[: LARGEST - len(begin)])
                yield piece

        ref = f"{self._lease}-{len(self._stored)}"
        written = await self._content.write(self._namespace, ref, seen(), lease=self._lease, expected=expected)
        self._stored[name] = written
        if begin.startswith(_GZIP):
            self._packed.add(name)
        if written.size < LARGEST and bytes(begin[:64]).lstrip()[:1] in {b"{", b"["}:
            self._keep(name, bytes(begin))

    def _keep(self, name: str, data: bytes) -> None:
        self._count(len(data))
        self.small[name] = data

    def _count(self, size: int) -> None:
        self._kept += size
        if self._kept > MOST_KEPT:
            raise CommandFailed(
                "invalid_argument", f"the archive has more than {MOST_KEPT} bytes of names and manifests"
            )

    # -- an OCI image layout

    async def layout(self) -> list[tuple[str, Descriptor]]:
        """Return the images of index.json, each with its name there."""
        index = _decoded("index.json", self.small["index.json"], Manifest)
        images = [blob for blob in index.manifests or [] if is_manifest(blob.media_type) or is_index(blob.media_type)]
        for image in images:
            await self._hold_together(image, deep=4)
        return [(_name_in(image), image.descriptor) for image in images]

    async def _hold_together(self, blob: Blob, *, deep: int) -> None:
        """Label a manifest, and those under it, with what it refers to, as far as that is in the archive or the store."""
        if not is_digest(blob.digest) or not deep:
            raise CommandFailed("invalid_argument", f"the archive's index is not well-formed at {blob.digest!r}")
        data = self.small.get(f"blobs/{blob.digest.replace(':', '/')}")
        if data is None:
            return  # manifests for other platforms may be left out; whether ours is there, is looked at afterwards
        manifest = _decoded(blob.digest, data, Manifest)
        labels = {f"{REF}.{suffix}": child.digest for suffix, child in manifest.children if is_digest(child.digest)}
        await self._content.label(self._namespace, blob.digest, labels)
        for child in manifest.manifests or []:
            await self._hold_together(child, deep=deep - 1)

    # -- what `docker save` writes

    async def saved(self) -> list[tuple[str, Descriptor]]:
        """Return the images of manifest.json, each of its tags with a manifest that is made here."""
        if "manifest.json" not in self.small:
            raise CommandFailed(
                "invalid_argument", "the archive holds no images: it has neither index.json nor manifest.json"
            )
        found = []
        for image in _decoded("manifest.json", self.small["manifest.json"], list[_Saved]):
            descriptor = await self._manifest(image)
            found += [(tag, descriptor) for tag in image.tags or [""]]
        return found

    async def _manifest(self, image: _Saved) -> Descriptor:
        config, layers = self._file(image.config), [self._file(each) for each in image.layers]
        packed = [self._target(each) in self._packed for each in image.layers]
        blobs = [
            {"mediaType": f"{DOCKER_LAYER}{'.gzip' if gzip else ''}", "digest": layer.digest, "size": layer.size}
            for layer, gzip in zip(layers, packed, strict=True)
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": {"mediaType": DOCKER_CONFIG, "digest": config.digest, "size": config.size},
            "layers": blobs,
        }
        labels = {f"{REF}.config": config.digest} | {f"{REF}.l.{n}": layer.digest for n, layer in enumerate(layers)}
        data = msgspec.json.encode(manifest, order="sorted")

        async def once() -> AsyncIterator[bytes]:
            yield data

        written = await self._content.write(
            self._namespace, f"{self._lease}-manifest-{config.digest}", once(), lease=self._lease, labels=labels
        )
        return Descriptor(DOCKER_MANIFEST, written.digest, written.size)

    def _target(self, name: str) -> str:
        name = posixpath.normpath(name).lstrip("/")
        for _ in range(8):  # a link may lead to a link
            if name not in self._links:
                break
            name = self._links[name]
        return name

    def _file(self, name: str) -> Written:
        written = self._stored.get(self._target(name))
        if written is None:
            raise CommandFailed("invalid_argument", f"the archive names {name!r}, which is not in it: it is damaged")
        return written


async def _whole(stream: TarStream) -> bytes:
    data = bytearray()
    async for piece in stream.pieces():
        data += piece
        if len(data) > LARGEST:
            raise CommandFailed("invalid_argument", f"an index in the archive has more than {LARGEST} bytes")
    return bytes(data)


def _name_in(blob: Blob) -> str:
    annotations = blob.annotations or {}
    if full := annotations.get(FULL_NAME):
        return full
    name = annotations.get(REF_NAME, "")
    # A tag alone names no image.
    return name if "/" in name or ":" in name else ""


def _named(found: list[tuple[str, Descriptor]], name: str) -> dict[str, Descriptor]:
    named = {full_reference(own): descriptor for own, descriptor in found if own}
    nameless = [descriptor for own, descriptor in found if not own]
    if name and nameless:
        named[full_reference(name)] = nameless[0]
    elif name and len(found) == 1:
        named = {full_reference(name): found[0][1]}
    elif name:
        raise CommandFailed("invalid_argument", f"the archive names {len(named)} images itself: leave {name} out")
    if not named:
        raise CommandFailed("invalid_argument", "the archive names none of its images: give a name")
    return named


def _decoded(what: str, data: bytes, kind: Any) -> Any:
    try:
        return decoder(kind).decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CommandFailed("invalid_argument", f"{what} in the archive is not well-formed: {error}") from error
