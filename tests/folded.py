"""The log folded by a reader who has nothing but its events, and where it does not say what containerd lists."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.model.codec import decode
from bridge.model.events import TaskExit
from bridge.model.fold import evolve
from bridge.model.state import ContainerState
from bridge.ports import ContainerId, Inventory

__all__ = ["disagreements", "effective_exits", "folded"]


def folded(bodies: Iterable[bytes]) -> dict[ContainerId, ContainerState]:
    """The states of all containers after these events of one node, in the order of its log."""
    states: dict[ContainerId, ContainerState] = {}
    for body in bodies:
        recorded = decode(body)
        if recorded.container is not None and recorded.namespace is not None:
            key = (recorded.namespace, recorded.container)
            states[key] = evolve(states.get(key), recorded)
    return states


def disagreements(states: dict[ContainerId, ContainerState], inventory: Inventory) -> list[str]:
    """Where the log says something else than containerd, a sentence each."""
    found = []
    for key in sorted(states.keys() | inventory.containers.keys()):
        if not inventory.covers(key[0]):
            continue
        info, state = inventory.containers.get(key), states.get(key)
        if info is None:
            if state is not None and state.status not in {"gone", "unknown"}:
                found.append(f"{key} is {state.status} in the log, and there is no such container")
        elif state is None:
            found.append(f"{key} is not in the log")
        else:
            task = info.task
            told = (state.status, state.image, state.labels, state.exit_status, state.deleted_at)
            listed = (task.status if task else "none", info.image, info.labels, task and task.exit_status, None)
            if task is None:  # what is told of the last task stays
                told, listed = (*told[:3], None, told[4]), (*listed[:3], None, listed[4])
            if told != listed:
                found.append(f"{key} is {told} in the log, and {listed} in containerd")
            elif task is not None and state.pid != (task.pid or None):
                found.append(f"{key} has process {state.pid} in the log, and {task.pid} in containerd")
    return found


def effective_exits(bodies: Iterable[bytes]) -> dict[tuple[ContainerId, str | None], int]:
    """How many exits count, for each incarnation of each container."""
    found: dict[tuple[ContainerId, str | None], int] = {}
    for body in bodies:
        recorded = decode(body)
        if isinstance(recorded.data, TaskExit):
            key = ((recorded.namespace or "", recorded.container or ""), recorded.incarnation)
            found[key] = found.get(key, 0) + 1
    return found
