"""The labels that the bridge itself puts on what it makes in containerd.

Everything of ours begins with `containerd-bridge/`, and no command may set such a label. Those of others are not anybody's to
set either: who they belong to acts on them.
"""

from __future__ import annotations

from typing import Final

__all__ = ["COMMAND", "INSTANCE", "OF_OTHERS", "OURS", "REMOVE", "STDIO"]

OURS: Final = "containerd-bridge/"

OF_OTHERS: Final = ("containerd.io/", "io.cri-containerd", "com.docker/", "nerdctl/")
"""Beginnings of labels on which somebody acts: containerd (its restart plugin starts containers, its garbage collector keeps
things), its CRI plugin, dockerd, nerdctl. What an image says of them is passed over."""

COMMAND: Final = "containerd-bridge/command"
"""On containers, snapshots and leases: the id of the command that made them."""

INSTANCE: Final = "containerd-bridge/instance"
"""On leases: the process of the bridge that needs them. The leases of one that is gone are nobody's."""

REMOVE: Final = "containerd-bridge/remove"
"""On a container that is to be deleted when its task has ended."""

STDIO: Final = "containerd-bridge/stdio"
"""On a container whose tasks write to a file or a program of the host: its URI."""
