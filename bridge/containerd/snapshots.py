"""The snapshots that are containers' root file systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import grpc

from bridge._pb.containerd.services import containers_pb2, snapshots_pb2
from bridge._pb.containerd.types_pb2 import Mount
from bridge._pb.google.protobuf.field_mask_pb2 import FieldMask
from bridge.containerd.channel import in_namespace
from bridge.containerd.deadlines import MOUNT_S
from bridge.containerd.errors import command_errors
from bridge.model.nanos import format_rfc3339, now

__all__ = ["Snapshots"]

GC_ROOT: Final = "containerd.io/gc.root"
"""Label that keeps a thing from containerd's garbage collector (containerd, docs/garbage-collection.md)."""


class Snapshots:
    """The snapshot services of one containerd."""

    def __init__(self, channel: Any) -> None:
        self._snapshots = snapshots_pb2.SnapshotsStub(channel)

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
