"""A dump in a directory of somebody's, such as `docker checkpoint create` makes: copied file by file.

The directory is opened once, and every file is opened by its name in it. A link there would lead the bridge, which is root,
to files that are nobody's checkpoint, so nothing is followed, and a file that has a name elsewhere too is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from typing import Final

from bridge.checkpoints.landing import Landing
from bridge.checkpoints.layout import LIMITS, Limits, is_image_name, refusal, shown, trouble
from bridge.checkpoints.pump import thread

__all__ = ["check_dump", "copy_dump"]

PIECE: Final = 1 << 20
WHAT: Final = "the directory"

# O_NONBLOCK: a FIFO would keep us waiting for somebody to write into it.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


async def copy_dump(source: int, target: int, *, limits: Limits = LIMITS, what: str = WHAT) -> dict[str, int]:
    """Copy a dump from one directory into another, empty one; both are descriptors, which stay open.

    Returns:
        The names and sizes of its files.

    Raises:
        CommandFailed: `invalid_argument`: there is something in it that is in no dump, or no dump at all; `exhausted`: there is
            no room for the copy. Nothing of it is left then.
    """

    def work() -> dict[str, int]:
        found: dict[str, int] = {}
        left = limits.whole
        try:
            names = sorted(os.listdir(source))
        except OSError as error:
            raise trouble(error, f"{what} cannot be read") from error
        if len(names) > limits.entries:
            raise refusal(f"{what} has more than {limits.entries} entries")
        with Landing(target, what=what) as landing:
            for name in names:
                if not is_image_name(name):
                    raise refusal(f"{what} has {shown(name)}, which is no name of a file of CRIU's")
                found[name] = landing.write("", name, _pieces(source, name, left, limits, what))
                left -= found[name]
            check_dump(found, what)
        return found

    return await thread(work)


def check_dump(images: dict[str, int], what: str) -> None:
    """Refuse what has not the file that every dump has."""
    if "inventory.img" not in images:
        raise refusal(f"{what} holds no dump of CRIU's: there is no inventory.img in it")


def _pieces(source: int, name: str, left: int, limits: Limits, what: str) -> Generator[bytes, None, None]:
    try:
        with open(os.open(name, _READ, dir_fd=source), "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                why = "is no file" if not stat.S_ISREG(status.st_mode) else "is linked with another name"
                raise refusal(f"{what} has {shown(name)}, which {why}: there are files in a dump, and nothing else")
            while piece := file.read(PIECE):
                left -= len(piece)
                if left < 0:
                    raise refusal(f"{what} holds more than {limits.whole} bytes, with {shown(name)}")
                yield piece
    except OSError as error:  # also for a link: it is not opened
        raise refusal(f"{what} has {shown(name)}, which cannot be read: {error.strerror}") from error
