"""What a container wrote on top of its image, as a layer like those of images: taken off one snapshot, laid on another."""

from __future__ import annotations

import secrets
from typing import Any, Final

from bridge._pb.containerd.services import containers_pb2, diff_pb2, snapshots_pb2
from bridge._pb.containerd.types_pb2 import Descriptor as WireDescriptor
from bridge._pb.containerd.types_pb2 import Mount
from bridge.containerd.channel import in_namespace
from bridge.containerd.container_records import ContainerRecords
from bridge.containerd.deadlines import LOOK_S, MOUNT_S, UNPACK_S
from bridge.containerd.errors import storing_errors
from bridge.containerd.unpacking import drop
from bridge.ports import Descriptor

__all__ = ["Layers"]

PLAIN: Final = "application/vnd.oci.image.layer.v1.tar"
PACKED: Final = f"{PLAIN}+gzip"


class Layers:
    """The writable layers of one containerd's containers."""

    def __init__(self, channel: Any, records: ContainerRecords) -> None:
        self._snapshots = snapshots_pb2.SnapshotsStub(channel)
        self._diff = diff_pb2.DiffStub(channel)
        self._records = records

    async def changes(self, namespace: str, container: str, *, packed: bool, lease: str) -> Descriptor | None:
        """Return the layer that a container wrote; see the port.

        What it is compared with is a view of the snapshot that its own was made on, which is gone when this returns.
        """
        record = await self._records.one(namespace, container)
        if not record.snapshot_key:
            return None
        views: list[str] = []
        try:
            with storing_errors(f"find out what {container} in {namespace} has written"):
                stat = snapshots_pb2.StatSnapshotRequest(snapshotter=record.snapshotter, key=record.snapshot_key)
                info = (await self._snapshots.Stat(stat, timeout=LOOK_S, metadata=in_namespace(namespace))).info
                left = await self._view(namespace, record, info.parent, views, lease)
                if info.kind == snapshots_pb2.COMMITTED:
                    right = await self._view(namespace, record, record.snapshot_key, views, lease)
                else:
                    right = await self._mounts(namespace, record.snapshotter, record.snapshot_key)
                request = diff_pb2.DiffRequest(
                    left=left,
                    right=right,
                    media_type=PACKED if packed else PLAIN,
                    ref=f"checkpoint-rw-{secrets.token_hex(8)}",
                )
                answer = await self._diff.Diff(request, timeout=UNPACK_S, metadata=in_namespace(namespace, lease))
        finally:
            for key in views:
                await drop(self._snapshots, namespace, record.snapshotter, key)
        return Descriptor(answer.diff.media_type, answer.diff.digest, answer.diff.size)

    async def apply(self, namespace: str, snapshotter: str, key: str, layer: Descriptor, *, lease: str) -> None:
        """Write a layer onto a snapshot; see the port."""
        with storing_errors(f"write layer {layer.digest} onto snapshot {key} in {namespace}"):
            wire = WireDescriptor(media_type=layer.media_type, digest=layer.digest, size=layer.size)
            request = diff_pb2.ApplyRequest(diff=wire, mounts=await self._mounts(namespace, snapshotter, key))
            await self._diff.Apply(request, timeout=UNPACK_S, metadata=in_namespace(namespace, lease))

    async def _view(
        self, namespace: str, record: containers_pb2.Container, parent: str, views: list[str], lease: str
    ) -> list[Mount]:
        key = f"checkpoint-view-{secrets.token_hex(8)}"
        request = snapshots_pb2.ViewSnapshotRequest(snapshotter=record.snapshotter, key=key, parent=parent)
        views.append(key)
        answer = await self._snapshots.View(request, timeout=MOUNT_S, metadata=in_namespace(namespace, lease))
        return list(answer.mounts)

    async def _mounts(self, namespace: str, snapshotter: str, key: str) -> list[Mount]:
        request = snapshots_pb2.MountsRequest(snapshotter=snapshotter, key=key)
        answer = await self._snapshots.Mounts(request, timeout=MOUNT_S, metadata=in_namespace(namespace))
        return list(answer.mounts)
