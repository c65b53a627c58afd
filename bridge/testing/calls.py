"""How a call reaches the containerd in memory, and how it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from bridge.errors import CommandFailed
from bridge.testing.task import MemoryTask, Refusal

if TYPE_CHECKING:
    from bridge.testing.containerd import MemoryContainer, MemoryContainerd

__all__ = ["Calls"]

T = TypeVar("T")


class Calls:
    """Calls of one containerd in memory; each gives way to other tasks once before it does anything, as over a socket."""

    def __init__(self, containerd: MemoryContainerd) -> None:
        self._containerd = containerd

    async def call(self, doing: str, work: Callable[[], T]) -> T:
        """Do `work`, unless containerd is down; what it refuses becomes `CommandFailed`.

        Args:
            doing: what is tried, after "cannot".
            work: the call itself.
        """
        await asyncio.sleep(0)
        with _refusals(doing):
            if not self._containerd.up:
                raise CommandFailed("unavailable", f"cannot {doing}: containerd cannot be reached")
            return work()

    def container(self, namespace: str, container: str) -> MemoryContainer:
        """Return a container; inside a call."""
        found = self._containerd.containers.get((namespace, container))
        if found is None:
            raise Refusal("not_found", f"container {container} in namespace {namespace}: not found")
        return found

    def task(self, namespace: str, container: str) -> MemoryTask:
        """Return a container's task; inside a call."""
        task = self.container(namespace, container).task
        if task is None:
            raise Refusal("not_found", f"task {container}: not found")
        return task


@contextmanager
def _refusals(doing: str) -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        raise CommandFailed(refusal.code, f"cannot {doing}: {refusal}", containerd=str(refusal)) from refusal
