"""What comes back from a command: one outcome, with a typed result or one failure."""

from __future__ import annotations

from bridge.model.outcomes.checkpointing import Checkpointed, CheckpointRemoved, Migrated, Received, Restored
from bridge.model.outcomes.containers import (
    ContainerInfo,
    ContainerList,
    ExecInfo,
    InspectResult,
    PidList,
    ProcessInfo,
    TaskInfo,
    TaskStatus,
    VersionInfo,
    WaitResult,
)
from bridge.model.outcomes.creating import (
    Created,
    ImageInfo,
    ImageList,
    ImageRemoved,
    Imported,
    Progress,
    Pulled,
    Ran,
)
from bridge.model.outcomes.execution import ExecResult, StreamReport
from bridge.model.outcomes.judged import Judged
from bridge.model.outcomes.lifecycle import Deleted, Done, ExitInfo, Restarted, TaskStarted, Updated
from bridge.model.outcomes.outcome import Outcome, OutcomeWord
from bridge.model.outcomes.standing import Cancelled, CommandState, Stage, Via
from bridge.model.outcomes.stats import (
    CpuStats,
    IoStats,
    MemoryStats,
    NetworkStats,
    PidsStats,
    StatsList,
    TaskStats,
)

__all__ = [
    "Cancelled",
    "CheckpointRemoved",
    "Checkpointed",
    "CommandState",
    "ContainerInfo",
    "ContainerList",
    "Created",
    "CpuStats",
    "Deleted",
    "Done",
    "ExecInfo",
    "ExecResult",
    "ExitInfo",
    "ImageInfo",
    "ImageList",
    "ImageRemoved",
    "Imported",
    "InspectResult",
    "IoStats",
    "Judged",
    "MemoryStats",
    "Migrated",
    "NetworkStats",
    "Outcome",
    "OutcomeWord",
    "PidList",
    "PidsStats",
    "ProcessInfo",
    "Stage",
    "Progress",
    "Pulled",
    "Ran",
    "Received",
    "Restarted",
    "Restored",
    "StatsList",
    "StreamReport",
    "TaskInfo",
    "TaskStarted",
    "TaskStats",
    "TaskStatus",
    "Updated",
    "VersionInfo",
    "Via",
    "WaitResult",
]
