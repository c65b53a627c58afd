"""What the log says of one container, asked from the event loop: the ledger is the recorder's thread's alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from bridge.capture.feed import Feed
from bridge.capture.ledger import Ledger
from bridge.capture.outbox import OutboxError
from bridge.capture.recorder import Recorder
from bridge.errors import CommandFailed
from bridge.model.state import ContainerState
from bridge.ports import Observed

__all__ = ["Knowledge"]

ANSWERED_WITHIN_S: Final = 5.0
"""The thread answers between two commits; longer only takes a disk that stalls."""


class Knowledge:
    """Tells states of containers, as far as containerd has told them by then."""

    def __init__(self, feed: Feed, recorder: Recorder) -> None:
        """Take who hears from containerd, and who keeps the ledger."""
        self._feed = feed
        self._recorder = recorder

    async def state(self, namespace: str, container: str) -> ContainerState:
        """Return the state of a container after everything that had come from containerd when this was called.

        Raises:
            CommandFailed: `unavailable`: nothing comes from containerd at the moment, or the disk takes nothing.
        """
        if not self._feed.live.is_set():
            raise CommandFailed(
                "unavailable", "the subscription to containerd is not live, so the log may be behind it"
            )
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[ContainerState | OutboxError] = loop.create_future()

        def tell(state: ContainerState | OutboxError) -> None:
            if not answer.done():
                answer.set_result(state)

        def ask(ledger: Ledger) -> Iterable[Observed]:
            try:
                found: ContainerState | OutboxError = ledger.state(namespace, container)
            except OutboxError as error:
                found = error
            loop.call_soon_threadsafe(tell, found)
            return []

        self._recorder.consult(ask)
        try:
            state = await asyncio.wait_for(answer, ANSWERED_WITHIN_S)
        except TimeoutError as error:
            raise CommandFailed("unavailable", "the outbox does not answer: its disk takes nothing") from error
        if isinstance(state, OutboxError):
            raise CommandFailed("unavailable", f"the outbox cannot be read: {state}") from state
        return state
