"""The snapshots that are containers' root file systems: `bridge.ports.SnapshotStore`, and what tasks need of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from bridge._pb.containerd.services import containers_pb2, snapshots_pb2
from bridge._pb.containerd.types_pb2 import Mount
from bridge._pb.google.protobuf.field_mask_pb2 import FieldMask
from bridge.containerd.channel import in_namespace
from bridge.containerd.deadlines import LOOK_S, MOUNT_S
from bridge.containerd.errors import command_errors, look_errors
from bridge.containerd.file_tree import containerd_root, read_mounted
from bridge.containerd.unpacking import Unpacking, chain_id
from bridge.model.nanos import format_rfc3339, now
from bridge.ports import ImageContent

__all__ = ["Snapshots"]

GC_ROOT: Final = "containerd.io/gc.root"
"""Label that keeps a thing from containerd's garbage collector (containerd, docs/garbage-collection.md)."""


class Snapshots:
    """The snapshot services of one containerd. Made by `ContainerdRuntime`."""

    def __init__(self, channel: Any, address: Path, unpacking: Unpacking) -> None:
        self._snapshots = snapshots_pb2.SnapshotsStub(channel)
        self._address = address
        self._unpacking = unpacking

    # -- for new containers

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
        """Make a snapshot to write on, of the image's layers, which are unpacked where they are not yet."""
        parent = await self._unpacking.unpack(namespace, snapshotter, image, lease=lease)
        request = snapshots_pb2.PrepareSnapshotRequest(snapshotter=snapshotter, key=key, parent=parent, labels=labels)
        with command_errors(f"prepare snapshot {key} of {image.name} in {namespace}"):
            await self._snapshots.Prepare(request, timeout=MOUNT_S, metadata=in_namespace(namespace, lease))

    async def labels(self, namespace: str, snapshotter: str, key: str) -> Mapping[str, str] | None:
        """Return a snapshot's labels, None where there is none of that key."""
        info = await self._info(namespace, snapshotter, key)
        return None if info is None else dict(info.labels)

    async def stands_on(self, namespace: str, snapshotter: str, key: str, image: ImageContent) -> bool | None:
        """Tell whether a snapshot was made on an image's layers, None where there is none of that key."""
        info = await self._info(namespace, snapshotter, key)
        return None if info is None else info.parent == chain_id(image.diff_ids)

    async def _info(self, namespace: str, snapshotter: str, key: str) -> snapshots_pb2.Info | None:
        with look_errors(f"look at snapshot {key} in {namespace}"):
            request = snapshots_pb2.StatSnapshotRequest(snapshotter=snapshotter, key=key)
            try:
                answer = await self._snapshots.Stat(request, timeout=LOOK_S, metadata=in_namespace(namespace))
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return None
                raise
        return answer.info

    async def remove(self, namespace: str, snapshotter: str, key: str) -> None:
        """Remove a snapshot; that there is none is as good."""
        with command_errors(f"remove snapshot {key} in {namespace}"):
            request = snapshots_pb2.RemoveSnapshotRequest(snapshotter=snapshotter, key=key)
            try:
                await self._snapshots.Remove(request, timeout=MOUNT_S, metadata=in_namespace(namespace))
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise

    async def read(self, namespace: str, snapshotter: str, key: str, path: str, *, most: int) -> bytes | None:
        """Return a file of a snapshot's file tree, None where there is none there."""
        with command_errors(f"look into snapshot {key} in {namespace}"):
            request = snapshots_pb2.MountsRequest(snapshotter=snapshotter, key=key)
            answer = await self._snapshots.Mounts(request, timeout=MOUNT_S, metadata=in_namespace(namespace))

        def read() -> bytes | None:
            return read_mounted(containerd_root(self._address), answer.mounts, path, most=most)

        return await asyncio.to_thread(read)

    # -- of containers that there are

    async def rootfs(self, namespace: str, record: containers_pb2.Container, mount_label: str) -> Sequence[Mount]:
        """Return the mounts that make a container's root; none where its spec names a directory."""
        if not record.snapshot_key:
            return []  # the spec names a directory that is there already, as dockerd's do
        request = snapshots_pb2.MountsRequest(snapshotter=record.snapshotter, key=record.snapshot_key)
        with command_errors(f"mount the snapshot of {record.id} in {namespace}"):
            answer = await self._snapshots.Mounts(request, timeout=MOUNT_S, metadata=in_namespace(namespace))
        mounts = list(answer.mounts)
        if mount_label:
            for mount in mounts:
                mount.options.append(f'context="{mount_label}"')
        return mounts

    async def is_layer(self, namespace: str, record: containers_pb2.Container) -> bool:
        """Tell whether the container's snapshot is a committed one: no container's own, but what others are made of."""
        request = snapshots_pb2.StatSnapshotRequest(snapshotter=record.snapshotter, key=record.snapshot_key)
        with look_errors(f"look at the snapshot of {record.id} in {namespace}"):
            try:
                answer = await self._snapshots.Stat(request, timeout=LOOK_S, metadata=in_namespace(namespace))
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return False
                raise
        return bool(answer.info.kind == snapshots_pb2.COMMITTED)

    async def let_go(self, namespace: str, record: containers_pb2.Container, *, keep: bool) -> None:
        """Remove the container's snapshot, or mark it as kept: what no record refers to falls to the garbage collector."""
        options: dict[str, Any] = {"timeout": MOUNT_S, "metadata": in_namespace(namespace)}
        with command_errors(f"{'keep' if keep else 'remove'} the snapshot of {record.id} in {namespace}"):
            try:
                if keep:
                    kept = snapshots_pb2.Info(name=record.snapshot_key, labels={GC_ROOT: format_rfc3339(now())})
                    mask = FieldMask(paths=[f"labels.{GC_ROOT}"])
                    await self._snapshots.Update(
                        snapshots_pb2.UpdateSnapshotRequest(
                            snapshotter=record.snapshotter, info=kept, update_mask=mask
                        ),
                        **options,
                    )
                else:
                    await self._snapshots.Remove(
                        snapshots_pb2.RemoveSnapshotRequest(snapshotter=record.snapshotter, key=record.snapshot_key),
                        **options,
                    )
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
