"""A container's task dumped into the directory of a command: what it is, frozen, its memory, and what it wrote.

The container stands still from before the dump until its file system is taken too, so the two fit together; that it was us who
froze it stands in the directory before it is done, so that whoever finds a crash lets it run on. What was paused by somebody else
stays so.

CRIU may meet a process at a moment at which nothing stops it, and what stands still never comes out of that. Where it was us who
froze it, it runs on for a moment and is frozen and dumped again (`at_a_good_moment`); else whoever paused it has to.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from msgspec import Struct

from bridge.checkpoints import LOG, STATS, Contents, keep_layer, network_of, stats_of
from bridge.control.checkpoint_origin import origin_of
from bridge.control.execution import session_of_task
from bridge.control.leases import PASSING, insist, taken_back
from bridge.control.verb import Checkpointing, Place
from bridge.control.workshop import Bench, Note
from bridge.errors import BadMoment, CommandFailed
from bridge.failpoint import failpoint
from bridge.model import labels
from bridge.model.checkpoints import ArchiveFacts, CheckpointOptions, CheckpointRecord, CriuStats, Listening
from bridge.model.codec import encode_any
from bridge.model.nanos import now
from bridge.model.outcomes import ContainerInfo, Progress, TaskInfo
from bridge.ports import Descriptor
from bridge.ports.checkpoints import TRIES

__all__ = [
    "CONFIG",
    "NOTHING",
    "Dump",
    "MOMENT_S",
    "Pause",
    "at_a_good_moment",
    "checkpointing_at",
    "contents_of",
    "dump",
    "facts_of",
    "freeze",
    "resume",
    "stats_in",
]

log = logging.getLogger(__name__)

T = TypeVar("T")

CONFIG: Final = "org.criu.config"
"""The annotation by which runc takes a configuration file of CRIU's: one that somebody else wrote is not followed."""

NOTHING: Final = ArchiveFacts(size=0, digest="", unpacked=0)
"""Of an archive that is not written yet."""

MOMENT_S: Final = 0.1
"""How long a task runs on that CRIU has met at a bad moment: a process starts another one in less."""


def checkpointing_at(place: Place) -> Checkpointing:
    """Return what commands about checkpoints need.

    Raises:
        CommandFailed: `unimplemented`: this node has none of it.
    """
    if place.checkpointing is None:
        raise CommandFailed("unimplemented", f"node {place.node} makes and restores no checkpoints")
    return place.checkpointing


async def facts_of(
    place: Place, record: ContainerInfo, task: TaskInfo, options: CheckpointOptions, *, name: str, rw: bool
) -> CheckpointRecord:
    """Return the record of a checkpoint that is about to be made, as far as it is known before."""
    namespace, container = place.target
    host, image_digest = await asyncio.gather(
        place.runtime.checkpoints.host(namespace, record.runtime), origin_of(place, record)
    )
    return CheckpointRecord(
        id=place.command_id,
        node=place.node,
        namespace=namespace,
        container=container,
        name=name,
        created_at=now(),
        archive=NOTHING,
        options=options,
        host=host,
        image=record.image,
        image_digest=image_digest,
        snapshotter=record.snapshotter,
        runtime=record.runtime,
        rw=rw and bool(record.snapshot_key),
        status=task.status,
        incarnation=await _incarnation(place),
        parent=record.labels.get(labels.CHECKPOINT, ""),
        labels=dict(record.labels),
        listens=await _listens(place, record),
        **await _stdio(place, record, task),
    )


async def _listens(place: Place, record: ContainerInfo) -> list[Listening] | None:
    if network_of(record.spec) == "own":
        return None
    found = await place.runtime.checkpoints.listens(*place.target)
    return None if found is None else list(found)


async def _incarnation(place: Place) -> str | None:
    try:
        return (await place.known(*place.target)).incarnation
    except CommandFailed:  # nobody follows its events at the moment
        return None


async def _stdio(place: Place, record: ContainerInfo, task: TaskInfo) -> dict[str, Any]:
    """Return where the task's stdio goes, in the words of a record."""
    session = await session_of_task(place)
    written = task.stdout or task.stderr
    where = record.labels.get(labels.STDIO, "")
    if session is not None:
        where = labels.ON_THE_BUS
    elif "://" in written:
        where = written.partition("://")[0]
    elif written and written != os.devnull:
        where = "fifo"
    elif "://" in where:
        where = where.partition("://")[0]
    stdin = session.result().stdin if session is not None else bool(task.stdin)
    return {"stdio": where or "null", "stdin": stdin, "tty": task.terminal}


# -- standing still


class Pause:
    """Freezes a task that runs for as long as its context lasts, or until `over`; one that is paused stays so.

    Attributes:
        interrupted_ns: how long it stood still because of us, once that is over; None where it did not. Where it was frozen more
            than once, all of it: that is what those noticed who waited for it.
    """

    def __init__(self, place: Place, bench: Bench, task: TaskInfo, *, draft: CheckpointRecord | None = None) -> None:
        """Take the task as it is now, and the directory in which it is noted that it was us."""
        self.interrupted_ns: int | None = None
        self._place = place
        self._bench = bench
        self._draft = draft
        self._wanted = task.status == "running"
        self._began: int | None = None
        self._before_ns = 0

    async def __aenter__(self) -> Self:
        if self._wanted:
            await self._bench.note(Note(paused=True, draft=self._draft))
            await self._freeze()
            failpoint("paused")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._release(error)

    async def over(self) -> None:
        """Let it run on, if it was us who froze it."""
        if self._began is not None:
            await insist(f"{self._place}, which is frozen,", partial(resume, self._place))
            self.interrupted_ns = self._before_ns + time.monotonic_ns() - self._began
            self._began = None
            failpoint("resumed")

    @property
    def ours(self) -> bool:
        """Whether it stands still because of us."""
        return self._began is not None

    async def again(self) -> None:
        """Let it run on for a moment, and freeze it once more.

        Raises:
            CommandFailed: it is not frozen any more: it has ended, or containerd does not answer.
        """
        assert self._began is not None
        await resume(self._place)
        self._before_ns += time.monotonic_ns() - self._began
        self._began = None
        await asyncio.sleep(MOMENT_S)
        await self._freeze()

    def ended(self) -> None:
        """Note that there is no task any more that could run on."""
        self._began = None

    async def _freeze(self) -> None:
        self._began = time.monotonic_ns()
        try:
            await freeze(self._place)
        except BaseException as error:
            if isinstance(error, CommandFailed) and error.code not in {*PASSING, "unknown"}:
                self._began = None  # refused: it has ended, or somebody else froze it
            await self._release(error)  # it may have been frozen before the answer was lost
            raise

    async def _release(self, error: BaseException | None) -> None:
        """Let it run on whatever has happened: for as long as it takes, or, where the bridge stops, as the next one finds it."""
        if self._began is not None:
            await taken_back(error or Exception(), f"{self._place}, which is frozen,", partial(resume, self._place))
            self._began = None


async def freeze(place: Place) -> None:
    """Let a task stand still. Cancelled it waits for containerd first: it may not come to stand still after it was looked at."""
    pausing = asyncio.ensure_future(place.runtime.tasks.pause(*place.target))
    try:
        await asyncio.shield(pausing)
    except asyncio.CancelledError:
        await asyncio.wait({pausing})
        pausing.exception()
        raise


async def resume(place: Place) -> None:
    """Let a task run on; that it runs, or is gone, is as good."""
    try:
        await place.runtime.tasks.resume(*place.target)
    except CommandFailed as error:
        task = await place.runtime.tasks.get(*place.target)
        if task is not None and task.status in {"paused", "pausing"}:
            raise CommandFailed(
                error.code, f"{place} is frozen, and cannot be resumed: {error.message}", containerd=error.containerd
            ) from error


# -- the dump


class Dump(Struct, frozen=True, kw_only=True):
    """What was taken of a container: its facts, and the layer that it wrote, as it lies in containerd."""

    draft: CheckpointRecord
    spec: dict[str, Any]
    layer: Descriptor | None


async def at_a_good_moment(
    place: Place, attempt: Callable[[], Awaitable[T]], *, again: Callable[[], Awaitable[None]] | None
) -> T:
    """Return what comes of dumping a task, tried anew where that has met it at a bad moment.

    Args:
        place: what is dumped.
        attempt: dumps it.
        again: lets it run on for a moment and freezes it once more; None where that is not ours to do, and then there is one try.
    """
    left = TRIES
    while True:
        left -= 1
        try:
            return await attempt()
        except BadMoment as error:
            if again is None or not left:
                raise
            log.info("%s runs on for a moment, and is dumped again: %s", place, error)
        await again()


async def dump(
    place: Place,
    bench: Bench,
    pause: Pause,
    draft: CheckpointRecord,
    spec: dict[str, Any],
    *,
    lease: str,
    ends: bool = False,
    packed: bool = False,
) -> Dump:
    """Dump a task that stands still, and hold under the lease what the container wrote, `packed` as an image has it.

    Raises:
        CommandFailed: CRIU cannot; the task is as it was before.
    """
    namespace, container = place.target
    checkpoints = place.runtime.checkpoints
    place.tell(Progress(id=place.command_id, name=draft.name, event="dumping"))
    work = partial(checkpoints.dump, namespace, container, bench.images, draft.options, ends=ends, lease=lease)
    await at_a_good_moment(place, work, again=pause.again if pause.ours else None)
    failpoint("dumped")
    layer = await checkpoints.changes(namespace, container, packed=packed, lease=lease) if draft.rw else None
    return Dump(draft=draft, spec=spec, layer=layer)


async def stats_in(bench: Bench) -> CriuStats | None:
    """Return what CRIU measured, None where it left nothing that can be read."""
    return await asyncio.to_thread(stats_of, bench.work)


async def contents_of(place: Place, bench: Bench, dumped: Dump, created_at: Any = None) -> Contents:
    """Return what goes into an archive; the layer is a file in the directory from here on."""
    if dumped.layer is not None:
        assert place.namespace is not None
        directory = os.open(bench.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            data = place.runtime.checkpoints.read(place.namespace, dumped.layer)
            await keep_layer(data, directory, name=bench.layer.name)
        finally:
            os.close(directory)
    log, stats = bench.work / LOG, bench.work / STATS
    return Contents(
        record=dumped.draft,
        spec=encode_any(dumped.spec),
        images=bench.images,
        layer=bench.layer if dumped.layer is not None else None,
        log=log if await asyncio.to_thread(log.is_file) else None,
        stats=stats if await asyncio.to_thread(stats.is_file) else None,
        container_created_at=created_at,
    )
