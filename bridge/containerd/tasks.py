"""containerd's tasks: `bridge.ports.Tasks`. A task is asked for by its container's id; containerd has one per container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc

from bridge._pb.containerd.services import tasks_pb2
from bridge.containerd.channel import in_namespace
from bridge.containerd.container_records import ContainerRecords
from bridge.containerd.deadlines import CHANGE_S, LOOK_S, MOUNT_S
from bridge.containerd.errors import command_errors, look_errors
from bridge.containerd.records import exit_info, needs, process_info, task_info
from bridge.containerd.snapshots import Snapshots
from bridge.model import labels
from bridge.model.outcomes import ExitInfo, ProcessInfo, TaskInfo

__all__ = ["Tasks"]

NULL: Final = "/dev/null"


class Tasks:
    """The tasks of one containerd. Made by `ContainerdRuntime`."""

    def __init__(self, channel: Any, records: ContainerRecords, snapshots: Snapshots) -> None:
        self._tasks = tasks_pb2.TasksStub(channel)
        self._records = records
        self._snapshots = snapshots

    # -- what changes them

    async def create(self, namespace: str, container: str) -> int:
        """Make a task from the container's record and snapshot; return its pid. It has no stdio, unless the record says where to.

        Neither runtime nor options are sent: containerd then takes both from the record, where options of a request would
        replace the record's as a whole and, since 2.0, would have to be runc's even for other runtimes.

        A terminal cannot be without output, since the shim copies it to a path that must exist: it goes to /dev/null. Its
        input must stay empty: the end of /dev/null would hang it up.
        """
        record = await self._records.one(namespace, container)
        wanted, output = needs(record), record.labels.get(labels.STDIO, "")
        request = tasks_pb2.CreateTaskRequest(
            container_id=container,
            rootfs=await self._snapshots.rootfs(namespace, record, wanted.mount_label),
            terminal=wanted.terminal,
            stdout=output or (NULL if wanted.terminal else ""),
            stderr="" if wanted.terminal else output,
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

    async def delete(self, namespace: str, container: str) -> ExitInfo:
        """Remove an ended task; return how it ended."""
        with command_errors(f"delete the task of {container} in {namespace}"):
            request = tasks_pb2.DeleteTaskRequest(container_id=container)
            return exit_info(await self._tasks.Delete(request, timeout=MOUNT_S, metadata=in_namespace(namespace)))

    # -- what looks at them

    async def get(self, namespace: str, container: str) -> TaskInfo | None:
        """Return the container's task, None where there is none."""
        with look_errors(f"look at the task of {container} in {namespace}"):
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
        with look_errors(f"list the processes of {container} in {namespace}"):
            request = tasks_pb2.ListPidsRequest(container_id=container)
            answer = await self._tasks.ListPids(request, timeout=LOOK_S, metadata=in_namespace(namespace))
        return [process_info(process) for process in answer.processes]

    async def wait(self, namespace: str, container: str) -> ExitInfo:
        """Wait until the task has ended, however long; cancelled, containerd is told too."""
        with look_errors(f"wait for the end of {container} in {namespace}"):
            request = tasks_pb2.WaitRequest(container_id=container)
            return exit_info(await self._tasks.Wait(request, metadata=in_namespace(namespace)))

    async def infos(self, namespace: str) -> Mapping[str, TaskInfo]:
        """Return every task of a namespace, by its container."""
        with look_errors(f"list the tasks in {namespace}"):
            request = tasks_pb2.ListTasksRequest()
            answer = await self._tasks.List(request, timeout=LOOK_S, metadata=in_namespace(namespace))
        # The id is the container's; container_id is left empty (containerd, services/tasks/local.go).
        return {process.id: task_info(process) for process in answer.tasks}
