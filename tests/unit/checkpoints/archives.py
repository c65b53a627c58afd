"""A small dump, its record, and its archive, for tests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from bridge.checkpoints import Arrived, Contents, Limits, PackedArchive, Packing, pack, unpack
from bridge.model.checkpoints import ArchiveFacts, CheckpointOptions, CheckpointRecord, HostFacts
from bridge.model.nanos import Nanos

SPEC = b'{"ociVersion":"1.2.1","process":{"args":["sh"],"cwd":"/"},"annotations":{"a":"b"}}'
IMAGES = {
    "inventory.img": b"\x16\x31\x31\x58" + bytes(16),
    "descriptors.json": b'["/dev/null","/dev/null","/dev/null"]',
    "pages-1.img": bytes(range(256)) * 4096,
    "tmpfs-dev-108.tar.gz.img": b"",
}
RECORD = CheckpointRecord(
    id="c-1",
    node="n1",
    namespace="default",
    container="web.1",
    name="before",
    created_at=Nanos(1_764_219_825_387_033_009),
    archive=ArchiveFacts(size=0, digest="", unpacked=0),
    options=CheckpointOptions(tcp_established=True),
    host=HostFacts(kernel="6.18.1", criu="4.2.1"),
    image="docker.io/library/busybox:local",
    image_digest=f"sha256:{'0' * 64}",
    runtime="io.containerd.runc.v2",
    status="running",
    labels={"a": "b"},
)


def contents(directory: Path, *, layer: bytes | None = None, images: dict[str, bytes] = IMAGES) -> Contents:
    """What goes into an archive, with its files in `directory`."""
    for name, data in {"dump.log": b"(00.1) Version: 4.2.1\n", "stats-dump": b"\0" * 47}.items():
        (directory / name).write_bytes(data)
    (directory / "images").mkdir()
    for name, data in images.items():
        (directory / "images" / name).write_bytes(data)
    if layer is not None:
        (directory / "layer.tar").write_bytes(layer)
    return Contents(
        record=RECORD,
        spec=SPEC,
        images=directory / "images",
        layer=None if layer is None else directory / "layer.tar",
        log=directory / "dump.log",
        stats=directory / "stats-dump",
    )


async def packed(given: Contents, packing: Packing = "zstd") -> tuple[bytes, PackedArchive]:
    archive = await pack(given, packing)
    return b"".join([piece async for piece in archive()]), archive


async def pieces(data: bytes, size: int = 1 << 16) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def unpacked(data: bytes, directory: Path, *, expected: ArchiveFacts | None = None, limits: Limits) -> Arrived:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        async with asyncio.timeout(60):
            return await unpack(pieces(data), descriptor, expected=expected, limits=limits)
    finally:
        os.close(descriptor)


def tree(directory: Path) -> dict[str, bytes | None]:
    """Everything below a directory: the files' bytes, None for directories."""
    return {
        str(path.relative_to(directory)): None if path.is_dir() else path.read_bytes() for path in directory.rglob("*")
    }
