"""The log folded: what every container was at a point of the log, or at its end.

The log forgets: of a container whose first events have expired the fold begins in the middle. What such events cannot tell
is taken from the state that is kept beside the log, where there is one, as far as it must have been the same (`Folded.at_point`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from msgspec.structs import replace

from bridge.client.points import Point, show_point
from bridge.client.reading import closing, whole_log
from bridge.model.anomalies import is_other
from bridge.model.envelope import Event, Recorded, Unrecognized, parse_source
from bridge.model.envelope import Sequence as Number
from bridge.model.events import ContainerCreate, ContainerEvent, ContainerUpdate, TaskCreate
from bridge.model.fold import evolve
from bridge.model.nanos import Nanos
from bridge.model.state import ContainerState
from bridge.model.subjects import ContainerKey
from bridge.ports import EventReader, LogExtent, StoredEvent

__all__ = ["Folded", "demand_reach", "fold", "key_of"]

_Place: TypeAlias = tuple[str, str]
"""`source` and `subject` of an envelope: the same, and not taken apart for every event."""


_OF_A_TASK: Final = (
    "status",
    "incarnation",
    "task_created_at",
    "pid",
    "exited",
    "exit_status",
    "exited_at",
    "lost",
    "oom",
    "ooms",
    "execs",
    "restored_from",
    "started_at",
    "paused_at",
)


def key_of(state: ContainerState) -> ContainerKey:
    """Return whose state it is."""
    return ContainerKey(state.node, state.namespace, state.container)


class Folded:
    """What the log tells, event by event.

    Give it events with `take`, in the log's order. The point, where there is one, does not stop it: what comes behind tells
    what must have been before.
    """

    def __init__(
        self, point: Nanos | int | None = None, kept: Mapping[ContainerKey, ContainerState] | None = None
    ) -> None:
        """Take what it is to be.

        Args:
            point: a time, a stream sequence, or None for the end.
            kept: the states beside the log, read before the log is.
        """
        self._point = point
        self._kept = kept or {}
        self._ends: dict[_Place, ContainerState] = {}
        self._points: dict[_Place, ContainerState | None] = {}
        """What was at the point, of containers that have events behind it."""
        self._first: dict[_Place, StoredEvent] = {}
        """The first event of each container whose log begins in the middle."""
        self._onward: dict[_Place, ContainerState] = {}
        """What was kept of such a container, with the events since."""
        self._renewed: set[_Place] = set()
        """Such containers whose present task began in the log, so that all of it is known from there."""

    def take(self, event: StoredEvent) -> None:
        """Fold the next event of the log."""
        recorded = event.recorded
        if recorded.sequence is None or recorded.subject is None:
            return
        place = recorded.source, recorded.subject
        state = self._ends.get(place)
        if state is None and recorded.sequence > 1:
            self._begin(place, event)
        if self._point is not None and self._is_behind(event) and place not in self._points:
            self._points[place] = state
        self._ends[place] = evolve(state, recorded)
        if place in self._onward:
            self._onward[place] = evolve(self._onward[place], recorded)
            if isinstance(recorded.data, ContainerCreate):
                self._renewed.discard(place)  # what that means for a task depends on the record before
            elif state is not None and _is_another(state, recorded):
                self._renewed.add(place)

    @property
    def ends(self) -> dict[ContainerKey, ContainerState]:
        """What the log alone tells of each container up to its end."""
        return {key_of(state): state for state in self._ends.values()}

    @property
    def incomplete(self) -> dict[ContainerKey, int]:
        """The containers whose first events the log no longer has, and how many those are."""
        return {key_of(self._ends[place]): _number(first) - 1 for place, first in self._first.items()}

    @property
    def whole(self) -> dict[ContainerKey, ContainerState]:
        """What each container is at the log's end.

        Where the log lacks the first events, what is kept is folded on. Of that only a task is held against the log, and only
        one that began in it: events that came out of order mean something else to who has not seen those before them.
        """
        return {key_of(end): self._whole(place, end) for place, end in self._ends.items()}

    def at_point(self) -> list[ContainerState]:
        """Return the state of every container there was at the point, sorted by node, namespace and id.

        Three kinds of containers have no first event here, and existed before the log's beginning all the same:

        - Those without any event stand as they are kept: nothing has happened to them since.
        - Those whose events never told a status have the one that is kept: it cannot have changed meanwhile.
        - Of the others the status is unknown before the first event that tells it.
        """
        found: dict[ContainerKey, ContainerState] = {}
        for place, end in self._ends.items():
            state = self._points.get(place, end)
            first = self._first.get(place)
            if first is not None:
                state = _completed(state or _before(first), end, self._onward.get(place))
            if state is not None:
                found[key_of(end)] = state
        known = self.ends
        found |= {key: state for key, state in self._kept.items() if key not in known}
        return [found[key] for key in sorted(found)]

    def _whole(self, place: _Place, end: ContainerState) -> ContainerState:
        kept = self._onward.get(place)
        if kept is None or kept.sequence > end.sequence:
            return end
        if place not in self._renewed:
            return kept
        return replace(kept, **{name: getattr(end, name) for name in _OF_A_TASK})

    def _begin(self, place: _Place, event: StoredEvent) -> None:
        # What is kept helps only if no event is missing between it and the log.
        self._first[place] = event
        kept = self._kept.get(key_of(evolve(None, event.recorded)))
        if kept is not None and kept.sequence >= _number(event) - 1:
            self._onward[place] = kept

    def _is_behind(self, event: StoredEvent) -> bool:
        point = self._point
        if isinstance(point, Nanos):
            return event.recorded.recordedtime > point
        return point is not None and event.stream_sequence > point


def _number(event: StoredEvent) -> int:
    return int(event.recorded.sequence or 1)


async def fold(
    reader: EventReader,
    filters: Sequence[str],
    point: Nanos | int | None = None,
    kept: Mapping[ContainerKey, ContainerState] | None = None,
) -> Folded:
    """Read the whole log and fold it; see `Folded`.

    Raises:
        LogUnavailable: the log does not answer.
        LogRefused: there is none, or reading it is not allowed.
    """
    folded = Folded(point, kept)
    take = folded.take
    async with closing(whole_log(reader, filters)) as events:
        async for event in events:
            take(event)
    return folded


def demand_reach(extent: LogExtent, given: Point, point: Nanos | int) -> None:
    """Make sure that the log reaches back to the point.

    Raises:
        ValueError: it does not; the sentence says where it begins.
    """
    if not extent.forgotten:
        return
    first, first_at = extent.first_sequence, extent.first_at
    match point:
        case Nanos():
            reaches = first_at is not None and point >= first_at
        case _:
            reaches = point >= first - 1
    if not reaches:
        begins = f"with event {first}" + ("" if first_at is None else f", stored at {first_at}")
        raise ValueError(
            f"{show_point(given, point)} lies before the log, which begins {begins}: nothing is known of then"
        )


def _before(first: StoredEvent) -> ContainerState | None:
    """Return what is known of a container before the first event that the log has of it, None if it was not there."""
    recorded = first.recorded
    if isinstance(recorded.data, ContainerCreate):
        return None  # another one of this id was there before, and had been deleted
    node, namespace = parse_source(recorded.source)
    state = ContainerState(
        node=node,
        namespace=namespace or "",
        container=recorded.container or "",
        sequence=Number((recorded.sequence or 1) - 1),
    )
    match recorded.data:
        case ContainerUpdate():
            return state  # what it says is new
        case ContainerEvent(image=image, labels=labels, name=name, runtime=runtime):
            return replace(state, image=image, labels=labels, name=name, runtime=runtime)
        case _:
            return state


def _is_another(state: ContainerState, recorded: Recorded[Event] | Recorded[Unrecognized]) -> bool:
    """Tell whether an event begins another task whatever came before the log: its incarnation and its process both say so."""
    event = recorded.data
    return (
        isinstance(event, TaskCreate)
        and is_other(state, event.pid)
        and state.incarnation is not None
        and state.incarnation != recorded.incarnation
    )


def _completed(state: ContainerState | None, end: ContainerState, kept: ContainerState | None) -> ContainerState | None:
    """Return the state with what the log never tells taken from the one that is kept, where that must be the same.

    Args:
        state: what the log alone tells of the point.
        end: what it alone tells of its end.
        kept: what is known of its end.
    """
    if state is None or kept is None or end.status != "unknown":
        return state
    if end.incarnation not in (None, kept.incarnation):
        return state
    return replace(
        kept,
        sequence=state.sequence,
        position=state.position,
        updated=state.updated,
        image=state.image or kept.image,
        labels=kept.labels if state.labels is None else state.labels,
        name=state.name or kept.name,
        runtime=state.runtime or kept.runtime,
        execs=state.execs,
        oom=state.oom or kept.ooms > end.ooms,
        ooms=max(0, kept.ooms - end.ooms) + state.ooms,
        last_checkpoint=state.last_checkpoint or (None if end.last_checkpoint else kept.last_checkpoint),
        checkpoints=kept.checkpoints - end.checkpoints + state.checkpoints,
        anomalies=kept.anomalies - end.anomalies + state.anomalies,
    )
