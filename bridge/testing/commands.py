"""How commands stand, in memory.

states = MemoryCommands()
await states.write([CommandState(id="a-1", verb="stop", node="web1", stage="accepted")])

As the real one it can be down. Use it from one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from bridge.errors import CommandFailed, LogUnavailable
from bridge.model.outcomes import CommandState, Outcome

__all__ = ["MemoryCommands"]


class MemoryCommands:
    """Implements `bridge.ports.CommandStates`."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], CommandState] = {}
        """What stands under each node and id, in the order in which it was written."""
        self.history: list[tuple[str, str]] = []
        """Every write, as id and stage."""
        self._taken_back: set[tuple[str, str]] = set()
        self._up = True
        self._news = asyncio.Event()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Be down for the length of the block: nothing is written or read."""
        self._up = False
        try:
            yield
        finally:
            self._up = True

    async def write(self, states: Sequence[CommandState]) -> None:
        """Let these states stand there; see the port."""
        self._demand_up()
        for state in states:
            self.states.pop((state.node, state.id), None)
            self.states[state.node, state.id] = state
            self.history.append((state.id, state.stage))
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def get(self, command_id: str, *, node: str | None = None) -> list[CommandState]:
        """Return how the commands of this id stand; see the port."""
        self._demand_up()
        return [
            state for key, state in sorted(self.states.items()) if key[1] == command_id and node in {None, state.node}
        ]

    async def list(self, *, node: str | None = None) -> AsyncIterator[CommandState]:
        """Iterate over all of them; see the port."""
        self._demand_up()
        for state in list(self.states.values()):
            if node in {None, state.node}:
                yield state

    async def wait(self, command_id: str, node: str, *, timeout: float | None, after: Outcome | None = None) -> Outcome:
        """Wait for a command's outcome; see the port."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    news, state = self._news, self.states.get((node, command_id))
                    if state is not None and state.outcome is not None and state.outcome != after:
                        return state.outcome
                    await news.wait()
        except TimeoutError as error:
            raise CommandFailed(
                "deadline_exceeded", f"command {command_id} on node {node} has no outcome yet"
            ) from error

    async def take_back(self, command_id: str, node: str) -> None:
        """Write down that a job is not to begin; see the port."""
        self._demand_up()
        self._taken_back.add((node, command_id))

    async def taken_back(self, command_id: str, node: str) -> bool:
        """Tell whether that stands there; see the port."""
        self._demand_up()
        return (node, command_id) in self._taken_back

    def _demand_up(self) -> None:
        if not self._up:
            raise LogUnavailable("the bucket does not answer: it is down")
