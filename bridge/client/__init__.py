"""What a program imports to read the log of container events and to command containers, typed, from any machine.

    from bridge.client import connect

    async with connect("nats://nats.example:4222") as bus:
        async for event in bus.events(container="web.1", since="10m"):
            print(event.recorded.time, event.recorded.data)
        node = await bus.node()
        await node.pause("web.1", namespace="default")

Errors are those of `bridge.errors`; values are the frozen structs of `bridge.model`.
"""

from bridge.client.bus import Bus
from bridge.client.checkpoints import Checkpoints
from bridge.client.checkup import Finding
from bridge.client.connect import connect
from bridge.client.containers import Listing, Place
from bridge.client.filters import EventFilter
from bridge.client.history import Moment
from bridge.client.jobs import Accepted, Jobs, JobView
from bridge.client.known import KnownNode
from bridge.client.measuring import Look, Measured, Meter
from bridge.client.node import Node
from bridge.client.points import Point, read_point
from bridge.client.process import Ended, Piece, Process
from bridge.client.remarks import Judgement, Remarks
from bridge.client.sending import Sending, derived_id
from bridge.client.standing import Doubt, NodeStanding
from bridge.client.transport import Transport
from bridge.client.verification import Difference, Rebuilt, Verified
from bridge.errors import BridgeError, CommandFailed, ConfigError, LogRefused, LogUnavailable
from bridge.ports import NodePresence, StoredEvent

__all__ = [
    "Accepted",
    "BridgeError",
    "Bus",
    "Checkpoints",
    "CommandFailed",
    "ConfigError",
    "Difference",
    "Ended",
    "Doubt",
    "EventFilter",
    "JobView",
    "Jobs",
    "Judgement",
    "KnownNode",
    "Finding",
    "Listing",
    "LogRefused",
    "LogUnavailable",
    "Look",
    "Measured",
    "Meter",
    "Moment",
    "Node",
    "NodePresence",
    "NodeStanding",
    "Piece",
    "Place",
    "Point",
    "Process",
    "Rebuilt",
    "Remarks",
    "Sending",
    "StoredEvent",
    "Transport",
    "Verified",
    "connect",
    "derived_id",
    "read_point",
]
