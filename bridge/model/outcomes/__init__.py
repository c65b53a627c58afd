"""What comes back from a command: one outcome, with a typed result or one failure."""

from __future__ import annotations

from bridge.model.outcomes.containers import (
    ContainerInfo,
    ContainerList,
    InspectResult,
    PidList,
    ProcessInfo,
    TaskInfo,
    TaskStatus,
    VersionInfo,
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
from bridge.model.outcomes.lifecycle import Done, ExitInfo, TaskStarted
from bridge.model.outcomes.outcome import Outcome, OutcomeWord
from bridge.model.outcomes.standing import Cancelled, CommandState, Stage, Via

__all__ = [
    "Cancelled",
    "CommandState",
    "ContainerInfo",
    "ContainerList",
    "Created",
    "Done",
    "ExitInfo",
    "ImageInfo",
    "ImageList",
    "ImageRemoved",
    "Imported",
    "InspectResult",
    "Outcome",
    "OutcomeWord",
    "PidList",
    "ProcessInfo",
    "Stage",
    "Progress",
    "Pulled",
    "Ran",
    "TaskInfo",
    "TaskStarted",
    "TaskStatus",
    "VersionInfo",
    "Via",
]
