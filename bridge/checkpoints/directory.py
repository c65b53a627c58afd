"""A dump in a directory of somebody's, such as `docker checkpoint create` makes: copied file by file.

The directory is opened once, and every file is opened by its name in it. A link there would lead the bridge, which is root,
to files that are nobody's checkpoint, so nothing is followed, and a file that has a name elsewhere too is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from bridge.checkpoints.intake import Arrived, Intake
from bridge.checkpoints.landing import Landing
from bridge.checkpoints.layout import (
    IMAGES,
    LIMITS,
    Limits,
    check_dump,
    is_image_name,
    place_in_directory,
    refusal,
    shown,
    trouble,
)
from bridge.checkpoints.pump import thread
from bridge.model.checkpoints import ArchiveFacts

__all__ = ["copy_dump", "read_directory"]

PIECE: Final = 1 << 20
WHAT: Final = "the directory"

# O_NONBLOCK: a FIFO would keep us waiting for somebody to write into it.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


async def copy_dump(source: int, target: int, *, limits: Limits = LIMITS, what: str = WHAT) -> dict[str, int]:
    """Copy a dump, CRIU's files and nothing else, into another, empty directory; both are descriptors, which stay open.

    Returns:
        The names and sizes of its files.

    Raises:
        CommandFailed: `invalid_argument`: there is something in it that is in no dump, or no dump at all; `exhausted`: there is
            no room for the copy. Nothing of it is left then.
    """

    def work() -> dict[str, int]:
        found: dict[str, int] = {}
        with Landing(target, what=what) as landing:
            for name in _names(source, limits, what):
                if not is_image_name(name):
                    raise refusal(f"{what} has {shown(name)}, which is no name of a file of CRIU's")
                with _opened(source, name, what) as file:
                    most = limits.whole - sum(found.values())
                    found[name] = landing.write("", name, _pieces(file, name, most, what))
            check_dump(found, what)
        return found

    return await thread(work)


async def read_directory(source: int, target: int, *, limits: Limits = LIMITS, what: str = WHAT) -> Arrived:
    """Copy a checkpoint from a directory, in which all its files lie side by side, into the layout of an archive.

    It may be nothing but a dump, as `docker checkpoint create` makes it; then it says nothing of itself.

    Raises:
        CommandFailed: as in `copy_dump`, and for what an archive is refused for.
    """

    def work() -> Arrived:
        with Landing(target, what=what) as landing:
            intake = Intake(landing, limits, what)
            landing.folder(IMAGES)
            for name in _names(source, limits, what):
                where = place_in_directory(name, what=what)
                with _opened(source, name, what) as file:
                    most = min(limits.most(where.kind), limits.whole - intake.total)
                    size = os.fstat(file.fileno()).st_size
                    intake.take(where, size, _pieces(file, name, most, what))
            return intake.arrived(target, ArchiveFacts(size=0, digest="", unpacked=intake.total), bare=True)

    return await thread(work)


def _names(source: int, limits: Limits, what: str) -> list[str]:
    try:
        names = sorted(os.listdir(source))
    except OSError as error:
        raise trouble(error, f"{what} cannot be read") from error
    if len(names) > limits.entries:
        raise refusal(f"{what} has more than {limits.entries} entries")
    return names


@contextmanager
def _opened(source: int, name: str, what: str) -> Iterator[BinaryIO]:
    try:
        # Looked at before it is opened, because opening a device can do something, and again when nobody can exchange it.
        _check(os.stat(name, dir_fd=source, follow_symlinks=False), name, what)
        descriptor = os.open(name, _READ, dir_fd=source)
    except OSError as error:
        raise refusal(f"{what} has {shown(name)}, which cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        _check(os.fstat(descriptor), name, what)
        yield file


def _check(status: os.stat_result, name: str, what: str) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        why = "is no file" if not stat.S_ISREG(status.st_mode) else "is linked with another name"
        raise refusal(f"{what} has {shown(name)}, which {why}: there are files in a dump, and nothing else")


def _pieces(file: BinaryIO, name: str, most: int, what: str) -> Generator[bytes, None, None]:
    try:
        while piece := file.read(PIECE):
            most -= len(piece)
            if most < 0:
                raise refusal(f"{what} holds more than is allowed, with {shown(name)}")
            yield piece
    except OSError as error:
        raise trouble(error, f"{shown(name)} in {what} cannot be read") from error
