"""A container's file tree looked into without mounting it: directories over one another, as overlayfs would show them.

Everything in it is foreign. So no path is ever given to the kernel to follow: each step opens one name in one directory
and follows no link; links are followed here, and the root is the tree's own, as it will be for the container. What is read
is a regular file. Whiteouts and opaque directories are those of overlayfs (kernel, Documentation/filesystems/overlayfs.rst).
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bridge._pb.containerd.types_pb2 import Mount
from bridge.errors import CommandFailed

__all__ = ["FileTree", "TooLong", "containerd_root", "read_mounted"]

MOST_LINKS: Final = 40
"""As many as Linux follows itself."""

_OPAQUE: Final = ("trusted.overlay.opaque", "user.overlay.opaque")
_COLON: Final = re.compile(r"(?<!\\):")


class TooLong(Exception):
    """A file has more bytes than are wanted."""


class FileTree:
    """The union of some directories, given as descriptors, the uppermost first."""

    def __init__(self, layers: Sequence[int]) -> None:
        self._layers = list(layers)

    def read(self, path: str, *, most: int) -> bytes | None:
        """Return a regular file, None where `path` leads to none.

        Raises:
            TooLong: it has more than `most` bytes.
            OSError: the file system fails.
        """
        with ExitStack() as opened:
            found = self._walk(path, opened)
            if not found or not stat.S_ISREG(os.fstat(found[0]).st_mode):
                return None
            with open(f"/proc/self/fd/{found[0]}", "rb") as file:
                data = file.read(most + 1)
            if len(data) > most:
                raise TooLong
            return data

    @contextmanager
    def directory(self, path: str) -> Iterator[int | None]:
        """Open a directory of the uppermost layer that has it, None where `path` leads to none."""
        with ExitStack() as opened:
            found = self._walk(path, opened)
            yield found[0] if found and stat.S_ISDIR(os.fstat(found[0]).st_mode) else None

    def _walk(self, path: str, opened: ExitStack) -> list[int]:
        """Return what `path` leads to: a directory's descriptors, the one of anything else, or none."""
        stack: list[list[int]] = [self._layers]
        names = deque(path.split("/"))
        links = 0
        while names:
            name = names.popleft()
            if name in {"", "."}:
                continue
            if name == "..":
                if len(stack) > 1:
                    stack.pop()
                continue
            found = self._step(stack[-1], name, opened)
            if not found:
                return []
            if stat.S_ISLNK(os.fstat(found[0]).st_mode):
                links += 1
                if links > MOST_LINKS:
                    return []
                target = os.readlink("", dir_fd=found[0])
                if target.startswith("/"):
                    del stack[1:]
                names.extendleft(reversed(target.split("/")))
                continue
            if any(each not in {"", "."} for each in names) and not stat.S_ISDIR(os.fstat(found[0]).st_mode):
                return []
            stack.append(found)
        return stack[-1]

    def _step(self, directories: Sequence[int], name: str, opened: ExitStack) -> list[int]:
        found: list[int] = []
        for directory in directories:
            try:
                here = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            except OSError as error:
                if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
                    continue
                raise
            opened.callback(os.close, here)
            status = os.fstat(here)
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:  # a whiteout
                return found
            if not stat.S_ISDIR(status.st_mode):
                return found or [here]
            found.append(here)
            if _opaque(here):
                return found
        return found


def containerd_root(address: Path) -> str:
    """Return the root directory that the containerd behind a socket has, as we see it.

    It may run in another mount namespace than we do. The kernel tells who listens on a socket; where it is out of our sight
    (or we out of root's), its paths are taken for ours.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        try:
            client.connect(str(address))
            pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        except OSError:
            return "/"
    root = f"/proc/{pid}/root"
    return root if pid > 0 and os.access(f"{root}/.", os.R_OK | os.X_OK) else "/"


def read_mounted(root: str, mounts: Sequence[Mount], path: str, *, most: int) -> bytes | None:
    """Return a file of what these mounts would show, None where there is none; for a thread of its own.

    Args:
        root: the root directory of who would mount them, from `containerd_root`.
        mounts: as containerd gives them for a snapshot.
        path: absolute, inside.
        most: bytes that are read at the most.

    Raises:
        CommandFailed: `failed_precondition`: they cannot be looked into, or the file is longer.
    """
    try:
        with ExitStack() as opened:
            top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, top)
            host = FileTree([top])
            layers = [opened.enter_context(host.directory(each)) for each in _directories(mounts)]
            if None in layers:
                raise CommandFailed(
                    "failed_precondition",
                    f"{path} of the image cannot be read, the bridge does not see the directories of its snapshot: give the user "
                    "by numbers, as UID:GID, or run the bridge where it sees the process of containerd",
                )
            return FileTree([each for each in layers if each is not None]).read(path, most=most)
    except TooLong:
        raise CommandFailed("failed_precondition", f"{path} of the image is longer than {most} bytes") from None
    except OSError as error:
        raise CommandFailed(
            "failed_precondition", f"{path} of the image cannot be read: {error.strerror or error}"
        ) from error


def _directories(mounts: Sequence[Mount]) -> list[str]:
    """Return the directories that the mounts lay over one another, the uppermost first."""
    if len(mounts) == 1:
        (mount,) = mounts
        if mount.type in {"bind", "rbind"}:
            return [mount.source]
        if mount.type == "overlay":
            options = dict(option.partition("=")[::2] for option in mount.options)
            upper = [options["upperdir"]] if "upperdir" in options else []
            lower = [each.replace("\\:", ":") for each in _COLON.split(options.get("lowerdir", "")) if each]
            return [*upper, *lower]
    kinds = ", ".join(mount.type for mount in mounts) or "nothing"
    raise CommandFailed(
        "failed_precondition",
        f"the snapshotter mounts {kinds}, which cannot be looked into: give the user by numbers, as UID:GID",
    )


def _opaque(directory: int) -> bool:
    for name in _OPAQUE:
        try:
            if os.getxattr(f"/proc/self/fd/{directory}", name) == b"y":
                return True
        except OSError:
            continue
    return False
