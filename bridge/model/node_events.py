"""What can happen to a node: its bridge, its containerd and the images in it."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from bridge.model.nanos import Nanos

__all__ = [
    "ImageCreate",
    "ImageDelete",
    "ImageUpdate",
    "NodeConnected",
    "NodeDisconnected",
    "NodeEvent",
    "NodeGap",
    "NodeHeartbeat",
    "NodeLease",
    "NodeReconciled",
    "NodeStarted",
    "NodeStopped",
]


class NodeEvent(Struct, frozen=True, kw_only=True, gc=False):
    """The base of every event that belongs to a node and to no container."""

    type: ClassVar[str]
    word: ClassVar[str]


class NodeStarted(NodeEvent, frozen=True, kw_only=True):
    """A bridge began to work as this node. `boot_id` is the kernel's, new at every boot of the host."""

    type: ClassVar[str] = "io.containerd.node.started.v1"
    word: ClassVar[str] = "started"

    version: str
    pid: int
    boot_id: str | None = None


class NodeStopped(NodeEvent, frozen=True, kw_only=True):
    """The bridge stopped in order; what it had read before is in the log before this event."""

    type: ClassVar[str] = "io.containerd.node.stopped.v1"
    word: ClassVar[str] = "stopped"

    reason: str


class NodeConnected(NodeEvent, frozen=True, kw_only=True):
    """The subscription to containerd is proven live: a probe of ours came back through it."""

    type: ClassVar[str] = "io.containerd.node.connected.v1"
    word: ClassVar[str] = "connected"

    containerd_version: str
    containerd_revision: str
    namespaces: list[str] = []


class NodeDisconnected(NodeEvent, frozen=True, kw_only=True):
    """The subscription to containerd ended."""

    type: ClassVar[str] = "io.containerd.node.disconnected.v1"
    word: ClassVar[str] = "disconnected"

    reason: str


class NodeGap(NodeEvent, frozen=True, kw_only=True):
    """Between `since` and `until` the bridge was not provably subscribed: events of that time may be missing.

    `since` is when the subscription was last proven live, null where it never was; `until` when it was again. `cause` is the
    class of the `reason`, which is a sentence: `first-start`, `not-running` (the bridge), `rebooted` (the host), `outbox-lost`
    (and its notes with it), `stream-ended` (containerd's, for whatever reason) or `no-room` (the disk is full, or does not
    keep up); null where it is none of these.

    What can be known of that time follows as reconciled events of the containers, and behind them stands `NodeReconciled`.
    """

    type: ClassVar[str] = "io.containerd.node.gap.v1"
    word: ClassVar[str] = "gap"

    since: Nanos | None
    until: Nanos
    reason: str
    cause: str | None = None


class NodeReconciled(NodeEvent, frozen=True, kw_only=True):
    """Folding the log up to here gives what containerd lists: what it did not tell stands before this as reconciled events.

    It follows every `NodeGap`, once containerd has been asked. With `audit` it follows no gap: while the subscription was live,
    something was found in the lists that containerd had never told.

    Attributes:
        listed_at: when containerd began to list.
        containers: how many it listed.
        told: reconciled events of this repair.
        lost: ends of tasks among them of which nobody knows how.
        unanswered: tasks whose shim did not answer; what is known of them stays as it is.
        unsettled: containers that changed whenever they were looked at. The next audit looks at them again.
    """

    type: ClassVar[str] = "io.containerd.node.reconciled.v1"
    word: ClassVar[str] = "reconciled"

    listed_at: Nanos
    containers: int
    told: int
    lost: int = 0
    unanswered: int = 0
    unsettled: int = 0
    audit: bool = False


class NodeHeartbeat(NodeEvent, frozen=True, kw_only=True):
    """The bridge is alive and its subscription too: a probe came back in `probe_ns` nanoseconds."""

    type: ClassVar[str] = "io.containerd.node.heartbeat.v1"
    word: ClassVar[str] = "heartbeat"

    probe_ns: int


class NodeLease(NodeEvent, frozen=True, kw_only=True):
    """From here on only this bridge writes as the node: every event of another log stands before this one.

    It is written past the outbox, so its envelope has no position. `holder` is the bridge's run, `log` the first half of the
    positions of its events; `before` is the holder that it followed, null where none is known.
    """

    type: ClassVar[str] = "io.containerd.node.lease.v1"
    word: ClassVar[str] = "lease"

    holder: str
    log: str
    version: str
    pid: int
    boot_id: str | None = None
    before: str | None = None


class ImageCreate(NodeEvent, frozen=True, kw_only=True):
    """An image's record was made in a namespace."""

    type: ClassVar[str] = "io.containerd.image.create.v1"
    word: ClassVar[str] = "image-create"

    name: str
    labels: dict[str, str] = {}


class ImageUpdate(NodeEvent, frozen=True, kw_only=True):
    """An image's record changed."""

    type: ClassVar[str] = "io.containerd.image.update.v1"
    word: ClassVar[str] = "image-update"

    name: str
    labels: dict[str, str] = {}


class ImageDelete(NodeEvent, frozen=True, kw_only=True):
    """An image's record is gone."""

    type: ClassVar[str] = "io.containerd.image.delete.v1"
    word: ClassVar[str] = "image-delete"

    name: str
