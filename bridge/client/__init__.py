"""What a program imports to read the log of container events and to command containers, typed, from any machine.

    from bridge.client import TaskExit, TaskOOM, connect

    async with connect("nats://nats.example:4222") as bus:
        async for event in bus.events(since="10m"):
            match event.data:
                case TaskOOM():
                    await (await bus.container(event.container, node=event.node, namespace=event.namespace)).restart()
                case TaskExit(exit_status=status):
                    print(event.time, event.node, event.container, "ended with", status)

`connect` gives a `Bus`; `bridge.client.sync` the same for scripts without `await`. What is exported here is the public API, and
what of it is promised stands in `docs/client.md`. Times are `Nanos`, whole nanoseconds since 1970 in UTC; durations are seconds
as `float` unless a name ends in `_ns`; sizes are bytes.

Errors are a tree under `BridgeError`. A command raises `CommandFailed`, whose `code` is one of a fixed set; reading raises
`LogUnavailable` (may pass by itself) or `LogRefused` (somebody has to mend it); `connect` raises `ConfigError`. An argument that
makes no sense is a ValueError and nothing is sent.

What a newer bridge sends is never an error: an event of a type that this version does not know has `Unrecognized` as its data,
with the JSON as it came, and fields that it does not know are passed over, and stand in the event's `body`.
"""

from bridge.client.bus import Bus
from bridge.client.checkpoints import Checkpoints
from bridge.client.checkup import Finding
from bridge.client.connect import connect
from bridge.client.container import Container
from bridge.client.containers import Listing, Place
from bridge.client.filters import EventFilter
from bridge.client.history import Moment
from bridge.client.jobs import Accepted, Jobs, JobView
from bridge.client.known import KnownNode
from bridge.client.measuring import Look, Measured, Meter
from bridge.client.node import Limits, Node
from bridge.client.points import Point, read_point
from bridge.client.process import Ended, Piece, Process
from bridge.client.remarks import Judgement, Remarks
from bridge.client.sending import Sending, derived_id
from bridge.client.standing import Doubt, NodeStanding
from bridge.client.subscription import Subscription
from bridge.client.transport import Transport
from bridge.client.verification import Difference, Rebuilt, Verified
from bridge.config import NatsConfig
from bridge.errors import (
    BadEnvelope,
    BridgeError,
    Code,
    CommandFailed,
    ConfigError,
    LogError,
    LogRefused,
    LogUnavailable,
)
from bridge.model.codec import decode as read_event
from bridge.model.commands import Checkpoint, Create, Exec, Import, Migrate, Pull, Restore, Run
from bridge.model.envelope import Event, Recorded, Unrecognized
from bridge.model.events import (
    Anomaly,
    CommandRecorded,
    ContainerCreate,
    ContainerDelete,
    ContainerEvent,
    ContainerHealth,
    ContainerUpdate,
    Failure,
    RawEvent,
    TaskCheckpointed,
    TaskCreate,
    TaskDelete,
    TaskExecAdded,
    TaskExecExit,
    TaskExecStarted,
    TaskExit,
    TaskOOM,
    TaskPaused,
    TaskRestored,
    TaskResumed,
    TaskStart,
)
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import (
    ImageCreate,
    ImageDelete,
    ImageUpdate,
    NodeConnected,
    NodeDisconnected,
    NodeEvent,
    NodeGap,
    NodeHeartbeat,
    NodeLease,
    NodeReconciled,
    NodeStarted,
    NodeStopped,
)
from bridge.model.outcomes import (
    Cancelled,
    Checkpointed,
    CheckpointRemoved,
    ContainerInfo,
    Created,
    Deleted,
    Done,
    ExecResult,
    ExitInfo,
    ImageInfo,
    ImageRemoved,
    InspectResult,
    Migrated,
    Outcome,
    ProcessInfo,
    Progress,
    Ran,
    Restarted,
    Restored,
    TaskInfo,
    TaskStarted,
    TaskStats,
    Updated,
    VersionInfo,
    WaitResult,
)
from bridge.model.state import ContainerState, ExecState
from bridge.ports import NodePresence, StoredEvent

__all__ = [
    # opening a bus, and what it gives
    "connect",
    "Bus",
    "Container",
    "Node",
    "Subscription",
    "NatsConfig",
    "Sending",
    "Remarks",
    "Limits",
    "Process",
    "Piece",
    "Ended",
    "Jobs",
    "JobView",
    "Checkpoints",
    "Transport",
    "Meter",
    "Measured",
    "Look",
    "EventFilter",
    "Point",
    "Place",
    "Listing",
    "Moment",
    "NodePresence",
    "KnownNode",
    "NodeStanding",
    "Doubt",
    "Finding",
    "Verified",
    "Rebuilt",
    "Difference",
    "derived_id",
    "read_event",
    "read_point",
    "now",
    # what may be raised
    "BridgeError",
    "BadEnvelope",
    "CommandFailed",
    "Code",
    "ConfigError",
    "LogError",
    "LogRefused",
    "LogUnavailable",
    "Accepted",
    "Judgement",
    # events
    "StoredEvent",
    "Recorded",
    "Event",
    "Unrecognized",
    "Nanos",
    "ContainerEvent",
    "TaskCreate",
    "TaskStart",
    "TaskExit",
    "TaskOOM",
    "TaskExecAdded",
    "TaskExecStarted",
    "TaskExecExit",
    "TaskPaused",
    "TaskResumed",
    "TaskCheckpointed",
    "TaskRestored",
    "TaskDelete",
    "ContainerCreate",
    "ContainerUpdate",
    "ContainerDelete",
    "ContainerHealth",
    "CommandRecorded",
    "Anomaly",
    "RawEvent",
    "NodeEvent",
    "NodeStarted",
    "NodeStopped",
    "NodeConnected",
    "NodeDisconnected",
    "NodeGap",
    "NodeReconciled",
    "NodeHeartbeat",
    "NodeLease",
    "ImageCreate",
    "ImageUpdate",
    "ImageDelete",
    # states
    "ContainerState",
    "ExecState",
    # commands with options of their own, and what comes of commands
    "Create",
    "Run",
    "Pull",
    "Import",
    "Exec",
    "Checkpoint",
    "Restore",
    "Migrate",
    "Outcome",
    "Failure",
    "Cancelled",
    "Checkpointed",
    "CheckpointRemoved",
    "ContainerInfo",
    "Created",
    "Deleted",
    "Done",
    "ExecResult",
    "ExitInfo",
    "ImageInfo",
    "ImageRemoved",
    "InspectResult",
    "Migrated",
    "ProcessInfo",
    "Progress",
    "Ran",
    "Restarted",
    "Restored",
    "TaskInfo",
    "TaskStarted",
    "TaskStats",
    "Updated",
    "VersionInfo",
    "WaitResult",
]
