"""A takeover: what a new outbox learns from the log, where the node had another one before.

When a state directory was lost, the events in the log still have their numbers. A container's next event must not begin at 1
again, so the counters, incarnations and descriptions are read back from the newest events of each container.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from msgspec import Struct

from bridge.capture.ledger import Description
from bridge.capture.outbox import ContainerRow, Outbox
from bridge.model.envelope import Event, Recorded, Unrecognized
from bridge.model.events import ContainerCreate, ContainerDelete
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeConnected, NodeHeartbeat
from bridge.ports import EventLog

__all__ = ["Takeover", "take_over", "taken_over"]

log = logging.getLogger(__name__)

_EARLIER = 10_000_000_000
"""A heartbeat, or a connection, is noted when its probe has come back. No probe takes so long (nanoseconds), so up to so much
earlier all is proven."""


class Takeover(Struct, frozen=True, kw_only=True):
    """What the log knows of a node."""

    containers: list[ContainerRow]
    proven: Nanos | None
    """When the subscription to containerd was last known to be live."""


class _Known:
    """One container as far as its events were seen, in any order."""

    __slots__ = ("created", "deleted", "deleted_at", "described", "description", "incarnation", "newest")

    def __init__(self) -> None:
        self.newest = self.created = self.deleted = self.described = 0
        self.incarnation: str | None = None
        self.description = Description()
        self.deleted_at: Nanos | None = None

    def see(self, recorded: Recorded[Event] | Recorded[Unrecognized]) -> None:
        sequence, data = int(recorded.sequence or 0), recorded.data
        if sequence > self.newest:
            self.newest, self.incarnation = sequence, recorded.incarnation
        match data:
            case ContainerCreate():
                self.created = max(self.created, sequence)
            case ContainerDelete() if sequence > self.deleted:
                self.deleted, self.deleted_at = sequence, recorded.recordedtime
        if getattr(data, "labels", None) is not None and sequence > self.described:
            self.described, self.description = sequence, _description(data)

    def row(self, namespace: str, container: str) -> ContainerRow:
        gone = self.deleted > self.created
        # A container made anew under the same id is another one; what it is is asked again.
        description = self.description if self.described >= self.created else Description()
        return ContainerRow(
            namespace=namespace,
            container=container,
            sequence=self.newest,
            incarnation=self.incarnation,
            description=msgspec.json.encode(description),
            deleted_at=self.deleted_at if gone else None,
        )


async def take_over(event_log: EventLog, node: str, outbox: Outbox) -> None:
    """Let an outbox that has given out nothing yet go on where the log ends; leave every other one as it is.

    Raises:
        LogUnavailable: the log does not answer, or not to the end.
        LogRefused: it may not be read.
        OutboxError: the disk fails.
    """
    if outbox.last_n:
        return
    found = await taken_over(event_log, node)
    outbox.seed(found.containers, found.proven)
    if found.containers:
        log.warning(
            "a new outbox for a node that has a log: the numbers of %d containers go on from there",
            len(found.containers),
        )


async def taken_over(event_log: EventLog, node: str) -> Takeover:
    """Read what the log knows of the node.

    Raises:
        LogUnavailable: the log does not answer, or not to the end.
        LogRefused: it may not be read.
    """
    known: dict[tuple[str, str], _Known] = {}
    proven: Nanos | None = None
    async for event in event_log.newest(node):
        recorded = event.recorded
        if isinstance(recorded.data, NodeHeartbeat | NodeConnected):
            proven = Nanos(max(recorded.time - _EARLIER, proven or 0))
        if (namespace := recorded.namespace) is not None and (container := recorded.container) is not None:
            known.setdefault((namespace, container), _Known()).see(recorded)
    return Takeover(containers=[one.row(*key) for key, one in known.items()], proven=proven)


def _description(data: Any) -> Description:
    return Description(image=data.image, labels=data.labels, name=data.name, runtime=data.runtime)
