"""containerd's leases: `bridge.ports.LeaseStore`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc

from bridge._pb.containerd.services import leases_pb2
from bridge.containerd.channel import in_namespace
from bridge.containerd.container_records import ContainerRecords
from bridge.containerd.deadlines import CHANGE_S, LOOK_S, MOUNT_S
from bridge.containerd.errors import command_errors, look_errors
from bridge.model.nanos import Nanos, format_rfc3339, now
from bridge.ports import Leased

__all__ = ["Leases"]

EXPIRES: Final = "containerd.io/gc.expire"
"""Label with the time from which on containerd itself deletes a lease (containerd, docs/garbage-collection.md)."""

DAY_NS: Final = 24 * 3600 * 1_000_000_000


class Leases:
    """The leases of one containerd. Made by `ContainerdRuntime`."""

    def __init__(self, channel: Any, records: ContainerRecords) -> None:
        self._leases = leases_pb2.LeasesStub(channel)
        self._records = records

    async def create(self, namespace: str, lease: str, labels: Mapping[str, str]) -> None:
        """Make one that expires in a day by itself; one that is there already is as good."""
        expires = format_rfc3339(Nanos(now() + DAY_NS))
        request = leases_pb2.CreateRequest(id=lease, labels={**labels, EXPIRES: expires})
        with command_errors(f"make lease {lease} in {namespace}"):
            try:
                await self._leases.Create(request, timeout=CHANGE_S, metadata=in_namespace(namespace))
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                    raise

    async def delete(self, namespace: str, lease: str, *, sync: bool = False) -> None:
        """Give it up; that there is none is as good."""
        request = leases_pb2.DeleteRequest(id=lease, sync=sync)
        with command_errors(f"delete lease {lease} in {namespace}"):
            try:
                await self._leases.Delete(
                    request, timeout=MOUNT_S if sync else CHANGE_S, metadata=in_namespace(namespace)
                )
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise

    async def hold(self, namespace: str, lease: str, snapshotter: str, key: str) -> None:
        """Put a snapshot under a lease; see the port."""
        resource = leases_pb2.Resource(id=key, type=f"snapshots/{snapshotter}")
        with command_errors(f"hold snapshot {key} in {namespace}"):
            request = leases_pb2.AddResourceRequest(id=lease, resource=resource)
            await self._leases.AddResource(request, timeout=CHANGE_S, metadata=in_namespace(namespace))

    async def list(self, namespaces: Sequence[str], label: str) -> Sequence[Leased]:
        """Return the leases that have this label, of these namespaces or, with none, of all."""
        found: list[Leased] = []
        for namespace in namespaces or await self._records.namespaces():
            with look_errors(f"list the leases in {namespace}"):
                request = leases_pb2.ListRequest(filters=[f'labels."{label}"'])
                answer = await self._leases.List(request, timeout=LOOK_S, metadata=in_namespace(namespace))
            found += [Leased(namespace, lease.id, dict(lease.labels)) for lease in answer.leases]
        return found
