"""What the two cores, `capture` and `control`, need of the world, as small Protocols.

`bridge.containerd` and `bridge.jetstream` fulfil them for real, `bridge.testing` in memory; both are held to the same
contract tests. The docstrings here are those contracts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeAlias

from msgspec import Struct

from bridge.errors import SourceLost
from bridge.model.envelope import Event, Origin
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo
from bridge.ports.buckets import Change, NodeLease, NodeRecords, StateEntry, StateStore
from bridge.ports.commands import (
    AnsweredLater,
    CommandHandler,
    CommandInbox,
    CommandRequest,
    CommandSender,
    NodePresence,
)
from bridge.ports.images import (
    Archive,
    Defaults,
    Descriptor,
    ImageContent,
    ImageStore,
    Leased,
    LeaseStore,
    NewContainer,
    ObjectShelf,
    ObjectSource,
    ProgressFeed,
    SnapshotStore,
    Tell,
)
from bridge.ports.inspection import (
    Account,
    BusFacts,
    BusInspector,
    CommandStore,
    Grant,
    Granted,
    ReaderFacts,
    RoleAt,
)
from bridge.ports.inventory import ContainerId, Inventory, InventorySource
from bridge.ports.jobs import Job, JobBacklog, JobSource, JobStore, Quarantined
from bridge.ports.journal import CommandJournal, CommandStates, JournalRow
from bridge.ports.migrations import Listed, MigrationRegister, MovedOn, Registered
from bridge.ports.processes import Processes, Stdio, UserIds
from bridge.ports.reading import DurableReader, DurableReading, EventReader, LogExtent, Start, StoredEvent, Wanted
from bridge.ports.runtime import (
    ContainerRuntime,
    ContainerStore,
    HostDevice,
    Privileges,
    RuntimeVersion,
    TaskLifecycle,
    Tasks,
    TaskView,
)
from bridge.ports.stdio import (
    Digest,
    ExpectedSession,
    InputTold,
    OnInputTold,
    OutputEnd,
    OutputLog,
    SessionOrder,
    StdioClient,
    StdioLines,
    StdioSession,
    StdioSessions,
    StdioStatistics,
    StoredPiece,
)

__all__ = [
    "Account",
    "AnsweredLater",
    "Archive",
    "BusFacts",
    "BusInspector",
    "Change",
    "CommandHandler",
    "CommandInbox",
    "CommandJournal",
    "CommandRequest",
    "CommandSender",
    "CommandStates",
    "CommandStore",
    "ContainerId",
    "ContainerLookup",
    "ContainerRuntime",
    "ContainerStore",
    "Defaults",
    "Deliver",
    "DurableReader",
    "DurableReading",
    "Descriptor",
    "Entry",
    "EventLog",
    "EventReader",
    "EventSource",
    "Grant",
    "Granted",
    "HostDevice",
    "ImageContent",
    "ImageStore",
    "InputTold",
    "Inventory",
    "InventorySource",
    "Job",
    "JobBacklog",
    "JobSource",
    "JobStore",
    "JournalRow",
    "LeaseStore",
    "Leased",
    "Listed",
    "LogEnd",
    "LogExtent",
    "MigrationRegister",
    "MovedOn",
    "NewContainer",
    "NodeLease",
    "NodePresence",
    "NodeRecords",
    "ObjectShelf",
    "ObjectSource",
    "Observed",
    "Quarantined",
    "ProgressFeed",
    "Privileges",
    "Processes",
    "ReaderFacts",
    "Registered",
    "RoleAt",
    "RuntimeVersion",
    "SnapshotStore",
    "Start",
    "StateEntry",
    "StateStore",
    "Stdio",
    "StoredEvent",
    "Subscription",
    "TaskLifecycle",
    "TaskView",
    "Tasks",
    "Tell",
    "UserIds",
    "Wanted",
    "Digest",
    "ExpectedSession",
    "OnInputTold",
    "OutputEnd",
    "OutputLog",
    "SessionOrder",
    "StdioClient",
    "StdioLines",
    "StdioSession",
    "StdioSessions",
    "StdioStatistics",
    "StoredPiece",
]


# -- capture: from containerd


class Observed(Struct, frozen=True, gc=False):
    """An event as it was read, before it has a place in the log.

    `container` and `namespace` are valid identifiers or None. `namespace` is None for events of the node itself, and for raw
    events whose namespace is unusable.
    """

    event: Event
    namespace: str | None
    container: str | None
    time: Nanos
    recorded: Nanos
    origin: Origin = "live"
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None


Deliver: TypeAlias = Callable[[Observed], None]
"""Takes one observed event, in order. Called from a thread of the source's; must return at once and never raise."""


class Subscription(Protocol):
    """One subscription to containerd's events, from its beginning to its end. It never resumes: the next one is another."""

    async def probe(self) -> int:
        """Send a probe of ours through containerd and wait until it comes back; return the round trip in nanoseconds.

        When it returns, the subscription is live and everything that was published before the call has been delivered.
        Probes are never delivered as events.

        Raises:
            SourceLost: the subscription has ended, or the probe did not come back in time (then it has ended too).
        """
        ...

    async def ended(self) -> SourceLost:
        """Wait until the subscription has ended and return why. A clean end of stream is an end like every other."""
        ...


class EventSource(Protocol):
    """Where container events come from."""

    def subscribe(self, deliver: Deliver) -> AbstractAsyncContextManager[Subscription]:
        """Open a subscription; leaving the context cancels it, and after that nothing is delivered any more.

        Events are delivered in the order in which containerd sent them, each exactly once, whatever they hold: what cannot
        be decoded comes as a `RawEvent`. Delivery never waits for anything but `deliver` itself.

        A checkpoint that another client has made, which containerd tells by an image alone, is delivered as `TaskCheckpointed`
        besides: right behind the image where its name says whose it is, and later where that has to be found out.

        Raises:
            SourceLost: on entering, when containerd cannot be reached.
        """
        ...

    async def version(self) -> RuntimeVersion:
        """Return containerd's version.

        Raises:
            SourceLost: containerd cannot be reached.
        """
        ...

    async def instance(self) -> str | None:
        """Return what tells this run of containerd from every other one, None where it does not say.

        Raises:
            SourceLost: containerd cannot be reached.
        """
        ...


class ContainerLookup(Protocol):
    """What containers are, for events that do not say it themselves."""

    def describe(self, containers: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], ContainerInfo]:
        """Return the records of these (namespace, container), without spec; what is gone or not told in time is left out.

        Blocks its thread, about a quarter of a second at the most for all of them together; never raises.
        """
        ...


# -- capture: to the log


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One event ready for the log: `n` is its position, `id` the message id by which a retry is recognised."""

    n: int
    id: str
    subject: str
    body: bytes


class LogEnd(NamedTuple):
    """The last event of a node in the log: its stream sequence and its position in the node's log."""

    stream_sequence: int
    position: str


class EventLog(Protocol):
    """The ordered log that events are appended to."""

    @property
    def in_one_order(self) -> bool:
        """Whether entries of different containers are stored in the order given too.

        Only then does an entry that is found in the log prove that those before it are there.
        """
        ...

    async def append(self, entries: Sequence[Entry]) -> int:
        """Store `entries` in their order; return when every one is stored, and how many the log said to have already.

        After an error a prefix may be stored, or all. Appending the same entries again continues where it stopped: what is
        stored already is recognised by its id inside the stream's duplicate window and skipped, order is kept throughout.

        Raises:
            LogUnavailable: unknown whether stored; append the same entries again.
            LogRefused: the log answered and refuses; the sentence says why.
            LogConflict: somebody else writes as this node; the sentence names who, where that can be known.
            LogWentBack: the log lacks what it has acknowledged since its end was read last: read that again.
        """
        ...

    async def end(self, node: str) -> LogEnd | None:
        """Return the node's own last event in the log up to which nothing is missing, None where there is none.

        A log that is gone is made anew first, with the settings of the first time, and a warning says so.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: it may not be read, is gone and cannot be made, or is not strong enough any more.
        """
        ...

    async def keeps(self, moment: Nanos) -> bool:
        """Tell whether the log ought to have what was stored at `moment`.

        It need not where events of that age expire, or where the oldest give way to new ones and it has nothing as old as that.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: there is no such log, or it may not be read.
        """
        ...

    def newest(self, node: str) -> AsyncIterator[StoredEvent]:
        """Iterate over the newest event on each of the node's subjects, in the log's order, as it is at the beginning.

        Raises:
            LogUnavailable: the log does not answer, or not to the end.
            LogRefused: there is no such log, or it may not be read.
        """
        ...
