"""The verbs that only look: list, inspect, pids, version."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import structs

import bridge
from bridge.control.verb import Place, Verb, record_at, task_at
from bridge.errors import CommandFailed
from bridge.model.commands import Inspect, List, Pids, Version
from bridge.model.outcomes import ContainerList, InspectResult, PidList, ProcessInfo, VersionInfo

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
    return ContainerList(containers=[structs.replace(container, node=place.node) for container in found])


async def inspect(place: Place, _: Inspect) -> InspectResult:
    """Return one container: record, spec, task, and its processes while it has any."""
    record = await record_at(place)
    task = await place.runtime.tasks.get(*place.target)
    processes: list[ProcessInfo] = []
    if task is not None and task.status in {"running", "paused", "pausing"}:
        try:
            processes = list(await place.runtime.tasks.pids(*place.target))
        except CommandFailed as error:
            if error.code != "not_found":  # between the two looks it ended, and somebody deleted it
                raise
    return InspectResult(container=structs.replace(record, node=place.node, task=task), processes=processes)


async def pids(place: Place, _: Pids) -> PidList:
    """Return the processes of a container."""
    await task_at(place)
    return PidList(processes=list(await place.runtime.tasks.pids(*place.target)))


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
