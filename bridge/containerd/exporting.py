"""An image as an archive that another containerd takes in: an OCI image layout in a tar, as it is read from the content store.

What is in it is what this host can run: the index as it is, so that the image keeps its digest, and of its manifests those for
the platforms that are wanted, with their configuration and layers. Nothing is held in memory but the manifests.
"""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from bridge.containerd.content import Content
from bridge.containerd.importing import FULL_NAME, REF_NAME
from bridge.containerd.manifests import Manifests
from bridge.ports import Archive, Descriptor

__all__ = ["write_archive"]

_LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'


async def write_archive(
    content: Content, namespace: str, name: str, target: Descriptor, platforms: Sequence[str]
) -> Archive:
    """Return the bytes of an archive of an image; `platforms` in the words of images, this host's for none.

    Raises:
        CommandFailed: `failed_precondition`: it is not all there; before the first byte.
    """
    blobs = await Manifests(content).blobs(namespace, name, target, platforms)
    entry: dict[str, Any] = {"mediaType": target.media_type, "digest": target.digest, "size": target.size}
    entry["annotations"] = {FULL_NAME: name, REF_NAME: name.rpartition(":")[2]}
    index = msgspec.json.encode({"schemaVersion": 2, "manifests": [entry]}, order="sorted")
    return _archive(content, namespace, {"oci-layout": _LAYOUT, "index.json": index}, blobs)


async def _archive(
    content: Content, namespace: str, files: Mapping[str, bytes], blobs: Sequence[Descriptor]
) -> AsyncIterator[bytes]:
    for path, data in files.items():
        yield _header(path, len(data)) + data + _padding(len(data))
    for blob in blobs:
        yield _header(f"blobs/{blob.digest.replace(':', '/')}", blob.size)
        async for piece in content.stream(namespace, blob.digest, size=blob.size):
            yield piece
        yield _padding(blob.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(path: str, size: int) -> bytes:
    info = tarfile.TarInfo(path)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
