"""Reading the log, from wherever and for however long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from msgspec import Struct

from bridge.model.envelope import Event, Recorded, Unrecognized
from bridge.model.nanos import Nanos

__all__ = ["EventReader", "LogExtent", "Start", "StoredEvent"]


class Start(Struct, frozen=True, kw_only=True):
    """Where to begin to read: at a stream sequence, at a time, or, with neither, at the next event to come.

    `sequence=1` is the whole log.
    """

    sequence: int | None = None
    time: Nanos | None = None


class StoredEvent(Struct, frozen=True, kw_only=True, gc=False):
    """One event of the log as a reader gets it.

        match event.data:
            case TaskExit(exit_status=status):
                print(event.container, "ended with", status)
            case Unrecognized(json=raw):
                print("a newer bridge says", event.type, raw)

    Attributes:
        stream_sequence: its number in the stream, by which reading can go on later.
        stored_at: when the server stored it.
        subject: the NATS subject that it stands on.
        body: the CloudEvent as it stands in the log, JSON; also what this version does not know of it.
        recorded: the same, read.
    """

    stream_sequence: int
    stored_at: Nanos
    subject: str
    body: bytes
    recorded: Recorded[Event] | Recorded[Unrecognized]

    @property
    def data(self) -> Event | Unrecognized:
        """What happened, as a struct of its own for each type; `Unrecognized` of a type that this version does not know."""
        return self.recorded.data

    @property
    def id(self) -> str:
        """The event's own id, the same in every repetition."""
        return self.recorded.id

    @property
    def type(self) -> str:
        """Its CloudEvents type, such as `io.containerd.task.exit.v1`."""
        return self.recorded.type

    @property
    def node(self) -> str:
        """The node whose bridge recorded it."""
        return self.recorded.node

    @property
    def namespace(self) -> str | None:
        """The containerd namespace, None for events of the node itself."""
        return self.recorded.namespace

    @property
    def container(self) -> str | None:
        """The container's id, None where it belongs to none."""
        return self.recorded.container

    @property
    def incarnation(self) -> str | None:
        """Which task of the container it is about; None before the first one, and where it belongs to none."""
        return self.recorded.incarnation

    @property
    def time(self) -> Nanos:
        """When it happened, by containerd's clock. Order is not in it: clocks step, and shims tell late."""
        return self.recorded.time


class LogExtent(Struct, frozen=True, kw_only=True):
    """How far the log reaches.

    Attributes:
        first_sequence: stream sequence of its first event; above 1 where earlier ones are gone. Behind `last_sequence` where
            there are none.
        last_sequence: of its last event, 0 where there never was one.
        first_at: when the first one was stored, None where there are none; `last_at` the last one.
        messages: how many there are; `size` the bytes that they take.
        max_age: nanoseconds for which it keeps an event, 0 for ever.
        max_bytes: bytes that it keeps, 0 for all; `max_messages` likewise.
        now: what time it was by the clock that the times of storing are from.
    """

    first_sequence: int
    last_sequence: int
    first_at: Nanos | None
    last_at: Nanos | None
    messages: int
    size: int
    max_age: int
    max_bytes: int
    max_messages: int
    now: Nanos

    @property
    def forgotten(self) -> bool:
        """Whether events have gone from its beginning."""
        return self.first_sequence > 1


class EventReader(Protocol):
    """Reads the log."""

    def read(self, filters: Sequence[str], start: Start, *, follow: bool) -> AsyncIterator[StoredEvent]:
        """Iterate over the events whose subjects match one of `filters`, in the log's order, without hole or repetition.

        Without filters it is all of them.

        With `follow` it goes on with what comes, through reconnects, until the iterator is closed; without, it ends at what
        was the log's end when it began. Bytes that are no event of ours are skipped with a warning in the log file.

        Raises:
            LogUnavailable: the log does not answer (with `follow` only at the beginning).
            LogRefused: there is no such stream, or reading is not allowed.
        """
        ...

    async def latest(self, filters: Sequence[str]) -> Sequence[StoredEvent]:
        """Return the last event of each subject that matches one of `filters`, in the log's order.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: there is no such stream, or reading is not allowed.
        """
        ...

    async def extent(self) -> LogExtent:
        """Return how far the log reaches, and for how long it keeps what it has.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: there is no such stream, or looking at it is not allowed.
        """
        ...
