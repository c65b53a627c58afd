"""What the two cores, `capture` and `control`, need of the world, as small Protocols.

`bridge.containerd` and `bridge.jetstream` fulfil them for real, `bridge.testing` in memory; both are held to the same
contract tests. The docstrings here are those contracts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeAlias

from msgspec import Struct

from bridge.errors import SourceLost
from bridge.model.envelope import Event, Origin
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo, ExitInfo, Outcome, ProcessInfo, TaskInfo
from bridge.model.subjects import CommandSubject
from bridge.ports.buckets import Change, NodeLease, NodeRecords, StateEntry, StateStore
from bridge.ports.inspection import BusFacts, BusInspector, Grant, Granted
from bridge.ports.inventory import ContainerId, Inventory, InventorySource
from bridge.ports.reading import EventReader, LogExtent, Start, StoredEvent

__all__ = [
    "BusFacts",
    "BusInspector",
    "Change",
    "CommandHandler",
    "CommandInbox",
    "CommandRequest",
    "CommandSender",
    "ContainerId",
    "ContainerLookup",
    "ContainerRuntime",
    "ContainerStore",
    "Deliver",
    "Entry",
    "EventLog",
    "EventReader",
    "EventSource",
    "Inventory",
    "InventorySource",
    "Grant",
    "Granted",
    "LogEnd",
    "LogExtent",
    "NodeLease",
    "NodePresence",
    "NodeRecords",
    "Observed",
    "RuntimeVersion",
    "Start",
    "StateEntry",
    "StateStore",
    "StoredEvent",
    "Subscription",
    "TaskLifecycle",
    "TaskView",
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


Deliver: TypeAlias = Callable[[Observed], None]
"""Takes one observed event, in order. Called from a thread of the source's; must return at once and never raise."""


class RuntimeVersion(NamedTuple):
    """What containerd says of itself."""

    version: str
    revision: str


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


# -- control: to containerd


class ContainerStore(Protocol):
    """containerd's records of containers. Errors are `CommandFailed` with containerd's own words."""

    async def list(self, namespace: str | None, filters: Sequence[str] = ()) -> Sequence[ContainerInfo]:
        """Return the containers of a namespace, or of every one, with their tasks; `filters` are containerd's own."""
        ...

    async def get(self, namespace: str, container: str) -> ContainerInfo:
        """Return one container's record with its spec, without its task. `not_found` where there is none."""
        ...

    async def delete(self, namespace: str, container: str, *, keep_snapshot: bool = False) -> None:
        """Remove the snapshot, unless kept, and the record. `failed_precondition` while there is a task."""
        ...


class TaskLifecycle(Protocol):
    """What changes a task. Errors are `CommandFailed` with containerd's own words."""

    async def create(self, namespace: str, container: str) -> int:
        """Make a task without stdio from the container's record and snapshot; return its pid.

        `already_exists` if there is one, ended or not.
        """
        ...

    async def start(self, namespace: str, container: str) -> int:
        """Run a created task; return its pid."""
        ...

    async def pause(self, namespace: str, container: str) -> None:
        """Freeze it. `failed_precondition` unless it runs."""
        ...

    async def resume(self, namespace: str, container: str) -> None:
        """Let it run on. `failed_precondition` unless it is paused."""
        ...

    async def kill(
        self, namespace: str, container: str, signal: int, *, all_processes: bool = False, exec_id: str | None = None
    ) -> None:
        """Send a signal. `not_found` where there is no task, no such exec, or the process has ended."""
        ...

    async def delete_task(self, namespace: str, container: str) -> ExitInfo:
        """Remove an ended task; return how it ended. `failed_precondition` while it runs."""
        ...


class TaskView(Protocol):
    """What looks at a task. Errors are `CommandFailed` with containerd's own words."""

    async def task(self, namespace: str, container: str) -> TaskInfo | None:
        """Return the container's task, None where there is none. An absent container has none either."""
        ...

    async def pids(self, namespace: str, container: str) -> Sequence[ProcessInfo]:
        """Return the processes of a running task. `not_found` where there is no task."""
        ...

    async def wait(self, namespace: str, container: str) -> ExitInfo:
        """Wait until the task has ended; return how. At once for an ended one, `not_found` where there is none."""
        ...


class ContainerRuntime(ContainerStore, TaskLifecycle, TaskView, Protocol):
    """containerd as the commands need it."""

    async def version(self) -> RuntimeVersion:
        """Return containerd's version."""
        ...


# -- control: from the bus


class CommandRequest(Struct, frozen=True, kw_only=True):
    """A command as it came from the bus: what its subject says, and its body, which nobody has looked at yet."""

    subject: CommandSubject
    body: bytes
    headers: Mapping[str, str] = {}


CommandHandler: TypeAlias = Callable[[CommandRequest], Awaitable[Outcome]]
"""Carries out one command and returns its outcome; never raises but CancelledError."""


class CommandInbox(Protocol):
    """Where commands come from."""

    def serve(self, verbs: Sequence[str], handle: CommandHandler) -> AbstractAsyncContextManager[None]:
        """Take commands of these verbs for this node until the context is left; then let those under way finish.

        Requests reach `handle` in the order of arrival, and each is handled on its own: a slow one holds up no other. Its
        outcome goes back to who asked, a failed one with its code and sentence in the headers too.

        What does not come to `handle` has an outcome as well: another verb is `unimplemented`, a subject that cannot be
        read an `invalid_argument`, too many at the same time are `exhausted`. So has what does not come to its end: an
        exception is `internal`, what is still under way some time after the context was left is cancelled and `unknown`.
        """
        ...


# -- the other side of control: whoever sends commands


class NodePresence(Struct, frozen=True, kw_only=True):
    """A node that answers on the bus now, as its micro service tells it."""

    node: str
    version: str
    groups: list[str] = []


class CommandSender(Protocol):
    """Sends commands and finds the nodes that take them."""

    async def send(self, subject: str, body: bytes, *, timeout: float) -> Outcome:
        """Send one command and return its outcome, whatever it is.

        Args:
            subject: where to, from `Subjects.command`.
            body: the options as JSON.
            timeout: seconds to wait for the outcome.

        Raises:
            CommandFailed: no outcome came: `unavailable` when nobody takes such commands, `deadline_exceeded` when it is open
                whether there was an effect, `refused` when NATS does not permit the subject.
        """
        ...

    async def nodes(self, *, wait: float = 0.5) -> Sequence[NodePresence]:
        """Return the nodes that answer within `wait` seconds, sorted by name."""
        ...
