"""What would fail, said before anything is tried: what is seen of host, container and checkpoint, judged by `bridge.checkpoints`.

A finding that `blocks` is refused unless the command is forced. What cannot be seen from here is `unknown`, and blocks nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bridge.checkpoints import ToDump, ToRestore, before_dump, before_restore, host_paths, network_of, network_path
from bridge.control.checkpoint_dump import CONFIG, checkpointing_at
from bridge.control.restore_container import Plan
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.checkpoints import CheckpointRecord, Finding, Listening, Verdict
from bridge.model.outcomes import ContainerInfo, TaskInfo

__all__ = ["memory_of", "verdict_of_dump", "verdict_of_restore"]

OF_THE_FILE: Final = ("tcp_skip_in_flight", "link_remap")
"""Options of a dump that containerd's API cannot tell CRIU."""


async def verdict_of_dump(place: Place, record: ContainerInfo, task: TaskInfo, draft: CheckpointRecord) -> Verdict:
    """Say what a dump of this task would meet."""
    criu, execs, connections, memory, space = await asyncio.gather(
        place.runtime.checkpoints.check(), _execs(place), _connections(place), memory_of(place), _space(place)
    )
    verdict = before_dump(
        ToDump(
            host=draft.host,
            criu=criu,
            options=draft.options,
            status=task.status,
            spec=record.spec,
            execs=execs,
            stdio=draft.stdio,
            connections=connections,
            memory=memory,
            space=space,
        )
    )
    return Verdict(findings=[*verdict.findings, *_of_dump(record, draft)])


async def _execs(place: Place) -> int | None:
    try:
        found = await place.runtime.tasks.pids(*place.target)
    except CommandFailed:
        return None
    return sum(one.exec_id is not None for one in found)


async def _connections(place: Place) -> int | None:
    try:
        return await place.runtime.checkpoints.connections(*place.target)
    except CommandFailed:
        return None


async def memory_of(place: Place) -> int | None:
    """Return how much memory a container uses, None where nobody says."""
    namespace, container = place.target
    try:
        found = await place.runtime.tasks.metrics(namespace, [container])
    except CommandFailed:
        return None
    return next((one.memory.usage for one in found if one.memory is not None), None)


async def _space(place: Place) -> int | None:
    try:
        return await checkpointing_at(place).workshop.room()
    except CommandFailed:
        return None  # then the dump fails, and that is told


def _of_dump(record: ContainerInfo, draft: CheckpointRecord) -> Iterator[Finding]:
    annotations = (record.spec or {}).get("annotations") or {}
    for name in OF_THE_FILE:
        if getattr(draft.options, name) and CONFIG not in annotations:
            yield Finding(
                check="options",
                level="blocks",
                says=f"{name} cannot be told to CRIU for this container",
                way_out=f"leave it out, or make the container with the annotation {CONFIG}, the path of a file that says so",
            )
    if record.image and record.snapshot_key and not draft.image_digest:
        yield Finding(
            check="image",
            level="risk",
            says=f"the image that it was made from is not on this node any more, under no name, {record.image} neither",
            way_out="have it here again, or restore it where what is called so is that image",
        )
    if not draft.rw and record.snapshot_key:
        yield Finding(
            check="files",
            level="risk",
            says="what it wrote to its files stays out, so files that it has open may not fit",
            way_out="leave --no-rw out, unless it writes nothing",
        )


async def verdict_of_restore(place: Place, plan: Plan) -> Verdict:
    """Say what a restore would meet here."""
    namespace, _ = place.target
    checkpoints, record, wanted = place.runtime.checkpoints, plan.taken.record, plan.wanted
    spec = wanted.spec
    criu, missing, taken, host, space, defaults = await asyncio.gather(
        checkpoints.check(),
        checkpoints.missing(host_paths(spec)),
        _taken(place, spec),
        checkpoints.host(namespace, wanted.runtime),
        _space(place),
        place.runtime.containers.defaults(namespace),
    )
    verdict = before_restore(
        ToRestore(
            host=host,
            criu=criu,
            record=record,
            options=plan.options,
            spec=spec,
            image_here=not plan.fresh or plan.image is not None or plan.named is not None,
            image_digest=plan.named.digest if plan.named is not None else record.image_digest if record else "",
            image_as=plan.image.name if plan.image is not None and plan.image != plan.named else "",
            image_follows=plan.taken.vouched and record is not None and bool(record.image_digest),
            id_free=True,
            missing=missing,
            taken=taken,
            runtime_here=True if wanted.runtime == defaults.runtime else None,
            snapshotter_here=True if wanted.snapshotter in {"", defaults.snapshotter} else None,
            original_runs=await _runs(place, record),
            space=space,
        )
    )
    return Verdict(findings=[*verdict.findings, *_of_restore(plan)])


async def _taken(place: Place, spec: Mapping[str, Any]) -> Sequence[Listening] | None:
    if network_of(spec) == "own":
        return None  # where every port is free
    return await place.runtime.checkpoints.listening(network_path(spec))


async def _runs(place: Place, record: CheckpointRecord | None) -> bool | None:
    if record is None or record.node != place.node:
        return None
    try:
        task = await place.runtime.tasks.get(record.namespace, record.container)
    except CommandFailed:
        return None
    return task is not None and task.status in {"running", "paused", "pausing"}


def _of_restore(plan: Plan) -> Iterator[Finding]:
    record = plan.taken.record
    if plan.stdio == labels.ON_THE_BUS and record is not None and record.stdio == "null" and not record.tty:
        yield Finding(
            check="stdio",
            level="risk",
            says="it wrote to nowhere when it was dumped, and goes on doing so",
            way_out="leave --stdio out",
        )
    given = record.labels if record is not None and plan.there is None else {}
    left_out = sorted(key for key in given if key not in plan.wanted.labels and not key.startswith(labels.OURS))
    if left_out:
        yield Finding(
            check="labels",
            level="risk",
            says=f"labels on which others act are left out: {', '.join(left_out[:3])}",
            way_out="have whoever acts on them set them again",
        )
    if plan.there is not None and not plan.fresh and not plan.taken.exited:
        yield Finding(
            check="files",
            level="risk",
            says="the checkpoint has nothing of its files, and the container's own may have changed since",
            way_out="make checkpoints with its files",
        )
