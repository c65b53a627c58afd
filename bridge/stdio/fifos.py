"""The FIFOs of a session, in a directory of its own under the one that the containerd shims see too.

The client of containerd makes the FIFOs and the shim opens them. The directory above is ours alone, else somebody could put
something else in a FIFO's place; what is opened is looked at all the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import stat
from pathlib import Path
from typing import Final

from bridge.errors import CommandFailed

__all__ = ["Fifos", "had_writer", "prepare"]

PIPE: Final = 256 * 1024
"""Bytes that fit into a FIFO that we read: the more, the more rarely its writer and we have to wake each other."""


def prepare(base: Path) -> None:
    """Make the directory of all sessions' FIFOs, or see that it is good.

    Raises:
        CommandFailed: `failed_precondition`: it cannot be made, or others may write to it.
    """
    try:
        base.mkdir(mode=0o711, parents=True, exist_ok=True)
        there = base.lstat()
    except OSError as error:
        raise CommandFailed(
            "failed_precondition",
            f"cannot make FIFOs in {base}: {error.strerror}: give another --fifo-dir, which containerd's shims see too",
        ) from error
    if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.geteuid() or there.st_mode & 0o022:
        raise CommandFailed(
            "failed_precondition",
            f"cannot make FIFOs in {base}: it is no directory that only this user can write to: give another --fifo-dir",
        )


def had_writer(descriptor: int) -> bool:
    """Tell of a FIFO that nobody can write to whether somebody could at any moment since it was opened.

    A FIFO hangs up only on who was there with its writer, and reads as at its end for everybody (Linux, fs/pipe.c: `pipe_poll`).
    """
    looked = select.poll()
    looked.register(descriptor, 0)
    return bool(looked.poll(0))


class Fifos:
    """The FIFOs of one session."""

    def __init__(self, base: Path, session: str) -> None:
        self.directory = base / session

    def path(self, name: str) -> str:
        """Return the path of one of them."""
        return str(self.directory / name)

    def make(self, names: list[str]) -> None:
        """Make the directory and these FIFOs in it. None of it may be there.

        Raises:
            OSError: it cannot be done.
        """
        self.directory.mkdir(mode=0o700)
        for name in names:
            os.mkfifo(self.directory / name, 0o600)

    def open(self, name: str, flags: int) -> int:
        """Open one without blocking.

        Raises:
            OSError: it is not there, or no FIFO; or it is opened to write and nobody reads.
        """
        descriptor = os.open(self.directory / name, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(2, f"{self.directory / name} is no FIFO")
        if flags & os.O_ACCMODE == os.O_RDONLY:
            # Where the kernel allows it (/proc/sys/fs/pipe-max-size); a smaller one is as good, and slower.
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE)
        return descriptor

    def remove(self) -> None:
        """Take them away, as far as they are there."""
        shutil.rmtree(self.directory, ignore_errors=True)
