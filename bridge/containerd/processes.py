"""The processes of containerd's tasks: `bridge.ports.Processes`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import grpc
import msgspec

from bridge._pb.containerd.services import tasks_pb2
from bridge._pb.google.protobuf.any_pb2 import Any as Packed
from bridge.containerd.channel import in_namespace
from bridge.containerd.deadlines import CHANGE_S, LOOK_S
from bridge.containerd.errors import command_errors, look_errors
from bridge.containerd.records import exit_info, task_info
from bridge.containerd.users import lookup_user
from bridge.errors import CommandFailed
from bridge.model.outcomes import ExitInfo, TaskInfo
from bridge.ports.processes import Stdio, UserIds

__all__ = ["Processes"]

PROCESS_TYPE: Final = "types.containerd.io/opencontainers/runtime-spec/1/Process"
"""What containerd calls the JSON of an OCI process (containerd/typeurl, pkg/oci)."""


class Processes:
    """The processes of one containerd's tasks. Made by `ContainerdRuntime`."""

    def __init__(self, channel: Any) -> None:
        self._tasks = tasks_pb2.TasksStub(channel)

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

    async def start(self, namespace: str, container: str, exec_id: str | None) -> int:
        """Run what is registered or created; see the port."""
        with command_errors(f"start {_named(container, exec_id)} in {namespace}"):
            request = tasks_pb2.StartRequest(container_id=container, exec_id=exec_id or "")
            answer = await self._tasks.Start(request, timeout=CHANGE_S, metadata=in_namespace(namespace))
        return answer.pid

    async def get(self, namespace: str, container: str, exec_id: str | None) -> TaskInfo | None:
        """Return a process's state; see the port."""
        with look_errors(f"look at {_named(container, exec_id)} in {namespace}"):
            try:
                request = tasks_pb2.GetRequest(container_id=container, exec_id=exec_id or "")
                answer = await self._tasks.Get(request, timeout=LOOK_S, metadata=in_namespace(namespace))
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return None
                raise
        return task_info(answer.process)

    async def wait(self, namespace: str, container: str, exec_id: str | None) -> ExitInfo:
        """Wait until it has ended, however long; cancelled, containerd is told too."""
        with look_errors(f"wait for the end of {_named(container, exec_id)} in {namespace}"):
            request = tasks_pb2.WaitRequest(container_id=container, exec_id=exec_id or "")
            return exit_info(await self._tasks.Wait(request, metadata=in_namespace(namespace)))

    async def kill(self, namespace: str, container: str, exec_id: str | None, signal: int) -> None:
        """Send it a signal."""
        with command_errors(f"send signal {signal} to {_named(container, exec_id)} in {namespace}"):
            request = tasks_pb2.KillRequest(container_id=container, exec_id=exec_id or "", signal=signal)
            await self._tasks.Kill(request, timeout=CHANGE_S, metadata=in_namespace(namespace))

    async def delete(self, namespace: str, container: str, exec_id: str) -> ExitInfo:
        """Remove an exec; see the port."""
        with command_errors(f"delete {_named(container, exec_id)} in {namespace}"):
            request = tasks_pb2.DeleteProcessRequest(container_id=container, exec_id=exec_id)
            return exit_info(
                await self._tasks.DeleteProcess(request, timeout=CHANGE_S, metadata=in_namespace(namespace))
            )

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
        task = await self.get(namespace, container, None)
        if task is None or not task.pid:
            raise CommandFailed("failed_precondition", f"container {container} has no process: start it first")
        return await asyncio.to_thread(lookup_user, user, container, task.pid)


def _named(container: str, exec_id: str | None) -> str:
    return container if exec_id is None else f"exec {exec_id} of {container}"
