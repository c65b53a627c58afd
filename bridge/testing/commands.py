"""How commands stand, in memory.

states = MemoryCommands()
await states.write([CommandState(id="a-1", verb="stop", node="web1", stage="accepted")])

As the real one it can be down. Use it from one event loop.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from bridge.errors import CommandFailed, LogUnavailable
from bridge.model.outcomes import CommandState, Outcome
from bridge.model.subjects import CommandSubject

__all__ = ["MemoryCommands"]


class MemoryCommands:
    """Implements `bridge.ports.CommandStates`."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str | None, str | None, str], CommandState] = {}
        """What stands under each key, in the order in which it was written."""
        self.history: list[tuple[str, str]] = []
        """Every write, as id and stage."""
        self._taken_back: set[tuple[object, str]] = set()
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
            key = (state.node, state.namespace, state.container, state.id)
            self.states.pop(key, None)
            self.states[key] = state
            self.history.append((state.id, state.stage))
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def get(
        self, command_id: str, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> builtins.list[CommandState]:
        """Return how the commands of this id stand; see the port."""
        self._demand_up()
        found = self._about(node, namespace, container)
        return sorted((state for state in found if state.id == command_id), key=lambda state: state.node)

    async def list(
        self, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> AsyncIterator[CommandState]:
        """Iterate over all of them; see the port."""
        self._demand_up()
        for state in self._about(node, namespace, container):
            yield state

    async def wait(
        self,
        command_id: str,
        node: str,
        *,
        namespace: str | None = None,
        container: str | None = None,
        timeout: float | None,
        after: Outcome | None = None,
    ) -> Outcome:
        """Wait for a command's outcome; see the port."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    news = self._news
                    for state in self._about(node, namespace, container):
                        if state.id == command_id and state.outcome not in (None, after):
                            assert state.outcome is not None
                            return state.outcome
                    await news.wait()
        except TimeoutError as error:
            raise CommandFailed(
                "deadline_exceeded", f"command {command_id} on node {node} has no outcome yet"
            ) from error

    def _about(self, node: str | None, namespace: str | None, container: str | None) -> builtins.list[CommandState]:
        wanted = {"node": node, "namespace": namespace, "container": container}
        return [
            state
            for state in self.states.values()
            if all(value in {None, getattr(state, name)} for name, value in wanted.items())
        ]

    async def take_back(self, command_id: str, subject: CommandSubject) -> None:
        """Write down that a job is not to begin; see the port."""
        self._demand_up()
        self._taken_back.add((subject[:3], command_id))

    async def taken_back(self, command_id: str, subject: CommandSubject) -> bool:
        """Tell whether that stands there; see the port."""
        self._demand_up()
        return (subject[:3], command_id) in self._taken_back

    def _demand_up(self) -> None:
        if not self._up:
            raise LogUnavailable("the bucket does not answer: it is down")
