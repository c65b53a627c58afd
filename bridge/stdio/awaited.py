"""A process as its session asks containerd about it: again and again, since containerd may be away while the process is not."""

from __future__ import annotations

import asyncio
import logging
from signal import SIGKILL
from typing import Final

from bridge.errors import CommandFailed
from bridge.model.outcomes import ExitInfo, TaskInfo
from bridge.ports import Tasks

__all__ = ["Awaited"]

log = logging.getLogger(__name__)

RECONNECT_S: Final = 0.5
"""Pause before containerd is asked again after it went away."""


class Awaited:
    """One process; `exec_id` is None for the container's own."""

    def __init__(self, tasks: Tasks, namespace: str, container: str, exec_id: str | None) -> None:
        self._tasks = tasks
        self._key = (namespace, container, exec_id)

    def __str__(self) -> str:
        _, container, exec_id = self._key
        return f"container {container}" if exec_id is None else f"exec {exec_id} of container {container}"

    async def look(self) -> TaskInfo | None:
        """Return its state, None where it is not there."""
        while True:
            try:
                return await self._tasks.get(*self._key)
            except CommandFailed as error:
                log.debug("%s: containerd does not say how it is: %s", self, error)
            await asyncio.sleep(RECONNECT_S)

    async def exit(self) -> ExitInfo:
        """Wait until it has ended; return how, as far as anybody knows."""
        said = False
        while True:
            try:
                return await self._tasks.wait(*self._key)
            except CommandFailed as error:
                if error.code == "not_found":
                    return ExitInfo()  # it ended and was deleted: nobody can say how any more
                if not said and error.code != "unavailable":
                    said = True
                    log.warning("%s: its end cannot be awaited at present: %s", self, error)
            await asyncio.sleep(RECONNECT_S)

    async def kill(self, exited: asyncio.Task[ExitInfo]) -> None:
        """Kill it until it has ended."""
        namespace, container, exec_id = self._key
        while not exited.done():
            try:
                await self._tasks.kill(namespace, container, SIGKILL, exec_id=exec_id)
            except CommandFailed as error:
                if error.code == "not_found":
                    return
                log.warning("%s cannot be killed: %s", self, error)
            await asyncio.wait({exited}, timeout=RECONNECT_S)

    async def removed(self) -> bool:
        """Remove the exec if it can be now; return whether that was done."""
        namespace, container, exec_id = self._key
        assert exec_id is not None
        try:
            await self._tasks.delete(namespace, container, exec_id)
        except CommandFailed as error:
            log.debug("%s: it is not removed from containerd: %s", self, error)
            await asyncio.sleep(RECONNECT_S)
            return False
        return True

    async def delete(self, *, within: float | None = None) -> None:
        """Remove the exec; that it is gone already is as good. What else containerd says is told of in the log."""
        namespace, container, exec_id = self._key
        assert exec_id is not None
        loop = asyncio.get_running_loop()
        until = None if within is None else loop.time() + within
        while True:
            try:
                await self._tasks.delete(namespace, container, exec_id)
            except CommandFailed as error:
                passing = error.code in {"unavailable", "deadline_exceeded"}
                if not passing or (until is not None and loop.time() >= until):
                    if error.code != "not_found":
                        log.warning("%s is not removed from containerd: %s", self, error)
                    return
                await asyncio.sleep(RECONNECT_S)
            else:
                return
