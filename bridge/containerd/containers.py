"""containerd's containers: `bridge.ports.ContainerStore`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge._pb.containerd.services import containers_pb2
from bridge.containerd.channel import in_namespace
from bridge.containerd.container_records import ContainerRecords
from bridge.containerd.deadlines import CHANGE_S
from bridge.containerd.errors import command_errors
from bridge.containerd.records import container_info
from bridge.containerd.snapshots import Snapshots
from bridge.containerd.tasks import Tasks
from bridge.errors import CommandFailed
from bridge.model.outcomes import ContainerInfo

__all__ = ["Containers"]


class Containers:
    """The containers of one containerd. Made by `ContainerdRuntime`."""

    def __init__(self, channel: Any, records: ContainerRecords, snapshots: Snapshots, tasks: Tasks) -> None:
        self._containers = containers_pb2.ContainersStub(channel)
        self._records = records
        self._snapshots = snapshots
        self._tasks = tasks

    async def list(self, namespace: str | None, filters: Sequence[str] = ()) -> Sequence[ContainerInfo]:
        """Return the containers of a namespace, or of every one, with their tasks; `filters` are containerd's own."""
        found: list[ContainerInfo] = []
        for name in [namespace] if namespace is not None else await self._records.namespaces():
            records = await self._records.all(name, filters)
            tasks = await self._tasks.infos(name) if records else {}
            found += [container_info(name, record, task=tasks.get(record.id)) for record in records]
        return found

    async def get(self, namespace: str, container: str) -> ContainerInfo:
        """Return one container's record with its spec, without its task."""
        return container_info(namespace, await self._records.one(namespace, container), with_spec=True)

    async def delete(self, namespace: str, container: str, *, keep_snapshot: bool = False) -> None:
        """Remove the snapshot, unless kept, and the record.

        containerd itself would remove the record under a task, which nobody could reach any more; so this looks first.
        """
        record = await self._records.one(namespace, container)
        task = await self._tasks.get(namespace, container)
        if task is not None:
            raise CommandFailed(
                "failed_precondition",
                f"cannot delete {container} in {namespace}: it has a task, which is {task.status}: delete that first",
            )
        if record.snapshot_key:
            await self._snapshots.let_go(namespace, record, keep=keep_snapshot)
        with command_errors(f"delete {container} in {namespace}"):
            await self._containers.Delete(
                containers_pb2.DeleteContainerRequest(id=container),
                timeout=CHANGE_S,
                metadata=in_namespace(namespace),
            )
