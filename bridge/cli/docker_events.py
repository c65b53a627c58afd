"""Events in the words of Docker Engine 29, for tools that read `docker events --format json` or `GET /events`.

The fields are those of API 1.52 and later: `Type`, `Action`, `Actor` with `ID` and `Attributes`, `scope`, `time`, `timeNano`; the
older `status`, `id` and `from` are not among them any more. What containerd does not know cannot be told: docs/cli.md has the
list.

Of Docker's own containers (namespace `moby`) dockerd makes the record in containerd at each start and removes it at each end, so
records that come and go there are no `create` and `destroy`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from bridge.model import events
from bridge.model.commands import signal_number
from bridge.model.envelope import Event, Recorded, Unrecognized
from bridge.model.nanos import Nanos
from bridge.model.state import ContainerState

__all__ = ["DockerEvents"]

MOBY: Final = "moby"
INTERNAL: Final = frozenset({"com.docker/engine.bundle.path"})
"""Labels that dockerd gives its records in containerd, and no container of Docker's has."""

_COMMANDS: Final = {"stop": "stop", "restart": "restart", "update": "update", "resize": "resize", "attach": "attach"}
"""Commands of ours that dockerd tells of too, by its word; `kill` has its signal besides."""

_Place = tuple[str, str | None, str]


class DockerEvents:
    """Turns events into Docker's, in their order: how long something ran is told from when it was seen to start."""

    def __init__(self, running: Iterable[ContainerState] = ()) -> None:
        """Take what is known of containers that began before the first event."""
        self._started: dict[_Place, Nanos] = {}
        self._before: dict[_Place, Nanos] = {
            (one.node, one.namespace, one.container): one.started_at for one in running if one.started_at is not None
        }

    def told(self, recorded: Recorded[Event] | Recorded[Unrecognized]) -> dict[str, Any] | None:
        """Return the event as Docker tells it, None where Docker has none like it."""
        data = recorded.data
        if recorded.container is None or not isinstance(data, events.ContainerEvent):
            return None
        place = (recorded.node, recorded.namespace, recorded.container)
        if isinstance(data, events.TaskStart | events.TaskRestored):
            self._started[place] = recorded.time
        found = _action(data, docker_s=recorded.namespace == MOBY)
        if found is None:
            return None
        action, more = found
        if isinstance(data, events.TaskExit):
            lasted = self._lasted(place, data.exited_at or recorded.time)
            if lasted is not None:
                more["execDuration"] = str(lasted // 1_000_000_000)
        labels = {key: value for key, value in (data.labels or {}).items() if key not in INTERNAL}
        named = {"name": data.name or recorded.container} | ({"image": data.image} if data.image else {})
        return {
            "Type": "container",
            "Action": action,
            "Actor": {"ID": recorded.container, "Attributes": dict(sorted((labels | named | more).items()))},
            "scope": "local",
            "time": recorded.time // 1_000_000_000,
            "timeNano": int(recorded.time),
        }

    def _lasted(self, place: _Place, ended: Nanos) -> int | None:
        began, before = self._started.pop(place, None), self._before.pop(place, None)
        if began is not None:
            return max(0, ended - began)  # of what ends at once containerd tells the start later
        # What is known of now may be of a later task than that of an event of long ago.
        return ended - before if before is not None and before <= ended else None


def _action(event: events.ContainerEvent, *, docker_s: bool) -> tuple[str, dict[str, str]] | None:  # noqa: PLR0911 - a line per kind
    """Return Docker's word for an event, and the attributes that it has beside labels, name and image."""
    match event:
        case events.ContainerCreate():
            return None if docker_s else ("create", {})
        case events.ContainerDelete():
            return None if docker_s else ("destroy", {})
        case events.TaskExit(exit_status=status):
            return "die", {} if status is None else {"exitCode": str(status)}
        case events.TaskExecAdded(exec_id=exec_id):
            return "exec_create", {"execID": exec_id}
        case events.TaskExecStarted(exec_id=exec_id):
            return "exec_start", {"execID": exec_id}
        case events.TaskExecExit(id=exec_id, exit_status=status):
            return "exec_die", {"execID": exec_id} | ({} if status is None else {"exitCode": str(status)})
        case events.ContainerHealth(status=status):
            return f"health_status: {status}", {}
        case events.CommandRecorded(phase="finished", outcome="ok", dry_run=False):
            return _of_command(event)
        case _:
            word = _WORDS.get(type(event))
            return None if word is None else (word, {})


_WORDS: Final[dict[type[events.ContainerEvent], str]] = {
    events.TaskStart: "start",
    events.TaskRestored: "start",
    events.TaskPaused: "pause",
    events.TaskResumed: "unpause",
    events.TaskOOM: "oom",
    events.TaskCheckpointed: "checkpoint",
}


def _of_command(event: events.CommandRecorded) -> tuple[str, dict[str, str]] | None:
    if event.verb == "kill" and not event.options.get("exec_id"):
        try:
            number = signal_number(str(event.options.get("signal") or "SIGTERM"))
        except ValueError:
            return "kill", {}  # a newer bridge knows more of them
        return "kill", {"signal": str(number)}
    word = _COMMANDS.get(event.verb)
    return None if word is None else (word, {})
