"""The verbs that only look: list, inspect, pids, version."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import structs

import bridge
from bridge.control.verb import Place, Verb, record_at, task_at
from bridge.control.waiting import state_of
from bridge.errors import CommandFailed
from bridge.model.commands import Inspect, List, Pids, Version
from bridge.model.outcomes import (
    ContainerList,
    ExecInfo,
    InspectResult,
    PidList,
    ProcessInfo,
    TaskInfo,
    VersionInfo,
)
from bridge.model.state import MAX_EXECS, ContainerState

__all__ = ["VERBS"]


async def list_containers(place: Place, command: List) -> ContainerList:
    """Return the containers of a namespace, or of every one that this node follows, by namespace and id."""
    if place.namespace is not None or not place.followed:
        found = list(await place.runtime.containers.list(place.namespace, command.filters))
    else:
        found = []
        for namespace in place.followed:
            found += await place.runtime.containers.list(namespace, command.filters)
    found.sort(key=lambda container: (container.namespace, container.id))
    named = [place.described(container) or container for container in found]
    return ContainerList(containers=[structs.replace(container, node=place.node) for container in named])


async def inspect(place: Place, _: Inspect) -> InspectResult:
    """Return one container: record, spec, task, its processes and execs while it has any, and its state in the log."""
    record, task, state = await asyncio.gather(
        record_at(place), place.runtime.tasks.get(*place.target), state_of(place)
    )
    processes: list[ProcessInfo] = []
    execs: list[ExecInfo] = []
    if task is not None and task.status in {"running", "paused", "pausing"}:
        try:
            processes = list(await place.runtime.tasks.pids(*place.target))
            execs = await _execs(place, task, processes, state)
        except CommandFailed as error:
            if error.code != "not_found":  # between the two looks it ended, and somebody deleted it
                raise
    named = structs.replace(place.described(record) or record, node=place.node, task=task)
    return InspectResult(container=named, processes=processes, execs=execs, state=state)


async def _execs(
    place: Place, task: TaskInfo, processes: Sequence[ProcessInfo], state: ContainerState | None
) -> list[ExecInfo]:
    """Return the execs that containerd has: it lists only those that run, the log knows those that are added too."""
    ids = dict.fromkeys(process.exec_id for process in processes if process.exec_id is not None)
    if state is not None and state.pid == task.pid:
        ids |= dict.fromkeys(state.execs)
    asked = list(ids)[:MAX_EXECS]
    found = await asyncio.gather(*[place.runtime.tasks.get(*place.target, exec_id=exec_id) for exec_id in asked])
    return [
        ExecInfo(exec_id=exec_id, **structs.asdict(one))
        for exec_id, one in zip(asked, found, strict=True)
        if one is not None
    ]


async def pids(place: Place, _: Pids) -> PidList:
    """Return the processes of a container that has some."""
    if (await task_at(place)).status != "stopped":
        found = await place.runtime.tasks.pids(*place.target)
        if found or (await task_at(place)).status != "stopped":  # it may have ended between the two
            return PidList(processes=list(found))
    raise CommandFailed("failed_precondition", f"{place} is stopped, so it has no processes: start it first")


async def version(place: Place, _: Version) -> VersionInfo:
    """Return the versions of this bridge and of its containerd."""
    containerd = await place.runtime.version()
    return VersionInfo(
        node=place.node,
        bridge=bridge.__version__,
        containerd=containerd.version,
        containerd_revision=containerd.revision,
    )


VERBS: Mapping[str, Verb] = MappingProxyType(
    {List.verb: list_containers, Inspect.verb: inspect, Pids.verb: pids, Version.verb: version}
)
"""Verb -> coroutine."""
