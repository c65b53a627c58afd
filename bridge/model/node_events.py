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

    `since` is when the subscription was last proven live, null where it never was; `until` when it was again.
    """

    type: ClassVar[str] = "io.containerd.node.gap.v1"
    word: ClassVar[str] = "gap"

    since: Nanos | None
    until: Nanos
    reason: str


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
