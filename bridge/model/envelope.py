"""The envelope of every event on the bus: CloudEvents 1.0, JSON, structured mode.

Any CloudEvents SDK reads it. `id` is made when the event is read and stored with it; it is also the `Nats-Msg-Id`.
"""

from __future__ import annotations

from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar, get_args

from msgspec import Struct

from bridge.model import events, node_events
from bridge.model.events import ContainerEvent
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeEvent

__all__ = [
    "CONTENT_TYPE",
    "EVENT_TYPES",
    "Event",
    "Origin",
    "Position",
    "Recorded",
    "Sequence",
    "Unrecognized",
    "WORDS",
    "format_source",
    "parse_source",
]

CONTENT_TYPE = "application/cloudevents+json"
"""The `Content-Type` header of a structured-mode CloudEvent (CloudEvents NATS binding, section 3.2)."""

Origin: TypeAlias = Literal["live", "reconciled", "command"]
"""How the event came to be known: read live, deduced after a gap, or made by a command of ours."""


class Sequence(int):
    """A container's event number, from 1, without holes; as text twenty digits, so that text order is number order."""

    __slots__ = ()


class Position(NamedTuple):
    """Where an event stands in its node's log: `n` counts from 1 without holes within the log `log` (a UUID)."""

    log: str
    n: int

    def __str__(self) -> str:
        return f"{self.log}:{self.n}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read a position back.

        Raises:
            ValueError: `text` is no position.
        """
        log, colon, n = text.rpartition(":")
        if not (colon and log and n.isascii() and n.isdigit()):
            raise ValueError(f"{text!r} is not a position such as <log uuid>:<number>")
        return cls(log, int(n))


Event: TypeAlias = (
    events.TaskCreate
    | events.TaskRestored
    | events.TaskStart
    | events.TaskExit
    | events.TaskExecExit
    | events.TaskOOM
    | events.TaskExecAdded
    | events.TaskExecStarted
    | events.TaskPaused
    | events.TaskResumed
    | events.TaskCheckpointed
    | events.TaskDelete
    | events.ContainerCreate
    | events.ContainerUpdate
    | events.ContainerDelete
    | events.ContainerHealth
    | events.CommandRecorded
    | events.Anomaly
    | events.RawEvent
    | node_events.NodeStarted
    | node_events.NodeStopped
    | node_events.NodeConnected
    | node_events.NodeDisconnected
    | node_events.NodeGap
    | node_events.NodeReconciled
    | node_events.NodeHeartbeat
    | node_events.NodeLease
    | node_events.ImageCreate
    | node_events.ImageUpdate
    | node_events.ImageDelete
)
"""Everything that an envelope of ours carries, told apart by the envelope's `type`."""

EVENT_TYPES: dict[str, type[ContainerEvent | NodeEvent]] = {event.type: event for event in get_args(Event)}
"""CloudEvents `type` -> struct."""

WORDS: dict[str, type[ContainerEvent | NodeEvent]] = {event.word: event for event in get_args(Event)}
"""Last token of the subject -> struct."""


class Unrecognized(Struct, frozen=True, kw_only=True):
    """The data of an event whose `type` this version does not know: its JSON as it came."""

    json: bytes


E = TypeVar("E", covariant=True)


class Recorded(Struct, Generic[E], frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One event as it is recorded: the CloudEvents attributes (lower-case, as the spec demands) and the event as `data`.

    Attributes:
        id: ULID; sortable in the order in which the bridge read the events.
        position: `<log uuid>:<n>`, n counting this node's events without holes; absent for `NodeLease`, which is in no outbox.
        source: `/containerd/<node>/<namespace>`, or `/containerd/<node>` where there is no namespace.
        type: what happened, e.g. `io.containerd.task.exit.v1`.
        subject: the container's id unquoted; the image's name for image events; absent for the rest.
        time: containerd's timestamp. Clocks step: order comes from `sequence`, never from here.
        recordedtime: when the bridge read it.
        sequence: this container's event number, from 1, without holes; absent for node events.
        incarnation: which task of the container: new at every TaskCreate, absent before the first.
        origin: `live`, `reconciled` or `command`.
        correlationid: the command that this belongs to, and `causationid` the event or command that caused it.
        traceparent: W3C trace context of the cause.
        dataschema: the file under `schemas/` that describes `data`.
    """

    specversion: Literal["1.0"]
    datacontenttype: Literal["application/json"]
    id: str
    type: str
    source: str
    time: Nanos
    recordedtime: Nanos
    position: str | None = None
    origin: Origin
    data: E
    subject: str | None = None
    sequence: Sequence | None = None
    incarnation: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None
    dataschema: str | None = None

    @property
    def node(self) -> str:
        """The node whose bridge recorded the event."""
        return parse_source(self.source)[0]

    @property
    def namespace(self) -> str | None:
        """The containerd namespace, None for events of the node itself."""
        return parse_source(self.source)[1]

    @property
    def container(self) -> str | None:
        """The container's id, None where the event belongs to no container."""
        return self.subject if self.sequence is not None else None


def format_source(node: str, namespace: str | None) -> str:
    """Return the CloudEvents `source`. Identifiers of containerd hold nothing that a URI would have to escape."""
    return f"/containerd/{node}/{namespace}" if namespace else f"/containerd/{node}"


def parse_source(source: str) -> tuple[str, str | None]:
    """Return node and namespace of a `source`.

    Raises:
        ValueError: it is not one of ours.
    """
    match source.split("/"):
        case ["", "containerd", node]:
            return node, None
        case ["", "containerd", node, namespace]:
            return node, namespace
        case _:
            raise ValueError(f"{source!r} is not a source such as /containerd/<node>/<namespace>")
