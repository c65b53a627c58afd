"""The labels that the bridge itself puts on what it makes in containerd.

Everything of ours begins with `containerd-bridge/`, and no command may set such a label. Those of others are not anybody's to
set either: who they belong to acts on them.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CHECKPOINT",
    "COMMAND",
    "IMAGES",
    "INSTANCE",
    "NODE",
    "OF_OTHERS",
    "ON_THE_BUS",
    "OURS",
    "PARENT",
    "REMOVE",
    "RESTORE",
    "STDIN",
    "STDIO",
]

OURS: Final = "containerd-bridge/"

OF_OTHERS: Final = ("containerd.io/", "io.cri-containerd", "com.docker/", "nerdctl/")
"""Beginnings of labels on which somebody acts: containerd (its restart plugin starts containers, its garbage collector keeps
things), its CRI plugin, dockerd, nerdctl. What an image says of them is passed over."""

COMMAND: Final = "containerd-bridge/command"
"""On containers, snapshots, leases and images: the id of the command that made them."""

CHECKPOINT: Final = "containerd-bridge/checkpoint"
"""On containers that were restored: what from. A key of the catalogue, or where it lay."""

PARENT: Final = "containerd-bridge/parent"
"""On containers that were restored: the incarnation that the checkpoint was made of, where that is known."""

IMAGES: Final = "containerd-bridge/images"
"""On images of an archive: how many it has."""

INSTANCE: Final = "containerd-bridge/instance"
"""On leases: the process of the bridge that needs them. The leases of one that is gone are nobody's."""

NODE: Final = "containerd-bridge/node"
"""On leases: the node whose bridge made them. A containerd may have more than one, under different names."""

REMOVE: Final = "containerd-bridge/remove"
"""On a container that is to be deleted when its task has ended."""

RESTORE: Final = "containerd-bridge/restore"
"""On containers that were restored: the id of the last command that did so."""

STDIO: Final = "containerd-bridge/stdio"
"""On a container whose tasks write to a file or a program of the host: its URI; or to the bus: `ON_THE_BUS`."""

ON_THE_BUS: Final = "bus"

STDIN: Final = "containerd-bridge/stdin"
"""On a container whose tasks take their input from the bus."""
