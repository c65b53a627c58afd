"""The engine feed: dockerd's word on names and health, put into the same log as containerd's events, behind them.

It listens to dockerd for ever. What it hears is held against what the log says of the container at that moment, in the recorder's
thread; what differs is told: a health as `health`, another name, label or image as a reconciled `container-update`. So it
does not matter what was missed: when dockerd can be reached again, it lists everything, and the difference is told.

Nothing waits for it, and that dockerd is away disturbs nobody.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import NoReturn

from bridge.capture.ledger import Ledger
from bridge.capture.reconcile import ALIVE
from bridge.capture.repair import Recording
from bridge.errors import BridgeError, EngineLost, SourceLost
from bridge.model.events import ContainerHealth, ContainerUpdate
from bridge.model.nanos import now
from bridge.model.state import ContainerState
from bridge.ports import Observed
from bridge.ports.engine import MOBY, Engine, EngineContainer, EngineNews

__all__ = ["EngineFeed"]

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
"""Between two attempts to reach dockerd."""


class EngineFeed:
    """Follows a dockerd. `run` is a task of the event loop."""

    def __init__(
        self,
        engine: Engine,
        recorder: Recording,
        *,
        caught_up: Callable[[], Awaitable[None]],
        repaired: Callable[[], Awaitable[object]],
    ) -> None:
        """Take both ends.

        Args:
            engine: the dockerd.
            recorder: where events go.
            caught_up: returns when everything is submitted that containerd has published; SourceLost without a subscription.
            repaired: returns when the log says of containers what containerd lists.
        """
        self._engine = engine
        self._recorder = recorder
        self._caught_up = caught_up
        self._repaired = repaired
        self._lost: str | None = None

    async def run(self) -> NoReturn:
        """Do so until cancelled."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                async for news in self._engine.news():
                    if self._lost is not None:
                        log.warning("dockerd tells names and health of its containers again")
                    self._lost, pause = None, FIRST_PAUSE_S
                    await self._take(news)
            except EngineLost as error:
                if self._lost is None:  # once: what dockerd says while it comes and goes is always another sentence
                    log.warning("names and health of dockerd's containers are not told meanwhile: %s", error)
                self._lost = str(error)
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, no secret
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _take(self, news: EngineNews) -> None:
        # What containerd has told of the container's task comes first: a health is that of the task which is known then.
        await self._repaired()
        with suppress(SourceLost):
            await self._caught_up()
        self._recorder.consult(partial(_told, news))


def _told(news: EngineNews, ledger: Ledger) -> Iterable[Observed]:
    """Return what the log does not say yet. Asked in the recorder's thread, where nothing may be raised."""
    try:
        return [observed for one in news.containers for observed in _differences(one, news, ledger)]
    except BridgeError as error:
        log.warning("what dockerd says could not be compared with the log: %s", error)
        return ()


def _differences(one: EngineContainer, news: EngineNews, ledger: Ledger) -> Iterator[Observed]:
    state = ledger.state(MOBY, one.id)
    if not state.seen or state.status == "gone":
        return
    moment = now()
    if _is_called_otherwise(state, one):
        update = ContainerUpdate(
            id=one.id,
            image=one.image or state.image,
            labels={**(state.labels or {}), **one.labels},
            name=one.name or state.name,
            runtime=state.runtime,
        )
        yield Observed(update, MOBY, one.id, news.time, moment, "reconciled")
    if one.health is not None and one.health != state.health and state.status in ALIVE:
        yield Observed(ContainerHealth(container_id=one.id, status=one.health), MOBY, one.id, news.time, moment)


def _is_called_otherwise(state: ContainerState, one: EngineContainer) -> bool:
    if (one.name and one.name != state.name) or (one.image and one.image != state.image):
        return True
    return not one.labels.items() <= (state.labels or {}).items()
