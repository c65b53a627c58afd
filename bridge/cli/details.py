"""What is worth saying about an event in one cell, and the colour of its kind."""

from __future__ import annotations

import signal
from collections.abc import Collection
from typing import Any

from bridge.cli.durations import clock, span
from bridge.cli.printable import printable
from bridge.model import events, node_events
from bridge.model.envelope import WORDS, Event, Recorded, Unrecognized
from bridge.model.state import ContainerState

__all__ = ["colour", "details", "ending", "exit_status", "status_colour", "word"]

_WORD_OF = {event.type: word for word, event in WORDS.items()}
_COLOURS: dict[type[Any], str] = {
    events.TaskCreate: "green",
    events.TaskRestored: "green",
    events.TaskStart: "green",
    events.TaskOOM: "bold red",
    events.TaskPaused: "blue",
    events.TaskResumed: "blue",
    events.TaskCheckpointed: "blue",
    events.TaskExecAdded: "dim",
    events.TaskExecStarted: "dim",
    events.CommandRecorded: "cyan",
    events.Anomaly: "bold magenta",
    events.RawEvent: "bold magenta",
    node_events.NodeGap: "bold yellow",
    node_events.NodeDisconnected: "yellow",
    node_events.NodeStopped: "yellow",
    node_events.NodeHeartbeat: "dim",
    node_events.NodeLease: "dim",
}


def word(recorded: Recorded[Event] | Recorded[Unrecognized]) -> str:
    """Return the event's word, or the whole type of one that this version does not know."""
    return _WORD_OF.get(recorded.type) or printable(recorded.type)


def colour(event: Event | Unrecognized) -> str:
    """Return the style of the event's kind."""
    match event:
        case events.TaskExit(exit_status=status) | events.TaskExecExit(exit_status=status):
            return "" if status == 0 else "red"
        case events.ContainerHealth(status=status):
            return {"healthy": "green", "unhealthy": "red"}.get(status, "yellow")
        case events.CommandRecorded(outcome=outcome) if outcome not in ("ok", None):
            return "red"
        case _:
            return _COLOURS.get(type(event), "")


def exit_status(status: int | None) -> str:
    """Return `3`, `137 (SIGKILL)`, or `?` where nobody saw it."""
    if status is None:
        return "?"
    try:
        return f"{status} ({signal.Signals(status - 128).name})"
    except ValueError:
        return str(status)


def ending(state: ContainerState) -> str:
    """Return how a task ended: `exit status 137 (SIGKILL), out of memory`, or that nobody knows."""
    known = state.exit_status is not None
    ended = f"exit status {exit_status(state.exit_status)}" if known else "ended, and nobody saw how"
    return f"{ended}, out of memory" if state.oom else ended


def status_colour(status: str) -> str:
    """Return the style of a status."""
    return {"running": "green", "paused": "blue", "unknown": "yellow"}.get(status, "")


def details(recorded: Recorded[Event] | Recorded[Unrecognized], *, known: Collection[str] = ()) -> str:
    """Return what the event's word does not say yet, without what is `known`; control characters are escaped."""
    parts = [printable(part) for part in _parts(recorded.data) if part]
    if recorded.origin == "reconciled":
        parts.append("reconciled")
    return ", ".join(part for part in parts if part not in known)


def _parts(event: Event | Unrecognized) -> list[str]:
    match event:
        case events.ContainerEvent():
            return _of_container(event)
        case node_events.NodeEvent():
            return _of_node(event)
        case Unrecognized(json=json):
            return [json.decode("utf-8", "replace")]


def _of_container(event: events.ContainerEvent) -> list[str]:  # noqa: PLR0911 - one line per kind is the plainest form
    match event:
        case events.TaskExit(exit_status=status) | events.TaskDelete(exit_status=status):
            return [f"status {exit_status(status)}", *_unknown(event)]
        case events.TaskExecExit(id=exec_id, exit_status=status):
            return [f"exec {exec_id}", f"status {exit_status(status)}", *_unknown(event)]
        case events.TaskExecAdded(exec_id=exec_id):
            return [f"exec {exec_id}"]
        case events.TaskExecStarted(exec_id=exec_id, pid=pid):
            return [f"exec {exec_id}", _pid(pid)]
        case events.TaskCreate(pid=pid) | events.TaskStart(pid=pid):
            return [_pid(pid), *_image(event)]
        case events.TaskRestored(checkpoint=checkpoint) | events.TaskCheckpointed(checkpoint=checkpoint):
            return [f"checkpoint {checkpoint}" if checkpoint else "", *_image(event)]
        case events.ContainerCreate(runtime=runtime):
            return [*_image(event), f"runtime {runtime}" if runtime else ""]
        case events.ContainerUpdate() | events.ContainerHealth():
            return [event.status if isinstance(event, events.ContainerHealth) else "", *_image(event)]
        case events.CommandRecorded(verb=verb, outcome=outcome, error=error):
            asked = f"{verb} (dry run)" if event.dry_run else verb
            by = f"by {event.who.account}/{event.who.user}" if event.who is not None else ""
            return [f"{asked}: {outcome or event.phase}" + (f", {error.message}" if error else ""), by]
        case events.Anomaly(reason=reason, event_type=event_type):
            return [reason, event_type]
        case events.RawEvent(reason=reason, topic=topic, size=size, part=part, parts=parts):
            piece = f"part {part} of {parts}" if parts > 1 else ""
            return [reason, f"topic {topic}" if topic else "", f"{size} bytes", piece]
        case _:
            return []


def _of_node(event: node_events.NodeEvent) -> list[str]:  # noqa: PLR0911 - likewise
    match event:
        case node_events.NodeGap(since=since, until=until, reason=reason):
            bounds = f"{clock(since)} to {clock(until)} ({span(until - since)})" if since else f"up to {clock(until)}"
            return [bounds, reason]
        case node_events.NodeStarted(version=version, pid=pid) | node_events.NodeLease(version=version, pid=pid):
            return [f"containerd-bridge {version}", _pid(pid)]
        case node_events.NodeStopped(reason=reason) | node_events.NodeDisconnected(reason=reason):
            return [reason]
        case node_events.NodeConnected(containerd_version=version):
            return [f"containerd {version}"]
        case node_events.NodeReconciled(containers=containers, told=told, lost=lost, audit=audit):
            unknown = f"{lost} ends unknown" if lost else ""
            return ["audit" if audit else "", f"{containers} containers listed", f"{told} events told", unknown]
        case node_events.NodeHeartbeat(probe_ns=probe):
            return [f"probe {probe / 1e6:.1f} ms"]
        case (
            node_events.ImageCreate(name=name) | node_events.ImageUpdate(name=name) | node_events.ImageDelete(name=name)
        ):
            return [name]
        case _:
            return []


def _unknown(event: events.ContainerEvent) -> list[str]:
    """Return why nobody knows how it ended."""
    return [event.reason or ""] if isinstance(event, events.TaskExit | events.TaskExecExit) else []


def _pid(pid: int) -> str:
    return f"pid {pid}" if pid else ""


def _image(event: events.ContainerEvent) -> list[str]:
    return [f"image {event.image}" if event.image else "", f"name {event.name}" if event.name else ""]
