"""containerd's containers and tasks, as the commands need them: `bridge.ports.ContainerRuntime` over one gRPC channel.

Every call names its namespace and has a deadline, but the one that waits for an exit. Failures are `CommandFailed` with our
code and containerd's own words. A task is asked for by its container's id; containerd has one task per container.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc

from bridge._pb.containerd.services import containers_pb2, namespaces_pb2, snapshots_pb2, tasks_pb2, version_pb2
from bridge._pb.containerd.types_pb2 import Mount
from bridge._pb.google.protobuf.empty_pb2 import Empty
from bridge._pb.google.protobuf.field_mask_pb2 import FieldMask
from bridge.containerd.channel import aio_channel, in_namespace
from bridge.containerd.errors import command_errors
from bridge.containerd.records import container_info, exit_info, needs, process_info, task_info
from bridge.errors import CommandFailed
from bridge.model.nanos import format_rfc3339, now
from bridge.model.outcomes import ContainerInfo, ExitInfo, ProcessInfo, TaskInfo
from bridge.ports import RuntimeVersion

__all__ = ["ContainerdRuntime"]

LOOK_S: Final = 30.0
"""Deadline of what only looks. A list asks every shim, and containerd gives one that hangs two seconds before it goes on
(containerd, runtime/v2: io.containerd.timeout.task.state)."""

CHANGE_S: Final = 60.0
"""Deadline of what changes a task: a runc process each, tenths of a second, many seconds on a host that swaps."""

MOUNT_S: Final = 120.0
"""Deadline of what makes or removes a root file system: mounting may fetch from afar, removing deletes every file."""

GC_ROOT: Final = "containerd.io/gc.root"
"""Label that keeps a thing from containerd's garbage collector (containerd, docs/garbage-collection.md)."""

NULL: Final = "/dev/null"


class ContainerdRuntime:
    """The containerd behind one socket. Connects when first used, and again by itself after a loss."""

    def __init__(self, address: Path) -> None:
        """Take the path of containerd's gRPC socket. Nothing is opened before `async with`."""
        self._address = address
        self._channel: Any = None

    async def __aenter__(self) -> Self:
        channel = self._channel = aio_channel(self._address)
        self._containers = containers_pb2.ContainersStub(channel)
        self._namespaces = namespaces_pb2.NamespacesStub(channel)
        self._snapshots = snapshots_pb2.SnapshotsStub(channel)
        self._tasks = tasks_pb2.TasksStub(channel)
        self._version = version_pb2.VersionStub(channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def version(self) -> RuntimeVersion:
        """Return containerd's version."""
        with _looking("ask containerd for its version"):
            answer = await self._version.Version(Empty(), timeout=LOOK_S)
        return RuntimeVersion(answer.version, answer.revision)

    # -- records of containers

    async def list(self, namespace: str | None, filters: Sequence[str] = ()) -> Sequence[ContainerInfo]:
        """Return the containers of a namespace, or of every one, with their tasks; `filters` are containerd's own."""
        found: list[ContainerInfo] = []
        for name in [namespace] if namespace is not None else await self._namespace_names():
            records = await self._records(name, filters)
            tasks = await self._task_infos(name) if records else {}
            found += [container_info(name, record, task=tasks.get(record.id)) for record in records]
        return found

    async def get(self, namespace: str, container: str) -> ContainerInfo:
        """Return one container's record with its spec, without its task."""
        return container_info(namespace, await self._record(namespace, container), with_spec=True)

    async def delete(self, namespace: str, container: str, *, keep_snapshot: bool = False) -> None:
        """Remove the snapshot, unless kept, and the record.

        containerd itself would remove the record under a task, which nobody could reach any more; so this looks first.
        """
        record = await self._record(namespace, container)
        task = await self.task(namespace, container)
        if task is not None:
            raise CommandFailed(
                "failed_precondition",
                f"cannot delete {container} in {namespace}: it has a task, which is {task.status}: delete that first",
            )
        if record.snapshot_key:
            await self._let_go(namespace, record, keep=keep_snapshot)
        with command_errors(f"delete {container} in {namespace}"):
            await self._containers.Delete(
                containers_pb2.DeleteContainerRequest(id=container),
                timeout=CHANGE_S,
                metadata=in_namespace(namespace),
            )

    async def _record(self, namespace: str, container: str) -> containers_pb2.Container:
        with _looking(f"look at {container} in {namespace}"):
            request = containers_pb2.GetContainerRequest(id=container)
            answer = await self._containers.Get(request, timeout=LOOK_S, metadata=in_namespace(namespace))
        return answer.container

    async def _records(self, namespace: str, filters: Sequence[str]) -> Sequence[containers_pb2.Container]:
        request = containers_pb2.ListContainersRequest(filters=filters)
        options: dict[str, Any] = {"timeout": LOOK_S, "metadata": in_namespace(namespace)}
        with _looking(f"list the containers in {namespace}"):
            try:
                # One by one, because all together may be more than one message holds.
                stream = self._containers.ListStream(request, **options)
                return [message.container async for message in stream]
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
            return (await self._containers.List(request, **options)).containers

    async def _namespace_names(self) -> Sequence[str]:
        with _looking("list the namespaces"):
            answer = await self._namespaces.List(namespaces_pb2.ListNamespacesRequest(), timeout=LOOK_S)
        return sorted(namespace.name for namespace in answer.namespaces)

    # -- snapshots

    async def _rootfs(self, namespace: str, record: containers_pb2.Container, mount_label: str) -> Sequence[Mount]:
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

    async def _let_go(self, namespace: str, record: containers_pb2.Container, *, keep: bool) -> None:
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

    # -- tasks: what changes them

    async def create(self, namespace: str, container: str) -> int:
        """Make a task without stdio from the container's record and snapshot; return its pid.

        Neither runtime nor options are sent: containerd then takes both from the record, where options of a request would
        replace the record's as a whole and, since 2.0, would have to be runc's even for other runtimes.

        A terminal cannot be without output, since the shim copies it to a path that must exist: it goes to /dev/null. Its
        input must stay empty: the end of /dev/null would hang it up.
        """
        record = await self._record(namespace, container)
        wanted = needs(record)
        request = tasks_pb2.CreateTaskRequest(
            container_id=container,
            rootfs=await self._rootfs(namespace, record, wanted.mount_label),
            terminal=wanted.terminal,
            stdout=NULL if wanted.terminal else "",
        )
        with command_errors(f"create a task of {container} in {namespace}"):
            answer = await self._tasks.Create(request, timeout=MOUNT_S, metadata=in_namespace(namespace))
        return answer.pid

    async def start(self, namespace: str, container: str) -> int:
        """Run a created task; return its pid."""
        with command_errors(f"start {container} in {namespace}"):
            request = tasks_pb2.StartRequest(container_id=container)
            answer = await self._tasks.Start(request, timeout=CHANGE_S, metadata=in_namespace(namespace))
        return answer.pid

    async def pause(self, namespace: str, container: str) -> None:
        """Freeze it."""
        with command_errors(f"pause {container} in {namespace}"):
            request = tasks_pb2.PauseTaskRequest(container_id=container)
            await self._tasks.Pause(request, timeout=CHANGE_S, metadata=in_namespace(namespace))

    async def resume(self, namespace: str, container: str) -> None:
        """Let it run on."""
        with command_errors(f"resume {container} in {namespace}"):
            request = tasks_pb2.ResumeTaskRequest(container_id=container)
            await self._tasks.Resume(request, timeout=CHANGE_S, metadata=in_namespace(namespace))

    async def kill(
        self, namespace: str, container: str, signal: int, *, all_processes: bool = False, exec_id: str | None = None
    ) -> None:
        """Send a signal. That there is none left to get it is no failure with `all_processes`."""
        with command_errors(f"send signal {signal} to {container} in {namespace}"):
            request = tasks_pb2.KillRequest(
                container_id=container, exec_id=exec_id or "", signal=signal, all=all_processes
            )
            await self._tasks.Kill(request, timeout=CHANGE_S, metadata=in_namespace(namespace))

    async def delete_task(self, namespace: str, container: str) -> ExitInfo:
        """Remove an ended task; return how it ended."""
        with command_errors(f"delete the task of {container} in {namespace}"):
            request = tasks_pb2.DeleteTaskRequest(container_id=container)
            return exit_info(await self._tasks.Delete(request, timeout=MOUNT_S, metadata=in_namespace(namespace)))

    # -- tasks: what looks at them

    async def task(self, namespace: str, container: str) -> TaskInfo | None:
        """Return the container's task, None where there is none."""
        with _looking(f"look at the task of {container} in {namespace}"):
            try:
                request = tasks_pb2.GetRequest(container_id=container)
                answer = await self._tasks.Get(request, timeout=LOOK_S, metadata=in_namespace(namespace))
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return None
                raise
        return task_info(answer.process)

    async def pids(self, namespace: str, container: str) -> Sequence[ProcessInfo]:
        """Return the processes of a task."""
        with _looking(f"list the processes of {container} in {namespace}"):
            request = tasks_pb2.ListPidsRequest(container_id=container)
            answer = await self._tasks.ListPids(request, timeout=LOOK_S, metadata=in_namespace(namespace))
        return [process_info(process) for process in answer.processes]

    async def wait(self, namespace: str, container: str) -> ExitInfo:
        """Wait until the task has ended, however long; cancelled, containerd is told too."""
        with _looking(f"wait for the end of {container} in {namespace}"):
            request = tasks_pb2.WaitRequest(container_id=container)
            return exit_info(await self._tasks.Wait(request, metadata=in_namespace(namespace)))

    async def _task_infos(self, namespace: str) -> dict[str, TaskInfo]:
        with _looking(f"list the tasks in {namespace}"):
            request = tasks_pb2.ListTasksRequest()
            answer = await self._tasks.List(request, timeout=LOOK_S, metadata=in_namespace(namespace))
        # The id is the container's; container_id is left empty (containerd, services/tasks/local.go).
        return {process.id: task_info(process) for process in answer.tasks}


@contextmanager
def _looking(doing: str) -> Iterator[None]:
    """As `command_errors`, for what only looks: a broken connection leaves nothing open, the call may be made again."""
    try:
        with command_errors(doing):
            yield
    except CommandFailed as error:
        status = error.__cause__.code() if isinstance(error.__cause__, grpc.RpcError) else None
        if status not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
            raise
        raise CommandFailed("unavailable", error.message, containerd=error.containerd) from error.__cause__
