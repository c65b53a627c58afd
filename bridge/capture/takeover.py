"""A takeover: what a new outbox learns from the log, where the node had another one before.

When a state directory was lost, the events in the log still have their numbers. A container's next event must not begin at 1
again, so the states are read back from the newest events of each container: of each kind of event the last one. What such a
state may lack of the history, the next look at containerd's lists sets right; what an event is numbered after, it has.
"""

from __future__ import annotations

import logging

from msgspec import Struct

from bridge.capture.outbox import ContainerRow, Outbox
from bridge.model.codec import encode_any
from bridge.model.events import ContainerDelete
from bridge.model.fold import evolve
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeConnected, NodeHeartbeat
from bridge.model.state import ContainerState
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
    known: dict[tuple[str, str], ContainerState] = {}
    deleted: dict[tuple[str, str], Nanos] = {}
    proven: Nanos | None = None
    async for event in event_log.newest(node):
        recorded = event.recorded
        if isinstance(recorded.data, NodeHeartbeat | NodeConnected):
            proven = Nanos(max(recorded.time - _EARLIER, proven or 0))
        if (namespace := recorded.namespace) is not None and (container := recorded.container) is not None:
            key = (namespace, container)
            known[key] = evolve(known.get(key), recorded)
            if isinstance(recorded.data, ContainerDelete):
                deleted[key] = recorded.recordedtime
    rows = [
        ContainerRow(
            namespace=namespace,
            container=container,
            state=encode_any(state),
            deleted_at=deleted[namespace, container] if state.status == "gone" else None,
        )
        for (namespace, container), state in known.items()
    ]
    return Takeover(containers=rows, proven=proven)
