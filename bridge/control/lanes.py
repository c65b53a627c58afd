"""Lanes: commands on one container one after another in the order of arrival, different containers side by side.

A lane exists while there is something in it. Whoever enters carries out its own work when its turn comes, so there are no
workers to keep alive, and leaving early (an error, a cancellation) frees the place like finishing does. Nothing waits
without bound: a full lane, or too much overall, is `exhausted` at once.

Whoever has the turn and only waits for something may rest. While he does, one at a time of those who pass is let in beside him:
who wants a container to end now does not wait for the patience of a `stop`. Nobody else is overtaken by that but those who said
that they may be, and whoever rests goes on when he is alone again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import NamedTuple, TypeAlias

from bridge.errors import CommandFailed

__all__ = ["Lane", "LaneStatistics", "Lanes", "Rest", "SharedLanes"]

WAITING_PER_LANE = 32
"""Commands that may wait for one container. Each may be a `stop` with its grace: whoever is further behind has long given up."""

ENTERED = 1_000
"""Commands under way and waiting, all lanes together: memory, and somebody who waits for each reply."""


Rest: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]
"""What whoever has a turn waits in, so that others may pass: nothing inside may depend on being alone."""


class LaneStatistics(NamedTuple):
    """How full the lanes are now, and how many commands found no place since the beginning."""

    lanes: int
    under_way: int
    waiting: int
    exhausted: int


class _Waiting(NamedTuple):
    let_in: asyncio.Future[None]
    passes: bool
    passable: bool


class Lane:
    """Lets in `width` at a time, in the order of arrival, and lets no more than `waiting` wait."""

    def __init__(self, what: str, *, width: int = 1, waiting: int = WAITING_PER_LANE) -> None:
        """Take what the lane is for, as the sentence of a refusal needs it: "container web.1"."""
        self._what = what
        self._width = width
        self._most_waiting = waiting
        self._queue: deque[_Waiting] = deque()
        self._resting = False
        self._alone = asyncio.Event()
        self.under_way = 0
        self.exhausted = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Whether nothing is in the lane."""
        return not (self.under_way or self.waiting)

    @asynccontextmanager
    async def turn(
        self,
        *,
        patient: bool = False,
        queued: Callable[[], None] = lambda: None,
        passes: bool = False,
        passable: bool = False,
    ) -> AsyncIterator[Rest]:
        """Wait for the turn; the next one's comes when the context is left. What it gives is for lanes that let in one at a time.

        Args:
            patient: wait behind however many; for what is bounded elsewhere.
            queued: called where it has to wait, once it has its place.
            passes: pass whoever rests, unless somebody waits before who may not be passed.
            passable: let those who pass by, also while this one waits.

        Raises:
            CommandFailed: `exhausted`, at once: too many wait already.
        """
        one = _Waiting(asyncio.get_running_loop().create_future(), passes, passable)
        self._queue.append(one)
        self._let_in()
        if not one.let_in.done():
            if not patient and self.waiting > self._most_waiting:
                self._queue.remove(one)
                self.exhausted += 1
                raise CommandFailed(
                    "exhausted", f"{self.waiting} commands wait for {self._what} already: try again later"
                )
            queued()
        try:
            await one.let_in
        except BaseException:
            if one.let_in.cancelled():
                self._queue.remove(one)
                self._let_in()  # it may have been what could not be passed
            else:
                self._leave()
            raise
        try:
            yield self._rest
        finally:
            self._leave()

    def statistics(self) -> LaneStatistics:
        """Return how full this one is."""
        return LaneStatistics(0 if self.idle else 1, self.under_way, self.waiting, self.exhausted)

    @asynccontextmanager
    async def _rest(self) -> AsyncIterator[None]:
        self._resting = True
        self._let_in()
        try:
            yield
        finally:
            self._resting = False
            while self.under_way > self._width:
                self._alone.clear()
                await self._alone.wait()

    def _leave(self) -> None:
        self.under_way -= 1
        self._alone.set()
        self._let_in()

    def _let_in(self) -> None:
        """Let in who may: the first ones, as long as there is room; while somebody rests, one more, who passes."""
        for one in [*self._queue]:
            if one.let_in.done():
                continue  # it has given up, and is about to leave the queue
            room = self.under_way < self._width
            if not room and not (self._resting and self.under_way == self._width):
                return
            if room or one.passes:
                self.under_way += 1
                self._queue.remove(one)
                one.let_in.set_result(None)
            elif not one.passable:
                return


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
        self,
        namespace: str,
        container: str,
        *,
        patient: bool = False,
        queued: Callable[[], None] = lambda: None,
        passes: bool = False,
        passable: bool = False,
    ) -> AsyncIterator[Rest]:
        """Wait for the turn on this container; arrival is the first step of this context, not the creation of a task for it.

        Args:
            namespace: the container's.
            container: its id.
            patient: wait behind however many, and take no place from others overall; for jobs, whose number is bounded
                where they come from.
            queued: called where it has to wait, once it has its place.
            passes: pass whoever rests; see `Lane.turn`.
            passable: let those who pass by.

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
            async with lane.turn(patient=patient, queued=queued, passes=passes, passable=passable) as rest:
                yield rest
        finally:
            self._entered -= place
            if lane.idle:
                del self._lanes[key]
                self._exhausted += lane.exhausted

    def busy(self, namespace: str, container: str) -> bool:
        """Tell whether something is under way on a container, or waits for it."""
        return (namespace, container) in self._lanes

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
    ) -> AsyncIterator[Rest]:
        """Wait for the turn in this namespace, and then for one of all; see `Lanes.turn`. Nobody passes here.

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
                yield nullcontext
        finally:
            self._entered -= place
            if lane.idle:
                del self._lanes[namespace]
