"""What containerd keeps of containers and tasks, as structs of `bridge.model`. Pure; no calls.

Times of Go's zero value ("never") and absent ones are None, and so is the status of a process that has not ended.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError
from msgspec import Struct, field

from bridge._pb.containerd import task_pb2
from bridge._pb.containerd.runc_pb2 import Options, ProcessDetails
from bridge._pb.containerd.services import containers_pb2, tasks_pb2
from bridge._pb.google.protobuf.timestamp_pb2 import Timestamp
from bridge.model.kinds import decoder
from bridge.model.naming import name_from_labels
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo, ExitInfo, ProcessInfo, TaskInfo, TaskStatus

__all__ = ["Needs", "container_info", "exit_info", "moment", "needs", "process_info", "spec_of", "task_info"]

_STATUSES: Final[dict[int, TaskStatus]] = {
    task_pb2.CREATED: "created",
    task_pb2.RUNNING: "running",
    task_pb2.STOPPED: "stopped",
    task_pb2.PAUSED: "paused",
    task_pb2.PAUSING: "pausing",
}


class _Process(Struct):
    terminal: bool = False


class _Linux(Struct):
    mount_label: str = field(default="", name="mountLabel")


class _Spec(Struct):
    process: _Process | None = None
    linux: _Linux | None = None


class Needs(Struct, frozen=True, kw_only=True):
    """What a container's spec says that the task has to be created with (OCI runtime-spec, config.md and config-linux.md)."""

    terminal: bool = False
    mount_label: str = ""


def moment(timestamp: Timestamp) -> Nanos | None:
    """Return a point in time, None for "never": unset, or Go's zero time in the year 1."""
    nanos = timestamp.ToNanoseconds()
    return Nanos(nanos) if nanos > 0 else None


def spec_of(record: containers_pb2.Container) -> dict[str, Any] | None:
    """Return the container's OCI spec, None where it has none that is a JSON object."""
    try:
        return msgspec.json.decode(record.spec.value, type=dict[str, Any])
    except msgspec.DecodeError:
        return None


def needs(record: containers_pb2.Container) -> Needs:
    """Return what the spec asks of the task; a spec that cannot be read asks nothing, and runc will say what is wrong."""
    try:
        spec = decoder(_Spec).decode(record.spec.value)
    except msgspec.DecodeError:
        return Needs()
    return Needs(
        terminal=spec.process.terminal if spec.process else False,
        mount_label=spec.linux.mount_label if spec.linux else "",
    )


def container_info(
    namespace: str, record: containers_pb2.Container, *, task: TaskInfo | None = None, with_spec: bool = False
) -> ContainerInfo:
    """Return a container's record."""
    labels = dict(record.labels)
    return ContainerInfo(
        namespace=namespace,
        id=record.id,
        image=record.image,
        name=name_from_labels(labels),
        labels=labels,
        runtime=record.runtime.name,
        runtime_options=_runtime_options(record) if with_spec else None,
        snapshotter=record.snapshotter,
        snapshot_key=record.snapshot_key,
        created_at=moment(record.created_at),
        updated_at=moment(record.updated_at),
        task=task,
        spec=spec_of(record) if with_spec else None,
    )


def _runtime_options(record: containers_pb2.Container) -> dict[str, Any] | None:
    """Return what the runtime is told beyond its defaults, in the names of `RuncOptions` where it is runc; None for nothing."""
    options = record.runtime.options
    if not options.type_url and not options.value:
        return None
    if options.type_url.rpartition("/")[2] != Options.DESCRIPTOR.full_name:
        return {"type_url": options.type_url or "unknown"}
    try:
        return {field.name: value for field, value in Options.FromString(options.value).ListFields()} or None
    except DecodeError:
        return {"type_url": options.type_url}


def task_info(process: task_pb2.Process) -> TaskInfo:
    """Return a task's state. A status that this version has no word for is `unknown`."""
    status = _STATUSES.get(process.status, "unknown")
    return TaskInfo(
        status=status,
        pid=process.pid,
        exit_status=process.exit_status if status == "stopped" else None,
        exited_at=moment(process.exited_at),
        stdin=process.stdin,
        stdout=process.stdout,
        stderr=process.stderr,
        terminal=process.terminal,
    )


def exit_info(response: tasks_pb2.DeleteResponse | tasks_pb2.WaitResponse) -> ExitInfo:
    """Return how a process ended; without a time it never ran, and its status 0 means nothing."""
    exited_at = moment(response.exited_at)
    return ExitInfo(exit_status=None if exited_at is None else response.exit_status, exited_at=exited_at)


def process_info(process: task_pb2.ProcessInfo) -> ProcessInfo:
    """Return one process; containerd names the exec of those that it started itself."""
    exec_id = None
    if process.info.type_url.rpartition("/")[2] == ProcessDetails.DESCRIPTOR.full_name:
        exec_id = ProcessDetails.FromString(process.info.value).exec_id or None
    return ProcessInfo(pid=process.pid, exec_id=exec_id)
