"""containerd's tasks and their processes: `bridge.ports.Tasks`.

A task is asked for by its container's id, since containerd has one per container; an exec by its own id besides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc
import msgspec
from msgspec import structs

from bridge._pb.containerd.services import containers_pb2, tasks_pb2
from bridge._pb.google.protobuf.any_pb2 import Any as Packed
from bridge.containerd.channel import in_namespace
from bridge.containerd.container_records import ContainerRecords
from bridge.containerd.deadlines import CHANGE_S, LOOK_S, MOUNT_S
from bridge.containerd.errors import command_errors, look_errors
from bridge.containerd.host import HostProcesses, Process, Seen
from bridge.containerd.metrics import task_stats
from bridge.containerd.records import exit_info, needs, process_info, task_info
from bridge.containerd.snapshots import Snapshots
from bridge.containerd.throttles import wanted
from bridge.containerd.users import lookup_user
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.identity import check_identifier
from bridge.model.outcomes import ExitInfo, ProcessInfo, TaskInfo, TaskStats
from bridge.ports.processes import Stdio, UserIds

__all__ = ["PROCESS_TYPE", "Tasks"]

NULL: Final = "/dev/null"

KNOWN: Final = 10_000
"""Processes of a namespace whose networks were looked at, at the most."""

FREEZES: Final = 5
UNABLE: Final = "unable to freeze"
"""How often runc is asked to freeze a task, and what it says where it has given up (libcontainer/cgroups/fs/freezer.go)."""

PROCESS_TYPE: Final = "types.containerd.io/opencontainers/runtime-spec/1/Process"
RESOURCES_TYPE: Final = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
"""What containerd calls the JSON of these (containerd/typeurl, pkg/oci and client/client.go)."""


class Tasks:
    """The tasks of one containerd. Made by `ContainerdRuntime`."""

    def __init__(self, channel: Any, records: ContainerRecords, snapshots: Snapshots, host: HostProcesses) -> None:
        self._tasks = tasks_pb2.TasksStub(channel)
        self._records = records
        self._snapshots = snapshots
        self._host = host
        self._inits: dict[str, dict[str, Process]] = {}

    # -- what changes them

    async def create(self, namespace: str, container: str, *, stdio: Stdio | None = None) -> int:
        """Make a task from the container's record and snapshot; return its pid.

        Without `stdio` it has none, unless the record's label says where its output goes.

        Neither runtime nor options are sent: containerd then takes both from the record, where options of a request would
        replace the record's as a whole and, since 2.0, would have to be runc's even for other runtimes.

        A terminal cannot be without output all the same, since the shim copies it to a path that must exist: it
        goes to /dev/null. Its input must stay empty: the end of /dev/null would hang it up.
        """
        request = await self.request(namespace, await self._records.one(namespace, container), stdio)
        with command_errors(f"create a task of {container} in {namespace}"):
            answer = await self._tasks.Create(request, timeout=MOUNT_S, metadata=in_namespace(namespace))
        return answer.pid

    async def request(
        self, namespace: str, record: containers_pb2.Container, stdio: Stdio | None
    ) -> tasks_pb2.CreateTaskRequest:
        """Return what containerd is asked for a task of this record."""
        wanted, output = needs(record), record.labels.get(labels.STDIO, "")
        if output == labels.ON_THE_BUS:  # and nobody made a way there: somebody else than us runs it
            output = ""
        return tasks_pb2.CreateTaskRequest(
            container_id=record.id,
            rootfs=await self._snapshots.rootfs(namespace, record, wanted.mount_label),
            terminal=wanted.terminal,
            stdin=stdio.stdin if stdio else "",
            stdout=stdio.stdout if stdio else output or (NULL if wanted.terminal else ""),
            stderr=stdio.stderr if stdio else "" if wanted.terminal else output,
        )

    async def exec(self, namespace: str, container: str, exec_id: str, spec: Mapping[str, Any], stdio: Stdio) -> None:
        """Register a process; see the port."""
        request = tasks_pb2.ExecProcessRequest(
            container_id=container,
            exec_id=exec_id,
            stdin=stdio.stdin,
            stdout=stdio.stdout,
            stderr=stdio.stderr,
            terminal=stdio.terminal,
            spec=Packed(type_url=PROCESS_TYPE, value=msgspec.json.encode(spec)),
        )
        with command_errors(f"exec {exec_id} in {container} in {namespace}"):
            await self._tasks.Exec(request, timeout=CHANGE_S, metadata=in_namespace(namespace))

    async def start(self, namespace: str, container: str, exec_id: str | None = None) -> int:
        """Run a created task, or a registered exec; return its pid."""
        with command_errors(f"start {_named(container, exec_id)} in {namespace}"):
            request = tasks_pb2.StartRequest(container_id=container, exec_id=exec_id or "")
            answer = await self._tasks.Start(request, timeout=CHANGE_S, metadata=in_namespace(namespace))
        return answer.pid

    async def pause(self, namespace: str, container: str) -> None:
        """Freeze it.

        With control groups of the first version runc may see no end of a task that starts processes all the time, on a busy host.
        It lets all of it run on then, and is asked again.
        """
        request = tasks_pb2.PauseTaskRequest(container_id=container)
        for left in reversed(range(FREEZES)):
            try:
                with command_errors(f"pause {container} in {namespace}"):
                    await self._tasks.Pause(request, timeout=CHANGE_S, metadata=in_namespace(namespace))
            except CommandFailed as error:
                if not left or UNABLE not in (error.containerd or ""):
                    raise
            else:
                return

    async def resume(self, namespace: str, container: str) -> None:
        """Let it run on."""
        with command_errors(f"resume {container} in {namespace}"):
            request = tasks_pb2.ResumeTaskRequest(container_id=container)
            await self._tasks.Resume(request, timeout=CHANGE_S, metadata=in_namespace(namespace))

    async def kill(
        self, namespace: str, container: str, signal: int, *, all_processes: bool = False, exec_id: str | None = None
    ) -> None:
        """Send a signal. That there is none left to get it is no failure with `all_processes`."""
        with command_errors(f"send signal {signal} to {_named(container, exec_id)} in {namespace}"):
            request = tasks_pb2.KillRequest(
                container_id=container, exec_id=exec_id or "", signal=signal, all=all_processes
            )
            await self._tasks.Kill(request, timeout=CHANGE_S, metadata=in_namespace(namespace))

    async def kill_frozen(self, namespace: str, container: str) -> bool:
        """Give every process of a paused task its SIGKILL; False where they cannot be seen from here."""
        with command_errors(f"list the processes of {container} in {namespace}"):
            request = tasks_pb2.ListPidsRequest(container_id=container)
            answer = await self._tasks.ListPids(request, timeout=LOOK_S, metadata=in_namespace(namespace))
        return await asyncio.to_thread(self._host.kill, [process.pid for process in answer.processes])

    async def update(
        self, namespace: str, container: str, resources: Mapping[str, Any], annotations: Mapping[str, str]
    ) -> None:
        """Give it other limits."""
        request = tasks_pb2.UpdateTaskRequest(
            container_id=container,
            resources=Packed(type_url=RESOURCES_TYPE, value=msgspec.json.encode(resources)),
            annotations=annotations,
        )
        with command_errors(f"update {container} in {namespace}"):
            await self._tasks.Update(request, timeout=CHANGE_S, metadata=in_namespace(namespace))
        await self._check_throttles(namespace, container, resources)

    async def _check_throttles(self, namespace: str, container: str, resources: Mapping[str, Any]) -> None:
        task = await self.get(namespace, container) if wanted(resources) else None
        devices = await asyncio.to_thread(self._host.passed_over, resources, task.pid) if task is not None else []
        if devices and await self.get(namespace, container) == task:
            raise CommandFailed(
                "failed_precondition",
                f"the runtime of container {container} gives a task that runs no limits for devices ({', '.join(devices)}), "
                "as runc before 1.2: stop it first, and update what its next task has; other limits of this command are set",
            )

    async def delete(self, namespace: str, container: str, exec_id: str | None = None) -> ExitInfo:
        """Remove an ended task, or an exec; return how it ended."""
        of = in_namespace(namespace)
        with command_errors(f"delete {_task_of(container, exec_id)} in {namespace}"):
            if exec_id is None:
                task = tasks_pb2.DeleteTaskRequest(container_id=container)
                return exit_info(await self._tasks.Delete(task, timeout=MOUNT_S, metadata=of))
            process = tasks_pb2.DeleteProcessRequest(container_id=container, exec_id=exec_id)
            return exit_info(await self._tasks.DeleteProcess(process, timeout=CHANGE_S, metadata=of))

    # -- what looks at them

    async def get(self, namespace: str, container: str, exec_id: str | None = None) -> TaskInfo | None:
        """Return the container's task, or one exec of it; None where there is none."""
        with look_errors(f"look at {_named(container, exec_id)} in {namespace}"):
            try:
                request = tasks_pb2.GetRequest(container_id=container, exec_id=exec_id or "")
                answer = await self._tasks.Get(request, timeout=LOOK_S, metadata=in_namespace(namespace))
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return None
                raise
        return task_info(answer.process)

    async def pids(self, namespace: str, container: str) -> Sequence[ProcessInfo]:
        """Return the processes of a task, and what the kernel says of them where it can be seen from here."""
        with look_errors(f"list the processes of {container} in {namespace}"):
            request = tasks_pb2.ListPidsRequest(container_id=container)
            answer = await self._tasks.ListPids(request, timeout=LOOK_S, metadata=in_namespace(namespace))
        return await asyncio.to_thread(self._host.described, [process_info(process) for process in answer.processes])

    async def wait(self, namespace: str, container: str, exec_id: str | None = None) -> ExitInfo:
        """Wait until the task, or one exec, has ended, however long; cancelled, containerd is told too."""
        with look_errors(f"wait for the end of {_named(container, exec_id)} in {namespace}"):
            request = tasks_pb2.WaitRequest(container_id=container, exec_id=exec_id or "")
            return exit_info(await self._tasks.Wait(request, metadata=in_namespace(namespace)))

    async def metrics(self, namespace: str, containers: Sequence[str] = ()) -> Sequence[TaskStats]:
        """Return what these tasks use, those of the whole namespace unless some are named.

        containerd passes over a task whose numbers cannot be had, without a word.
        """
        filters = [f'id=="{check_identifier(container, "container id")}"' for container in containers]
        looking = self._look_at_known(namespace, containers)
        try:
            with look_errors(f"measure the tasks in {namespace}"):
                request = tasks_pb2.MetricsRequest(filters=filters)
                answer = await self._tasks.Metrics(request, timeout=LOOK_S, metadata=in_namespace(namespace))
            found = [one for one in (task_stats(namespace, metric) for metric in answer.metrics) if not _is_over(one)]
            if any(one.network is None for one in found):
                found = await self._with_networks(namespace, found, await looking)
        finally:
            looking.cancel()
        return found

    def _look_at_known(self, namespace: str, containers: Sequence[str]) -> asyncio.Future[Mapping[str, Seen] | None]:
        """Look, while containerd measures, for the networks of the processes that were there last time."""
        known = self._inits.get(namespace, {})
        chosen = {container: known[container] for container in containers or known if container in known}
        if chosen:
            return asyncio.ensure_future(asyncio.to_thread(self._host.networks, chosen))
        nothing: asyncio.Future[Mapping[str, Seen] | None] = asyncio.get_running_loop().create_future()
        nothing.set_result({})
        return nothing

    async def _with_networks(
        self, namespace: str, found: Sequence[TaskStats], seen: Mapping[str, Seen] | None
    ) -> list[TaskStats]:
        """Add what the runtime leaves out, runc's before containerd 2.2 always; `seen` is what was found of it already.

        Whose network it is the pid says, and a list of the tasks costs half as much as all their numbers. So the pids of last
        time are taken as long as the same processes have them, and one container is asked about alone.
        """
        if seen is not None:
            missing = [one.container for one in found if one.network is None and one.container not in seen]
            if missing:
                tasks = await self._infos_of(namespace, missing)
                pids = {container: Process(tasks[container].pid) for container in missing if container in tasks}
                more = await asyncio.to_thread(self._host.networks, pids)
                seen = None if more is None else {**seen, **more}
        if seen is None:
            return list(found)
        self._remember(namespace, found, seen)
        return [
            structs.replace(one, network=seen[one.container].network)
            if one.network is None and one.container in seen
            else one
            for one in found
        ]

    async def _infos_of(self, namespace: str, containers: Sequence[str]) -> Mapping[str, TaskInfo]:
        if len(containers) > 1:
            return await self.infos(namespace)
        there = {container: await self.get(namespace, container) for container in containers}
        return {container: info for container, info in there.items() if info is not None}

    def _remember(self, namespace: str, found: Sequence[TaskStats], seen: Mapping[str, Seen]) -> None:
        known = self._inits.setdefault(namespace, {})
        if len(known) > KNOWN:  # of containers that are long gone
            known.clear()
        for one in found:
            if one.container in seen:
                known[one.container] = seen[one.container].process

    async def infos(self, namespace: str) -> Mapping[str, TaskInfo]:
        """Return every task of a namespace, by its container."""
        with look_errors(f"list the tasks in {namespace}"):
            request = tasks_pb2.ListTasksRequest()
            answer = await self._tasks.List(request, timeout=LOOK_S, metadata=in_namespace(namespace))
        # The id is the container's; container_id is left empty (containerd, services/tasks/local.go).
        return {process.id: task_info(process) for process in answer.tasks}

    # -- their stdio, and their users

    async def resize(self, namespace: str, container: str, exec_id: str | None, *, width: int, height: int) -> None:
        """Give its terminal a size."""
        with command_errors(f"resize the terminal of {_named(container, exec_id)} in {namespace}"):
            request = tasks_pb2.ResizePtyRequest(
                container_id=container, exec_id=exec_id or "", width=width, height=height
            )
            await self._tasks.ResizePty(request, timeout=CHANGE_S, metadata=in_namespace(namespace))

    async def close_stdin(self, namespace: str, container: str, exec_id: str | None) -> None:
        """Let the shim close its own end of stdin."""
        with command_errors(f"close the stdin of {_named(container, exec_id)} in {namespace}"):
            request = tasks_pb2.CloseIORequest(container_id=container, exec_id=exec_id or "", stdin=True)
            await self._tasks.CloseIO(request, timeout=CHANGE_S, metadata=in_namespace(namespace))

    async def user(self, namespace: str, container: str, user: str) -> UserIds:
        """Return who `user` is in a running container; see the port."""
        task = await self.get(namespace, container)
        if task is None or not task.pid:
            raise CommandFailed("failed_precondition", f"container {container} has no process: start it first")
        return await asyncio.to_thread(lookup_user, user, container, task.pid)


def _is_over(stats: TaskStats) -> bool:
    """Tell whether the task has ended: its control group outlives its processes until it is deleted."""
    return stats.pids is not None and stats.pids.current == 0


def _named(container: str, exec_id: str | None) -> str:
    return container if exec_id is None else f"exec {exec_id} of {container}"


def _task_of(container: str, exec_id: str | None) -> str:
    return f"the task of {container}" if exec_id is None else _named(container, exec_id)
