"""What containerd has now: `bridge.ports.InventorySource` over the lists of its gRPC API.

Containers come one by one, since each brings its spec along and a thousand of them would not fit one message. Tasks come in
one answer for each namespace, and containerd asks the shims for it one after the other: a few tenths of a millisecond each, but
two seconds for one that hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc

from bridge._pb.containerd.services import containers_pb2, namespaces_pb2, tasks_pb2
from bridge.containerd.channel import aio_channel, in_namespace
from bridge.containerd.errors import failed
from bridge.containerd.records import container_info, process_info, task_info
from bridge.errors import InventoryFailed
from bridge.model.nanos import now
from bridge.model.outcomes import ContainerInfo, TaskInfo
from bridge.ports import ContainerId, Inventory

__all__ = ["ContainerdInventory"]

LIST_S: Final = 30.0
"""Deadline of one list: fifteen shims that hang."""

EXECS_S: Final = 5.0
"""Deadline for the processes of one container."""

AT_ONCE: Final = 16
"""Containers whose processes are asked for at the same time. Each is a call to a shim, which containerd passes on."""


class ContainerdInventory:
    """Implements `bridge.ports.InventorySource`. Connects when first used, and again by itself after a loss."""

    def __init__(self, address: Path) -> None:
        """Take the path of containerd's gRPC socket. Nothing is opened before `async with`."""
        self._address = address
        self._channel: Any = None

    async def __aenter__(self) -> Self:
        channel = self._channel = aio_channel(self._address)
        self._containers = containers_pb2.ContainersStub(channel)
        self._namespaces = namespaces_pb2.NamespacesStub(channel)
        self._tasks = tasks_pb2.TasksStub(channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def take(
        self, namespaces: Collection[str] | None = None, *, execs_of: Collection[ContainerId] = ()
    ) -> Inventory:
        """List containers and tasks. See `bridge.ports.InventorySource`."""
        before = now()
        containers: dict[ContainerId, ContainerInfo] = {}
        bare: set[ContainerId] = set()
        for namespace in await self._names() if namespaces is None else sorted(namespaces):
            records = await self._records(namespace)
            tasks = await self._task_infos(namespace)
            for record in records:
                task = tasks.pop(record.id, None)
                containers[namespace, record.id] = container_info(namespace, record, task=task)
            bare.update((namespace, container) for container in tasks)
        execs = await self._execs([key for key in execs_of if key in containers])
        return Inventory(
            before=before,
            after=now(),
            namespaces=None if namespaces is None else frozenset(namespaces),
            containers=containers,
            bare=frozenset(bare),
            execs=execs,
        )

    async def _names(self) -> list[str]:
        with self._failing("list the namespaces"):
            answer = await self._namespaces.List(namespaces_pb2.ListNamespacesRequest(), timeout=LIST_S)
        return sorted(namespace.name for namespace in answer.namespaces)

    async def _records(self, namespace: str) -> list[containers_pb2.Container]:
        with self._failing(f"list the containers in {namespace}"):
            stream = self._containers.ListStream(
                containers_pb2.ListContainersRequest(), timeout=LIST_S, metadata=in_namespace(namespace)
            )
            return [message.container async for message in stream]

    async def _task_infos(self, namespace: str) -> dict[str, TaskInfo]:
        with self._failing(f"list the tasks in {namespace}"):
            answer = await self._tasks.List(
                tasks_pb2.ListTasksRequest(), timeout=LIST_S, metadata=in_namespace(namespace)
            )
        # The id is the container's; container_id is left empty (containerd, services/tasks/local.go).
        return {process.id: task_info(process) for process in answer.tasks}

    async def _execs(self, asked: Collection[ContainerId]) -> dict[ContainerId, frozenset[str]]:
        turns = asyncio.Semaphore(AT_ONCE)
        found: dict[ContainerId, frozenset[str]] = {}

        async def ask(namespace: str, container: str) -> None:
            async with turns:
                try:
                    answer = await self._tasks.ListPids(
                        tasks_pb2.ListPidsRequest(container_id=container),
                        timeout=EXECS_S,
                        metadata=in_namespace(namespace),
                    )
                except grpc.RpcError as error:
                    if error.code() is grpc.StatusCode.UNAVAILABLE:
                        raise
                    return  # its task is gone meanwhile, or has ended: then nothing is known of its execs
            processes = [process_info(process) for process in answer.processes]
            found[namespace, container] = frozenset(one.exec_id for one in processes if one.exec_id is not None)

        with self._failing("list processes"):
            try:
                async with asyncio.TaskGroup() as group:
                    for key in asked:
                        group.create_task(ask(*key))
            except* grpc.RpcError as errors:
                raise errors.exceptions[0] from None
        return found

    @contextmanager
    def _failing(self, doing: str) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise InventoryFailed(f"cannot {doing}: {failed(error).reason} ({self._address})") from error
