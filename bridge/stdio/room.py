"""How many processes may have their stdio here at the same time: as many as the limit of open files has room for.

Each of them holds FIFOs and files open. A process that has none left can neither take a command nor answer one, so the bound
stays well below that; and the limit is raised first, as far as this process may do that itself: what is usual is 1024, which is
meant for programs that use select(2).
"""

from __future__ import annotations

import logging
import resource
from typing import Final

__all__ = ["EACH", "MOST", "raise_limit", "room_for"]

log = logging.getLogger(__name__)

MOST: Final = 500
"""Sessions at the same time: each may have a few MiB on disk that wait, too."""

EACH: Final = 10
"""Files that one session has open at the most: two FIFOs and two segments of a spool for each output, three for its input."""

OTHERS: Final = 256
"""Files for all the rest, or half of the limit where that is less: connections, databases, archives, looks at /proc."""

ENOUGH: Final = 65_536


def raise_limit() -> int:
    """Raise the soft limit of open files of this process as far as is of use; return what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return ENOUGH if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        log.warning("the limit of %d open files cannot be raised to %d: %s", soft, wanted, error)
        return soft
    return wanted


def room_for(limit: int) -> int:
    """Return how many sessions there is room for within a limit of open files."""
    return min(MOST, max(1, (limit - min(OTHERS, limit // 2)) // EACH))
