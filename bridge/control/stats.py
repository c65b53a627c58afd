"""The verb `stats`: what tasks use, as containerd measures it; one call for each namespace, however many run there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import structs

from bridge.control.verb import Place, Verb, task_at
from bridge.errors import CommandFailed
from bridge.model.commands import Stats
from bridge.model.identity import check_identifier
from bridge.model.outcomes import StatsList, TaskStats

__all__ = ["VERBS"]


async def stats(place: Place, command: Stats) -> StatsList:
    """Return what one container uses, those of a namespace, or those of every one that this node follows."""
    for container in command.containers:
        try:
            check_identifier(container, "container id")
        except ValueError as error:
            raise CommandFailed("invalid_argument", str(error)) from error
    if place.container is not None:
        if command.containers:
            raise CommandFailed("invalid_argument", f"{place} stands in the subject: leave containers out")
        found = [await _of_one(place)]
    elif place.namespace is not None:
        found = [*await place.runtime.tasks.metrics(place.namespace, command.containers)]
    else:
        found = []
        for namespace in sorted(place.followed) or await place.runtime.containers.namespaces():
            found += await place.runtime.tasks.metrics(namespace, command.containers)
    found.sort(key=lambda one: (one.namespace, one.container))
    return StatsList(stats=[structs.replace(one, node=place.node) for one in found])


async def _of_one(place: Place) -> TaskStats:
    namespace, container = place.target
    found = await place.runtime.tasks.metrics(namespace, [container])
    if found:
        return found[0]
    task = await task_at(place)  # containerd leaves out what it cannot measure, without a word
    if task.status == "stopped":
        raise CommandFailed("failed_precondition", f"{place} is stopped: start it first")
    raise CommandFailed(
        "unavailable", f"{place} is {task.status}, and its runtime does not tell what it uses: try again"
    )


VERBS: Mapping[str, Verb] = MappingProxyType({Stats.verb: stats})
"""Verb -> coroutine."""
