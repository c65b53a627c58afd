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
from bridge.model.outcomes.judged import Judged
from bridge.model.outcomes.lifecycle import Done, ExitInfo, TaskStarted
from bridge.model.outcomes.outcome import Outcome, OutcomeWord

__all__ = [
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
    "Judged",
    "Outcome",
    "OutcomeWord",
    "PidList",
    "ProcessInfo",
    "Progress",
    "Pulled",
    "Ran",
    "TaskInfo",
    "TaskStarted",
    "TaskStatus",
    "VersionInfo",
]
