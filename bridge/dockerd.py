"""dockerd beside containerd: what is asked of the one with what the other adds, or, where no dockerd was named, just the one.

Who wants no dockerd does not load what talks to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bridge.capture.engine import EngineFeed
from bridge.capture.recorder import Recorder
from bridge.model.outcomes import ContainerInfo
from bridge.ports import ContainerLookup, InventorySource
from bridge.watch import Watch

if TYPE_CHECKING:
    from bridge.docker.engine import DockerEngine

__all__ = ["Dockerd"]


class Dockerd:
    """Puts dockerd beside what answers for containerd."""

    def __init__(self, socket: Path | None) -> None:
        """Take dockerd's socket, None for no dockerd. Nothing is opened before `async with`."""
        self._engine: DockerEngine | None = None
        if socket is not None:
            from bridge.docker.engine import DockerEngine  # noqa: PLC0415 - see above

            self._engine = DockerEngine(socket)

    async def __aenter__(self) -> Self:
        if self._engine is not None:
            await self._engine.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._engine is not None:
            await self._engine.__aexit__(kind, error, at)

    async def follow(
        self,
        stack: AsyncExitStack,
        watch: Watch,
        recorder: Recorder,
        *,
        caught_up: Callable[[], Awaitable[None]],
        repaired: Callable[[], Awaitable[object]],
    ) -> None:
        """Have what dockerd tells recorded until the stack is closed; see `bridge.capture.engine`."""
        if self._engine is not None:
            feed = EngineFeed(self._engine, recorder, caught_up=caught_up, repaired=repaired)
            await stack.enter_async_context(watch.task(feed.run(), "docker"))

    def described(self, record: ContainerInfo) -> ContainerInfo | None:
        """Return a record of containerd's with what dockerd says; None where it is its container and it says nothing."""
        if self._engine is None:
            return record
        from bridge.docker.lookup import described  # noqa: PLC0415 - see above

        return described(self._engine, record)

    def lookup(self, records: ContainerLookup) -> ContainerLookup:
        """Return what says what containers are."""
        if self._engine is None:
            return records
        from bridge.docker.lookup import DockerLookup  # noqa: PLC0415 - see above

        return DockerLookup(records, self._engine)

    def inventory(self, listed: InventorySource) -> InventorySource:
        """Return what says what containers there are."""
        if self._engine is None:
            return listed
        from bridge.docker.inventory import DockerInventory  # noqa: PLC0415 - see above

        return DockerInventory(listed, self._engine)
