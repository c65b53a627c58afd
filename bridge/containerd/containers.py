"""containerd's containers: `bridge.ports.ContainerStore`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import structs

from bridge._pb.containerd import runc_pb2
from bridge._pb.containerd.services import containers_pb2
from bridge._pb.google.protobuf.any_pb2 import Any as WireAny
from bridge._pb.google.protobuf.field_mask_pb2 import FieldMask
from bridge.containerd.bundles import Bundles
from bridge.containerd.channel import in_namespace
from bridge.containerd.container_records import ContainerRecords
from bridge.containerd.deadlines import CHANGE_S
from bridge.containerd.errors import command_errors
from bridge.containerd.records import container_info
from bridge.containerd.snapshots import Snapshots
from bridge.containerd.tasks import Tasks
from bridge.errors import CommandFailed
from bridge.model.commands import RuncOptions
from bridge.model.outcomes import ContainerInfo
from bridge.ports import Defaults, NewContainer

__all__ = ["Containers"]

SPEC: Final = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
"""Type of a spec, which stands there as JSON (containerd, pkg/oci; the number is the spec's major version)."""

RUNC: Final = "io.containerd.runc.v2"
OVERLAYFS: Final = "overlayfs"
DEFAULT_RUNTIME: Final = "containerd.io/defaults/runtime"
DEFAULT_SNAPSHOTTER: Final = "containerd.io/defaults/snapshotter"
"""Labels of a namespace (containerd, client/client_opts.go, pkg/namespaces)."""


class Containers:
    """The containers of one containerd. Made by `ContainerdRuntime`."""

    def __init__(
        self, channel: Any, records: ContainerRecords, snapshots: Snapshots, tasks: Tasks, bundles: Bundles
    ) -> None:
        self._containers = containers_pb2.ContainersStub(channel)
        self._records = records
        self._snapshots = snapshots
        self._tasks = tasks
        self._bundles = bundles

    async def list(self, namespace: str | None, filters: Sequence[str] = ()) -> Sequence[ContainerInfo]:
        """Return the containers of a namespace, or of every one, with their tasks; `filters` are containerd's own."""
        found: list[ContainerInfo] = []
        for name in [namespace] if namespace is not None else await self._records.namespaces():
            records = await self._records.all(name, filters)
            tasks = await self._tasks.infos(name) if records else {}
            found += [container_info(name, record, task=tasks.get(record.id)) for record in records]
        return found

    async def namespaces(self) -> Sequence[str]:
        """Return the names of the namespaces there are, sorted."""
        return await self._records.namespaces()

    async def get(self, namespace: str, container: str) -> ContainerInfo:
        """Return one container's record with its spec, without its task."""
        return container_info(namespace, await self._records.one(namespace, container), with_spec=True)

    async def create(self, namespace: str, wanted: NewContainer, *, lease: str | None = None) -> None:
        """Make a record. Runtime options go into it, so that every task of the container gets them, whoever makes it."""
        record = containers_pb2.Container(
            id=wanted.id,
            labels=wanted.labels,
            image=wanted.image,
            runtime=containers_pb2.Container.Runtime(name=wanted.runtime, options=_options(wanted.runc)),
            spec=WireAny(type_url=SPEC, value=msgspec.json.encode(wanted.spec)),
            snapshotter=wanted.snapshotter,
            snapshot_key=wanted.snapshot_key,
        )
        with command_errors(f"create {wanted.id} in {namespace}"):
            await self._containers.Create(
                containers_pb2.CreateContainerRequest(container=record),
                timeout=CHANGE_S,
                metadata=in_namespace(namespace, lease),
            )

    async def defaults(self, namespace: str) -> Defaults:
        """Return the runtime and the snapshotter that a namespace uses where nobody says otherwise."""
        labels = await self._records.labels(namespace)
        return Defaults(labels.get(DEFAULT_RUNTIME) or RUNC, labels.get(DEFAULT_SNAPSHOTTER) or OVERLAYFS)

    async def respec(
        self,
        namespace: str,
        container: str,
        spec: Mapping[str, Any],
        *,
        labels: Mapping[str, str] = MappingProxyType({}),
        snapshot_key: str | None = None,
    ) -> None:
        """Replace the spec of a container's record, with labels and snapshot where given, in one update."""
        paths = ["spec", *(f"labels.{key}" for key in labels), *([] if snapshot_key is None else ["snapshotkey"])]
        request = containers_pb2.UpdateContainerRequest(
            container=containers_pb2.Container(
                id=container,
                labels=labels,
                snapshot_key=snapshot_key or "",
                spec=WireAny(type_url=SPEC, value=msgspec.json.encode(spec)),
            ),
            update_mask=FieldMask(paths=paths),
        )
        with command_errors(f"change the spec of {container} in {namespace}"):
            await self._containers.Update(request, timeout=CHANGE_S, metadata=in_namespace(namespace))

    async def delete(self, namespace: str, container: str, *, keep_snapshot: bool = False) -> Sequence[str]:
        """Remove the snapshot, unless kept, the record, and the bundle; return a sentence for each that had to stay.

        containerd itself would remove the record under a task, which nobody could reach any more; so this looks first. The
        record goes last but one: as long as it is there, the rest can be tried again.
        """
        record = await self._records.one(namespace, container)
        task = await self._tasks.get(namespace, container)
        if task is not None:
            raise CommandFailed(
                "failed_precondition",
                f"cannot delete {container} in {namespace}: it has a task, which is {task.status}: delete that first",
            )
        left: list[str] = []
        if record.snapshot_key:
            why = None if keep_snapshot else await self._shared(namespace, record)
            if why is None:
                await self._snapshots.let_go(namespace, record, keep=keep_snapshot)
            else:
                left.append(why)
        with command_errors(f"delete {container} in {namespace}"):
            await self._containers.Delete(
                containers_pb2.DeleteContainerRequest(id=container),
                timeout=CHANGE_S,
                metadata=in_namespace(namespace),
            )
        why = await asyncio.to_thread(self._bundles.remove, namespace, container, dict(record.labels))
        return [*left, why] if why else left

    async def _shared(self, namespace: str, record: containers_pb2.Container) -> str | None:
        """Return why the container's snapshot is not its own to remove; None where it is."""
        where = (record.snapshotter, record.snapshot_key)
        others = [
            other.id
            for other in await self._records.all(namespace, [])
            if other.id != record.id and (other.snapshotter, other.snapshot_key) == where
        ]
        if others:
            return f"snapshot {record.snapshot_key} stays: container {others[0]} uses it too"
        if await self._snapshots.is_layer(namespace, record):
            return f"snapshot {record.snapshot_key} stays: it is committed, a layer that others may be made of"
        return None


def _options(runc: RuncOptions | None) -> WireAny | None:
    if runc is None:
        return None
    options = runc_pb2.Options(**structs.asdict(runc))
    return WireAny(type_url=options.DESCRIPTOR.full_name, value=options.SerializeToString())
