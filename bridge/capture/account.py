"""An account: what the ledger keeps of one container, alive in memory.

It holds the container's state as folded from its events, and what the envelopes of its events have in common, ready to be
written.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Final

from msgspec.structs import replace

from bridge.capture.envelopes import Description, about, described
from bridge.model.anomalies import anomaly, begins
from bridge.model.codec import encode_any, to_builtins
from bridge.model.envelope import Event
from bridge.model.events import (
    Anomaly,
    ContainerCreate,
    ContainerDelete,
    ContainerUpdate,
    TaskCreate,
    TaskDelete,
    TaskExit,
    TaskRestored,
    TaskStart,
)
from bridge.model.labels import CHECKPOINT, PARENT, RESTORE
from bridge.model.naming import name_from_labels
from bridge.model.outcomes import ContainerInfo
from bridge.model.state import ContainerState
from bridge.model.subjects import quote
from bridge.ports import Observed

__all__ = ["Account", "RECORDS", "enriched"]

ASKED: Final = 3
"""How often containerd is asked what a container is. It may be too busy to tell; or the container is gone."""

RECORDS: Final = (ContainerCreate, ContainerUpdate, ContainerDelete)
"""Events of the container's record: they say themselves, in part, what the container is."""

_JUDGED: Final = frozenset({TaskCreate, TaskRestored, TaskStart, TaskExit, TaskDelete})
"""Events that may contradict the state, or begin an incarnation."""


class Account:
    """One container's account."""

    __slots__ = ("_asked", "about", "deleted_at", "described", "prefix", "recorded", "state")

    def __init__(self, prefix: str, source: str, state: ContainerState, deleted_at: int | None) -> None:
        """Take where it stands.

        Args:
            prefix: the subject of its events, but for the last token.
            source: the CloudEvents attribute of its events.
            state: what is known of it.
            deleted_at: when the bridge read that its record was deleted (ns), None while there is one.
        """
        self.prefix = prefix
        self.about = about(source, state.container)
        self.state = state
        self.deleted_at = deleted_at
        self.recorded = deleted_at or 0
        """When its newest event was read (ns)."""
        self.described = described(self.description)
        # Whoever has labels, were it none, has been described.
        self._asked = 0 if state.labels is None and deleted_at is None else ASKED

    @property
    def description(self) -> Description:
        """What the container is, as it is added to its events."""
        state = self.state
        return Description(image=state.image, labels=state.labels, name=state.name, runtime=state.runtime)

    def should_be_described(self, event: Event) -> bool:
        """Tell whether containerd should be asked what the container is before this event is placed.

        It should about a new record, whose create event does not say its labels unless it is a reconciled one, and about a
        container of which nothing is known: a few times, since containerd may not have answered the first time. A changed record
        says its labels, but not those that dockerd told, nor the name, which stands in none of them.
        """
        if type(event) is ContainerCreate:
            self._asked = 0 if event.labels is None else ASKED
        elif type(event) is ContainerUpdate and event.name is None and self._named_by_others:
            return True
        return self._asked < ASKED and (self._asked == 0 or self.state.labels is None)

    @property
    def _named_by_others(self) -> bool:
        """Whether it has a name that none of its labels says."""
        return self.state.name is not None and self.state.name != name_from_labels(self.state.labels or {})

    def was_asked_about(self) -> None:
        """Take note that containerd is asked."""
        self._asked += 1

    def learn(self, observed: Observed, info: ContainerInfo | None) -> None:
        """Take what an event, or containerd when it was asked, says of what the container is."""
        event, state = observed.event, self.state
        if isinstance(event, ContainerCreate):
            # A new record under a known id is another container: nothing of the old one's holds for it.
            image, labels, name = event.image, event.labels, event.name
            if labels is None and info is not None:
                image, labels, name = image or info.image or None, info.labels, info.name
            self.deleted_at = None
            self._describe(image, labels, name or name_from_labels(labels or {}), event.runtime)
        elif isinstance(event, ContainerUpdate):
            labels, name = event.labels if event.labels is not None else state.labels, event.name
            if self._named_by_others and name is None:
                whole = info is not None and info.name is not None
                known = info.labels if info is not None and whole else state.labels or {}
                labels, name = {**known, **(labels or {})}, info.name if info is not None and whole else state.name
            self._describe(
                event.image or state.image,
                labels,
                name or name_from_labels(labels or {}),
                event.runtime or state.runtime,
            )
        elif info is not None and state.labels is None:
            name = info.name or name_from_labels(info.labels)
            self._describe(info.image or None, info.labels, name, info.runtime or None)
        if isinstance(event, ContainerDelete):
            self.deleted_at = int(observed.recorded)

    def restored(self, observed: Observed) -> Observed:
        """Return a restore as what it is, where a bridge did it: containerd names the directory of the dump as the checkpoint.

        The record says of what; that it is this restore that it speaks of, the command's id in the path says.
        """
        event, labels = observed.event, self.state.labels or {}
        command = labels.get(RESTORE)
        if not isinstance(event, TaskRestored) or not command:
            return observed
        if quote(command) not in PurePosixPath(event.checkpoint).parts:
            return observed
        event = replace(event, checkpoint=labels.get(CHECKPOINT, ""), parent=labels.get(PARENT) or None)
        return replace(observed, event=event, correlation_id=command)

    def judged(self, observed: Observed, identity: str) -> tuple[Event, str | None]:
        """Return the event as it goes into the log, and its incarnation.

        What cannot be true becomes an `Anomaly` that holds it. An incarnation is named after the event that begins it.
        """
        event = observed.event
        if type(event) in _JUDGED:
            reason = anomaly(self.state, event, time=observed.time)
            if reason is not None:
                event = Anomaly(
                    container_id=self.state.container,
                    reason=reason,
                    event_type=event.type,
                    event=to_builtins(event),
                )
            elif begins(self.state, event, time=observed.time):
                return event, identity
        elif type(event) in RECORDS:
            event = enriched(event, self.description)
        return event, self.state.incarnation

    @property
    def over(self) -> int | None:
        """When its newest event was read (ns), where nothing more is to come; None where there is such a container.

        Nothing more is to come once its record is deleted, nor where nobody ever told of a record or a task: who commands a
        container that is not there makes none.
        """
        state = self.state
        # Of a task that is told after its record's end, the end is still to come.
        gone = self.deleted_at is not None and state.status == "gone"
        return self.recorded if gone or not state.seen else None

    def encoded(self) -> bytes:
        """Return the state as the outbox keeps it."""
        return encode_any(self.state)

    def _describe(
        self, image: str | None, labels: dict[str, str] | None, name: str | None, runtime: str | None
    ) -> None:
        self.state = replace(self.state, image=image, labels=labels, name=name, runtime=runtime)
        self.described = described(self.description)


def enriched(event: Any, description: Description) -> Any:
    """Return an event that says what its container is."""
    return replace(
        event,
        image=description.image,
        labels=description.labels,
        name=description.name,
        runtime=description.runtime,
    )
