"""What every verb is: a coroutine that carries out one command at one place and returns its result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from bridge.errors import CommandFailed
from bridge.model.outcomes import ContainerInfo, Progress, TaskInfo
from bridge.ports import ContainerRuntime, ObjectSource, Tell

__all__ = ["Permission", "Place", "Verb", "Removing", "hush", "nobody_judges", "record_at", "task_at"]


class Permission(Protocol):
    """Asks the node's policy about what a command would make or run; see `bridge.control.policy.Permit`."""

    async def __call__(
        self,
        *,
        spec: Mapping[str, Any] | None = None,
        process: Mapping[str, Any] | None = None,
        own: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        image: str | None = None,
        runtime: str = "",
        runtime_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Return where it is allowed.

        Raises:
            CommandFailed: `refused`.
        """
        ...


async def nobody_judges(**_: Any) -> None:
    """Be the `Permission` where there is no policy: nothing is allowed."""
    raise CommandFailed("refused", "nobody here judges what a spec asks: give the place a permit")


class Removing(Protocol):
    """Whoever deletes containers once they have ended."""

    def watch(self, namespace: str, container: str) -> None:
        """Delete this one when its task has ended. Returns at once."""
        ...


def hush(_progress: Progress) -> None:
    """Tell nobody."""


class Place(Struct, frozen=True, kw_only=True):
    """Where a command works: this node's runtime, and what the subject names.

    Attributes:
        followed: the namespaces that a command for all of them means; empty for really all.
        command_id: what the command is called for ever; what it makes is labelled with it.
        permit: awaited by a verb that makes or runs something, with what it would make, before it changes anything.
        tell: takes how far a long command has come.
        objects: the bus's object stores, where there are any.
        removing: deletes containers that were run with `rm`, where there is somebody who does.
    """

    runtime: ContainerRuntime
    node: str
    followed: frozenset[str] = frozenset()
    namespace: str | None = None
    container: str | None = None
    command_id: str = ""
    permit: Permission = nobody_judges
    tell: Tell = hush
    objects: ObjectSource | None = None
    removing: Removing | None = None

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
