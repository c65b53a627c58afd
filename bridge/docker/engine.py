"""dockerd as `bridge.ports.Engine`: what it says of its containers is kept in memory, and kept up by its events.

dockerd knows a container from its creation on, and containerd hears of it only at its start. So what is asked here is nearly
always known already. Where it is not, dockerd is asked by `GET /containers/json`, which takes milliseconds also while a
container starts; `GET /containers/ID/json` would wait until it has started.

What was known when dockerd went away is kept: names and labels do not change without it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Collection, Mapping
from concurrent.futures import CancelledError as FutureCancelled
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from msgspec.structs import replace

from bridge.docker.api import DockerApi
from bridge.docker.records import CHANGES, HEALTH, Change, change, containers, ids
from bridge.errors import EngineLost
from bridge.model.nanos import now
from bridge.ports.engine import EngineContainer, EngineNews

__all__ = ["DockerEngine"]

log = logging.getLogger(__name__)

FIRST_S: Final = 2.0
"""How long the start of the bridge waits for the first list."""

SILENT_S: Final = 30.0
"""A dockerd that was silent once is not asked for so long by those who cannot wait."""


class DockerEngine:
    """Implements `bridge.ports.Engine`. Entering it asks for the first list, and does not mind where there is none."""

    def __init__(self, socket: Path) -> None:
        """Take dockerd's socket. It need not be there."""
        self._api = DockerApi(socket)
        self._containers: dict[str, EngineContainer] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reached = False
        self._silent_until = 0.0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(FIRST_S):
                await self._list()
        except (EngineLost, TimeoutError) as error:
            log.debug("dockerd has not told its containers at the start: %s", error)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._loop = None

    def known(self, containers: Collection[str]) -> Mapping[str, EngineContainer]:
        """Return those that are known. See `bridge.ports.Engine`."""
        found = {one: self._containers.get(one) for one in containers}
        return {key: one for key, one in found.items() if one is not None}

    def describe(self, containers: Collection[str], within_s: float) -> Mapping[str, EngineContainer]:
        """Return those that are known, and ask for the others. See `bridge.ports.Engine`."""
        known = dict(self.known(containers))
        missing = [one for one in containers if one not in known]
        loop = self._loop
        if not missing or loop is None or not self._reached or time.monotonic() < self._silent_until:
            return known
        asked = asyncio.run_coroutine_threadsafe(self._look(missing), loop)
        try:
            asked.result(within_s)
        except TimeoutError:
            asked.cancel()
            self._silent_until = time.monotonic() + SILENT_S
            log.warning("dockerd is slow to say what its containers are; their first events may lack names and labels")
        except (EngineLost, FutureCancelled) as error:
            log.debug("dockerd does not say what %d containers are: %s", len(missing), error)
        return self.known(containers)

    async def news(self) -> AsyncIterator[EngineNews]:
        """Iterate over what there is and what changes. See `bridge.ports.Engine`."""
        try:
            wanted = {"filters": _filters(type=["container"], event=CHANGES)}
            async with self._api.lines("/events", wanted) as lines:
                yield EngineNews(await self._list(), now())
                async for line in lines:
                    told = change(line)
                    one = None if told is None else await self._after(told)
                    if told is not None and one is not None:
                        yield EngineNews([one], told.time)
        except msgspec.DecodeError as error:
            raise EngineLost(f"dockerd sends what is no event of its API: {error}") from error
        finally:
            self._reached = False

    # -- inside

    async def _list(self) -> list[EngineContainer]:
        """Return all containers, and keep them in place of those that were known."""
        found = {one.id: one for one in await self._ask(all="1")}
        for health in HEALTH:
            for one in await self._ask(health, filters=_filters(health=[health], status=["running", "paused"])):
                if one.id in found:
                    found[one.id] = replace(found[one.id], health=health)
        self._containers = found
        self._reached = True
        return list(found.values())

    async def _look(self, wanted: Collection[str]) -> None:
        """Ask for these, and keep what is told; what is known of their health stays."""
        for one in await self._ask(all="1", filters=_filters(id=wanted)):
            before = self._containers.get(one.id)
            self._containers[one.id] = one if before is None else replace(one, health=before.health)

    async def _after(self, told: Change) -> EngineContainer | None:
        """Take an event, and return its container as it is known then; None where there is none any more."""
        key = told.container
        match told.action:
            case "gone":
                self._containers.pop(key, None)
                return None
            case "look":
                await self._look([key])
            case "start":
                await self._look([key])
                checked = key in ids(await self._api.get("/containers/json", _of(key, health=HEALTH)))
                self._set_health(key, HEALTH[0] if checked else None)
            case "end":
                self._set_health(key, None)
            case "health":
                if key not in self._containers:
                    await self._look([key])
                self._set_health(key, told.health)
        return self._containers.get(key)

    def _set_health(self, container: str, health: str | None) -> None:
        one = self._containers.get(container)
        if one is not None:
            self._containers[container] = replace(one, health=health)

    async def _ask(self, health: str | None = None, /, **parameters: str) -> list[EngineContainer]:
        answer = await self._api.get("/containers/json", parameters)
        try:
            return list(containers(answer, health))
        except msgspec.ValidationError as error:
            raise EngineLost(f"dockerd lists what is no container of its API: {error}") from error


def _filters(**filters: Collection[str]) -> str:
    return json.dumps({name: list(values) for name, values in filters.items()})


def _of(container: str, **filters: Collection[str]) -> dict[str, Any]:
    return {"filters": _filters(id=[container], **filters)}
