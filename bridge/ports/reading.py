"""Reading the log, from wherever and for however long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from msgspec import Struct

from bridge.model.envelope import Event, Recorded, Unrecognized
from bridge.model.nanos import Nanos

__all__ = ["DurableReader", "DurableReading", "EventReader", "LogExtent", "Start", "StoredEvent", "Wanted"]


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


Wanted: TypeAlias = Callable[[StoredEvent], bool]
"""Tells whether a reader wants an event, as far as its subject does not tell that."""


class DurableReading(Protocol):
    """The log as it is read under a name, from its entering to its end."""

    def events(self) -> AsyncIterator[StoredEvent]:
        """Iterate over what is not acknowledged yet and over what comes, for ever, in the log's order and each once.

        It goes on through reconnects. No more than a thousand events are handed out that are not acknowledged.

        Raises:
            LogRefused: reading, or acknowledging, is not allowed.
        """
        ...

    async def acknowledge(self, event: StoredEvent) -> None:
        """Take note that this event and all before it are done with: whoever reads under the name later begins behind it.

        It is told to the server, and what does not reach it is told with the next one, or when the reading is left.
        """
        ...


class DurableReader(Protocol):
    """Reads the log under names, whose places the server keeps through restarts of whoever reads."""

    def resume(
        self, name: str, filters: Sequence[str], start: Start, wanted: Wanted
    ) -> AbstractAsyncContextManager[DurableReading]:
        """Read on where this name has come to; at `start` where nobody has read under it.

        Every event is handed out to somebody at least once, in order; after a crash, what was not acknowledged comes again
        before anything new. Of two that read under one name at the same time each event is handed out to one at least, to
        either in order; nothing is gained by that.

        Args:
            name: letters, digits, `_` and `-`, 64 at the most.
            filters: subjects; other ones than before count from here on.
            start: where it begins the first time.
            wanted: what of it is handed out. The rest is passed over, and is acknowledged with what came before it.

        Raises:
            LogUnavailable: on entering, the log does not answer.
            LogRefused: there is no such stream, or reading so is not allowed, or the name is that of something else.
        """
        ...

    async def forget(self, name: str) -> bool:
        """Forget a name; return whether there was such a one.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: there is no such stream, or that is not allowed.
        """
        ...
