"""An image's layers as snapshots: each is unpacked on the one below it, under the name that every client of containerd uses.

So what another client has unpacked is found here, and the other way round (containerd, docs/content-flow.md). The work is
containerd's; what is checked here is that each layer came out as the image says.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Final

import grpc

from bridge._pb.containerd.services import diff_pb2, snapshots_pb2
from bridge._pb.containerd.types_pb2 import Descriptor as WireDescriptor
from bridge.containerd.channel import in_namespace
from bridge.containerd.content import Content
from bridge.containerd.deadlines import LOOK_S, MOUNT_S, UNPACK_S
from bridge.containerd.errors import command_errors, look_errors
from bridge.errors import CommandFailed
from bridge.ports import Descriptor, ImageContent

__all__ = ["Unpacking", "chain_id", "chain_ids", "drop"]

log = logging.getLogger(__name__)

UNCOMPRESSED: Final = "containerd.io/uncompressed"
SNAPSHOT_REF: Final = "containerd.io/gc.ref.snapshot"
"""Label of an image's configuration, followed by a dot and the snapshotter: keeps the snapshot while there is the image."""


def chain_ids(diff_ids: Sequence[str]) -> Iterator[str]:
    """Return the names of an image's snapshots, from the lowest layer up (OCI image-spec, config.md: Layer ChainID)."""
    chain = ""
    for diff_id in diff_ids:
        chain = f"sha256:{hashlib.sha256(f'{chain} {diff_id}'.encode()).hexdigest()}" if chain else diff_id
        yield chain


def chain_id(diff_ids: Sequence[str]) -> str:
    """Return the name of the topmost one; empty for an image without layers."""
    chain = ""
    for each in chain_ids(diff_ids):
        chain = each
    return chain


class Unpacking:
    """Unpacks images into the snapshotters of one containerd."""

    def __init__(self, channel: Any, content: Content) -> None:
        self._snapshots = snapshots_pb2.SnapshotsStub(channel)
        self._diff = diff_pb2.DiffStub(channel)
        self._content = content

    async def unpack(self, namespace: str, snapshotter: str, image: ImageContent, *, lease: str) -> str:
        """Return the snapshot that containers of the image begin with; whatever is missing below it is made.

        Raises:
            CommandFailed: `failed_precondition` where a layer is not what the image says, or is not there.
        """
        chain = chain_id(image.diff_ids)
        if await self.has(namespace, snapshotter, chain):
            return chain
        parent = ""
        for layer, diff_id, name in zip(image.layers, image.diff_ids, chain_ids(image.diff_ids), strict=True):
            if not await self.has(namespace, snapshotter, name):
                await self._layer(namespace, snapshotter, layer, diff_id, name=name, parent=parent, lease=lease)
            parent = name
        await self._content.label(namespace, image.config_digest, {f"{SNAPSHOT_REF}.{snapshotter}": chain})
        return chain

    async def has(self, namespace: str, snapshotter: str, name: str) -> bool:
        """Tell whether there is such a snapshot; that of no layers at all is none, and always there."""
        if not name:
            return True
        with look_errors(f"look for snapshot {name} of {snapshotter} in {namespace}"):
            request = snapshots_pb2.StatSnapshotRequest(snapshotter=snapshotter, key=name)
            try:
                await self._snapshots.Stat(request, timeout=LOOK_S, metadata=in_namespace(namespace))
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return False
                raise
        return True

    async def _layer(
        self, namespace: str, snapshotter: str, layer: Descriptor, diff_id: str, *, name: str, parent: str, lease: str
    ) -> None:
        if await self._content.size(namespace, layer.digest) is None:
            raise CommandFailed(
                "failed_precondition", f"layer {layer.digest} is not in {namespace}: pull or import the image again"
            )
        key = f"extract-{secrets.token_hex(8)} {name}"
        options: dict[str, Any] = {"timeout": UNPACK_S, "metadata": in_namespace(namespace, lease)}
        committed = False
        try:
            with command_errors(f"unpack layer {layer.digest} in {namespace}"):
                prepare = snapshots_pb2.PrepareSnapshotRequest(snapshotter=snapshotter, key=key, parent=parent)
                mounts = (await self._snapshots.Prepare(prepare, **options)).mounts
                wire = WireDescriptor(media_type=layer.media_type, digest=layer.digest, size=layer.size)
                applied = (await self._diff.Apply(diff_pb2.ApplyRequest(diff=wire, mounts=mounts), **options)).applied
            if applied.digest != diff_id:
                raise CommandFailed(
                    "failed_precondition",
                    f"layer {layer.digest} is {applied.digest} unpacked, and its image says {diff_id}: it is damaged",
                )
            with command_errors(f"keep the unpacked layer {layer.digest} in {namespace}"):
                commit = snapshots_pb2.CommitSnapshotRequest(snapshotter=snapshotter, name=name, key=key)
                try:
                    await self._snapshots.Commit(commit, **options)
                    committed = True
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.ALREADY_EXISTS:  # somebody else was quicker
                        raise
        finally:
            if not committed:
                await drop(self._snapshots, namespace, snapshotter, key)
        await self._content.label(namespace, layer.digest, {UNCOMPRESSED: diff_id})


async def drop(snapshots: Any, namespace: str, snapshotter: str, key: str) -> None:
    """Remove a snapshot that was in use for a moment; what cannot be removed falls to the garbage collector.

    Args:
        snapshots: containerd's stub of snapshots.
        namespace: where it is.
        snapshotter: whose it is.
        key: its own.
    """
    request = snapshots_pb2.RemoveSnapshotRequest(snapshotter=snapshotter, key=key)
    try:
        await snapshots.Remove(request, timeout=MOUNT_S, metadata=in_namespace(namespace))
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            log.info("%s in %s is left to the garbage collector: %s", key, namespace, error.details())
