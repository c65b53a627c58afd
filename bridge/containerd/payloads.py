"""containerd's payloads as events of ours: for each topic its type, how to read it, and which container it is about.

Fields keep containerd's names and values. What containerd leaves unset, and proto3 cannot tell from empty, is null where
null is a value of the field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from google.protobuf.message import Message

from bridge._pb.containerd import events_pb2 as pb
from bridge._pb.containerd.services import images_pb2 as images
from bridge.containerd.envelope import moment
from bridge.model import events, node_events
from bridge.model.envelope import Event
from bridge.model.naming import name_from_labels

__all__ = ["PAYLOADS", "Payload"]

About: TypeAlias = tuple[Event, str | None]
"""An event, and the id of its container as containerd sent it; None for events that belong to no container."""


class Payload(NamedTuple):
    """What a topic carries."""

    type: str
    """Full protobuf name; a `type_url` of containerd's is this, bare."""
    read: Callable[[bytes], Any]
    """Decodes the bytes. Raises `google.protobuf.message.DecodeError`."""
    event: Callable[[Any], About]
    """Makes the event. Raises ValueError if the message holds what cannot be, such as a time beyond all calendars."""


def _task_create(m: pb.TaskCreate) -> About:
    # A restore is a create from a checkpoint; containerd has no event of its own for it.
    kind = events.TaskRestored if m.checkpoint else events.TaskCreate
    io = None
    if m.HasField("io"):
        io = events.TaskIO(stdin=m.io.stdin, stdout=m.io.stdout, stderr=m.io.stderr, terminal=m.io.terminal)
    rootfs = [
        events.Mount(type=mount.type, source=mount.source, target=mount.target, options=list(mount.options))
        for mount in m.rootfs
    ]
    event = kind(container_id=m.container_id, bundle=m.bundle, rootfs=rootfs, io=io, checkpoint=m.checkpoint, pid=m.pid)
    return event, event.container_id


def _task_start(m: pb.TaskStart) -> About:
    event = events.TaskStart(container_id=m.container_id, pid=m.pid)
    return event, event.container_id


def _task_exit(m: pb.TaskExit) -> About:
    container, process = m.container_id, m.id
    # The init process goes by the container's id. An exit without any id can only be the init's.
    kind = events.TaskExit if process in {container, ""} else events.TaskExecExit
    event = kind(
        container_id=container, id=process, pid=m.pid, exit_status=m.exit_status, exited_at=moment(m.exited_at)
    )
    return event, container


def _task_delete(m: pb.TaskDelete) -> About:
    event = events.TaskDelete(
        container_id=m.container_id, id=m.id, pid=m.pid, exit_status=m.exit_status, exited_at=moment(m.exited_at)
    )
    return event, event.container_id


def _task_oom(m: pb.TaskOOM) -> About:
    return events.TaskOOM(container_id=m.container_id), m.container_id


def _task_exec_added(m: pb.TaskExecAdded) -> About:
    return events.TaskExecAdded(container_id=m.container_id, exec_id=m.exec_id), m.container_id


def _task_exec_started(m: pb.TaskExecStarted) -> About:
    return events.TaskExecStarted(container_id=m.container_id, exec_id=m.exec_id, pid=m.pid), m.container_id


def _task_paused(m: pb.TaskPaused) -> About:
    return events.TaskPaused(container_id=m.container_id), m.container_id


def _task_resumed(m: pb.TaskResumed) -> About:
    return events.TaskResumed(container_id=m.container_id), m.container_id


def _task_checkpointed(m: pb.TaskCheckpointed) -> About:
    return events.TaskCheckpointed(container_id=m.container_id, checkpoint=m.checkpoint), m.container_id


def _container_create(m: pb.ContainerCreate) -> About:
    options = None
    if m.runtime.options.type_url:  # an Any without type is how some clients leave it out
        options = events.RuntimeOptions(type_url=m.runtime.options.type_url, value=m.runtime.options.value)
    event = events.ContainerCreate(
        id=m.id, image=m.image or None, runtime=m.runtime.name or None, runtime_options=options
    )
    return event, event.id


def _container_update(m: pb.ContainerUpdate) -> About:
    # The labels are all of them, not those that changed (containerd, plugins/services/containers/local.go).
    labels = dict(m.labels)
    event = events.ContainerUpdate(
        id=m.id,
        image=m.image or None,
        labels=labels,
        name=name_from_labels(labels),
        snapshot_key=m.snapshot_key,
    )
    return event, event.id


def _container_delete(m: pb.ContainerDelete) -> About:
    return events.ContainerDelete(id=m.id), m.id


def _image_create(m: images.ImageCreate) -> About:
    return node_events.ImageCreate(name=m.name, labels=dict(m.labels)), None


def _image_update(m: images.ImageUpdate) -> About:
    return node_events.ImageUpdate(name=m.name, labels=dict(m.labels)), None


def _image_delete(m: images.ImageDelete) -> About:
    return node_events.ImageDelete(name=m.name), None


def _payload(message: type[Message], event: Callable[[Any], About]) -> Payload:
    return Payload(message.DESCRIPTOR.full_name, message.FromString, event)


PAYLOADS: Final[dict[str, Payload]] = {
    "/tasks/create": _payload(pb.TaskCreate, _task_create),
    "/tasks/start": _payload(pb.TaskStart, _task_start),
    "/tasks/exit": _payload(pb.TaskExit, _task_exit),
    "/tasks/delete": _payload(pb.TaskDelete, _task_delete),
    "/tasks/oom": _payload(pb.TaskOOM, _task_oom),
    "/tasks/exec-added": _payload(pb.TaskExecAdded, _task_exec_added),
    "/tasks/exec-started": _payload(pb.TaskExecStarted, _task_exec_started),
    "/tasks/paused": _payload(pb.TaskPaused, _task_paused),
    "/tasks/resumed": _payload(pb.TaskResumed, _task_resumed),
    "/tasks/checkpointed": _payload(pb.TaskCheckpointed, _task_checkpointed),
    "/containers/create": _payload(pb.ContainerCreate, _container_create),
    "/containers/update": _payload(pb.ContainerUpdate, _container_update),
    "/containers/delete": _payload(pb.ContainerDelete, _container_delete),
    "/images/create": _payload(images.ImageCreate, _image_create),
    "/images/update": _payload(images.ImageUpdate, _image_update),
    "/images/delete": _payload(images.ImageDelete, _image_delete),
}
"""Topic -> what it carries (containerd, core/runtime/events.go, plugins/services/{containers,images})."""
