"""What can be asked of a node: one frozen struct per verb, holding the verb's options.

The verb and the container stand in the subject, so NATS's own permissions are the access control; the body is the options
as a JSON object, and an empty body is an object without members. An option that the verb does not have is refused: a
misspelt `signal` must not silently become the default one.
"""

from __future__ import annotations

from bridge.model.commands.amounts import UNLIMITED, size_of
from bridge.model.commands.checkpointing import (
    CHECKPOINTING,
    MIGRATING,
    Checkpoint,
    CheckpointRemove,
    Migrate,
    MigrateAbandon,
    Receive,
    Restore,
)
from bridge.model.commands.command import (
    OF_EVERY,
    PRECONDITIONS,
    Command,
    CommandId,
    Remark,
    Seconds,
    Targets,
    is_command_id,
)
from bridge.model.commands.creating import CREATING, Create, MountOption, Run, RuncOptions
from bridge.model.commands.desk import DESK, Cancel
from bridge.model.commands.execution import EXECUTION, Attach, CloseStdin, Exec, ExecMode, Resize
from bridge.model.commands.explaining import explained
from bridge.model.commands.groups import GROUPS, Group, groups_from
from bridge.model.commands.images import IMAGES, Images, Import, Pull, Rmi
from bridge.model.commands.lifecycle import LIFECYCLE, Delete, Kill, Pause, Restart, Resume, Start, Stop, Update
from bridge.model.commands.named import id_in
from bridge.model.commands.observing import OBSERVING, Inspect, List, Pids, Stats, Version, Wait
from bridge.model.commands.redaction import (
    HIDDEN,
    SECRET,
    blanked,
    credentials_of,
    redacted,
    scrubbed,
    secrets_of,
)
from bridge.model.commands.signals import signal_number

__all__ = [
    "Attach",
    "COMMANDS",
    "Cancel",
    "Checkpoint",
    "CheckpointRemove",
    "CloseStdin",
    "Command",
    "CommandId",
    "Create",
    "Delete",
    "Exec",
    "ExecMode",
    "GROUPS",
    "Group",
    "HIDDEN",
    "Images",
    "Import",
    "Inspect",
    "Kill",
    "List",
    "PRECONDITIONS",
    "MountOption",
    "OF_EVERY",
    "Migrate",
    "MigrateAbandon",
    "Pause",
    "Pids",
    "Pull",
    "Receive",
    "Remark",
    "Restart",
    "Resize",
    "Restore",
    "Resume",
    "Rmi",
    "Run",
    "RuncOptions",
    "SECRET",
    "Seconds",
    "Start",
    "Stats",
    "Stop",
    "Targets",
    "UNLIMITED",
    "Update",
    "Version",
    "Wait",
    "explained",
    "groups_from",
    "id_in",
    "is_command_id",
    "blanked",
    "credentials_of",
    "redacted",
    "scrubbed",
    "secrets_of",
    "signal_number",
    "size_of",
]

COMMANDS: dict[str, type[Command]] = {
    command.verb: command
    for command in (*OBSERVING, *DESK, *LIFECYCLE, *CREATING, *IMAGES, *EXECUTION, *CHECKPOINTING, *MIGRATING)
}
"""Verb -> struct."""
