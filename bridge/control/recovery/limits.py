"""What became of update: its limits stand in the container's record, and some of the task's can be read in its control group.

The task comes first and the record last, so a record that was changed since then says that all is done. One that was not says
nothing of the task; there the control group tells, as far as it is told of: the limits of memory and of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bridge.control.limits import changed_spec, resources_of
from bridge.control.recovery.finding import NotDone, Recover, Undecided, seen, task_of
from bridge.control.verb import Place, record_at
from bridge.errors import CommandFailed
from bridge.model.commands import UNLIMITED, Update
from bridge.model.nanos import Nanos
from bridge.model.outcomes import TaskStats, Updated

__all__ = ["LIMITS"]


async def recover_update(place: Place, command: Update, started_at: Nanos) -> Updated:
    """Its limits are in the record since then, or in the task; or in neither."""
    resources = resources_of(command)
    record = await record_at(place)
    task = await task_of(place)
    alive = task is not None and task.status != "stopped"
    has = await _task_has(place, resources) if alive else None
    spec = record.spec
    as_wanted = spec is not None and spec == changed_spec(spec, resources, command.annotations)
    if not command.task_only and as_wanted and (record.updated_at or 0) >= started_at:
        return Updated(task=alive, record=True, resources=resources)
    if has is False:
        raise NotDone(f"the bridge ended before {place} had its new limits: its task has others")
    if has and (command.task_only or as_wanted):
        return Updated(task=True, record=not command.task_only, resources=resources)
    if has:
        sentence = (
            f"the bridge ended when the task of {place} had its new limits, and the next one will not: update it again"
        )
        raise CommandFailed("failed_precondition", sentence)
    if not alive and not command.task_only and not as_wanted:
        raise NotDone(f"the bridge ended before the record of {place} had its new limits: it is as before")
    raise Undecided(f"{seen(place, task)}, and nothing that can be read there shows whether it has its new limits")


async def _task_has(place: Place, resources: Mapping[str, Any]) -> bool | None:
    """Tell whether the task has the limits, None where none of them can be read."""
    found = await place.runtime.tasks.metrics(place.target[0], [place.target[1]])
    if not found:
        return None
    there = _read(found[0])
    compared = [
        there[key] == (None if wanted == UNLIMITED else wanted)
        for key, wanted in _wanted(resources).items()
        if key in there
    ]
    return all(compared) if compared else None


def _wanted(resources: Mapping[str, Any]) -> dict[str, int]:
    given = {
        "memory": resources.get("memory", {}).get("limit"),
        "pids": resources.get("pids", {}).get("limit"),
    }
    return {key: value for key, value in given.items() if value is not None}


def _read(stats: TaskStats) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    if stats.memory is not None:
        found["memory"] = stats.memory.limit
    if stats.pids is not None:
        found["pids"] = stats.pids.limit
    return found


LIMITS: Mapping[str, Recover] = MappingProxyType({Update.verb: recover_update})
"""Verb -> how its outcome is found."""
