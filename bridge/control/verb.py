"""What every verb is: a coroutine that carries out one command at one place and returns its result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from msgspec import Struct

from bridge.errors import CommandFailed
from bridge.model.outcomes import ContainerInfo, TaskInfo
from bridge.ports import ContainerRuntime

__all__ = ["Place", "Verb", "record_at", "task_at"]


class Place(Struct, frozen=True, kw_only=True):
    """Where a command works: this node's runtime, and what the subject names.

    `followed` are the namespaces that a command for all of them means; empty for really all.
    """

    runtime: ContainerRuntime
    node: str
    followed: frozenset[str] = frozenset()
    namespace: str | None = None
    container: str | None = None

    @property
    def target(self) -> tuple[str, str]:
        """Namespace and container, for the verbs of containers."""
        assert self.namespace is not None
        assert self.container is not None
        return self.namespace, self.container

    def __str__(self) -> str:
        return f"container {self.container}"


Verb: TypeAlias = Callable[[Place, Any], Awaitable[Struct]]
"""Carries out a command (the struct of that verb) and returns the verb's result struct.

Raises:
    CommandFailed: it came to nothing; the sentence names the container, its state, and the remedy.
"""


async def record_at(place: Place) -> ContainerInfo:
    """Return the container's record.

    Raises:
        CommandFailed: `not_found` where there is none, or whatever containerd says.
    """
    try:
        return await place.runtime.containers.get(*place.target)
    except CommandFailed as error:
        if error.code != "not_found":
            raise
        sentence = f"{place} does not exist in namespace {place.namespace}"
        raise CommandFailed("not_found", sentence, containerd=error.containerd) from error


async def task_at(place: Place) -> TaskInfo:
    """Return the container's task.

    Raises:
        CommandFailed: `not_found` where there is no task, or no container; the sentence says which.
    """
    task = await place.runtime.tasks.get(*place.target)
    if task is None:
        await record_at(place)
        raise CommandFailed("not_found", f"{place} has no task: start it first")
    return task
