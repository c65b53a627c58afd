"""What the log says of a container, for whoever is about to change it: no older than the question.

containerd's stream is caught up with first, so everything that it had told when the question was asked is in the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bridge.capture.feed import Feed
from bridge.capture.ledger import Ledger
from bridge.capture.recorder import Recorder
from bridge.errors import BridgeError, CommandFailed, SourceLost
from bridge.model.state import ContainerState
from bridge.ports import Observed

__all__ = ["Knowledge"]

PATIENCE_S = 10.0
"""A recorder that does not answer for so long has a disk that fails."""


class Knowledge:
    """Asks the recorder."""

    def __init__(self, feed: Feed, recorder: Recorder) -> None:
        """Take who catches up and who knows."""
        self._feed = feed
        self._recorder = recorder

    async def state(self, namespace: str, container: str) -> ContainerState:
        """Return the container's state as folded from everything that containerd had told by now.

        Raises:
            CommandFailed: `unavailable`: nobody can say at present.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[ContainerState] = loop.create_future()

        def settle(state: ContainerState | BridgeError) -> None:
            if answer.done():
                return
            if isinstance(state, BridgeError):
                answer.set_exception(state)
            else:
                answer.set_result(state)

        def question(ledger: Ledger) -> Sequence[Observed]:
            try:
                found: ContainerState | BridgeError = ledger.state(namespace, container)
            except BridgeError as error:
                found = error
            loop.call_soon_threadsafe(settle, found)
            return ()

        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._feed.caught_up()
                self._recorder.consult(question)
                return await answer
        except SourceLost as error:
            raise CommandFailed("unavailable", f"what container {container} is cannot be told now: {error}") from error
        except TimeoutError as error:
            raise CommandFailed("unavailable", f"the outbox does not tell what container {container} is") from error
        except CommandFailed:
            raise
        except BridgeError as error:
            raise CommandFailed("unavailable", f"what container {container} is cannot be told now: {error}") from error
