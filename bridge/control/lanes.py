"""Lanes: commands on one container one after another in the order of arrival, different containers side by side.

A lane exists while there is something in it. Whoever enters carries out its own work when its turn comes, so there are no
workers to keep alive, and leaving early (an error, a cancellation) frees the place like finishing does. Nothing waits
without bound: a full lane, or too much overall, is `exhausted` at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from bridge.errors import CommandFailed

__all__ = ["Lane", "LaneStatistics", "Lanes", "SharedLanes"]

WAITING_PER_LANE = 32
"""Commands that may wait for one container. Each may be a `stop` with its grace: whoever is further behind has long given up."""

ENTERED = 1_000
"""Commands under way and waiting, all lanes together: memory, and somebody who waits for each reply."""


class LaneStatistics(NamedTuple):
    """How full the lanes are now, and how many commands found no place since the beginning."""

    lanes: int
    under_way: int
    waiting: int
    exhausted: int


class Lane:
    """Lets in `width` at a time, in the order of arrival, and lets no more than `waiting` wait."""

    def __init__(self, what: str, *, width: int = 1, waiting: int = WAITING_PER_LANE) -> None:
        """Take what the lane is for, as the sentence of a refusal needs it: "container web.1"."""
        self._what = what
        self._most_waiting = waiting
        self._turns = asyncio.Semaphore(width)
        self.under_way = 0
        self.waiting = 0
        self.exhausted = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is in the lane."""
        return not (self.under_way or self.waiting)

    @asynccontextmanager
    async def turn(self, *, patient: bool = False, queued: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
        """Wait for the turn; the next one's comes when the context is left.

        Args:
            patient: wait behind however many; for what is bounded elsewhere.
            queued: called where it has to wait, once it has its place.

        Raises:
            CommandFailed: `exhausted`, at once: too many wait already.
        """
        if not patient and self._turns.locked() and self.waiting >= self._most_waiting:
            self.exhausted += 1
            raise CommandFailed("exhausted", f"{self.waiting} commands wait for {self._what} already: try again later")
        if self._turns.locked():
            queued()
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1
            self._turns.release()

    def statistics(self) -> LaneStatistics:
        """Return how full this one is."""
        return LaneStatistics(0 if self.idle else 1, self.under_way, self.waiting, self.exhausted)


class Lanes:
    """One lane per container."""

    def __init__(self, *, waiting_per_lane: int = WAITING_PER_LANE, entered: int = ENTERED) -> None:
        """Take the bounds: waiting in one lane, under way and waiting in all of them."""
        self._waiting_per_lane = waiting_per_lane
        self._most_entered = entered
        self._entered = 0
        self._exhausted = 0
        self._lanes: dict[tuple[str, str], Lane] = {}

    @asynccontextmanager
    async def turn(
        self, namespace: str, container: str, *, patient: bool = False, queued: Callable[[], None] = lambda: None
    ) -> AsyncIterator[None]:
        """Wait for the turn on this container; arrival is the first step of this context, not the creation of a task for it.

        Args:
            namespace: the container's.
            container: its id.
            patient: wait behind however many, and take no place from others overall; for jobs, whose number is bounded
                where they come from.
            queued: called where it has to wait, once it has its place.

        Raises:
            CommandFailed: `exhausted`, at once: too many wait for this container, or overall.
        """
        if not patient and self._entered >= self._most_entered:
            self._exhausted += 1
            raise CommandFailed("exhausted", f"{self._entered} commands are under way on this node: try again later")
        key = (namespace, container)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(f"container {container}", waiting=self._waiting_per_lane)
        place = 0 if patient else 1
        self._entered += place
        try:
            async with lane.turn(patient=patient, queued=queued):
                yield
        finally:
            self._entered -= place
            if lane.idle:
                del self._lanes[key]
                self._exhausted += lane.exhausted

    def statistics(self) -> LaneStatistics:
        """Return how full they are, all together."""
        lanes = self._lanes.values()
        return LaneStatistics(
            lanes=len(lanes),
            under_way=sum(lane.under_way for lane in lanes),
            waiting=sum(lane.waiting for lane in lanes),
            exhausted=self._exhausted + sum(lane.exhausted for lane in lanes),
        )


class SharedLanes:
    """One lane per namespace, each `width` wide, and no more than `together` under way in all of them.

    So what hangs in one namespace holds up that one, and what hangs in many is bounded.
    """

    def __init__(self, what: str, *, width: int, together: int, waiting: int, entered: int) -> None:
        """Take what they are for, and the bounds: under way in one and in all, waiting in one, both in all of them."""
        self._what = what
        self._width = width
        self._waiting = waiting
        self._most_entered = entered
        self._entered = 0
        self._lanes: dict[str, Lane] = {}
        self._all = Lane(what, width=together)

    @asynccontextmanager
    async def turn(
        self, namespace: str, *, patient: bool = False, queued: Callable[[], None] = lambda: None
    ) -> AsyncIterator[None]:
        """Wait for the turn in this namespace, and then for one of all; see `Lanes.turn`.

        Raises:
            CommandFailed: `exhausted`, at once.
        """
        if not patient and self._entered >= self._most_entered:
            raise CommandFailed("exhausted", f"{self._entered} commands are for {self._what} already: try again later")
        lane = self._lanes.get(namespace)
        if lane is None:
            what = f"{self._what} in namespace {namespace}"
            lane = self._lanes[namespace] = Lane(what, width=self._width, waiting=self._waiting)
        told = False

        def waits() -> None:
            nonlocal told
            if not told:
                told = True
                queued()

        place = 0 if patient else 1
        self._entered += place
        try:
            async with lane.turn(patient=patient, queued=waits), self._all.turn(patient=True, queued=waits):
                yield
        finally:
            self._entered -= place
            if lane.idle:
                del self._lanes[namespace]
