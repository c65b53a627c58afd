"""Containers that were run with `rm`: deleted once they have ended, also when that came while the bridge was not there.

A label on the container says so, and nothing else has to be remembered: at its start the bridge looks for the label, and for
the leases of commands that it was killed in the middle of, and goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from types import TracebackType
from typing import Final, Self

from bridge.control import lifecycle
from bridge.control.lanes import Lanes
from bridge.control.leases import INSTANCE
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.commands import Delete
from bridge.ports import ContainerRuntime, StdioSessions

__all__ = ["Removal"]

log = logging.getLogger(__name__)

AGAIN_S: Final = 2.0
MOST_S: Final = 60.0
"""Pauses before another try; each one is twice as long as the one before."""

AT_ONCE: Final = 8
"""Deletions at the same time; more would only wait for one another in containerd."""


ALIVE: Final = {"running", "paused", "pausing"}


class Removal:
    """Waits for containers to end and deletes them, while its context lasts. What is open in the end, the next start finds."""

    def __init__(
        self,
        node: str,
        runtime: ContainerRuntime,
        *,
        namespaces: Collection[str] = (),
        lanes: Lanes | None = None,
        sessions: StdioSessions | None = None,
        instance: str = INSTANCE,
        after: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Take whose containers.

        Args:
            node: this node's name.
            runtime: its containerd.
            namespaces: the only ones that are looked through; none means every one.
            lanes: where commands wait for their turn: a deletion waits there too.
            sessions: the processes with their stdio on the bus: their output is taken before they are deleted.
            instance: what this process is called on its leases.
            after: waits until what an earlier bridge left may be cleared away: what became of its commands shows in it.
        """
        self._node = node
        self._runtime = runtime
        self._namespaces = sorted(namespaces)
        self._lanes = lanes or Lanes()
        self._sessions = sessions
        self._instance = instance
        self._after = after
        self._deleting = asyncio.Semaphore(AT_ONCE)
        self._watching: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._sweep: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._sweep = asyncio.create_task(self._until_swept(), name="removal")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        tasks = [*self._watching.values(), *([self._sweep] if self._sweep else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def watch(self, namespace: str, container: str) -> None:
        """Delete this one when its task has ended. Returns at once."""
        key = (namespace, container)
        if key in self._watching:
            return
        task = asyncio.create_task(self._remove(*key), name=f"removal of {container}")
        self._watching[key] = task
        task.add_done_callback(lambda _: self._watching.pop(key, None))

    @property
    def watching(self) -> int:
        """How many containers are waited for."""
        return len(self._watching)

    async def swept(self) -> None:
        """Wait until what an earlier bridge left has been looked for."""
        assert self._sweep is not None
        await asyncio.wait({self._sweep})

    # -- what an earlier bridge left

    async def _until_swept(self) -> None:
        if self._after is not None:
            await self._after()
        pause = AGAIN_S
        while True:
            try:
                await self._look()
            except CommandFailed as error:
                log.info("what is to be removed is not known yet: %s", error)
            else:
                return
            await asyncio.sleep(pause)
            pause = min(MOST_S, 2 * pause)

    async def _look(self) -> None:
        """Find what commands were killed over, and the containers that are to go.

        A node has one bridge, so a lease of the node that is not of this process is nobody's. What it holds and no record
        refers to is garbage without it.
        """
        for lease in await self._runtime.leases.list(self._namespaces, labels.COMMAND):
            theirs = lease.labels.get(labels.NODE, self._node) != self._node
            if theirs or lease.labels.get(labels.INSTANCE) == self._instance:
                continue
            log.warning("command %s was broken off: what it left is cleared away", lease.labels.get(labels.COMMAND))
            await self._runtime.leases.delete(lease.namespace, lease.id, sync=True)
        everywhere: list[str | None] = [None]
        for namespace in self._namespaces or everywhere:
            for one in await self._runtime.containers.list(namespace, [f'labels."{labels.REMOVE}"==true']):
                self.watch(one.namespace, one.id)

    # -- one container

    async def _remove(self, namespace: str, container: str) -> None:
        pause = AGAIN_S
        while True:
            try:
                await self._ended(namespace, container)
                async with self._lanes.turn(namespace, container), self._deleting:
                    if await self._delete(namespace, container):
                        return
                continue  # it was started again meanwhile
            except CommandFailed as error:
                if error.code == "not_found":
                    return  # somebody else was quicker
                log.info("container %s of %s is not removed yet: %s", container, namespace, error)
            await asyncio.sleep(pause)
            pause = min(MOST_S, 2 * pause)

    async def _ended(self, namespace: str, container: str) -> None:
        """Wait for the end of the task; without one, or with one that was never started, there is nothing to wait for."""
        task = await self._runtime.tasks.get(namespace, container)
        if task is None or task.status in {"created", "stopped"}:
            return
        try:
            await self._runtime.tasks.wait(namespace, container)
        except CommandFailed as error:
            if error.code != "not_found":
                raise

    async def _delete(self, namespace: str, container: str) -> bool:
        """Delete it, if it is still the one that is to go; tell whether that is settled."""
        record = await self._runtime.containers.get(namespace, container)
        if record.labels.get(labels.REMOVE) != "true":
            return True  # another one of the same name
        task = await self._runtime.tasks.get(namespace, container)
        if task is not None and task.status in ALIVE:
            return False
        place = Place(
            runtime=self._runtime, node=self._node, namespace=namespace, container=container, sessions=self._sessions
        )
        await lifecycle.delete(place, Delete(force=True))
        log.info("container %s of %s has ended and is removed", container, namespace)
        return True
