"""Where paths of containerd's host lead to: symbolic links followed as containerd and its runtimes follow them.

A bridge in a container of its own has another file system, in which the same path may be another link or none. So links are
read below the root of the process that listens on containerd's socket, which the kernel tells, and nothing of them is ever
followed out of it. Where that process is out of sight, the bridge's own file system has to do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from bridge.containerd.host import listener

__all__ = ["HostPaths", "followed"]

MOST_LINKS: Final = 40
"""As many as the kernel follows (path_resolution(7))."""


class HostPaths:
    """Follows links on the host of one containerd; see `__call__`, which blocks for a moment."""

    def __init__(self, address: Path) -> None:
        """Take the path of containerd's socket."""
        self._address = address

    def __call__(self, path: str) -> str:
        """Return the path without symbolic links. What is not there, or cannot be looked at, stays as it stands."""
        return followed(self._root(), path)

    def _root(self) -> str:
        root = f"/proc/{listener(self._address)}/root"
        return root if os.path.isdir(f"{root}/.") else ""


def followed(root: str, path: str) -> str:
    """Return where an absolute path leads below the directory `root`, as if that were `/`."""
    left = path.split("/")[::-1]
    done: list[str] = []
    links = 0
    while left:
        step = left.pop()
        if step in ("", "."):
            continue
        if step == "..":
            del done[-1:]
            continue
        try:
            target = os.readlink("/".join((root, *done, step)))
        except (OSError, ValueError):
            done.append(step)
            continue
        links += 1
        if links > MOST_LINKS:
            return path  # the mount fails as well
        if target.startswith("/"):
            done.clear()
        left += target.split("/")[::-1]
    return "/" + "/".join(done)
