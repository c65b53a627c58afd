"""What was: a container's life with its gaps, its state at a point, what ran on every node then, and how far back that goes.

All of it is folded from the log with the function that the bridges fold with, so the page says of the past what they said then. A
fold of all containers reads the whole log, so one goes on at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Final

from msgspec import Struct

from bridge.client import Bus, Moment, StoredEvent, now
from bridge.page.choice import of_containers, of_nodes
from bridge.page.nodes import Gap, gap_of
from bridge.page.rows import Row, milliseconds, row_of
from bridge.page.telling import Told, is_rehearsed, told

__all__ = ["History", "Past", "Step"]

STEPS: Final = 2_000
"""Steps of a life that a browser gets, the newest; the rest is counted."""


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One event of a container with what it was after it, or a gap of its node."""

    event: Told
    status: str | None = None
    exit_status: int | None = None
    pid: int | None = None
    gap: Gap | None = None


class History(Struct, frozen=True, kw_only=True):
    """A container's life: its last steps, how many came before them, and what time it is."""

    steps: list[Step]
    earlier: int
    at: int


class Past:
    """Reads what was."""

    def __init__(self, bus: Bus, *, nodes: Sequence[str] = (), namespaces: Sequence[str] = ()) -> None:
        """Take the bus, and whose containers are shown."""
        self._bus = bus
        self._chosen: Final[dict[str, Any]] = {"node": list(nodes), "namespace": list(namespaces)}
        self._readings: Final = [*of_nodes(nodes, namespaces).values(), *of_containers(nodes, namespaces).values()]
        self._folding = asyncio.Semaphore(1)

    async def history(self, node: str, namespace: str, container: str) -> History:
        """Return a container's life.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: there is none, or it may not be read.
        """
        steps: deque[Step] = deque(maxlen=STEPS)
        count = 0
        async with aclosing(self._bus.history(container, node=node, namespace=namespace)) as moments:
            async for moment in moments:
                if not is_rehearsed(moment.event):
                    steps.append(_step(moment))
                    count += 1
        return History(steps=list(steps), earlier=count - len(steps), at=milliseconds(now()) or 0)

    async def state(self, node: str, namespace: str, container: str, at: str) -> Row | None:
        """Return what a container was at a point, None where it was not there.

        Raises:
            ValueError: it is no point, or the log does not reach back so far.
            LogUnavailable: the log does not answer.
            LogRefused: there is none, or it may not be read.
        """
        found = await self._bus.states(at=at, node=node, namespace=namespace, container=container)
        return row_of(found[0]) if found else None

    async def states(self, at: str) -> list[Row]:
        """Return what every container was at a point; the rest is as with `state`."""
        async with self._folding:
            return [row_of(state) for state in await self._bus.states(at=at, **self._chosen)]

    async def extent(self) -> dict[str, Any]:
        """Return when the first event of what is shown was read, None where there is none, and what time it is."""
        found = [event for chosen in self._readings if (event := await self._first(chosen)) is not None]
        first = min(found, key=lambda event: event.stream_sequence, default=None)
        return {"first": first and milliseconds(first.recorded.recordedtime), "at": milliseconds(now())}

    async def _first(self, chosen: dict[str, Any]) -> StoredEvent | None:
        async with aclosing(self._bus.events(**chosen, since=1, follow=False)) as events:
            return await anext(events, None)


def _step(moment: Moment) -> Step:
    event, state = told(moment.event), moment.state
    if state is None:
        return Step(event=event, gap=gap_of(moment.event))
    return Step(event=event, status=state.status, exit_status=state.exit_status, pid=state.pid)
