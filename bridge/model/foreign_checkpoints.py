"""Checkpoints that others make, as far as an image's record tells of them: containerd has no event for a checkpoint.

containerd's client (`Task.Checkpoint`; docker and nerdctl use it) makes an image for each, named after the container. What the
bridge itself makes, its own command tells of.
"""

from __future__ import annotations

import re
from typing import Final, TypeGuard

from bridge.model import labels
from bridge.model.envelope import Event
from bridge.model.events import TaskCheckpointed
from bridge.model.identity import is_identifier
from bridge.model.node_events import ImageCreate

__all__ = ["foreign_checkpoint", "may_be_checkpoint"]

_NAME: Final = re.compile(r"containerd\.io/checkpoint/([^/:]+):\d\d-\d\d-\d{4}-\d\d:\d\d:\d\d")
"""The container, and the time to a second (containerd, client/task.go)."""


def foreign_checkpoint(event: Event) -> TaskCheckpointed | None:
    """Return what an image's creation says of a container, None where its name says nothing.

    An update says nothing: a checkpoint's image is never made a second time, and somebody may have given it a label.
    """
    if not may_be_checkpoint(event):
        return None
    match = _NAME.fullmatch(event.name)
    if match is None or not is_identifier(match[1]):
        return None
    return TaskCheckpointed(container_id=match[1], checkpoint=event.name)


def may_be_checkpoint(event: Event) -> TypeGuard[ImageCreate]:
    """Tell whether an event may be somebody else's checkpoint: an image that no command of the bridge has made."""
    return isinstance(event, ImageCreate) and labels.COMMAND not in event.labels
