"""The network of what does not leave after all, opened again: what was held so that its connections could go on elsewhere.

Whoever is in that network is cut off until then, the container and all others. So it is opened before the container runs on, and
seen to once more when all is over: by then somebody else may have let it run on, or have ended it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from bridge.control.verb import Place
from bridge.errors import CommandFailed

__all__ = ["open_network", "see_network_open"]

log = logging.getLogger(__name__)

OPENED_S: Final = 60.0
"""How long it is tried as long as containerd's host is out of sight; then it is an operator's to do."""

AGAIN_S: Final = 1.0


async def open_network(place: Place) -> None:
    """Let pass what was held of a container's network, if anything was.

    Raises:
        CommandFailed: it cannot be done just now.
    """
    try:
        await place.runtime.checkpoints.release_network(*place.target)
    except CommandFailed as error:
        if error.code != "not_found":  # then nobody knows which one it was
            raise


async def see_network_open(place: Place) -> None:
    """Let it pass, for a while again and again; where that does not help it is said in the log what does."""
    until = time.monotonic() + OPENED_S
    while True:
        try:
            await open_network(place)
            break
        except CommandFailed as error:
            if time.monotonic() > until:
                log.error("%s may be cut off: %s", place, error)
                break
        await asyncio.sleep(AGAIN_S)
