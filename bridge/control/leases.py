"""The lease under which a command makes things, and undoing: what is half made is held by it, and goes with it.

A lease is named after its command, so what a crash leaves is found by it; its labels say whose process made it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model import labels
from bridge.model.identity import new_ulid

__all__ = [
    "AGAIN_S",
    "INSTANCE",
    "MOST_S",
    "PASSING",
    "held",
    "insist",
    "lease_labels",
    "lease_of",
    "taken_back",
    "undo",
]

log = logging.getLogger(__name__)

INSTANCE: Final = new_ulid()
"""What this process is called on its leases."""

AGAIN_S: Final = 0.2
MOST_S: Final = 5.0
"""Pauses before a step of undoing is tried again; each one is twice as long as the one before."""

PASSING: Final = frozenset({"unavailable", "deadline_exceeded"})
"""Why a step fails that may succeed a moment later: containerd is being started again."""

UNDO_S: Final = 20.0
"""How long undoing may take when the bridge is told to stop meanwhile; what is left then is found at the next start."""


def lease_of(command_id: str) -> str:
    """Return the name of the lease under which a command makes things."""
    return f"containerd-bridge-{command_id}"


def lease_labels(command_id: str, node: str) -> dict[str, str]:
    """Return the labels of that lease."""
    return {labels.COMMAND: command_id, labels.INSTANCE: INSTANCE, labels.NODE: node}


@asynccontextmanager
async def held(place: Place, command_id: str) -> AsyncIterator[str]:
    """Hold what is made until a record refers to it, and garbage where none does; in the end the lease is gone."""
    assert place.namespace is not None
    namespace, lease = place.namespace, lease_of(command_id)
    try:
        await place.runtime.leases.create(namespace, lease, lease_labels(command_id, place.node))
        failpoint("leased")
        yield lease
    finally:
        await undo(f"lease {lease}", place.runtime.leases.delete(namespace, lease))


async def insist(what: str, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Carry out a step of undoing, again and again while containerd cannot be reached; what it refuses is told in the log."""
    pause = AGAIN_S
    while True:
        try:
            await work()
        except CommandFailed as error:
            if error.code not in PASSING:
                log.warning("%s is left: %s", what, error)
                return
            log.info("%s is left for now: %s", what, error)
        else:
            return
        await asyncio.sleep(pause)
        pause = min(2 * pause, MOST_S)


async def taken_back(error: BaseException, what: str, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Undo a step that a later one's `error` came after: until it is done, or once where the bridge stops and looks again."""
    await (insist(what, work) if isinstance(error, Exception) else undo(what, work()))


async def undo(what: str, work: Coroutine[Any, Any, object]) -> None:
    """Carry out a step of undoing to its end, also while we are cancelled; that it fails is told in the log."""
    task = asyncio.ensure_future(work)
    try:
        async with asyncio.timeout(UNDO_S):
            await asyncio.shield(task)
    except CommandFailed as error:
        log.warning("%s is left, the next start of the bridge clears it away: %s", what, error)
    except TimeoutError:
        log.warning("%s is left, the next start of the bridge clears it away: no answer in time", what)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=UNDO_S)
        raise
