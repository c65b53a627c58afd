"""The verb `update`: other limits for a container's task at once, and in its record for the tasks to come.

The task comes first: what its runtime refuses does not go into the record either. Only what is asked for is sent, so that what
others have set stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from bridge.control.spec.default import default_spec
from bridge.control.verb import Place, Verb, record_at
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model.commands import UNLIMITED, Update, size_of
from bridge.model.commands.amounts import CPU_PERIOD_US, LEAST_QUOTA_US, quota_of
from bridge.model.outcomes import ContainerInfo, Updated

__all__ = ["VERBS", "changed_spec", "resources_of"]

_DECORATION: Final = re.compile(r"^.*?runc did not terminate successfully: exit status \d+: |: unknown$", re.DOTALL)
"""What containerd and its shim put around runc's own words."""


async def update(place: Place, command: Update) -> Updated:
    """Change the limits that are given."""
    resources = resources_of(command)
    if not resources and not command.annotations:
        raise CommandFailed(
            "invalid_argument", "update changes nothing without an option: give a limit, such as memory"
        )
    record = await record_at(place)
    if record.spec is None and not command.task_only:
        raise CommandFailed(
            "failed_precondition", f"the spec in the record of {place} cannot be read: update its task with task_only"
        )
    _check_swap(place, record, command, resources)
    task = await place.runtime.tasks.get(*place.target)
    alive = task is not None and task.status != "stopped"
    if command.task_only and not alive:
        raise CommandFailed("failed_precondition", f"{place} does not run: leave task_only out, or start it first")
    # Only annotations are what a policy has a word for; limits are its own kind of verb.
    await place.permit(spec=default_spec(*place.target) | {"annotations": dict(command.annotations)})
    if alive:
        alive = await _update_task(place, command, resources)
        failpoint("task-updated")
    if record.spec is not None and not command.task_only:
        await _update_record(place, command, record.spec, resources, alive=alive)
    return Updated(task=alive, record=not command.task_only, resources=resources)


async def _update_task(place: Place, command: Update, resources: Mapping[str, Any]) -> bool:
    """Give the task its limits; return whether it was still there."""
    try:
        await place.runtime.tasks.update(*place.target, resources, command.annotations)
    except CommandFailed as error:
        task = await place.runtime.tasks.get(*place.target)
        if (task is None or task.status == "stopped") and not command.task_only:
            return False  # it has just ended; the next one gets them
        if error.code != "unknown" or error.containerd is None:
            raise
        words = " ".join(_DECORATION.sub("", error.containerd).split()).rstrip(".")
        raise CommandFailed(
            "failed_precondition", f"{place} does not take these limits: {words}", containerd=error.containerd
        ) from error
    return True


async def _update_record(
    place: Place, command: Update, spec: Mapping[str, Any], resources: Mapping[str, Any], *, alive: bool
) -> None:
    try:
        await place.runtime.containers.respec(*place.target, changed_spec(spec, resources, command.annotations))
    except CommandFailed as error:
        if not alive:
            raise
        sentence = f"the task of {place} has its new limits, but the next one will not: {error.message}"
        raise CommandFailed(error.code, sentence, containerd=error.containerd) from error


def resources_of(command: Update) -> dict[str, Any]:
    """Return what is to change as an OCI LinuxResources.

    Raises:
        CommandFailed: `invalid_argument`: what was given cannot be together, or is no size.
    """
    memory = {
        "limit": _size("memory", command.memory),
        "swap": _size("memory_swap", command.memory_swap),
        "reservation": _size("memory_reservation", command.memory_reservation),
    }
    if 0 < (memory["swap"] or 0) < (memory["limit"] or 0):
        raise CommandFailed(
            "invalid_argument",
            f"memory_swap {command.memory_swap} is for memory and swap together: it cannot be less than memory "
            f"{command.memory}",
        )
    if command.cpus is not None and (command.cpu_quota is not None or command.cpu_period is not None):
        raise CommandFailed("invalid_argument", "cpus stands for cpu_quota and cpu_period: leave one of them out")
    quota, period = command.cpu_quota, command.cpu_period
    if quota is not None and quota != UNLIMITED and quota < LEAST_QUOTA_US:
        raise CommandFailed(
            "invalid_argument", f"cpu_quota {quota} is too little: give at least {LEAST_QUOTA_US}, or -1 for no limit"
        )
    if command.cpus is not None:
        quota, period = quota_of(command.cpus), CPU_PERIOD_US
    if command.pids_limit == 0:
        raise CommandFailed(
            "invalid_argument", "pids_limit 0 would leave no process: give at least 1, or -1 for no limit"
        )
    cpu = {
        "shares": command.cpu_shares,
        "quota": quota,
        "period": period,
        "cpus": command.cpuset_cpus,
        "mems": command.cpuset_mems,
    }
    groups: dict[str, dict[str, Any]] = {
        "memory": memory,
        "cpu": cpu,
        "pids": {"limit": command.pids_limit},
        "blockIO": {
            "weight": command.blkio_weight,
            "throttleReadBpsDevice": _throttles(command.device_read_bps),
            "throttleWriteBpsDevice": _throttles(command.device_write_bps),
            "throttleReadIOPSDevice": _throttles(command.device_read_iops),
            "throttleWriteIOPSDevice": _throttles(command.device_write_iops),
        },
    }
    given = {name: {key: value for key, value in group.items() if value is not None} for name, group in groups.items()}
    return {name: group for name, group in given.items() if group}


def _throttles(rates: Mapping[str, int] | None) -> list[dict[str, int]] | None:
    if not rates:
        return None
    numbers = [(*map(int, device.split(":")), rate) for device, rate in sorted(rates.items())]
    return [{"major": major, "minor": minor, "rate": rate} for major, minor, rate in numbers]


def changed_spec(
    spec: Mapping[str, Any], resources: Mapping[str, Any], annotations: Mapping[str, str]
) -> dict[str, Any]:
    """Return a spec with these limits and annotations; an annotation that is empty is taken away."""
    linux = dict(spec.get("linux") or {})
    before = linux.get("resources") or {}
    linux["resources"] = dict(before) | {
        name: _merged(before.get(name) or {}, group) for name, group in resources.items()
    }
    changed = dict(spec) | {"linux": linux}
    if annotations:
        merged = (spec.get("annotations") or {}) | dict(annotations)
        changed["annotations"] = {key: value for key, value in merged.items() if value}
    return changed


def _merged(before: Mapping[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
    """Return limits of one kind with what changes; in a list of devices those that are not named stay, and 0 is no limit."""
    merged = dict(before) | dict(group)
    for name, changed in group.items():
        if isinstance(changed, list):
            devices = {(one.get("major"), one.get("minor")): one for one in [*(before.get(name) or ()), *changed]}
            merged[name] = [one for one in devices.values() if one.get("rate")]
    return merged


def _size(option: str, value: str | int | None) -> int | None:
    if value is None:
        return None
    try:
        return size_of(value)
    except ValueError as error:
        raise CommandFailed("invalid_argument", f"{option} {error}") from error


def _check_swap(place: Place, record: ContainerInfo, command: Update, resources: Mapping[str, Any]) -> None:
    """Say what the kernel would say in its own way: memory may not be more than memory and swap together."""
    limit = resources.get("memory", {}).get("limit")
    if limit is None or "swap" in resources["memory"]:
        return
    memory = (((record.spec or {}).get("linux") or {}).get("resources") or {}).get("memory") or {}
    swap = memory.get("swap") or 0
    if swap > 0 and (limit > swap or limit == UNLIMITED):
        raise CommandFailed(
            "invalid_argument",
            f"memory {command.memory} is more than {place} may have of memory and swap together, {swap}: "
            "give memory_swap too",
        )


VERBS: Mapping[str, Verb] = MappingProxyType({Update.verb: update})
"""Verb -> coroutine."""
