"""What every verb is: a coroutine that carries out one command at one place and returns its result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from msgspec import Struct, field

from bridge.control.lanes import Rest
from bridge.control.workshop import Workshop
from bridge.errors import CommandFailed
from bridge.model.events import TaskCheckpointed
from bridge.model.outcomes import ContainerInfo, ImageInfo, Progress, TaskInfo
from bridge.model.state import ContainerState
from bridge.ports import ContainerRuntime, ObjectSource, StdioSessions, Tell
from bridge.ports.checkpoints import CheckpointCatalogue

__all__ = [
    "Checkpointing",
    "Described",
    "Interruption",
    "Known",
    "Leave",
    "Permission",
    "Place",
    "by_containerd_alone",
    "Removing",
    "Verb",
    "as_it_stands",
    "image_at",
    "hush",
    "nobody_judges",
    "nobody_knows",
    "record_at",
    "task_at",
]


T = TypeVar("T")


class Interruption:
    """How somebody who takes a command back reaches the verb that is carrying it out.

    A verb says where it can be interrupted by waiting there through `waits`, or by working there `through` it; nowhere else
    anything happens to it.
    """

    def __init__(self) -> None:
        self._wanted = asyncio.Event()
        self._listening = 0

    @property
    def possible(self) -> bool:
        """Whether the verb waits now, and can be interrupted."""
        return self._listening > 0

    def interrupt(self) -> None:
        """Let what waits come back."""
        self._wanted.set()

    async def waits(self, for_: asyncio.Future[Any], *, timeout: float | None = None) -> bool:
        """Wait until `for_` is done or the time is over; return whether it is done. Its result and errors are left in it.

        Raises:
            CommandFailed: `cancelled`: the command was taken back meanwhile.
        """
        wanted = asyncio.ensure_future(self._wanted.wait())
        self._listening += 1
        try:
            ends: set[asyncio.Future[Any]] = {for_, wanted}
            await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._listening -= 1
            wanted.cancel()
        if not for_.done() and self._wanted.is_set():
            raise CommandFailed("cancelled", "the command was cancelled")
        return for_.done()

    async def through(self, work: Coroutine[Any, Any, T], *, otherwise: str, until: asyncio.Event | None = None) -> T:
        """Carry out what can be broken off: it is cancelled then, and has undone its own when this returns.

        Args:
            work: what takes long.
            otherwise: what is said where the command was taken back meanwhile.
            until: set by the work when it can be broken off no more.

        Raises:
            CommandFailed: `cancelled`: the command was taken back meanwhile. And whatever the work raises.
        """
        task = asyncio.ensure_future(work)
        passed = asyncio.ensure_future((until or asyncio.Event()).wait())
        first = asyncio.ensure_future(asyncio.wait({task, passed}, return_when=asyncio.FIRST_COMPLETED))
        try:
            try:
                await self.waits(first)
            except CommandFailed as error:
                raise CommandFailed("cancelled", otherwise) from error
            return await task
        finally:
            for each in (task, passed, first):
                each.cancel()
            await asyncio.gather(task, passed, first, return_exceptions=True)


Leave: TypeAlias = Callable[[], Awaitable[None]]
"""Gives the turn in a container's lane to the next one; once more does nothing."""

Described: TypeAlias = Callable[[ContainerInfo], ContainerInfo | None]
"""Returns a record with what somebody else than containerd knows of the container; None where he knows it and does not say."""

Known: TypeAlias = Callable[[str, str], Awaitable[ContainerState]]
"""Tells the state of a container as the log has it, with everything that containerd had told when it was asked.

Raises:
    CommandFailed: `unavailable`: the subscription to containerd is not live, so nobody can say.
"""


async def nobody_knows(namespace: str, container: str) -> ContainerState:
    """Be the `Known` of a node that follows no events."""
    raise CommandFailed("unavailable", f"no events of container {container} in {namespace} are followed here")


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
        output: str = "",
        existing: bool = False,
        ours: bool = False,
        begins: bool = True,
    ) -> None:
        """Return where it is allowed.

        Raises:
            CommandFailed: `refused`.
        """
        ...


async def nobody_judges(**_: Any) -> None:
    """Be the `Permission` where there is no policy: nothing is allowed."""
    raise CommandFailed("refused", "nobody here judges what a spec asks: give the place a permit")


def as_it_stands(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Follow no links."""
    return dict(spec)


class Removing(Protocol):
    """Whoever deletes containers once they have ended."""

    def watch(self, namespace: str, container: str) -> None:
        """Delete this one when its task has ended. Returns at once."""
        ...


def hush(_progress: Progress) -> None:
    """Tell nobody."""


class Happened(Protocol):
    """Takes an event that a command made and containerd does not tell of, for the log."""

    def __call__(self, event: TaskCheckpointed, namespace: str, container: str, command_id: str) -> None:
        """Take it. Returns at once."""
        ...


class Ending(Protocol):
    """Takes what the end of a container's task is to be put down to."""

    def __call__(self, namespace: str, container: str, command_id: str | None) -> None:
        """Note that the task is about to be ended by a command that has a checkpoint of it; by none again with None."""
        ...


class Checkpointing(NamedTuple):
    """What commands about checkpoints need besides containerd.

    Attributes:
        catalogue: the catalogue on the bus.
        workshop: where dumps lie while a command works with them.
        happened: takes `checkpointed`, which containerd does not tell.
        ending: told before a task is ended on purpose.
    """

    catalogue: CheckpointCatalogue
    workshop: Workshop
    happened: Happened
    ending: Ending


async def _stay() -> None:
    """Leave no lane, for a command that is in none."""


def by_containerd_alone(record: ContainerInfo) -> ContainerInfo:
    """Be what knows nothing besides containerd's record."""
    return record


class Place(Struct, frozen=True, kw_only=True):
    """Where a command works: this node's runtime, and what the subject names.

    Attributes:
        followed: the namespaces that a command for all of them means; empty for really all.
        command_id: what the command is called for ever; what it makes is labelled with it.
        permit: awaited by a verb that makes or runs something, with what it would make, before it changes anything.
        anchor: puts into a spec the paths of the host that the links in its own lead to; what is judged is that one.
        tell: takes how far a long command has come.
        objects: the bus's object stores, where there are any.
        removing: deletes containers that were run with `rm`, where there is somebody who does.
        known: asks for the state of a container as the log has it.
        interruption: where a verb that waits hears that the command was taken back.
        sessions: the processes with their stdio on the bus; None where nobody looks after any.
        checkpointing: what commands about checkpoints need; None where there are none.
        harbour: where containers leave and arrive (`bridge.control.migration.harbour`); None where they do not.
        described: adds to a record, for whoever looks, what somebody else than containerd knows of the container.
        leave: gives the turn in the container's lane to the next one, for a verb that has done what needs it; once more does
            nothing.
        rest: where a verb that has asked the container to end waits for that: who kills it meanwhile passes.
    """

    runtime: ContainerRuntime
    node: str
    followed: frozenset[str] = frozenset()
    namespace: str | None = None
    container: str | None = None
    command_id: str = ""
    permit: Permission = nobody_judges
    anchor: Callable[[Mapping[str, Any]], dict[str, Any]] = as_it_stands
    interruption: Interruption = field(default_factory=Interruption)
    tell: Tell = hush
    objects: ObjectSource | None = None
    removing: Removing | None = None
    known: Known = nobody_knows
    sessions: StdioSessions | None = None
    checkpointing: Checkpointing | None = None
    harbour: Any = None
    described: Described = by_containerd_alone
    leave: Leave = _stay
    rest: Rest = nullcontext

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


async def image_at(place: Place, name: str) -> ImageInfo | None:
    """Return the image of this name in the namespace, None where there is none."""
    assert place.namespace is not None
    return next((one for one in await place.runtime.images.list(place.namespace) if one.name == name), None)


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
