"""An event as a browser gets it: its word, whose it is, when, and what is worth saying about it in one line."""

from __future__ import annotations

import signal

from msgspec import Struct

from bridge.client import StoredEvent, Unrecognized
from bridge.model import events, node_events
from bridge.model.envelope import Event
from bridge.page.rows import LONGEST, key_of, milliseconds

__all__ = ["Told", "exit_text", "is_rehearsed", "told"]


class Told(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One event.

    Attributes:
        n: its number in the stream.
        at: when the bridge read it, in milliseconds: the order of the log, and what "the state at a time" means.
        time: when it happened, by containerd's clock, as the event says it.
        tone: how much it matters: `good`, `bad`, `warning`, or nothing special.
        key: whose it is; empty for events of the node itself.
    """

    n: int
    at: int
    time: str
    word: str
    node: str
    text: str = ""
    tone: str = ""
    key: str = ""
    namespace: str | None = None
    id: str | None = None
    name: str | None = None
    incarnation: str | None = None
    origin: str = "live"


def told(event: StoredEvent) -> Told:
    """Return an event for the browser."""
    data = event.data
    there = event.namespace is not None and event.container is not None
    return Told(
        n=event.stream_sequence,
        at=milliseconds(event.recorded.recordedtime) or 0,
        time=str(event.time),
        word=event.subject.rpartition(".")[2],
        node=event.node,
        text=_text(data)[:LONGEST],
        tone=_tone(data),
        key=key_of(event.node, event.namespace or "", event.container or "") if there else "",
        namespace=event.namespace,
        id=event.container,
        name=data.name[:LONGEST] if isinstance(data, events.ContainerEvent) and data.name else None,
        incarnation=event.incarnation,
        origin=event.recorded.origin,
    )


def is_rehearsed(event: StoredEvent) -> bool:
    """Tell whether an event only says that a command was judged: nothing happened, and the page asks such questions itself."""
    return isinstance(event.data, events.CommandRecorded) and event.data.dry_run


def exit_text(status: int | None) -> str:
    """Return how a process ended: `exit status 137 (SIGKILL)`, or that nobody knows."""
    if status is None:
        return "ended, and nobody knows how"
    try:
        return f"exit status {status} ({signal.Signals(status - 128).name})"
    except ValueError:
        return f"exit status {status}"


def _tone(data: Event | Unrecognized) -> str:
    match data:
        case events.TaskExit(exit_status=status) | events.TaskExecExit(exit_status=status):
            return "" if status == 0 else "bad"
        case events.TaskOOM():
            return "bad"
        case events.CommandRecorded(outcome=outcome):
            return "" if outcome in ("ok", None) else "bad"
        case events.TaskStart() | events.TaskResumed() | node_events.NodeConnected():
            return "good"
        case (
            events.Anomaly()
            | events.RawEvent()
            | Unrecognized()
            | node_events.NodeGap()
            | node_events.NodeDisconnected()
        ):
            return "warning"
        case _:
            return ""


def _text(data: Event | Unrecognized) -> str:
    match data:
        case events.ContainerEvent():
            return _of_container(data)
        case node_events.NodeEvent():
            return _of_node(data)
        case Unrecognized(json=json):
            return json.decode("utf-8", "replace")


def _of_container(data: events.ContainerEvent) -> str:  # noqa: PLR0911 - one line per kind is the plainest form
    match data:
        case events.TaskExit(exit_status=status, reason=reason, cause=cause):
            return exit_text(status) + (f", {reason}" if reason else "") + (f", by a {cause}" if cause else "")
        case events.TaskExecExit(id=exec_id, exit_status=status):
            return f"{exec_id}: {exit_text(status)}"
        case events.TaskExecAdded(exec_id=exec_id) | events.TaskExecStarted(exec_id=exec_id):
            return exec_id
        case events.TaskCreate(pid=pid) | events.TaskStart(pid=pid):
            return f"process {pid}" if pid else ""
        case events.TaskRestored(checkpoint=checkpoint) | events.TaskCheckpointed(checkpoint=checkpoint):
            return checkpoint
        case events.ContainerCreate(image=image) | events.ContainerUpdate(image=image):
            return image or ""
        case events.CommandRecorded(verb=verb, phase="started"):
            return f"{verb} begins"
        case events.CommandRecorded(verb=verb, outcome=outcome, error=error):
            return f"{verb}: {outcome}" + (f", {error.message}" if error else "")
        case events.Anomaly(reason=reason, event_type=event_type):
            return f"{reason}: {event_type}"
        case events.RawEvent(reason=reason, topic=topic, size=size):
            return f"{reason}: {topic}, {size} bytes"
        case _:
            return ""


def _of_node(data: node_events.NodeEvent) -> str:  # noqa: PLR0911 - likewise
    match data:
        case node_events.NodeGap(reason=reason) | node_events.NodeStopped(reason=reason):
            return reason
        case node_events.NodeDisconnected(reason=reason):
            return reason
        case node_events.NodeStarted(version=version):
            return f"containerd-bridge {version}"
        case node_events.NodeConnected(containerd_version=version):
            return f"containerd {version}"
        case node_events.NodeReconciled(containers=containers, told=count, lost=lost):
            return f"{containers} containers listed, {count} events told, {lost} ends unknown"
        case (
            node_events.ImageCreate(name=name) | node_events.ImageUpdate(name=name) | node_events.ImageDelete(name=name)
        ):
            return name
        case _:
            return ""
