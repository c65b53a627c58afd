"""What can be asked of a node: one frozen struct per verb, holding the verb's options.

The verb and the container stand in the subject, so NATS's own permissions are the access control; the body is the options
as a JSON object, and an empty body is an object without members. An option that the verb does not have is refused: a
misspelt `signal` must not silently become the default one.
"""

from __future__ import annotations

from bridge.model.commands.command import OF_EVERY, Command, CommandId, Remark, Seconds
from bridge.model.commands.creating import CREATING, Create, MountOption, Run, RuncOptions
from bridge.model.commands.groups import GROUPS, Group, groups_from
from bridge.model.commands.images import IMAGES, Images, Import, Pull, Rmi
from bridge.model.commands.lifecycle import LIFECYCLE, Delete, Kill, Pause, Resume, Start, Stop
from bridge.model.commands.observing import OBSERVING, Inspect, List, Pids, Version
from bridge.model.commands.redaction import HIDDEN, SECRET, redacted, scrubbed, secrets_of
from bridge.model.commands.signals import signal_number

__all__ = [
    "COMMANDS",
    "Command",
    "CommandId",
    "Create",
    "Delete",
    "GROUPS",
    "Group",
    "HIDDEN",
    "Images",
    "Import",
    "Inspect",
    "Kill",
    "List",
    "MountOption",
    "OF_EVERY",
    "Pause",
    "Pids",
    "Pull",
    "Remark",
    "Resume",
    "Rmi",
    "Run",
    "RuncOptions",
    "SECRET",
    "Seconds",
    "Start",
    "Stop",
    "Version",
    "groups_from",
    "redacted",
    "scrubbed",
    "secrets_of",
    "signal_number",
]

COMMANDS: dict[str, type[Command]] = {command.verb: command for command in (*OBSERVING, *LIFECYCLE, *CREATING, *IMAGES)}
"""Verb -> struct."""
